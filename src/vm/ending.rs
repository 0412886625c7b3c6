//! What is kept of a task that has ended: results, error and traceback move into its handle, in protected calls.

use super::coroutine::Coroutine;
use super::library::Library;
use super::outcome::TaskName;
use super::registry::{self, Ended};
use super::state::State;
use super::{compat, entry, object};
use mlua::ffi::{self, lua_State};
use std::cell::Cell;
use std::ffi::CStr;
use std::os::raw::c_int;

/// What `settle` in its protected call needs to know.
struct Ending {
    /// The library of the universe.
    library: *const Library,
    /// The ended coroutine.
    co: *mut lua_State,
    /// The task.
    task: TaskName,
    /// How many values it returned.
    count: c_int,
    /// Where the error is.
    error: ErrorAt,
    /// Has the task been cancelled?
    cancelled: bool,
    /// How it ended: known when the protected call is over.
    ended: Cell<Ended>,
}

/// Where the error of a task that has not returned is found.
#[derive(Clone, Copy)]
pub(crate) enum ErrorAt {
    /// On top of its coroutine's stack, which shows where it was raised.
    Top,
    /// On its coroutine's stack as the last of so many values: `false`, the error, and maybe its traceback.
    Values(i32),
    /// Among what Lua keeps for it: it has been cancelled before it ran.
    Belongings,
    /// There, too: its handle has been collected.
    Dropped,
    /// In this text: the coroutine is not where the scheduler left it, and is not touched.
    Text(&'static CStr),
}

impl State {
    /// Keeps what a task returned in its handle, where there is one, and lets go of its coroutine, and of its
    /// belongings where it may have any.
    pub(crate) fn finish(
        self,
        library: &Library,
        co: Coroutine,
        task: TaskName,
        count: i32,
        belongings: bool,
    ) {
        // SAFETY: six slots of the frame's 20; `ending` outlives the protected call. No results take no memory, so
        // they need no protection; where memory fails for some, the handle is settled again without them.
        unsafe {
            if count > 0 {
                let ending = Ending::new(library, co, task, count);
                let top = ffi::lua_gettop(self.raw());
                compat::raw_get(
                    self.raw(),
                    ffi::LUA_REGISTRYINDEX,
                    library.protected.settle as _,
                );
                ffi::lua_pushlightuserdata(self.raw(), (&raw const ending).cast_mut().cast());
                let status = ffi::lua_pcall(self.raw(), 1, 0, 0);
                ffi::lua_settop(self.raw(), top);
                if status == ffi::LUA_OK {
                    registry::release(library, task.slot, belongings);
                    return;
                }
            }
            registry::settle(self.raw(), library, task, Ended::Done, 0);
            registry::release(library, task.slot, belongings);
        }
    }

    /// Keeps the error and the traceback of a failed task in its handle, and lets go of its coroutine. Answers whether
    /// it has failed or been cancelled. `[-0, +3, -]`: leaves the handle, the error and the traceback on the stack.
    pub(crate) fn fail(
        self,
        library: &Library,
        co: Coroutine,
        task: TaskName,
        error: ErrorAt,
        cancelled: bool,
    ) -> Ended {
        let ending = Ending {
            error,
            cancelled,
            ..Ending::new(library, co, task, 0)
        };
        // SAFETY: as in `finish`; where memory fails, the message of that failure stands in for all.
        unsafe {
            // The registry lets go of the coroutine before it is closed: the stack holds it until then.
            registry::push_coroutine(self.raw(), library, task.slot); // co
            let held = ffi::lua_gettop(self.raw());
            compat::raw_get(
                self.raw(),
                ffi::LUA_REGISTRYINDEX,
                library.protected.settle_failure as _,
            );
            ffi::lua_pushlightuserdata(self.raw(), (&raw const ending).cast_mut().cast());
            if ffi::lua_pcall(self.raw(), 1, 3, 0) != ffi::LUA_OK {
                ffi::lua_settop(self.raw(), held + 1);
                registry::settle(self.raw(), library, task, Ended::Failed, 0);
                ffi::lua_pushnil(self.raw());
                ffi::lua_insert(self.raw(), -2);
                ffi::lua_pushnil(self.raw());
            }
            registry::release(library, task.slot, true);
            if matches!(error, ErrorAt::Top) {
                compat::close_coroutine(co.raw(), self.raw());
            }
            ffi::lua_remove(self.raw(), held);
        }
        ending.ended.get()
    }

    /// Gives a task that has ended a new coroutine, which calls what it has deferred. Answers the coroutine, and how
    /// many values its first resume takes; `None` for want of memory.
    pub(crate) fn begin_epilogue(
        self,
        library: &Library,
        co: Coroutine,
        task: TaskName,
        returned: Option<i32>,
        error: ErrorAt,
    ) -> Option<(Coroutine, i32)> {
        let ending = Ending {
            error,
            ..Ending::new(library, co, task, returned.unwrap_or(-1))
        };
        // SAFETY: as in `finish`. The new coroutine is anchored in the task's slot when the call has gone well.
        unsafe {
            let top = ffi::lua_gettop(self.raw());
            // The new coroutine takes the old one's place in the registry: the stack holds the old one to its end.
            registry::push_coroutine(self.raw(), library, task.slot);
            compat::raw_get(
                self.raw(),
                ffi::LUA_REGISTRYINDEX,
                library.protected.begin_epilogue as _,
            );
            ffi::lua_pushlightuserdata(self.raw(), (&raw const ending).cast_mut().cast());
            let status = ffi::lua_pcall(self.raw(), 1, 2, 0);
            let begun = (status == ffi::LUA_OK).then(|| {
                let count = ffi::lua_tointeger(self.raw(), -1);
                (
                    Coroutine::new(ffi::lua_tothread(self.raw(), -2)),
                    c_int::try_from(count).unwrap_or(0),
                )
            });
            ffi::lua_settop(self.raw(), top);
            begun
        }
    }

    /// Pushes the oldest error that waits to be raised. `[-0, +1, -]`
    pub(crate) fn push_next_error(self, library: &Library) {
        // SAFETY: one slot; a Lua function, called protected: an error of its own would be raised instead.
        unsafe {
            compat::raw_get(
                self.raw(),
                ffi::LUA_REGISTRYINDEX,
                library.helpers.next_error as _,
            );
            ffi::lua_pcall(self.raw(), 0, 1, 0);
        }
    }

    /// Does the error that `fail` left say that the user pressed Ctrl-C?
    pub(crate) fn is_interruption(self) -> bool {
        // SAFETY: `fail` left three values; a string is read where it lies.
        unsafe {
            if ffi::lua_type(self.raw(), -2) != ffi::LUA_TSTRING {
                return false;
            }
            let mut len = 0;
            let pointer = ffi::lua_tolstring(self.raw(), -2, &raw mut len);
            std::slice::from_raw_parts(pointer.cast::<u8>(), len).ends_with(b"interrupted!")
        }
    }

    /// Makes of what `fail` left the one error value that shall be raised: a string gets the traceback. `[-3, +1, -]`
    pub(crate) fn merge_failure(self, library: &Library) {
        // SAFETY: as in `report`; an error while joining the two strings (memory) is itself what gets raised.
        unsafe {
            compat::raw_get(
                self.raw(),
                ffi::LUA_REGISTRYINDEX,
                library.helpers.join_error as _,
            );
            ffi::lua_insert(self.raw(), -3);
            ffi::lua_pcall(self.raw(), 2, 1, 0);
            ffi::lua_remove(self.raw(), -2);
        }
    }

    /// Tells the user of a failure, which `fail` left on the stack; answers whether its error waits to be raised.
    /// `[-3, +0, -]`
    pub(crate) fn report(self, library: &Library) -> bool {
        // SAFETY: three values lie there, and the report is a Lua function that is called protected.
        unsafe {
            let top = ffi::lua_gettop(self.raw()) - 3;
            compat::raw_get(
                self.raw(),
                ffi::LUA_REGISTRYINDEX,
                library.helpers.report as _,
            );
            ffi::lua_insert(self.raw(), -4);
            let status = ffi::lua_pcall(self.raw(), 3, 1, 0);
            let waits = status == ffi::LUA_OK && ffi::lua_toboolean(self.raw(), -1) != 0;
            ffi::lua_settop(self.raw(), top);
            waits
        }
    }

    /// A join of an ended task is given up before it has told anybody how that went: `co` holds `kept` arguments, the
    /// first of them the handle. Tells the user instead, if there was a failure; answers as `report`.
    pub(crate) fn report_untold(self, library: &Library, co: Coroutine, kept: i32) -> bool {
        // SAFETY: seven slots of the frame's 20. The metatable's address shows that a handle was moved here; the
        // values in its table are two, as `settle_failure` left them.
        unsafe {
            let top = ffi::lua_gettop(self.raw());
            ffi::lua_pushvalue(co.raw(), -kept);
            ffi::lua_xmove(co.raw(), self.raw(), 1);
            let metatable = object::metatable_of(self.raw(), top + 1);
            if metatable == library.handle_metatable().pointer {
                let handle = &*ffi::lua_touserdata(self.raw(), top + 1).cast::<registry::Handle>();
                if handle.ended.get() == Ended::Failed && !handle.told.replace(true) {
                    compat::user_value(self.raw(), top + 1);
                    compat::raw_get(self.raw(), top + 2, 1);
                    compat::raw_get(self.raw(), top + 2, 2);
                    ffi::lua_remove(self.raw(), top + 2);
                    return self.report(library);
                }
            }
            ffi::lua_settop(self.raw(), top);
            false
        }
    }

    /// Drops what `fail` left on the stack. `[-3, +0, -]`
    pub(crate) fn forget_failure(self) {
        // SAFETY: three values lie there.
        unsafe { ffi::lua_settop(self.raw(), -4) };
    }
}

impl Ending {
    /// A task that has returned so many values.
    fn new(library: &Library, co: Coroutine, task: TaskName, count: i32) -> Ending {
        Ending {
            library,
            co: co.raw(),
            task,
            count,
            error: ErrorAt::Top,
            cancelled: false,
            ended: Cell::new(Ended::Failed),
        }
    }
}

/// Moves the results of the `Ending` at index 1 into its task's handle. Runs protected.
///
/// # Safety
/// Called only as the comment inside says.
pub(super) unsafe extern "C-unwind" fn settle(l: *mut lua_State) -> c_int {
    // SAFETY: only `finish` calls it, with the address of a live `Ending`, whose coroutine holds `count` values.
    unsafe {
        let ending = &*ffi::lua_touserdata(l, 1).cast::<Ending>();
        take_values(l, ending.co, ending.count);
        registry::settle(l, &*ending.library, ending.task, Ended::Done, ending.count);
    }
    0
}

/// Moves the error of the `Ending` at index 1 with its traceback into its task's handle, and answers the handle, the
/// error and the traceback. Runs protected.
///
/// # Safety
/// Called only as the comment inside says.
pub(super) unsafe extern "C-unwind" fn settle_failure(l: *mut lua_State) -> c_int {
    // SAFETY: only `fail` calls it, with the address of a live `Ending`.
    unsafe {
        let ending = &*ffi::lua_touserdata(l, 1).cast::<Ending>();
        let library = &*ending.library;
        registry::push_live_handle(l, library, ending.task); // e h
        push_error(l, ending); // e h err tb
        complete_traceback(l, ending);
        let cancelled = ending.cancelled && is_cancelled_error(l, 3, library);
        ending.ended.set(if cancelled {
            Ended::Cancelled
        } else {
            Ended::Failed
        });
        ffi::lua_pushvalue(l, 3);
        ffi::lua_pushvalue(l, 4); // e h err tb err tb
        registry::settle(l, library, ending.task, ending.ended.get(), 2); // e h err tb
    }
    3
}

/// Makes a coroutine that calls what the task of the `Ending` at index 1 has deferred; answers it, and how many values
/// lie on it above its function. Runs protected.
///
/// # Safety
/// Called only as the comment inside says.
pub(super) unsafe extern "C-unwind" fn begin_epilogue(l: *mut lua_State) -> c_int {
    // SAFETY: only `State::begin_epilogue` calls it, with the address of a live `Ending`.
    unsafe {
        let ending = &*ffi::lua_touserdata(l, 1).cast::<Ending>();
        let library = &*ending.library;
        // What stands in for it cannot be yielded across.
        library.helpers.load(l, library);
        let co = ffi::lua_newthread(l); // e co
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.helpers.epilogue as _); // e co f
        ffi::lua_pushinteger(l, ending.task.slot.key() as _); // e co f slot
        ffi::lua_pushboolean(l, c_int::from(ending.count >= 0)); // e co f slot ok
        if compat::CLOSES_VARIABLES && ending.count < 0 && matches!(ending.error, ErrorAt::Top) {
            push_thread(l, ending.co);
        } else {
            ffi::lua_pushnil(l);
        } // e co f slot ok failed
        if ending.count >= 0 {
            take_values(l, ending.co, ending.count);
        } else {
            push_error(l, ending);
        }
        let count = ffi::lua_gettop(l) - 2; // e co f slot ok failed …
        if ffi::lua_checkstack(co, count + 8) == 0 {
            ffi::lua_pushstring(l, c"not enough memory".as_ptr());
            entry::raise_top(l);
        }
        ffi::lua_xmove(l, co, count); // e co
        registry::replace_coroutine(l, library, ending.task.slot); // e co
        ffi::lua_pushinteger(l, (count - 1) as _); // e co n
    }
    2
}

/// Pushes the coroutine itself. `[-0, +1, e]`
///
/// # Safety
/// `l` runs a protected call with a free slot; `co` does not run.
unsafe fn push_thread(l: *mut lua_State, co: *mut lua_State) {
    // SAFETY: the caller's promise.
    unsafe {
        if ffi::lua_checkstack(co, 1) == 0 {
            ffi::lua_pushstring(l, c"not enough memory".as_ptr());
            entry::raise_top(l);
        }
        ffi::lua_pushthread(co);
        ffi::lua_xmove(co, l, 1);
    }
}

/// Moves the top `count` values of a coroutine here. `[-0, +count, e]`
///
/// # Safety
/// `l` runs a protected call; so many values lie on `co`, which does not run.
unsafe fn take_values(l: *mut lua_State, co: *mut lua_State, count: c_int) {
    // SAFETY: the caller's promise.
    unsafe {
        if ffi::lua_checkstack(l, count + 8) == 0 {
            ffi::lua_pushstring(l, c"too many results of a task".as_ptr());
            entry::raise_top(l);
        }
        ffi::lua_xmove(co, l, count);
    }
}

/// Pushes the error of a task and its traceback. `[-0, +2, m]`
///
/// # Safety
/// `l` runs a protected call with four free slots; the error is where `ending` says.
unsafe fn push_error(l: *mut lua_State, ending: &Ending) {
    // SAFETY: the caller's promise.
    unsafe {
        match ending.error {
            ErrorAt::Top => {
                // It stays there, too: where there is no memory for more, it is looked for once again.
                if ffi::lua_checkstack(ending.co, 1) == 0 {
                    ffi::lua_pushstring(l, c"not enough memory".as_ptr());
                    entry::raise_top(l);
                }
                ffi::lua_pushvalue(ending.co, -1);
                ffi::lua_xmove(ending.co, l, 1);
                ffi::luaL_traceback(l, ending.co, std::ptr::null(), 0);
            }
            ErrorAt::Values(count) => {
                take_values(l, ending.co, count);
                let first = ffi::lua_gettop(l) - count + 1;
                ffi::lua_settop(l, first + 2);
                ffi::lua_remove(l, first);
            }
            ErrorAt::Belongings | ErrorAt::Dropped => {
                let field = if matches!(ending.error, ErrorAt::Dropped) {
                    c"dropped"
                } else {
                    c"cancelled"
                };
                let library = &*ending.library;
                compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.belongings as _);
                compat::raw_get(l, -1, ending.task.slot.key());
                ffi::lua_remove(l, -2);
                if ffi::lua_type(l, -1) == ffi::LUA_TTABLE {
                    ffi::lua_getfield(l, -1, field.as_ptr());
                    ffi::lua_remove(l, -2);
                }
                ffi::lua_pushstring(l, c"stack traceback:".as_ptr());
            }
            ErrorAt::Text(text) => {
                ffi::lua_pushstring(l, text.as_ptr());
                ffi::lua_pushstring(l, c"stack traceback:".as_ptr());
            }
        }
    }
}

/// Completes the traceback on top, with the error below it, by what Lua has noted for the task: the frames of the
/// coroutine inside the task's own that failed, and where the task was spawned. `[-0, +0, m]`
///
/// # Safety
/// `l` runs a protected call with ten free slots.
unsafe fn complete_traceback(l: *mut lua_State, ending: &Ending) {
    // SAFETY: the caller's promise; what is pushed is counted beside each line.
    unsafe {
        let traceback = ffi::lua_gettop(l);
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, (*ending.library).belongings as _); // tb bs
        compat::raw_get(l, -1, ending.task.slot.key()); // tb bs b?
        let own = traceback + 2;
        if ffi::lua_type(l, own) != ffi::LUA_TTABLE
            || ffi::lua_type(l, traceback) != ffi::LUA_TSTRING
        {
            ffi::lua_settop(l, traceback);
            return;
        }
        ffi::lua_getfield(l, own, c"inner_error".as_ptr()); // tb bs b err
        if ffi::lua_rawequal(l, -1, traceback - 1) != 0 && ffi::lua_type(l, -1) != ffi::LUA_TNIL {
            ffi::lua_getfield(l, own, c"inner_traceback".as_ptr());
            ffi::lua_pushstring(l, c"\n".as_ptr());
            ffi::lua_pushvalue(l, traceback);
            ffi::lua_concat(l, 3);
            ffi::lua_replace(l, traceback);
        }
        ffi::lua_getfield(l, own, c"spawned".as_ptr());
        if ffi::lua_type(l, -1) == ffi::LUA_TSTRING {
            ffi::lua_pushvalue(l, traceback);
            ffi::lua_pushstring(l, c"\nspawned at ".as_ptr());
            ffi::lua_pushvalue(l, -3);
            ffi::lua_concat(l, 3);
            ffi::lua_replace(l, traceback);
        }
        ffi::lua_settop(l, traceback);
    }
}

/// Is the value at `index` an error that a cancel or a deadline has raised? `[-0, +0, -]`; needs a free slot.
///
/// # Safety
/// `l` is the running state.
unsafe fn is_cancelled_error(l: *mut lua_State, index: c_int, library: &Library) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if ffi::lua_type(l, index) != ffi::LUA_TTABLE || ffi::lua_getmetatable(l, index) == 0 {
            return false;
        }
        let metatable = ffi::lua_topointer(l, -1);
        ffi::lua_settop(l, -2);
        metatable == library.cancelled.pointer
    }
}
