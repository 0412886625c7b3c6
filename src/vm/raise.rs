//! The errors that the trampoline raises, made and put where they belong.

use super::compat;
use super::entry::{Host, raise_top};
use super::function::Function;
use super::library::Library;
use super::push::push;
use super::registry;
use mlua::ffi::{self, lua_State};
use std::os::raw::c_int;

/// Raises what ends the waits of the running task: a Lua function makes the error. `[-0, +0, v]`
///
/// # Safety
/// As `raise_top`.
#[cold]
#[inline(never)]
pub(super) unsafe fn raise_alarm(l: *mut lua_State, library: &Library) -> ! {
    // SAFETY: the caller's promise.
    unsafe {
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.helpers.alarm as _);
        ffi::lua_call(l, 0, 1);
        raise_top(l)
    }
}

/// Tells the running code that its thread shall end: a Lua function raises, unless a shield holds that off. `[-0, +0, e]`
///
/// # Safety
/// As `raise_top`.
pub(super) unsafe fn interrupted(l: *mut lua_State, library: &Library) {
    // SAFETY: the caller's promise.
    unsafe {
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.helpers.interrupted as _);
        ffi::lua_call(l, 0, 0);
    }
}

/// How many levels up the caller stands: a guard may stand between. `[-0, +0, -]`
///
/// # Safety
/// `l` runs a closure that `library` made.
unsafe fn caller_level(l: *mut lua_State) -> c_int {
    // SAFETY: upvalue 2 of every function is the address of its static description.
    let function = unsafe { &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(2)).cast::<Function>() };
    if compat::NEEDS_GUARD && function.waits {
        2
    } else {
        1
    }
}

/// Raises the message in the reply, with the position of the caller. `[-0, +0, v]`
///
/// # Safety
/// As `raise_top`.
pub(super) unsafe fn raise_message<H: Host>(l: *mut lua_State, host: &H) -> ! {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::luaL_where(l, compat::caller_level(l, caller_level(l)));
        push(l, host.library(), host.reply(), 1);
        ffi::lua_concat(l, 2);
        raise_top(l)
    }
}

/// Raises the error of the ended task whose handle is at index 1. `[-0, +0, v]`
///
/// # Safety
/// As `raise_top`.
pub(super) unsafe fn raise_task_error(l: *mut lua_State, library: &Library) -> ! {
    // SAFETY: the caller's promise.
    unsafe {
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.helpers.join_error as _);
        let count = registry::push_results(l, 1);
        ffi::lua_call(l, count, 1);
        raise_top(l)
    }
}
