//! Functions that are called so often that they do without the trampoline: they can neither fail, wait nor raise.

use super::coroutine::push_integer;
use super::entry::Host;
use mlua::ffi::{self, lua_CFunction, lua_State};
use std::os::raw::c_int;

/// The C function that answers the key of the running task's belongings, and 0 outside of tasks.
pub(crate) const fn here<H: Host>() -> lua_CFunction {
    push_here::<H>
}

/// Pushes the key. `[-0, +1, -]`
///
/// # Safety
/// Called by Lua, as a closure that `library` made.
unsafe extern "C-unwind" fn push_here<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: upvalue 1 is the runtime's userdata, as in `entry::trampoline`; a C function has 20 free slots. `here`
    // looks at a cell alone and cannot panic.
    unsafe {
        let host = &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(1)).cast::<H>();
        push_integer(l, host.here());
    }
    1
}
