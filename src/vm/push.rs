//! How a reply becomes values on Lua's stack.

use super::compat;
use super::copy::push_parcel;
use super::coroutine::push_integer;
use super::entry::raise_top;
use super::library::Library;
use super::marks::alarm_mark;
use super::object;
use super::outcome::{ReplySlot, Value};
use super::registry::{self, Slot};
use mlua::ffi::{self, lua_State};
use std::os::raw::c_int;

/// Pushes a reply. `[-0, +n, m]`
///
/// # Safety
/// `l` is the running state, outside `catch_unwind`, with ten free slots; `subject` is the index of the call's first
/// argument.
pub(super) unsafe fn push(
    l: *mut lua_State,
    library: &Library,
    slot: &ReplySlot,
    subject: c_int,
) -> c_int {
    // SAFETY: the reply stays in its place while it is pushed, whatever finalizers call; each value's needs are met by
    // the caller's promise.
    unsafe {
        let mut count: c_int = 0;
        let (reply, before) = slot.begin_push();
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
                Value::Object(class, object) => object::push(l, library, *class, object),
                Value::Task(task) => registry::push_live_handle(l, library, *task),
                Value::Taken { at, key } => push_kept(l, subject + at, *key, true),
                Value::Kept { at, key } => push_kept(l, subject + at, *key, false),
                Value::Forgotten { at, key } => {
                    push_kept(l, subject + at, *key, true);
                    ffi::lua_settop(l, -2);
                    count -= 1;
                }
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
        slot.end_push(before);
        count
    }
}

/// Pushes what lies under the key in the table of the object at the absolute `index`; `take` takes it out.
/// `[-0, +1, -]`
///
/// # Safety
/// `l` is a live state with four free slots; an object with a table is at `index`, and something lies there, so that
/// storing nil takes no memory.
#[inline(always)]
pub(super) unsafe fn push_kept(l: *mut lua_State, index: c_int, key: u32, take: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        compat::user_value(l, index); // t
        compat::raw_get(l, -1, key.into()); // t v
        if take {
            ffi::lua_pushnil(l); // t v nil
            ffi::lua_rawseti(l, -3, key.into()); // t v
        }
        ffi::lua_replace(l, -2); // v
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
