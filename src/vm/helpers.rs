//! The Lua functions that the runtime asks, kept in the registry.

use super::entry;
use super::library::{Source, call_source};
use mlua::ffi::{self, lua_State};
use std::os::raw::{c_int, c_void};

/// The places in the registry of the Lua functions that the runtime asks.
#[derive(Clone, Copy)]
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
    /// The Lua function that knows what a task holds and waits for.
    pub(super) attend: c_int,
    /// The Lua function that sees to the timers that are due.
    pub(super) fire: c_int,
    /// The Lua function that waits in the loop's place.
    pub(super) wait_outside: c_int,
    /// The Lua function that tells those who wait for a weak task of its end.
    pub(super) hand_over: c_int,
    /// The Lua function that begins a thread.
    pub(super) begin: c_int,
    /// The Lua function that sees to what a thread has been asked for.
    pub(super) heed: c_int,
    /// The Lua function that raises in code whose thread shall end.
    pub(super) interrupted: c_int,
    /// The Lua function that knows the names of what every universe has, and LuaJIT's 64-bit integers.
    pub(super) cross: c_int,
}

impl Helpers {
    /// Keeps what the source answers in the registry; answers the address of the metatable of cancelled errors, too.
    /// `[-0, +0, e]`
    ///
    /// # Safety
    /// As `Library::open`; the table of the natives is at the absolute index `natives`.
    pub(super) unsafe fn set_up(
        l: *mut lua_State,
        source: Source,
        natives: c_int,
    ) -> (Helpers, *const c_void) {
        // SAFETY: the caller's promise. The source answers eighteen values; the last one lies on top.
        unsafe {
            // More than a call of a C function has free.
            ffi::luaL_checkstack(l, 24, std::ptr::null());
            ffi::lua_pushvalue(l, natives);
            ffi::lua_pushlightuserdata(l, entry::alarm_mark());
            ffi::lua_pushlightuserdata(l, entry::pass_mark());
            call_source(l, source, 3, 18);
            let cancelled = ffi::lua_topointer(l, -1);
            let kept = [(); 18].map(|()| ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX));
            let [
                _,
                cross,
                interrupted,
                heed,
                begin,
                hand_over,
                wait_outside,
                fire,
                attend,
                endow,
                next_error,
                epilogue,
                guard,
                alarm,
                idle,
                call,
                join_error,
                report,
            ] = kept;
            let helpers = Helpers {
                report,
                call,
                alarm,
                epilogue,
                next_error,
                join_error,
                idle,
                guard,
                endow,
                attend,
                fire,
                wait_outside,
                hand_over,
                begin,
                heed,
                interrupted,
                cross,
            };
            (helpers, cancelled)
        }
    }
}
