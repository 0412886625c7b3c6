//! How a task is made: a coroutine of a function and its arguments, anchored, and the handle that stands for it.

use super::compat;
use super::coroutine::Coroutine;
use super::entry::{self, Host};
use super::library::Library;
use super::outcome::{Outcome, TaskName};
use super::registry::push_handle;
use super::stack::Stack;
use crate::error::Fault;
use mlua::ffi::{self, lua_CFunction, lua_State};
use std::os::raw::c_int;

/// The C function for a Rust function that makes a task: a plain one is made without any ado.
pub(crate) const fn spawning<H, F>(_body: F) -> lua_CFunction
where
    H: Host,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    assert!(size_of::<F>() == 0, "only plain functions can be entries");
    quick_spawn::<H, F>
}

/// Makes a task of a Lua function and its arguments, or else goes the way of all functions.
///
/// # Safety
/// Called by Lua, as a closure that `library` made.
unsafe extern "C-unwind" fn quick_spawn<H, F>(l: *mut lua_State) -> c_int
where
    H: Host,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    // SAFETY: as in `entry::trampoline`; `make` only takes a place in a table and in the queue, and cannot panic.
    unsafe {
        let host = &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(3)).cast::<H>();
        if ffi::lua_type(l, 1) == ffi::LUA_TFUNCTION && !host.is_closed() {
            make(l, host);
            1
        } else {
            entry::trampoline::<H, F>(l)
        }
    }
}

/// Makes a task of the function and the arguments on the stack; leaves its handle on top. `[-?, +?, m]`
///
/// # Safety
/// `l` is the running state, outside `catch_unwind`; the function is at index 1, and nothing lies below it.
pub(super) unsafe fn make<H: Host>(l: *mut lua_State, host: &H) -> TaskName {
    // SAFETY: the caller's promise. `reserve` takes a place in a table and cannot panic.
    unsafe {
        let (task, co, arguments) = anchor(l, host.library(), || host.reserve());
        host.spawned(task.id, co, arguments);
        if host.endows_tasks() {
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, host.library().helpers.endow as _);
            ffi::lua_pushvalue(l, -2);
            ffi::lua_call(l, 1, 0);
        }
        task
    }
}

/// Makes a coroutine of the function and the arguments on the stack, anchors it and its new handle, and leaves the
/// handle on top. Answers the task, whose place `reserve` gives, its coroutine, and how many values the first resume of
/// that takes. `[-?, +?, m]`
///
/// # Safety
/// `l` is the running state, outside `catch_unwind`; the function is at index 1, and nothing lies below it.
#[inline(always)]
unsafe fn anchor(
    l: *mut lua_State,
    library: &Library,
    reserve: impl FnOnce() -> TaskName,
) -> (TaskName, Coroutine, c_int) {
    // SAFETY: what is pushed is counted beside each line; a C function has 20 free slots. The new coroutine has as
    // many as it asks for. A finalizer, which may spawn tasks of its own, only runs before a place is reserved. What
    // raises (memory) leaves both tables as they were or with a slot that is set again by the next task of that index.
    unsafe {
        if compat::NEEDS_LUA_BASE && ffi::lua_iscfunction(l, 1) != 0 {
            // What stands in for it is no Lua function.
            library.helpers.load(l, library);
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.helpers.call as _); // f a… call
            ffi::lua_insert(l, 1); // call f a…
        }
        let arguments = ffi::lua_gettop(l);
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.handles as _); // f a… hs
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.anchors as _); // f a… hs as
        let co = ffi::lua_newthread(l); // f a… hs as co
        if arguments == 1 {
            // As most: a new coroutine has room for it.
            ffi::lua_pushvalue(l, 1); // f hs as co f
        } else {
            if ffi::lua_checkstack(co, arguments) == 0 {
                ffi::lua_pushstring(l, c"too many arguments for a task".as_ptr());
                entry::raise_top(l);
            }
            ffi::lua_insert(l, 1);
            ffi::lua_insert(l, 1);
            ffi::lua_insert(l, 1); // hs as co f a…
        }
        ffi::lua_xmove(l, co, arguments); // … hs as co
        let handle = push_handle(l, library, 0); // … hs as co h
        let task = reserve();
        (*handle).id = task.id;
        ffi::lua_insert(l, -4); // … h hs as co
        ffi::lua_rawseti(l, -2, task.slot.key()); // … h hs as
        ffi::lua_pushvalue(l, -3); // … h hs as h
        ffi::lua_rawseti(l, -3, task.slot.key()); // … h hs as
        ffi::lua_settop(l, -3); // … h
        (task, Coroutine::new(co), arguments - 1)
    }
}
