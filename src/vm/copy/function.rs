//! Functions in messages: Lua's own as bytecode.

use mlua::ffi::{self, lua_State};
use std::os::raw::{c_int, c_void};

/// What `dump` in its protected call needs to know.
pub(super) struct Dump {
    /// Where the bytecode goes: behind what is there.
    pub(super) bytes: *mut Vec<u8>,
    /// Has all of it been written?
    pub(super) is_done: bool,
}

/// Writes the bytecode of the Lua function at index 2 to where the `Dump` at index 1 says. Runs protected: 5.5 takes
/// memory for it.
///
/// # Safety
/// Called only as the comment inside says.
pub(in crate::vm) unsafe extern "C-unwind" fn dump(l: *mut lua_State) -> c_int {
    // SAFETY: only `Encoder::put_bytecode` calls it, with the address of a live `Dump` and a Lua function on top.
    unsafe {
        let job = ffi::lua_touserdata(l, 1).cast::<Dump>();
        let status = ffi::lua_dump(l, write, (*job).bytes.cast(), 0);
        (*job).is_done = status == 0;
    }
    0
}

/// Appends a piece of bytecode; answers whether it failed.
///
/// # Safety
/// Called by `lua_dump` with the address of a live vector and a piece of memory.
unsafe extern "C-unwind" fn write(
    _: *mut lua_State,
    piece: *const c_void,
    len: usize,
    bytes: *mut c_void,
) -> c_int {
    if len == 0 {
        return 0;
    }
    // SAFETY: the caller's promise; nobody else looks at the vector meanwhile.
    unsafe {
        let bytes = &mut *bytes.cast::<Vec<u8>>();
        if bytes.try_reserve(len).is_err() {
            return 1;
        }
        bytes.extend_from_slice(std::slice::from_raw_parts(piece.cast::<u8>(), len));
    }
    0
}
