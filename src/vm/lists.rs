//! What the lists of those that wait for events need of the stack: their numbers, and what a signal gives.

use super::compat;
use super::coroutine::Coroutine;
use super::stack::Stack;
use crate::error::Fault;
use mlua::ffi::{self, lua_State};
use std::os::raw::c_int;

/// Values for which a call, running or parked, has room.
const ROOM: c_int = 10;

/// The number that the table in the first field of the table at `slot` holds for the value at `key`; 0 when it holds
/// none, or when there are no such tables. `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state with two free slots.
#[inline(always)]
pub(super) unsafe fn number_at(l: *mut lua_State, slot: c_int, key: c_int) -> i64 {
    // SAFETY: the caller's promise; raw reads of what has been seen to be tables raise nothing.
    unsafe {
        if ffi::lua_type(l, slot) != ffi::LUA_TTABLE {
            return 0;
        }
        compat::raw_get(l, slot, 1);
        let mut number = 0;
        let mut pushed = 1;
        if ffi::lua_type(l, -1) == ffi::LUA_TTABLE {
            ffi::lua_pushvalue(l, key);
            ffi::lua_rawget(l, -2);
            number = ffi::lua_tointegerx(l, -1, std::ptr::null_mut()) as i64;
            pushed = 2;
        }
        ffi::lua_settop(l, -pushed - 1);
        number
    }
}

impl Stack<'_> {
    /// The number that the table in the first field of the table at `slot` holds for the value at `key`, or 0.
    pub(crate) fn number_for(&self, slot: i32, key: i32) -> i64 {
        // SAFETY: `l` is the running state, with room for the call's frame.
        unsafe { number_at(self.l, slot, key) }
    }

    /// Forgets that number, which is there.
    pub(crate) fn forget_number(&self, slot: i32, key: i32) {
        // SAFETY: three free slots; `number_for` has found the tables and the key, and to set what is there to nil takes
        // no memory.
        unsafe {
            compat::raw_get(self.l, slot, 1);
            ffi::lua_pushvalue(self.l, key);
            ffi::lua_pushnil(self.l);
            ffi::lua_rawset(self.l, -3);
            ffi::lua_settop(self.l, -2);
        }
    }

    /// Copies the arguments from `first` on to a parked coroutine, for its resumption; answers their number.
    pub(crate) fn give(&self, co: Coroutine, first: i32) -> Result<i32, Fault> {
        // SAFETY: the coroutine is anchored and parked, and has room for the values once that has been asked for; so
        // has the running one, whose arguments they are.
        unsafe {
            let top = ffi::lua_gettop(self.l);
            let count = top - first + 1;
            if count > ROOM
                && (ffi::lua_checkstack(self.l, count) == 0
                    || ffi::lua_checkstack(co.raw(), count) == 0)
            {
                return Err(Fault::misuse("too many values for a signal"));
            }
            for slot in first..=top {
                ffi::lua_pushvalue(self.l, slot);
            }
            ffi::lua_xmove(self.l, co.raw(), count);
            Ok(count)
        }
    }
}
