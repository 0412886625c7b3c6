//! The finalizers of what the library itself puts into Lua: the runtime, and the sentinels of handles.

use super::entry::Host;
use super::{farewell, object};
use mlua::ffi::{self, lua_State};
use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// `__gc` of a sentinel: the handle that held it is gone.
///
/// # Safety
/// Called by Lua, as a closure with the runtime's userdata.
pub(super) unsafe extern "C-unwind" fn dropped<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: upvalue 1 is the runtime's userdata; the metatable's address shows that a sentinel is at index 1.
    unsafe {
        let host = &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(1)).cast::<H>();
        if !host.is_closed() && object::metatable_of(l, 1) == host.library().sentinel.pointer {
            let id = *ffi::lua_touserdata(l, 1).cast::<u64>();
            // A panic must not cross into Lua.
            let _ = catch_unwind(AssertUnwindSafe(|| host.dropped(id)));
        }
    }
    0
}

/// `__gc` of the runtime's userdata.
///
/// # Safety
/// Called by Lua with that userdata.
pub(super) unsafe extern "C-unwind" fn close<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: only the runtime's userdata, which holds an `H`, has this finalizer, and no script can reach it.
    let host = unsafe { ffi::lua_touserdata(l, 1).cast::<H>() };
    // A panic must not cross into Lua; there is nobody left to tell.
    // SAFETY: as above; the memory is Lua's until it is freed.
    let _ = catch_unwind(AssertUnwindSafe(|| unsafe { (*host).close() }));
    // SAFETY: this is the host's finalizer, which Lua calls once.
    unsafe { farewell::expect(l, host) };
    0
}
