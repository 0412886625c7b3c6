//! The values that waiting calls are resumed with, or yield, and that no script ever sees.

use mlua::ffi::{self, lua_State};
use std::os::raw::{c_int, c_void};

/// Is the value at `index` the one that says that the call must raise? `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state.
pub(super) unsafe fn is_alarm(l: *mut lua_State, index: c_int) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_type(l, index) == ffi::LUA_TLIGHTUSERDATA
            && ffi::lua_touserdata(l, index) == alarm_mark()
    }
}

/// The value that says that a call must raise: an address that no script can have.
pub(super) fn alarm_mark() -> *mut c_void {
    /// Only its address counts.
    static MARK: u8 = 0;
    (&raw const MARK).cast_mut().cast()
}

/// The value that says that the answer of a call lies where replies wait to be pushed.
pub(super) fn answer_mark() -> *mut c_void {
    /// Only its address counts.
    static MARK: u8 = 0;
    (&raw const MARK).cast_mut().cast()
}

/// The value that says that the answer of a call is bytes that lie ready, and two nils.
pub(super) fn bytes_mark() -> *mut c_void {
    /// Only its address counts.
    static MARK: u8 = 0;
    (&raw const MARK).cast_mut().cast()
}

/// The value before what a nested coroutine passes on outward.
pub(super) fn pass_mark() -> *mut c_void {
    /// Only its address counts.
    static MARK: u8 = 0;
    (&raw const MARK).cast_mut().cast()
}
