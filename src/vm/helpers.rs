//! The Lua functions that the runtime asks, kept in the registry.

use super::library::{Parts, call_source};
use super::outcome::Instead;
use super::{compat, marks};
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
    /// Keeps what the sources answer in the registry; answers the address of the metatable of cancelled errors, too.
    /// `[-0, +0, e]`
    ///
    /// # Safety
    /// As `Library::open`; the table of the natives is at the absolute index `natives`.
    pub(super) unsafe fn set_up(
        l: *mut lua_State,
        parts: &Parts,
        natives: c_int,
    ) -> (Helpers, *const c_void) {
        // SAFETY: the caller's promise. The source answers 22 values; the last one lies on top.
        unsafe {
            // More than a call of a C function has free.
            ffi::luaL_checkstack(l, 32, std::ptr::null());
            ffi::lua_pushvalue(l, natives);
            ffi::lua_pushlightuserdata(l, marks::pass_mark());
            call_source(l, parts.helpers, 2, 22);
            let cancelled = ffi::lua_topointer(l, -1);
            let kept = [(); 22].map(|()| ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX));
            let [
                _,
                cross,
                interrupted,
                heed,
                begin,
                tell_of_end,
                run_ended,
                nobody_waits,
                wait_elsewhere,
                make_list,
                hand_over,
                wait_outside,
                fire,
                tell,
                endow,
                next_error,
                epilogue,
                alarm,
                idle,
                call,
                join_error,
                report,
            ] = kept;
            let guard = set_up_guard(l, parts, natives);
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
                tell,
                fire,
                wait_outside,
                hand_over,
                make_list,
                wait_elsewhere,
                nobody_waits,
                run_ended,
                tell_of_end,
                begin,
                heed,
                interrupted,
                cross,
            };
            (helpers, cancelled)
        }
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

/// Keeps the function that puts a guard around others; answers its place in the registry. `[-0, +0, e]`
///
/// # Safety
/// As `Helpers::set_up`.
unsafe fn set_up_guard(l: *mut lua_State, parts: &Parts, natives: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_pushvalue(l, natives);
        ffi::lua_pushlightuserdata(l, marks::alarm_mark());
        call_source(l, parts.guards, 2, 1);
        ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX)
    }
}
