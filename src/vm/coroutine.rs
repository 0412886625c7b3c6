//! Coroutines as the scheduler uses them: resumed, fed with values, asked how they ended.

use super::compat;
use super::marks::{alarm_mark, answer_mark, bytes_mark};
use super::outcome::{HeldBytes, Reply, ReplySlot, Value};
use super::state::State;
use mlua::ffi::{self, lua_State};
use std::ffi::CStr;
use std::os::raw::c_int;

/// The coroutine of a task, or none. Whoever keeps one keeps it anchored as long: that is the promise that makes its
/// methods safe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Coroutine(*mut lua_State);

/// How a coroutine came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resumed {
    /// It yielded; so many values lie on its stack.
    Yielded(i32),
    /// It has returned; so many values lie on its stack.
    Returned(i32),
    /// It has failed; the error value lies on its stack.
    Failed,
}

impl Default for Coroutine {
    fn default() -> Coroutine {
        Coroutine::NONE
    }
}

impl Coroutine {
    /// No coroutine.
    pub(crate) const NONE: Coroutine = Coroutine(std::ptr::null_mut());

    /// # Safety
    /// `co` is a live coroutine, anchored as long as the value is used.
    pub(super) unsafe fn new(co: *mut lua_State) -> Coroutine {
        Coroutine(co)
    }

    /// Is there none?
    pub(crate) fn is_none(self) -> bool {
        self.0.is_null()
    }

    /// The coroutine's state.
    pub(super) fn raw(self) -> *mut lua_State {
        self.0
    }

    /// Resumes it with the `count` values on top of its stack. Never raises.
    #[inline(always)]
    pub(crate) fn resume(self, from: State, count: i32) -> Resumed {
        let mut results: c_int = 0;
        // SAFETY: the coroutine is anchored (the type's promise), and waits to be resumed, as the caller has asked; `from` is the running state.
        // `lua_resume` is a protected call.
        let status = unsafe { ffi::lua_resume(self.0, from.raw(), count, &raw mut results) };
        // The most frequent answer first.
        if status == ffi::LUA_YIELD {
            Resumed::Yielded(results)
        } else if status == ffi::LUA_OK {
            Resumed::Returned(results)
        } else {
            Resumed::Failed
        }
    }

    /// Does it wait to be resumed: at a yield, or at its start, with its function below the `count` arguments?
    #[inline(always)]
    pub(crate) fn is_suspended(self, count: i32) -> bool {
        // SAFETY: the coroutine is anchored.
        unsafe {
            match ffi::lua_status(self.0) {
                ffi::LUA_YIELD => count == 0 || ffi::lua_gettop(self.0) >= count,
                ffi::LUA_OK => {
                    let mut frame = std::mem::zeroed();
                    ffi::lua_getstack(self.0, 0, &raw mut frame) == 0
                        && ffi::lua_gettop(self.0) == count + 1
                }
                _ => false,
            }
        }
    }

    /// Is there one, at a yield?
    #[inline(always)]
    pub(crate) fn is_parked(self) -> bool {
        // SAFETY: the coroutine is anchored.
        !self.is_none() && unsafe { ffi::lua_status(self.0) == ffi::LUA_YIELD }
    }

    /// Are there so many values on its stack, at a yield?
    #[inline(always)]
    pub(crate) fn has(self, count: i32) -> bool {
        // SAFETY: the coroutine is anchored.
        count == 0 || unsafe { ffi::lua_gettop(self.0) >= count }
    }

    /// Has it been resumed for the first time?
    pub(crate) fn has_started(self) -> bool {
        // SAFETY: the coroutine is anchored.
        unsafe { ffi::lua_status(self.0) == ffi::LUA_YIELD }
    }

    /// Puts the value on its stack that makes the parked call raise, in place of the `kept` ones. `[-kept, +1, -]`
    pub(crate) fn alarm(self, kept: i32) -> i32 {
        self.forget(kept);
        self.push_plain(&Reply::one(Value::Alarm)).unwrap_or(0)
    }

    /// Puts the value on its stack that tells the parked call to push its answer. `[-0, +1, -]`
    #[inline(always)]
    pub(super) fn answer_lies_ready(self) -> i32 {
        // SAFETY: as in `push_plain`.
        unsafe { ffi::lua_pushlightuserdata(self.0, answer_mark()) };
        1
    }

    /// Lets bytes lie ready for its call, and puts the value onto its stack that tells the call so, in place of the `kept`
    /// ones; answers whether they could lie there. `[-kept, +1, -]`
    #[inline(always)]
    pub(crate) fn answer_bytes(self, kept: i32, slot: &ReplySlot, bytes: HeldBytes) -> bool {
        let laid = slot.lay_bytes(bytes);
        if laid {
            self.forget(kept);
            // SAFETY: as in `push_plain`.
            unsafe { ffi::lua_pushlightuserdata(self.0, bytes_mark()) };
        }
        laid
    }

    /// Puts true onto its stack, in place of the `kept` values. `[-kept, +1, -]`
    #[inline(always)]
    pub(crate) fn answer_true(self, kept: i32) -> i32 {
        self.forget(kept);
        // SAFETY: as in `push_plain`.
        unsafe { ffi::lua_pushboolean(self.0, 1) };
        1
    }

    /// Puts what lies under the key in the table of the first kept value onto its stack, in place of the `kept` values;
    /// `take` takes it out. `[-kept, +1, -]`
    #[inline]
    pub(crate) fn answer_item(self, kept: i32, key: u32, take: bool) -> i32 {
        // SAFETY: the coroutine is anchored and parked; so many values lie there, of which the first is an object with a
        // table.
        unsafe {
            let first = ffi::lua_gettop(self.0) - kept + 1;
            self.move_item(first, first, key, take);
            ffi::lua_settop(self.0, first);
        }
        1
    }

    /// Puts the index of a case onto its stack, and behind it what lies under the key in the table of the kept value
    /// `at`, or true, in place of the `kept` values, which are two at least. `[-kept, +2, -]`
    pub(crate) fn answer_case(
        self,
        kept: i32,
        index: i32,
        at: i32,
        item: Option<(u32, bool)>,
    ) -> i32 {
        // SAFETY: as in `answer_item`; the coroutine has room for one value more.
        unsafe {
            let first = ffi::lua_gettop(self.0) - kept + 1;
            if let Some((key, take)) = item {
                self.move_item(first + at, first + 1, key, take);
            } else {
                ffi::lua_pushboolean(self.0, 1);
                ffi::lua_replace(self.0, first + 1);
            }
            push_integer(self.0, index.into());
            ffi::lua_replace(self.0, first);
            ffi::lua_settop(self.0, first + 1);
        }
        2
    }

    /// Puts what lies under the key in the table of the object at the absolute index `object` into the slot `to`, above
    /// which the table is left; `take` takes it out. `[-0, +1, -]`
    ///
    /// # Safety
    /// The coroutine is parked and keeps values there; something lies under the key, so that storing nil takes no memory.
    #[inline(always)]
    unsafe fn move_item(self, object: c_int, to: c_int, key: u32, take: bool) {
        let co = self.0;
        // SAFETY: the caller's promise; a parked coroutine has four free slots above what it keeps.
        unsafe {
            compat::user_value(co, object); // t
            compat::raw_get(co, -1, key.into()); // t v
            if take {
                ffi::lua_pushnil(co); // t v nil
                ffi::lua_rawseti(co, -3, key.into()); // t v
            }
            ffi::lua_replace(co, to); // t
        }
    }

    /// Is the first of the `count` values on top of its stack true?
    pub(crate) fn first_is_true(self, count: i32) -> bool {
        // SAFETY: the coroutine is anchored and not running, and so many values lie there.
        unsafe { count > 0 && ffi::lua_toboolean(self.0, -count) != 0 }
    }

    /// Where its topmost Lua function stands: `file:line`.
    pub(crate) fn place(self) -> Option<String> {
        if self.is_none() {
            return None;
        }
        for level in 0.. {
            // SAFETY: the coroutine is anchored. The frame is filled in before it is read; "Sl" takes no memory.
            unsafe {
                let mut frame = std::mem::zeroed::<ffi::lua_Debug>();
                if ffi::lua_getstack(self.0, level, &raw mut frame) == 0 {
                    break;
                }
                ffi::lua_getinfo(self.0, c"Sl".as_ptr(), &raw mut frame);
                let source = CStr::from_ptr(frame.short_src.as_ptr()).to_string_lossy();
                // coev's own Lua is nobody's place.
                if frame.currentline > 0 && !source.starts_with("coev") {
                    return Some(format!("{source}:{}", frame.currentline));
                }
            }
        }
        None
    }

    /// Drops the top `count` values of its stack. `[-count, +0, -]` on the coroutine.
    #[inline(always)]
    pub(crate) fn forget(self, count: i32) {
        // SAFETY: the coroutine is anchored and not running, and so many values lie there: a resume said so.
        unsafe { ffi::lua_settop(self.0, -count - 1) };
    }

    /// Pushes a reply that needs no memory. `[-0, +n, -]` on the coroutine; `None` when it does need some.
    #[inline]
    pub(super) fn push_plain(self, reply: &Reply) -> Option<i32> {
        if !reply.values().iter().all(Value::is_plain) {
            return None;
        }
        for value in reply.values() {
            // SAFETY: a coroutine parked in a C function has room for three values once its arguments are dropped;
            // none of these pushes takes memory or raises.
            unsafe {
                match value {
                    Value::Boolean(boolean) => ffi::lua_pushboolean(self.0, c_int::from(*boolean)),
                    Value::Integer(integer) => push_integer(self.0, *integer),
                    Value::Number(number) => ffi::lua_pushnumber(self.0, *number),
                    Value::Alarm => ffi::lua_pushlightuserdata(self.0, alarm_mark()),
                    _ => ffi::lua_pushnil(self.0),
                }
            }
        }
        Some(reply.values().len().try_into().unwrap_or(0))
    }
}

/// Pushes an integer. `[-0, +1, -]`
///
/// # Safety
/// `l` has a free slot.
#[inline(always)]
pub(super) unsafe fn push_integer(l: *mut lua_State, integer: i64) {
    // SAFETY: the caller's promise.
    unsafe { ffi::lua_pushinteger(l, integer as _) };
}
