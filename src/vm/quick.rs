//! Methods of objects that tasks wait at: each tries to do without the trampoline, and most calls can.

use super::compat;
use super::entry::{self, Host};
use super::object;
use super::outcome::Outcome;
use super::push::push_kept;
use super::stack::Stack;
use super::state::State;
use crate::error::Fault;
use mlua::ffi::{self, lua_CFunction, lua_State};
use std::any::TypeId;
use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the short way of a method has come to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quick {
    /// It is done, and returns nothing.
    Nothing,
    /// It is done, and returns true.
    True,
    /// The task waits: the call yields, and goes on as any other that waits.
    Park,
    /// The long way must be gone.
    No,
}

/// What these methods need of objects that keep Lua values.
pub(crate) trait Keeps<H: Host> {
    /// The key under which the next value goes; none where no value is kept. Is it the value of a `flag`, or is it sent?
    fn vacancy(&self, flag: bool) -> Option<u32>;
    /// A value lies under that key: takes it over, if it can; waits only with a `state` to wait in. The other answer is
    /// the key of a value that is kept no more.
    fn take_over(&self, host: &H, state: Option<State>) -> (Quick, Option<u32>);
    /// Gives a value away; answers its key, which the caller empties, or what to do without one. Waits only with a
    /// `state` to wait in.
    fn give_away(&self, host: &H, state: Option<State>) -> Result<u32, Quick>;
    /// Takes a key for a value that can be handed over at once.
    fn claim(&self) -> Option<u32>;
    /// Takes over the value under a key that was claimed; answers whether it could. Else the key is free again.
    fn hand(&self, host: &H, key: u32) -> bool;
    /// Gives a value away at once; answers its key, which stays in use until it is freed.
    fn take(&self, host: &H) -> Option<u32>;
    /// Nothing lies under the key any more.
    fn free(&self, key: u32);
    /// Would it give a value away?
    fn has_something(&self) -> bool;
}

/// Runs a short way; none where it panics, which leads to the long one.
#[inline(always)]
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Ends the short way. `[-0, +n, -]`
///
/// # Safety
/// `l` runs a closure that `library` made; nothing has a destructor.
#[inline(always)]
unsafe fn finish<H: Host>(l: *mut lua_State, host: &H, quick: Quick) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        if host.has_woken_loose() {
            host.tighten(State::new(l));
        }
        match quick {
            Quick::True => {
                ffi::lua_pushboolean(l, 1);
                1
            }
            Quick::Park => entry::park::<H>(l),
            Quick::Nothing | Quick::No => 0,
        }
    }
}

/// The C function of a method with a short way for calls without arguments.
pub(crate) const fn call<H, S, F>(_short: S, _body: F) -> lua_CFunction
where
    H: Host,
    S: Fn(&H, &H::Holder, Option<State>) -> Quick + Copy,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    assert!(size_of::<S>() == 0, "only plain functions can be entries");
    quick_call::<H, S, F>
}

/// Calls the short way, and then maybe the long one.
///
/// # Safety
/// Called by Lua, as a closure that `library` made.
unsafe extern "C-unwind" fn quick_call<H, S, F>(l: *mut lua_State) -> c_int
where
    H: Host,
    S: Fn(&H, &H::Holder, Option<State>) -> Quick + Copy,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    // SAFETY: as in `entry::trampoline`; the object stays at index 1.
    unsafe {
        if let Some((host, object, _)) = object::in_use::<H, H::Holder>(l, 1)
            && (ffi::lua_gettop(l) == 1
                || ffi::lua_type(l, 2) <= ffi::LUA_TNIL && ffi::lua_type(l, 3) <= ffi::LUA_TNIL)
            && !host.is_closed()
        {
            let short = std::mem::zeroed::<S>();
            let quick = guarded(|| short(host, object, Some(State::new(l)))).unwrap_or(Quick::No);
            if quick != Quick::No {
                return finish(l, host, quick);
            }
        }
        entry::trampoline::<H, F>(l)
    }
}

/// The C function of a method that gives the object a value to keep: its second argument, or true for none where it is
/// the value of a flag. Without a `SHORT` way it is only put there.
pub(crate) const fn store<H, F, const FLAG: bool, const WAITS: bool, const SHORT: bool>(
    _body: F,
) -> lua_CFunction
where
    H: Host<Holder: Keeps<H>>,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    quick_store::<H, F, FLAG, WAITS, SHORT>
}

/// Puts the value into the object's table, and lets the object take it over. Where it does not, the long way finds the
/// value under the same key.
///
/// # Safety
/// Called by Lua, as a closure that `library` made.
unsafe extern "C-unwind" fn quick_store<
    H,
    F,
    const FLAG: bool,
    const WAITS: bool,
    const SHORT: bool,
>(
    l: *mut lua_State,
) -> c_int
where
    H: Host<Holder: Keeps<H>>,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    // SAFETY: as in `entry::trampoline`; the object stays at index 1. Storing may raise: then the object does not know
    // of the value yet.
    unsafe {
        if let Some((host, object, has_table)) = object::in_use::<H, H::Holder>(l, 1)
            && (FLAG || ffi::lua_type(l, 2) > ffi::LUA_TNIL)
            && !host.is_closed()
            && let Some(key) = object.vacancy(FLAG)
        {
            if FLAG && ffi::lua_type(l, 2) <= ffi::LUA_TNIL {
                ffi::lua_settop(l, 1);
                ffi::lua_pushboolean(l, 1);
            }
            if has_table.get() {
                compat::user_value(l, 1);
            } else {
                object::own_table(l, 1, TypeId::of::<H::Holder>());
            }
            ffi::lua_pushvalue(l, 2);
            ffi::lua_rawseti(l, -2, key.into());
            let arguments = ffi::lua_gettop(l) - 1;
            if SHORT && (arguments == 2 || FLAG || ffi::lua_type(l, 3) <= ffi::LUA_TNIL) {
                let mut unused = None;
                let quick = guarded(|| {
                    let (quick, key) = object.take_over(host, WAITS.then(|| State::new(l)));
                    unused = key;
                    quick
                })
                .unwrap_or(Quick::No);
                if let Some(key) = unused {
                    push_kept(l, 1, key, true);
                }
                // One that waits keeps the table, too.
                if quick != Quick::No {
                    return finish(l, host, quick);
                }
            }
            ffi::lua_settop(l, arguments);
        }
        entry::trampoline::<H, F>(l)
    }
}

/// The C function that pushes the table of an object.
pub(crate) const fn table<H: Host>() -> lua_CFunction {
    push_own_table::<H>
}

/// Pushes the table of the object at index 1, made when first needed.
///
/// # Safety
/// Called by Lua, as a closure that `library` made.
unsafe extern "C-unwind" fn push_own_table<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: nothing has a destructor.
    unsafe { c_int::from(object::own_table(l, 1, TypeId::of::<H::Holder>())) }
}

/// The C function of a method that takes a value out of the object. An `ITERATOR` is called with its last value.
pub(crate) const fn receive<H, F, const ITERATOR: bool>(_body: F) -> lua_CFunction
where
    H: Host<Holder: Keeps<H>>,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    quick_receive::<H, F, ITERATOR>
}

/// Pushes the value that the object gives away, or goes the long way.
///
/// # Safety
/// Called by Lua, as a closure that `library` made.
unsafe extern "C-unwind" fn quick_receive<H, F, const ITERATOR: bool>(l: *mut lua_State) -> c_int
where
    H: Host<Holder: Keeps<H>>,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    // SAFETY: as in `entry::trampoline`; the object stays at index 1, and has a table since it has a value.
    unsafe {
        if let Some((host, object, _)) = object::in_use::<H, H::Holder>(l, 1)
            && !host.is_closed()
        {
            let argument = if ITERATOR || ffi::lua_gettop(l) == 1 {
                ffi::LUA_TNIL
            } else {
                ffi::lua_type(l, 2)
            };
            if argument > ffi::LUA_TNIL && argument != ffi::LUA_TNUMBER {
                return entry::trampoline::<H, F>(l);
            }
            let mut key = None;
            let state = (argument != ffi::LUA_TNUMBER).then(|| State::new(l));
            let quick = guarded(|| match object.give_away(host, state) {
                Ok(given) => {
                    key = Some(given);
                    Quick::Nothing
                }
                Err(quick) => quick,
            })
            .unwrap_or(Quick::No);
            if let Some(key) = key {
                compat::user_value(l, 1); // t
                compat::raw_get(l, -1, key.into()); // t v
                ffi::lua_pushnil(l);
                ffi::lua_rawseti(l, -3, key.into()); // t v
                if host.has_woken_loose() {
                    host.tighten(State::new(l));
                }
                return 1;
            }
            if quick == Quick::Park {
                return finish(l, host, quick);
            }
        }
        entry::trampoline::<H, F>(l)
    }
}
