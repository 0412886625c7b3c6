//! How a reply becomes values on Lua's stack.

use super::copy::push_parcel;
use super::coroutine::push_integer;
use super::entry::{alarm_mark, raise_top};
use super::library::Library;
use super::object;
use super::outcome::{Reply, Value};
use super::registry::{self, Slot};
use mlua::ffi::{self, lua_State};
use std::os::raw::c_int;

/// Pushes a reply. `[-0, +n, m]`
///
/// # Safety
/// `l` is the running state, outside `catch_unwind`, with ten free slots; the reply lies in a `ReplySlot`; `subject` is
/// the index of the call's first argument.
pub(super) unsafe fn push(
    l: *mut lua_State,
    library: &Library,
    reply: *const Reply,
    subject: c_int,
) -> c_int {
    // SAFETY: the reply stays in its slot while it is pushed; each value's needs are met by the caller's promise.
    unsafe {
        let mut count: c_int = 0;
        for value in (*reply).values() {
            count += 1;
            match value {
                Value::Nil => ffi::lua_pushnil(l),
                Value::Boolean(boolean) => ffi::lua_pushboolean(l, c_int::from(*boolean)),
                Value::Integer(integer) => push_integer(l, *integer),
                Value::Number(number) => ffi::lua_pushnumber(l, *number),
                Value::Text(text) => push_bytes(l, text.as_bytes()),
                Value::Held(held) => push_bytes(l, held.as_slice()),
                Value::Bytes(bytes) => push_bytes(l, bytes),
                Value::Object(class, object) => object::push(l, library.metatable(*class), object),
                Value::Task(task) => registry::push_live_handle(l, library, *task),
                Value::Alarm => ffi::lua_pushlightuserdata(l, alarm_mark()),
                Value::Traceback(slot) => push_traceback(l, library, *slot),
                Value::Results => count += registry::push_results(l, subject) - 1,
                Value::Message(parcel) => {
                    if let Some(parcel) = parcel.take() {
                        let pushed = push_parcel(l, library, &parcel);
                        drop(parcel);
                        match pushed {
                            Some(values) => count += values - 1,
                            None => raise_top(l),
                        }
                    }
                }
                Value::Outcome => {
                    ffi::lua_pushboolean(l, c_int::from(registry::ended_well(l, subject)));
                    count += registry::push_results(l, subject);
                }
            }
        }
        count
    }
}

/// Pushes a string. `[-0, +1, m]`
///
/// # Safety
/// `l` is the running state with a free slot, outside `catch_unwind`.
#[inline(always)]
unsafe fn push_bytes(l: *mut lua_State, bytes: &[u8]) {
    // SAFETY: the caller's promise; Lua copies the bytes.
    unsafe { ffi::lua_pushlstring(l, bytes.as_ptr().cast(), bytes.len()) };
}

/// Pushes the traceback of the live task in `slot`. `[-0, +1, m]`
///
/// # Safety
/// As `push`.
unsafe fn push_traceback(l: *mut lua_State, library: &Library, slot: Slot) {
    // SAFETY: the coroutine stays on the stack while its traceback is made.
    unsafe {
        registry::push_coroutine(l, library, slot);
        let co = ffi::lua_tothread(l, -1);
        if co.is_null() {
            return;
        }
        ffi::luaL_traceback(l, co, std::ptr::null(), 0);
        ffi::lua_remove(l, -2);
    }
}
