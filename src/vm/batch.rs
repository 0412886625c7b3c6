//! What is ready, as the array that `poll:wait` answers: made here in one pass, since there may be thousands.

use super::compat;
use super::entry::Host;
use super::object::{self, Class, Object};
use mlua::ffi::{self, lua_CFunction, lua_State};
use std::any::Any;
use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A set that is asked what is ready.
pub(crate) trait Readies: Object {
    /// Its class.
    const CLASS: Class;
    /// Looks what is ready; answers how many events that are. `None`: the system does not say.
    fn look(&self) -> Option<usize>;
    /// The key of an event, and what is said of it: 0 nothing, 1 readable, 2 writable, 3 both.
    fn said(&self, index: usize) -> Option<(i64, usize)>;
}

/// What is said in events, by number.
const WORDS: [&str; 4] = ["", "r", "w", "rw"];

/// The arguments, by position, and what lies above them.
mod slot {
    /// The set.
    pub(super) const SET: i32 = 1;
    /// The table of entries by key: each has the thing at 1, its tag at 2, and then its events.
    pub(super) const ENTRIES: i32 = 2;
    /// The array that the events are added to; made when there is none.
    pub(super) const BATCH: i32 = 3;
    /// Below the words.
    pub(super) const BEFORE_WORDS: i32 = 3;
    /// An entry.
    pub(super) const ENTRY: i32 = 7;
    /// The fields of an entry before its events.
    pub(super) const FIRST_EVENT: i64 = 2;
}

/// The C function `gather(set, entries [, batch])`: adds `{ thing, word, tag }` for each that is ready to the batch, and
/// answers it. A thing that is ready as it was the last time has the same event: to make and to collect a table takes
/// longer than all the rest.
pub(crate) const fn gathering<H: Host, T: Readies>() -> lua_CFunction {
    gather::<H, T>
}

/// Adds what is ready to the batch. `[-0, +1, m]`
///
/// # Safety
/// Called by Lua, as a closure that `library` made.
unsafe extern "C-unwind" fn gather<H: Host, T: Readies>(l: *mut lua_State) -> c_int {
    // SAFETY: upvalue 3 is the address of the host, as in `entry::trampoline`. The embedded Lua alone calls this, with
    // what the slots say; the set's class is looked at all the same. Finalizers may run while tables are made: nothing
    // is borrowed then, and each event is asked for anew. The set stays on the stack, so the reference to it is good.
    unsafe {
        let host = &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(3)).cast::<H>();
        ffi::lua_settop(l, slot::BATCH);
        let mut set: Option<&T> = None;
        if object::metatable_of(l, slot::SET) == host.library().metatable(T::CLASS).pointer
            && let Some(object) = object::borrow(l, slot::SET)
        {
            let any: &dyn Any = &**object;
            set = any.downcast_ref::<T>();
        }
        let count = set.and_then(|set| catch_unwind(AssertUnwindSafe(|| set.look())).ok()?);
        let count = count.unwrap_or(0);
        if ffi::lua_type(l, slot::BATCH) != ffi::LUA_TTABLE {
            let room = c_int::try_from(count).unwrap_or(0);
            ffi::lua_createtable(l, room, 0);
            ffi::lua_replace(l, slot::BATCH);
        }
        for word in &WORDS[1..] {
            ffi::lua_pushlstring(l, word.as_ptr().cast(), word.len());
        }
        let mut len = ffi::lua_rawlen(l, slot::BATCH) as i64;
        for index in 0..count {
            let Some((key, word)) = set.and_then(|set| set.said(index)) else {
                continue;
            };
            compat::raw_get(l, slot::ENTRIES, key); // e?
            if word != 0 && ffi::lua_type(l, -1) == ffi::LUA_TTABLE {
                compat::raw_get(l, slot::ENTRY, slot::FIRST_EVENT + word as i64); // e t?
                if ffi::lua_type(l, -1) != ffi::LUA_TTABLE {
                    ffi::lua_settop(l, slot::ENTRY);
                    make_event(l, word); // e t
                }
                len += 1;
                ffi::lua_rawseti(l, slot::BATCH, len as _); // e
            }
            ffi::lua_settop(l, slot::ENTRY - 1);
        }
        ffi::lua_settop(l, slot::BATCH);
    }
    1
}

/// Makes the event that says `word` of the thing in the entry, and leaves it there, too. `[-0, +1, m]`
///
/// # Safety
/// `l` is the running state, outside `catch_unwind`, with six free slots; what `slot` says lies there.
#[cold]
unsafe fn make_event(l: *mut lua_State, word: usize) {
    // SAFETY: the caller's promise; what is pushed is counted beside each line.
    unsafe {
        ffi::lua_createtable(l, 3, 0); // t
        let event = ffi::lua_gettop(l);
        compat::raw_get(l, slot::ENTRY, 1);
        ffi::lua_rawseti(l, event, 1); // t
        ffi::lua_pushvalue(l, slot::BEFORE_WORDS + word as c_int);
        ffi::lua_rawseti(l, event, 2); // t
        compat::raw_get(l, slot::ENTRY, 2);
        ffi::lua_rawseti(l, event, 3); // t
        ffi::lua_pushvalue(l, event);
        ffi::lua_rawseti(l, slot::ENTRY, slot::FIRST_EVENT + word as i64); // t
    }
}
