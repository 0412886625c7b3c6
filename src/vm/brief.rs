//! Functions that are called so often that they do without the trampoline: they can neither fail, wait nor raise.

use super::coroutine::push_integer;
use super::entry::Host;
use super::state::State;
use mlua::ffi::{self, lua_CFunction, lua_State};
use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What these functions need of the runtime.
pub(crate) trait Wakes: Host {
    /// The key of what Lua keeps for the running task; 0 outside of tasks.
    fn here(&self) -> i64;
    /// Lets the task with that key look again; answers whether it waits in coev's own Lua.
    fn wake_at(&self, key: i64) -> bool;
}

/// The C function that answers the key of the running task's belongings, and 0 outside of tasks.
pub(crate) const fn here<H: Wakes>() -> lua_CFunction {
    push_here::<H>
}

/// Pushes the key. `[-0, +1, -]`
///
/// # Safety
/// Called by Lua, as a closure that `library` made.
unsafe extern "C-unwind" fn push_here<H: Wakes>(l: *mut lua_State) -> c_int {
    // SAFETY: upvalue 1 is the runtime's userdata, as in `entry::trampoline`; a C function has 20 free slots. `here`
    // looks at a cell alone and cannot panic.
    unsafe {
        let host = &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(1)).cast::<H>();
        push_integer(l, host.here());
    }
    1
}

/// The C function that lets the live task with this key look again; answers whether it waits in coev's own Lua, and is
/// not being ended.
pub(crate) const fn wake<H: Wakes>() -> lua_CFunction {
    push_woken::<H>
}

/// Wakes, and pushes whether there was somebody to be woken. `[-0, +1, -]`
///
/// # Safety
/// As `push_here`.
unsafe extern "C-unwind" fn push_woken<H: Wakes>(l: *mut lua_State) -> c_int {
    // SAFETY: as in `push_here`. A panic ends here, and nothing else has a destructor.
    unsafe {
        let host = &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(1)).cast::<H>();
        let key = ffi::lua_tointegerx(l, 1, std::ptr::null_mut());
        let woken = catch_unwind(AssertUnwindSafe(|| host.wake_at(key as i64)));
        if host.has_woken_loose() {
            host.tighten(State::new(l));
        }
        ffi::lua_pushboolean(l, c_int::from(woken.unwrap_or(false)));
    }
    1
}
