//! The Lua functions that the runtime asks, kept in the registry.

use super::asking::library_here;
use super::entry::Host;
use super::library::Library;
use super::making::call_source;
use super::outcome::Instead;
use super::{compat, marks};
use mlua::ffi::{self, lua_State};
use std::cell::Cell;
use std::ffi::CStr;
use std::os::raw::c_int;

/// The places in the registry of the Lua functions that the runtime asks.
pub(super) struct Helpers {
    /// The Lua function that tells the user of a failed task.
    pub(super) report: c_int,
    /// The Lua function that calls its first argument with the others.
    pub(super) call: c_int,
    /// The Lua function that makes the error which ends the waits of the running task.
    pub(super) alarm: c_int,
    /// The Lua function that calls what a task has deferred.
    pub(super) epilogue: c_int,
    /// The Lua function that answers the oldest error that waits to be raised.
    pub(super) next_error: c_int,
    /// The Lua function that joins a string error with its traceback.
    pub(super) join_error: c_int,
    /// The Lua function that does nothing, so that a pending hook gets its turn.
    pub(super) idle: c_int,
    /// The Lua function that puts a guard around a waiting function.
    pub(super) guard: c_int,
    /// The Lua function that gives a new task what it has from the start.
    pub(super) endow: c_int,
    /// The Lua function that tells those who watch an object.
    pub(super) tell: c_int,
    /// The Lua function that sees to the timers that are due.
    pub(super) fire: c_int,
    /// The Lua function that waits in the loop's place.
    pub(super) wait_outside: c_int,
    /// The Lua function that tells those who wait for a weak task of its end.
    pub(super) hand_over: c_int,
    /// The Lua functions that do what Rust ones cannot.
    make_list: c_int,
    /// Waits for an event where no task can be parked.
    wait_elsewhere: c_int,
    /// Tells of an event for which nobody waits.
    nobody_waits: c_int,
    /// The Lua function that hears of the end of a timer's run, where that is its task's own.
    pub(super) run_ended: c_int,
    /// The Lua function that tells those who watch a task of its end.
    pub(super) tell_of_end: c_int,
    /// The Lua function that tells how a thread has ended, where that takes more than its results.
    pub(super) conclude: c_int,
    /// The Lua function that sees to what a thread has been asked for.
    pub(super) heed: c_int,
    /// The Lua function that raises in code whose thread shall end.
    pub(super) interrupted: c_int,
    /// The Lua function that knows the names of what every universe has, and LuaJIT's 64-bit integers.
    pub(super) cross: c_int,
    /// Are they there?
    loaded: Cell<bool>,
}

/// How many there are.
const COUNT: usize = 21;

/// What the source puts into the natives' table.
pub(super) const NATIVES: &[&CStr] = &[
    c"PASS",
    c"Cancelled",
    c"alarm",
    c"describe",
    c"complain",
    c"epilogue",
];

impl Helpers {
    /// Keeps in the registry what loads the source when it is first called, in the place of each. `[-0, +0, m]`
    ///
    /// # Safety
    /// As `Library::open`; the userdata of the host is at the absolute index `host`.
    pub(super) unsafe fn set_up<H: Host>(l: *mut lua_State, host: c_int) -> Helpers {
        let mut place = 0;
        let mut keep = || {
            place += 1;
            // SAFETY: the caller's promise; each line leaves the stack as it was.
            unsafe {
                ffi::lua_pushvalue(l, host);
                ffi::lua_pushinteger(l, place);
                ffi::lua_pushcclosure(l, stand_in::<H>, 2);
                ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX)
            }
        };
        Helpers {
            report: keep(),
            join_error: keep(),
            call: keep(),
            idle: keep(),
            alarm: keep(),
            epilogue: keep(),
            next_error: keep(),
            endow: keep(),
            tell: keep(),
            fire: keep(),
            wait_outside: keep(),
            hand_over: keep(),
            make_list: keep(),
            wait_elsewhere: keep(),
            nobody_waits: keep(),
            run_ended: keep(),
            tell_of_end: keep(),
            conclude: keep(),
            heed: keep(),
            interrupted: keep(),
            cross: keep(),
            guard: keep(),
            loaded: Cell::new(false),
        }
    }

    /// Their places but that of the guard, in the order in which the source answers them.
    fn places(&self) -> [c_int; COUNT] {
        [
            self.report,
            self.join_error,
            self.call,
            self.idle,
            self.alarm,
            self.epilogue,
            self.next_error,
            self.endow,
            self.tell,
            self.fire,
            self.wait_outside,
            self.hand_over,
            self.make_list,
            self.wait_elsewhere,
            self.nobody_waits,
            self.run_ended,
            self.tell_of_end,
            self.conclude,
            self.heed,
            self.interrupted,
            self.cross,
        ]
    }

    /// Puts the functions themselves there, unless they are. `[-0, +0, e]`
    ///
    /// # Safety
    /// `l` is the running state, outside `catch_unwind`; the host of the library lives.
    pub(super) unsafe fn load(&self, l: *mut lua_State, library: &Library) {
        if self.loaded.get() {
            return;
        }
        // SAFETY: the caller's promise; the source answers so many values, and the keys exist.
        unsafe {
            // More than a call of a C function has free.
            ffi::luaL_checkstack(l, 40, std::ptr::null());
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.natives as _);
            ffi::lua_pushlightuserdata(l, marks::pass_mark());
            let cancelled = library.cancelled.reference;
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, cancelled as _);
            let results = self.places();
            call_source(l, library, library.parts.helpers, 3, results.len() as c_int);
            for place in results.into_iter().rev() {
                ffi::lua_rawseti(l, ffi::LUA_REGISTRYINDEX, place as _);
            }
            if compat::NEEDS_GUARD {
                compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.natives as _);
                ffi::lua_pushlightuserdata(l, marks::alarm_mark());
                ffi::lua_pushlightuserdata(l, marks::bytes_mark());
                call_source(l, library, library.parts.guards, 3, 1);
                ffi::lua_rawseti(l, ffi::LUA_REGISTRYINDEX, self.guard as _);
            }
        }
        self.loaded.set(true);
    }

    /// Calls the Lua function with the arguments of the running call, which stay; answers how many values it has left on
    /// top. `[-0, +n, e]`
    ///
    /// # Safety
    /// `l` is the running state, outside `catch_unwind`.
    pub(super) unsafe fn call_instead(&self, l: *mut lua_State, instead: Instead) -> c_int {
        // SAFETY: the caller's promise; room for the copies is asked for.
        unsafe {
            let count = ffi::lua_gettop(l);
            ffi::luaL_checkstack(l, count + 1, c"too many arguments".as_ptr());
            let helper = match instead {
                Instead::MakeList => self.make_list,
                Instead::WaitElsewhere => self.wait_elsewhere,
                Instead::NobodyWaits => self.nobody_waits,
            };
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, helper as _);
            for slot in 1..=count {
                ffi::lua_pushvalue(l, slot);
            }
            ffi::lua_call(l, count, ffi::LUA_MULTRET);
            ffi::lua_gettop(l) - count
        }
    }
}

/// Stands in for a helper until the first one is called: loads all of them, and calls the one that it stands for.
///
/// # Safety
/// Called by Lua, as a closure with the host and a place.
unsafe extern "C-unwind" fn stand_in<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: as `library_here`. After `load` the function itself is there.
    unsafe {
        let library = library_here::<H>(l);
        library.helpers.load(l, library);
        let place = ffi::lua_tointeger(l, ffi::lua_upvalueindex(2));
        let place = usize::try_from(place).unwrap_or(1);
        let places = library.helpers.places();
        let reference = places.get(place - 1).copied();
        let reference = reference.unwrap_or(library.helpers.guard);
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, reference as _);
        ffi::lua_insert(l, 1);
        ffi::lua_call(l, ffi::lua_gettop(l) - 1, ffi::LUA_MULTRET);
        ffi::lua_gettop(l)
    }
}
