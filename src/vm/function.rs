//! Functions as Lua sees them: what is said of each, and how they are put into tables, with a guard around them where one
//! is needed.

use super::ask::AtOnce;
use super::compat;
use mlua::ffi::{self, lua_CFunction, lua_State};
use std::ffi::CStr;
use std::os::raw::c_int;

/// One function as Lua sees it.
pub(crate) struct Function {
    /// Its name, in tables and messages.
    pub(crate) name: &'static CStr,
    /// Is its first argument the object before the colon?
    pub(crate) method: bool,
    /// Does it wait, so that a cancel may have to be raised when it comes back?
    pub(crate) waits: bool,
    /// The trampoline to the Rust function.
    pub(crate) entry: lua_CFunction,
    /// What its method asks first, where Lua can ask without the C API.
    pub(crate) at_once: Option<AtOnce>,
}

impl Function {
    /// What to say of a bad argument: methods count without the object, as Lua does.
    pub(super) fn bad_argument(&self, slot: i32, problem: &str) -> String {
        let name = self.name.to_str().unwrap_or("?");
        match (self.method, slot) {
            (true, 1) => format!("calling '{name}' on bad self ({problem})"),
            (true, slot) => format!("bad argument #{} to '{name}' ({problem})", slot - 1),
            (false, slot) => format!("bad argument #{slot} to '{name}' ({problem})"),
        }
    }
}

/// Sets functions, each with the host, its own description and the host's address as upvalues, in the table on top: those
/// of a class, whose metatable is at that absolute index, or of none. `[-0, +0, m]`
///
/// # Safety
/// As `demand::open`; a table is on top, the host at the index `host`.
pub(super) unsafe fn add_functions(
    l: *mut lua_State,
    host: c_int,
    guard: c_int,
    class: Option<(&CStr, c_int)>,
    functions: impl Iterator<Item = &'static Function>,
) {
    for function in functions {
        // SAFETY: the caller's promise.
        unsafe {
            push_function(l, host, function);
            let asks = compat::HAS_FFI && function.at_once.is_some();
            if compat::NEEDS_GUARD && (function.waits || asks) {
                push_guarded(l, guard, class, function);
            }
            ffi::lua_setfield(l, -2, function.name.as_ptr());
        }
    }
}

/// Puts a guard around the function on top. `[-1, +1, m]`
///
/// # Safety
/// As `add_functions`.
unsafe fn push_guarded(
    l: *mut lua_State,
    guard: c_int,
    class: Option<(&CStr, c_int)>,
    function: &Function,
) {
    // SAFETY: the caller's promise.
    unsafe {
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, guard as _);
        ffi::lua_insert(l, -2); // guard f
        ffi::lua_pushstring(l, function.name.as_ptr());
        ffi::lua_pushboolean(l, c_int::from(function.waits)); // guard f name waits
        let mut arguments = 3;
        if let Some((name, metatable)) = class {
            ffi::lua_pushstring(l, name.as_ptr());
            ffi::lua_pushvalue(l, metatable); // guard f name waits class mt
            arguments = 5;
            if let Some(at_once) = function.at_once {
                arguments += at_once.push(l);
            }
        }
        ffi::lua_call(l, arguments, 1);
    }
}

/// Pushes one function. `[-0, +1, m]`
///
/// # Safety
/// As `add_functions`.
pub(super) unsafe fn push_function(l: *mut lua_State, host: c_int, function: &'static Function) {
    // SAFETY: the caller's promise; the description is static.
    unsafe {
        ffi::lua_pushvalue(l, host);
        ffi::lua_pushlightuserdata(l, (&raw const *function).cast_mut().cast());
        ffi::lua_pushlightuserdata(l, ffi::lua_touserdata(l, host));
        ffi::lua_pushcclosure(l, function.entry, 3);
    }
}
