//! What the walk over values needs of Lua that may raise: each a protected call. Lua code may run in it: hooks, and
//! finalizers where it takes memory.

use super::{Encoder, Problem};
use crate::vm::compat;
use crate::vm::copy::format;
use mlua::ffi::{self, lua_State};
use std::os::raw::{c_int, c_void};

/// Slots that are asked for at once.
const MORE_SLOTS: c_int = 128;

/// What `dump` in its protected call needs to know.
struct Dump {
    /// Where the bytecode goes: behind what is there.
    bytes: *mut Vec<u8>,
    /// Has all of it been written?
    is_done: bool,
}

impl Encoder<'_> {
    /// Makes room on the Lua stack for more levels.
    #[cold]
    pub(super) fn make_room(&mut self, top: c_int) -> Result<(), Problem> {
        self.is_disturbed = true;
        // SAFETY: two slots are left of those that were asked for before. The stack grows in a protected call; what it
        // has grown by there it has here, so that this asking takes no memory.
        let has_grown = unsafe {
            compat::raw_get(
                self.l,
                ffi::LUA_REGISTRYINDEX,
                self.library.protected.grow as _,
            );
            ffi::lua_pushinteger(self.l, (2 * MORE_SLOTS) as _);
            let status = ffi::lua_pcall(self.l, 1, 0, 0);
            ffi::lua_settop(self.l, top);
            status == ffi::LUA_OK && ffi::lua_checkstack(self.l, MORE_SLOTS) != 0
        };
        if !has_grown {
            return Err(Problem::Whole("not enough memory".into()));
        }
        self.room = top + MORE_SLOTS;
        Ok(())
    }

    /// Writes the bytecode of the Lua function on top.
    ///
    /// # Safety
    /// As the comment in `begin` says.
    pub(super) unsafe fn put_bytecode(&mut self) -> Result<(), Problem> {
        self.bytes.push(format::FUNCTION);
        let len_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.is_disturbed = true;
        let mut job = Dump {
            bytes: &raw mut self.bytes,
            is_done: false,
        };
        // SAFETY: three slots. The protected function gets the address of `job`, which outlives the call, as does the
        // vector, at which nobody else looks meanwhile.
        unsafe {
            let top = ffi::lua_gettop(self.l);
            compat::raw_get(
                self.l,
                ffi::LUA_REGISTRYINDEX,
                self.library.protected.dump as _,
            );
            ffi::lua_pushlightuserdata(self.l, (&raw mut job).cast());
            ffi::lua_pushvalue(self.l, top);
            ffi::lua_pcall(self.l, 2, 0, 0);
            ffi::lua_settop(self.l, top);
        }
        if !job.is_done {
            return Err(Problem::Kind("a function that cannot be dumped"));
        }
        let len = u32::try_from(self.bytes.len() - len_at - 4).map_err(|_| self.too_large())?;
        self.bytes[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }

    /// Goes to the next key of the table at `at`, which Lua code may have changed. As `next`.
    ///
    /// # Safety
    /// As `next`, with the slots of a level.
    #[cold]
    pub(super) unsafe fn next_protected(&mut self, at: c_int) -> Result<bool, Problem> {
        // SAFETY: three slots; the call is protected, and answers a key and a value, or nothing.
        unsafe {
            compat::raw_get(
                self.l,
                ffi::LUA_REGISTRYINDEX,
                self.library.protected.next as _,
            );
            ffi::lua_insert(self.l, at + 1);
            ffi::lua_pushvalue(self.l, at);
            ffi::lua_insert(self.l, at + 2);
            if ffi::lua_pcall(self.l, 2, ffi::LUA_MULTRET, 0) != ffi::LUA_OK {
                ffi::lua_settop(self.l, at);
                ffi::lua_pushnil(self.l);
                return Err(Problem::Whole("the table changes meanwhile".into()));
            }
            Ok(ffi::lua_gettop(self.l) > at)
        }
    }
}

/// Makes room on the Lua stack, as many slots as index 1 says. Runs protected: on 5.1 it may raise.
///
/// # Safety
/// Called only as the comment inside says.
pub(in crate::vm) unsafe extern "C-unwind" fn grow(l: *mut lua_State) -> c_int {
    // SAFETY: only `Encoder::make_room` calls it, with a number.
    unsafe {
        let count = ffi::lua_tointegerx(l, 1, std::ptr::null_mut());
        ffi::luaL_checkstack(l, count as c_int, std::ptr::null());
    }
    0
}

/// Goes to the next key of the table at index 1. Runs protected: the key may have gone.
///
/// # Safety
/// Called only as the comment inside says.
pub(in crate::vm) unsafe extern "C-unwind" fn next(l: *mut lua_State) -> c_int {
    // SAFETY: only `Encoder::next_protected` calls it, with a table and a key or nil.
    unsafe { if ffi::lua_next(l, 1) == 0 { 0 } else { 2 } }
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
