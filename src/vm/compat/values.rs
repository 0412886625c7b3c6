//! What differs between the Luas in the values themselves: numbers, upvalues, how tables are filled.

use mlua::ffi::{self, lua_State};
use std::os::raw::{c_int, c_void};

/// A number as the newest Lua sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in crate::vm) enum Number {
    /// An integer; where Lua has floats alone, one that stands for an integer exactly.
    Integer(i64),
    /// A float.
    Float(f64),
}

/// The number at `index`. `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state, with a number at `index`.
#[inline(always)]
pub(in crate::vm) unsafe fn number(l: *mut lua_State, index: c_int) -> Number {
    #[cfg(any(feature = "lua53", feature = "lua54", feature = "lua55"))]
    // SAFETY: the caller's promise.
    unsafe {
        if ffi::lua_isinteger(l, index) != 0 {
            Number::Integer(ffi::lua_tointeger(l, index))
        } else {
            Number::Float(ffi::lua_tonumber(l, index))
        }
    }
    #[cfg(any(feature = "lua51", feature = "lua52", feature = "luajit"))]
    {
        /// Up to here every integer has a float of its own.
        const EXACT: i64 = 1 << 53;
        // SAFETY: the caller's promise.
        let float = unsafe { ffi::lua_tonumber(l, index) };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "compared in the next line"
        )]
        let (integer, back) = (float as i64, (float as i64) as f64);
        // By its bits, -0.0 is no integer.
        if back.to_bits() == float.to_bits() && (-EXACT..=EXACT).contains(&integer) {
            Number::Integer(integer)
        } else {
            Number::Float(float)
        }
    }
}

/// Pushes an integer, which becomes the nearest float where Lua has floats alone. `[-0, +1, -]`
///
/// # Safety
/// `l` has a free slot.
#[inline(always)]
pub(in crate::vm) unsafe fn push_exact(l: *mut lua_State, integer: i64) {
    #[cfg(any(feature = "lua53", feature = "lua54", feature = "lua55"))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_pushinteger(l, integer);
    }
    #[cfg(any(feature = "lua51", feature = "lua52", feature = "luajit"))]
    #[expect(clippy::cast_precision_loss, reason = "the nearest float will do")]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_pushnumber(l, integer as f64);
    }
}

/// What tells the upvalue `n` of the Lua function at `index` from others, or null where Lua does not tell (5.1).
/// `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state, with a Lua function that has such an upvalue at `index`.
#[inline]
pub(in crate::vm) unsafe fn upvalue_id(l: *mut lua_State, index: c_int, n: c_int) -> *const c_void {
    #[cfg(feature = "lua51")]
    {
        let _ = (l, index, n);
        std::ptr::null()
    }
    #[cfg(feature = "luajit")]
    // SAFETY: the caller's promise.
    unsafe {
        lua_upvalueid(l, index, n)
    }
    #[cfg(not(any(feature = "lua51", feature = "luajit")))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_upvalueid(l, index, n)
    }
}

/// Lets upvalue `n` of the Lua function at `index` be upvalue `m` of the one at `other`. `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state; both functions have such upvalues. Where `upvalue_id` tells nothing, this does nothing.
pub(in crate::vm) unsafe fn join_upvalues(
    l: *mut lua_State,
    index: c_int,
    n: c_int,
    other: c_int,
    m: c_int,
) {
    #[cfg(feature = "lua51")]
    let _ = (l, index, n, other, m);
    #[cfg(feature = "luajit")]
    // SAFETY: the caller's promise.
    unsafe {
        lua_upvaluejoin(l, index, n, other, m);
    }
    #[cfg(not(any(feature = "lua51", feature = "luajit")))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_upvaluejoin(l, index, n, other, m);
    }
}

/// Sets what the table at `index` has under an integer. `[-1, +0, m]`
///
/// # Safety
/// A table is at `index`, and a value on top.
#[inline(always)]
pub(in crate::vm) unsafe fn raw_set(l: *mut lua_State, index: c_int, key: c_int) {
    #[cfg(any(feature = "lua51", feature = "luajit"))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_rawseti_(l, index, key);
    }
    #[cfg(not(any(feature = "lua51", feature = "luajit")))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_rawseti(l, index, key.into());
    }
}

/// Pushes a string. `[-0, +1, m]`
///
/// # Safety
/// `l` has a free slot.
#[inline(always)]
pub(in crate::vm) unsafe fn push_string(l: *mut lua_State, bytes: &[u8]) {
    #[cfg(any(feature = "lua51", feature = "lua52", feature = "luajit"))]
    // SAFETY: the caller's promise. Its namesake would ask for the string again.
    unsafe {
        ffi::lua_pushlstring_(l, bytes.as_ptr().cast(), bytes.len());
    }
    #[cfg(not(any(feature = "lua51", feature = "lua52", feature = "luajit")))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_pushlstring(l, bytes.as_ptr().cast(), bytes.len());
    }
}

#[cfg(feature = "luajit")]
unsafe extern "C-unwind" {
    /// LuaJIT has it; the headers of 5.1 do not.
    fn lua_upvalueid(l: *mut lua_State, index: c_int, n: c_int) -> *mut c_void;
    /// The same.
    fn lua_upvaluejoin(l: *mut lua_State, index: c_int, n: c_int, other: c_int, m: c_int);
}
