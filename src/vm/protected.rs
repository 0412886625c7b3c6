//! The functions that the runtime calls protected, kept in the registry.

use super::{copy, ending, state};
use mlua::ffi::{self, lua_CFunction, lua_State};
use std::os::raw::c_int;

/// The places in the registry of the functions that are called protected.
#[derive(Clone, Copy)]
pub(super) struct Protected {
    /// The protected function that pushes a reply.
    pub(super) push_reply: c_int,
    /// The protected function that keeps a task's results.
    pub(super) settle: c_int,
    /// The protected function that keeps a task's error.
    pub(super) settle_failure: c_int,
    /// The protected function after which LuaJIT knows that it runs no hook.
    pub(super) leave_hook: c_int,
    /// The protected function that makes the coroutine which calls what a task has deferred.
    pub(super) begin_epilogue: c_int,
    /// The protected function that lets tasks be held by what they wait for.
    pub(super) loosen: c_int,
    /// The protected function that collects garbage, or makes the tables small again.
    pub(super) tidy_up: c_int,
    /// The protected function that pushes the values of a message.
    pub(super) decode: c_int,
    /// The protected function that writes bytecode.
    pub(super) dump: c_int,
    /// The protected function that makes room on the stack.
    pub(super) grow: c_int,
    /// The protected function that goes to the next key of a table.
    pub(super) next: c_int,
}

impl Protected {
    /// Keeps the functions in the registry. `[-0, +0, m]`
    ///
    /// # Safety
    /// As `Library::open`.
    pub(super) unsafe fn set_up(l: *mut lua_State) -> Protected {
        // SAFETY: the caller's promise.
        let keep = |function: lua_CFunction| unsafe {
            ffi::lua_pushcclosure(l, function, 0);
            ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX)
        };
        Protected {
            push_reply: keep(state::push_reply),
            settle: keep(ending::settle),
            settle_failure: keep(ending::settle_failure),
            begin_epilogue: keep(ending::begin_epilogue),
            loosen: keep(state::loosen),
            tidy_up: keep(state::tidy_up),
            leave_hook: keep(state::leave_hook),
            decode: keep(copy::decode_protected),
            dump: keep(copy::dump),
            grow: keep(copy::grow),
            next: keep(copy::next),
        }
    }
}
