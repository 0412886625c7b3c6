//! The timers of Lua: tables that are made, started, stopped and run here without the trampoline, since that is where a
//! program with a million of them spends its time.

use super::compat;
use super::coroutine::push_integer;
use super::entry::{self, Host};
use super::library::Library;
use super::object::Metatable;
use super::outcome::Outcome;
use super::stack::Stack;
use super::state::State;
use crate::error::Fault;
use mlua::ffi::{self, lua_CFunction, lua_State};
use std::ffi::CStr;
use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the timers need of the runtime. A number stands for a timer from its start until it has stopped.
pub(crate) trait Clockwork: Host {
    /// A number for a timer that is about to be started; the same one until that is done.
    fn reserve_clock(&self) -> u32;
    /// Starts the timer with that number: due after so many seconds, and again and again if it is `repeated`.
    fn start_clock(&self, number: u32, seconds: f64, repeated: bool);
    /// Stops a timer, or lets the run that is under way be its last; says which.
    fn halt_clock(&self, number: u32) -> Halted;
    /// The timer whose run that just ended was another one has concluded; the running task is to run the function of the
    /// one that is answered.
    fn next_run(&self, state: State) -> Option<u32>;
}

/// What has become of a timer that is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Halted {
    /// It has stopped.
    Stopped,
    /// It has stopped, and others want to know.
    Observed,
    /// It stops when its run has ended.
    Later,
    /// There is none with that number.
    Unknown,
}

/// What the library keeps in the registry for timers.
#[derive(Clone, Copy)]
pub(super) struct Clocks {
    /// The table of those that have a number.
    armed: c_int,
    /// Of those, the ones that are held by somebody else alone: a weak table.
    weakly_armed: c_int,
    /// Their metatable.
    class: Metatable,
}

/// The fields of a timer's table: all that most of them have.
mod field {
    /// The function.
    pub(super) const CALLBACK: i64 = 1;
    /// The timer's number and one, while it has one; else false.
    pub(super) const NUMBER: i64 = 2;
    /// Seconds between two runs, where there is more than one.
    pub(super) const INTERVAL: i64 = 3;
    /// The arguments, as `table.pack` makes a table of them, if there are any.
    pub(super) const ARGUMENTS: i64 = 4;
}

/// The arguments of `after` and `every`.
mod slot {
    /// Seconds.
    pub(super) const SECONDS: i32 = 1;
    /// The function; behind it its arguments.
    pub(super) const CALLBACK: i32 = 2;
}

/// The key under which a timer with a number is held.
fn key(number: u32) -> i64 {
    i64::from(number) + 1
}

/// The C function that makes a timer and starts it: `after`, or `every` where it is `REPEATED`. What is no argument for
/// it goes the way of all functions, to `refuse`.
pub(crate) const fn starting<H, F, const REPEATED: bool>(_refuse: F) -> lua_CFunction
where
    H: Clockwork,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    assert!(
        size_of::<F>() == 0,
        "only plain functions, which need no storage, can be entries"
    );
    start::<H, F, REPEATED>
}

/// Makes a timer and starts it. `[-n, +1, m]`
///
/// # Safety
/// Called by Lua, as a closure that `library` made.
unsafe extern "C-unwind" fn start<H, F, const REPEATED: bool>(l: *mut lua_State) -> c_int
where
    H: Clockwork,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    // SAFETY: upvalue 3 is the address of the host, as in `entry::trampoline`; what is pushed is counted beside each
    // line, and a C function has 20 free slots. Whatever may raise leaves at most a number that is reserved. Nothing
    // that lets finalizers run comes after that.
    unsafe {
        let host = &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(3)).cast::<H>();
        let fits = ffi::lua_type(l, slot::SECONDS) == ffi::LUA_TNUMBER
            && ffi::lua_type(l, slot::CALLBACK) == ffi::LUA_TFUNCTION
            && !host.is_closed();
        let seconds = ffi::lua_tonumber(l, slot::SECONDS);
        if !fits || !is_span(seconds, REPEATED) {
            return entry::trampoline::<H, F>(l);
        }
        let arguments = ffi::lua_gettop(l) - slot::CALLBACK;
        let fields = if arguments > 0 {
            field::ARGUMENTS
        } else if REPEATED {
            field::INTERVAL
        } else {
            field::NUMBER
        };
        ffi::lua_createtable(l, fields as c_int, 0); // t
        let timer = ffi::lua_gettop(l);
        ffi::lua_pushvalue(l, slot::CALLBACK);
        ffi::lua_rawseti(l, timer, field::CALLBACK);
        ffi::lua_pushboolean(l, 0);
        ffi::lua_rawseti(l, timer, field::NUMBER);
        if REPEATED {
            ffi::lua_pushvalue(l, slot::SECONDS);
            ffi::lua_rawseti(l, timer, field::INTERVAL);
        }
        if arguments > 0 {
            ffi::lua_createtable(l, arguments, 1); // t a
            for place in 1..=arguments {
                ffi::lua_pushvalue(l, slot::CALLBACK + place);
                ffi::lua_rawseti(l, timer + 1, place.into());
            }
            push_integer(l, arguments.into());
            ffi::lua_setfield(l, timer + 1, c"n".as_ptr());
            ffi::lua_rawseti(l, timer, field::ARGUMENTS); // t
        }
        let clocks = &host.library().clocks;
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, clocks.class.reference as _);
        ffi::lua_setmetatable(l, timer);
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, clocks.armed as _); // t ts
        ffi::lua_pushvalue(l, timer); // t ts t
        let Ok(number) = catch_unwind(AssertUnwindSafe(|| host.reserve_clock())) else {
            return 0;
        };
        ffi::lua_rawseti(l, timer + 1, key(number)); // t ts
        push_integer(l, key(number));
        ffi::lua_rawseti(l, timer, field::NUMBER);
        ffi::lua_settop(l, timer); // t
        let _ = catch_unwind(AssertUnwindSafe(|| {
            host.start_clock(number, seconds, REPEATED);
        }));
    }
    1
}

/// Is this a time that one can wait for?
pub(crate) fn is_span(seconds: f64, repeated: bool) -> bool {
    seconds.is_finite() && seconds >= 0.0 && !(repeated && seconds == 0.0)
}

/// The C function that stops the timer that is its argument: answers whether others want to know; nil for what is none.
pub(crate) const fn halting<H: Clockwork>() -> lua_CFunction {
    halt::<H>
}

/// Stops a timer. `[-0, +1, -]`
///
/// # Safety
/// As `start`.
unsafe extern "C-unwind" fn halt<H: Clockwork>(l: *mut lua_State) -> c_int {
    // SAFETY: as in `start`; the class of a table is known by the address of its metatable. A panic ends here, and
    // nothing else has a destructor.
    unsafe {
        let host = &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(3)).cast::<H>();
        let clocks = &host.library().clocks;
        if ffi::lua_type(l, 1) != ffi::LUA_TTABLE
            || ffi::lua_getmetatable(l, 1) == 0
            || ffi::lua_topointer(l, -1) != clocks.class.pointer
        {
            ffi::lua_pushnil(l);
            return 1;
        }
        compat::raw_get(l, 1, field::NUMBER);
        let mut observed = false;
        if let Some(number) = number_at(l, -1) {
            let halted = catch_unwind(AssertUnwindSafe(|| host.halt_clock(number)));
            let halted = halted.unwrap_or(Halted::Unknown);
            if halted != Halted::Later {
                ffi::lua_pushboolean(l, 0);
                ffi::lua_rawseti(l, 1, field::NUMBER);
                clocks.release(l, number);
            }
            observed = halted == Halted::Observed;
        }
        ffi::lua_pushboolean(l, c_int::from(observed));
    }
    1
}

/// The timer's number that lies at `index`. `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state.
unsafe fn number_at(l: *mut lua_State, index: c_int) -> Option<u32> {
    // SAFETY: the caller's promise; no string is converted in place.
    let key = unsafe { ffi::lua_tointegerx(l, index, std::ptr::null_mut()) } as i64;
    u32::try_from(key.checked_sub(1)?).ok()
}

/// The C function that tells the running task which function of a timer to run next: answers the function, and the
/// table of its arguments if it has some; nothing when there is none. What the task has run before has ended well.
pub(crate) const fn running<H: Clockwork>() -> lua_CFunction {
    run::<H>
}

/// Ends a run and begins the next one. `[-0, +2, -]`
///
/// # Safety
/// As `start`.
unsafe extern "C-unwind" fn run<H: Clockwork>(l: *mut lua_State) -> c_int {
    // SAFETY: as in `halt`.
    unsafe {
        let host = &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(3)).cast::<H>();
        let state = State::new(l);
        loop {
            let next = catch_unwind(AssertUnwindSafe(|| host.next_run(state)));
            let Ok(Some(number)) = next else {
                return 0;
            };
            // One that has been collected has nothing to run.
            if state.push_clock(host.library(), number) {
                break;
            }
        }
        let timer = ffi::lua_gettop(l);
        compat::raw_get(l, timer, field::CALLBACK);
        compat::raw_get(l, timer, field::ARGUMENTS);
    }
    2
}

impl Clocks {
    /// Makes the tables, which the embedded Lua sees, too. `[-0, +0, m]`
    ///
    /// # Safety
    /// As `Library::open`; the table of the natives is at the absolute index `natives`.
    pub(super) unsafe fn set_up(l: *mut lua_State, natives: c_int) -> Clocks {
        // SAFETY: the caller's promise; each line leaves the stack as it was.
        let keep = |name: &CStr| unsafe {
            ffi::lua_createtable(l, 0, 0);
            let pointer = ffi::lua_topointer(l, -1);
            ffi::lua_pushvalue(l, -1);
            ffi::lua_setfield(l, natives, name.as_ptr());
            Metatable {
                reference: ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX),
                pointer,
            }
        };
        Clocks {
            armed: keep(c"armed").reference,
            weakly_armed: keep(c"weakly_armed").reference,
            class: keep(c"timer_class"),
        }
    }

    /// Holds the timer with that number no longer. `[-0, +0, -]`
    ///
    /// # Safety
    /// `l` is the running state with three free slots.
    unsafe fn release(&self, l: *mut lua_State, number: u32) {
        for table in [self.armed, self.weakly_armed] {
            // SAFETY: the caller's promise. The key exists where a timer is held, so that storing takes no memory.
            unsafe {
                compat::raw_get(l, ffi::LUA_REGISTRYINDEX, table as _); // ts
                compat::raw_get(l, -1, key(number)); // ts t?
                let held = ffi::lua_type(l, -1) != ffi::LUA_TNIL;
                if held {
                    ffi::lua_pushnil(l);
                    ffi::lua_rawseti(l, -3, key(number));
                }
                ffi::lua_settop(l, -3);
                if held {
                    break;
                }
            }
        }
    }
}

impl State {
    /// Pushes the timer with that number, if somebody still holds it. `[-0, +(0 | 1), -]`
    pub(super) fn push_clock(self, library: &Library, number: u32) -> bool {
        let l = self.raw();
        // SAFETY: two slots of the frame's 20; both registry entries are tables.
        unsafe {
            for table in [library.clocks.armed, library.clocks.weakly_armed] {
                compat::raw_get(l, ffi::LUA_REGISTRYINDEX, table as _);
                compat::raw_get(l, -1, key(number));
                ffi::lua_remove(l, -2);
                if ffi::lua_type(l, -1) == ffi::LUA_TTABLE {
                    return true;
                }
                ffi::lua_settop(l, -2);
            }
        }
        false
    }

    /// The interval of the timer with that number, if it has one.
    pub(crate) fn clock_interval(self, library: &Library, number: u32) -> Option<f64> {
        if !self.push_clock(library, number) {
            return None;
        }
        // SAFETY: the timer lies on top; a number is not converted.
        unsafe {
            compat::raw_get(self.raw(), -1, field::INTERVAL);
            let is_number = ffi::lua_type(self.raw(), -1) == ffi::LUA_TNUMBER;
            let interval = is_number.then(|| ffi::lua_tonumber(self.raw(), -1));
            ffi::lua_settop(self.raw(), -3);
            interval
        }
    }

    /// Lets go of a timer that has stopped, and tells it so.
    pub(crate) fn forget_clock(self, library: &Library, number: u32) {
        let l = self.raw();
        if self.push_clock(library, number) {
            // SAFETY: six slots; the timer lies on top. Its key exists, so that storing takes no memory.
            unsafe {
                ffi::lua_pushboolean(l, 0);
                ffi::lua_rawseti(l, -2, field::NUMBER);
                library.clocks.release(l, number);
                ffi::lua_settop(l, -2);
            }
        }
    }

    /// Tells Lua that the run of the timer with that number has ended with its task: well, or with the error and the
    /// traceback that `fail` has left on the stack. Answers whether the failure has been told to somebody.
    pub(crate) fn run_ended(self, library: &Library, number: u32, failed: bool) -> bool {
        let l = self.raw();
        // SAFETY: six slots; two values lie there where the task has failed. A Lua function, called protected.
        unsafe {
            let top = ffi::lua_gettop(l);
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.helpers.run_ended as _);
            push_integer(l, key(number));
            ffi::lua_pushboolean(l, c_int::from(failed));
            if failed {
                ffi::lua_pushvalue(l, top - 1);
                ffi::lua_pushvalue(l, top);
            }
            let count = ffi::lua_gettop(l) - top - 1;
            let status = ffi::lua_pcall(l, count, 1, 0);
            let told = status == ffi::LUA_OK && ffi::lua_toboolean(l, -1) != 0;
            ffi::lua_settop(l, top);
            told
        }
    }
}
