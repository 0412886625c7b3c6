//! What code that LuaJIT has compiled asks of objects: its FFI calls these functions inside a trace, which a call of the C
//! API would end. They look at Rust's memory alone and know nothing of Lua.

use super::entry::Host;
use super::object;
use super::quick::{Keeps, Quick, guarded};
use super::state::State;
use mlua::ffi::{self, lua_State};
use std::ffi::CStr;
use std::os::raw::{c_int, c_void};

/// A question to the object in a userdata with that memory, about what lies under a key, if any.
pub(crate) type Question = extern "C" fn(*const c_void, u32) -> i32;

/// What a method without a timeout asks before it calls Rust through the C API, where Lua can ask.
#[derive(Clone, Copy)]
pub(crate) enum AtOnce {
    /// Can it be done?
    Call(Question),
    /// It gives the object a value: under which key? And then: may it be had?
    Store(Question, Question),
    /// It takes a value: under which key? And then tells that it is gone.
    Take(Question, Question),
    /// The same as a step of a loop, which is called with the last value.
    Next(Question, Question),
    /// The same with true before the value; and for those that look at many objects: is there one?
    TryTake(Question, Question, Question),
}

/// "No": the call goes the usual way.
const NO: i32 = 0;
/// Done, and the call returns true.
const TRUE: i32 = 1;
/// Done, and the call returns nothing.
const NOTHING: i32 = 2;
/// Added where the runtime has something to tell Lua.
const UNSETTLED: i32 = 4;

impl AtOnce {
    /// What a method without arguments asks.
    pub(crate) const fn call<H, S>(_short: S) -> AtOnce
    where
        H: Host,
        S: Fn(&H, &H::Holder, Option<State>) -> Quick + Copy,
    {
        assert!(size_of::<S>() == 0, "only plain functions can be questions");
        AtOnce::Call(ask_call::<H, S>)
    }

    /// What a method asks that gives the object a value.
    pub(crate) const fn store<H: Host<Holder: Keeps<H>>>() -> AtOnce {
        AtOnce::Store(ask_claim::<H>, ask_hand::<H>)
    }

    /// What a method asks that takes a value.
    pub(crate) const fn take<H: Host<Holder: Keeps<H>>>() -> AtOnce {
        AtOnce::Take(ask_take::<H>, ask_free::<H>)
    }

    /// What a step of a loop asks.
    pub(crate) const fn next<H: Host<Holder: Keeps<H>>>() -> AtOnce {
        AtOnce::Next(ask_take::<H>, ask_free::<H>)
    }

    /// What a method asks that says whether there is a value.
    pub(crate) const fn try_take<H: Host<Holder: Keeps<H>>>() -> AtOnce {
        AtOnce::TryTake(ask_take::<H>, ask_free::<H>, ask_whether::<H>)
    }

    /// Pushes its kind and the addresses of its questions; answers how many values these are. `[-0, +(3 | 4), m]`
    ///
    /// # Safety
    /// `l` is the running state with four free slots.
    pub(super) unsafe fn push(self, l: *mut lua_State) -> c_int {
        let (kind, first, second): (&CStr, _, _) = match self {
            AtOnce::Call(ask) => (c"call", ask, ask),
            AtOnce::Store(claim, hand) => (c"store", claim, hand),
            AtOnce::Take(take, free) => (c"take", take, free),
            AtOnce::Next(take, free) => (c"next", take, free),
            AtOnce::TryTake(take, free, _) => (c"try_take", take, free),
        };
        // SAFETY: the caller's promise; the functions are static.
        unsafe {
            ffi::lua_pushstring(l, kind.as_ptr());
            ffi::lua_pushlightuserdata(l, first as *mut c_void);
            ffi::lua_pushlightuserdata(l, second as *mut c_void);
            if let AtOnce::TryTake(.., whether) = self {
                ffi::lua_pushlightuserdata(l, whether as *mut c_void);
                return 4;
            }
        }
        3
    }
}

/// Puts a question to the object in a userdata, unless there is none or its state closes; `NO` where it panics.
#[inline(always)]
fn ask<H: Host>(memory: *const c_void, question: impl FnOnce(&H, &H::Holder) -> i32) -> i32 {
    // SAFETY: the Lua that asks has seen that the userdata has the metatable of such objects' class, and holds it.
    let object = unsafe { object::in_use_at::<H, H::Holder>(memory) };
    match object {
        Some((host, object)) if !host.is_closed() => {
            guarded(|| question(host, object)).unwrap_or(NO)
        }
        _ => NO,
    }
}

/// Adds that there is something to be told to what has been done.
#[inline(always)]
fn done<H: Host>(host: &H, answer: i32) -> i32 {
    answer + if host.has_woken_loose() { UNSETTLED } else { 0 }
}

/// Does what can be done at once.
extern "C" fn ask_call<H, S>(memory: *const c_void, _: u32) -> i32
where
    H: Host,
    S: Fn(&H, &H::Holder, Option<State>) -> Quick + Copy,
{
    ask::<H>(memory, |host, object| {
        // SAFETY: `AtOnce::call` has seen that `S` has no size.
        let short = unsafe { std::mem::zeroed::<S>() };
        match short(host, object, None) {
            Quick::True => done(host, TRUE),
            Quick::Nothing => done(host, NOTHING),
            Quick::Park | Quick::No => NO,
        }
    })
}

/// Answers the key for a value that the object would take at once, which is the caller's from now on.
extern "C" fn ask_claim<H: Host<Holder: Keeps<H>>>(memory: *const c_void, _: u32) -> i32 {
    ask::<H>(memory, |_, object| {
        object.claim().unwrap_or(0).cast_signed()
    })
}

/// Lets the object have what lies under a key that was claimed; where it does not take it, the key is nobody's again.
extern "C" fn ask_hand<H: Host<Holder: Keeps<H>>>(memory: *const c_void, key: u32) -> i32 {
    ask::<H>(memory, |host, object| match object.hand(host, key) {
        true => done(host, TRUE),
        false => NO,
    })
}

/// Answers the key of a value that the object gives away, which is the caller's until it has told that it is free.
extern "C" fn ask_take<H: Host<Holder: Keeps<H>>>(memory: *const c_void, _: u32) -> i32 {
    ask::<H>(memory, |host, object| {
        object.take(host).unwrap_or(0).cast_signed()
    })
}

/// Nothing lies any more under the key of what the object has given away.
extern "C" fn ask_free<H: Host<Holder: Keeps<H>>>(memory: *const c_void, key: u32) -> i32 {
    ask::<H>(memory, |host, object| {
        object.free(key);
        done(host, NO)
    })
}

/// Answers whether the object would give a value away at once, or tell that there will be none.
extern "C" fn ask_whether<H: Host<Holder: Keeps<H>>>(memory: *const c_void, _: u32) -> i32 {
    ask::<H>(memory, |_, object| i32::from(object.has_something()))
}
