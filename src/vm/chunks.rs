//! The embedded Lua as bytecode, for the universes of threads: compiling it takes ten times as long as loading that.
//!
//! The first such universe compiles and keeps what it has compiled, for the whole process: one library serves one Lua.

use super::library::Source;
use mlua::ffi::{self, lua_State};
use std::os::raw::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bytecode by the address of its source. What is in it stays, and stays in place.
static COMPILED: Mutex<Vec<(usize, &'static [u8])>> = Mutex::new(Vec::new());

/// Has a thread been started?
static WANTED: AtomicBool = AtomicBool::new(false);

/// From now on what is compiled is kept.
pub(super) fn want() {
    WANTED.store(true, Ordering::Relaxed);
}

/// What there is of a source: its bytecode, or else its text.
fn find(source: Source) -> &'static [u8] {
    let address = source.text.as_ptr().addr();
    let compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let found = compiled.iter().find(|(key, _)| *key == address);
    found.map_or(source.text.as_bytes(), |(_, code)| code)
}

/// Pushes the function of a source, or the error message; answers the status. `[-0, +1, m]`
///
/// # Safety
/// `l` is the running state with a few free slots; nothing that has a destructor is alive.
pub(super) unsafe fn load(l: *mut lua_State, source: Source) -> c_int {
    let code = find(source);
    // SAFETY: the caller's promise; both forms are static.
    unsafe {
        let status = ffi::luaL_loadbufferx(
            l,
            code.as_ptr().cast(),
            code.len(),
            source.name.as_ptr(),
            c"bt".as_ptr(),
        );
        let is_text = std::ptr::eq(code.as_ptr(), source.text.as_ptr());
        if status == ffi::LUA_OK && is_text && WANTED.load(Ordering::Relaxed) {
            keep(l, source);
        }
        status
    }
}

/// Keeps the bytecode of the function on top. `[-0, +0, m]`
///
/// # Safety
/// As `load`.
unsafe fn keep(l: *mut lua_State, source: Source) {
    // SAFETY: the caller's promise. Where `lua_dump` raises, which it does for want of memory on 5.5 alone, the buffer
    // is lost, and nothing else.
    unsafe {
        let buffer = Box::into_raw(Box::<Vec<u8>>::default());
        let status = ffi::lua_dump(l, write, buffer.cast(), 0);
        let code = Box::from_raw(buffer);
        let address = source.text.as_ptr().addr();
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        if status == 0 && compiled.iter().all(|(key, _)| *key != address) {
            compiled.push((address, code.leak()));
        }
    }
}

/// Appends a piece of bytecode.
///
/// # Safety
/// Called by `lua_dump` with the address of a vector that nobody else looks at, and a piece of memory.
unsafe extern "C-unwind" fn write(
    _: *mut lua_State,
    piece: *const c_void,
    len: usize,
    buffer: *mut c_void,
) -> c_int {
    if len > 0 {
        // SAFETY: the caller's promise.
        unsafe {
            let piece = std::slice::from_raw_parts(piece.cast::<u8>(), len);
            (*buffer.cast::<Vec<u8>>()).extend_from_slice(piece);
        }
    }
    0
}
