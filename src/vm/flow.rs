//! Methods of streams: each tries to do without the trampoline, and most calls can. What they answer most often is known
//! here: bytes, or a number, before two nils.

use super::coroutine::push_integer;
use super::entry::{self, Host};
use super::object::{self, This};
use super::outcome::{HeldBytes, Outcome, Reply, ReplySlot};
use super::push;
use super::quick::guarded;
use super::stack::Stack;
use super::state::State;
use crate::error::Fault;
use mlua::ffi::{self, lua_CFunction, lua_State};
use std::os::raw::c_int;

/// What the short way of such a method has come to.
pub(crate) enum Flow {
    /// It returns these bytes, which stay in place until they are pushed, and two nils.
    Bytes(HeldBytes),
    /// It returns a number and two nils.
    Count(i64),
    /// It returns this; in a box, since it is large and rare.
    Reply(Box<Reply>),
    /// The task waits: the call yields, and goes on as any other that waits.
    Park,
    /// Nothing has been done, and the long way must be gone.
    No,
}

/// The same, when nothing is left that has a destructor.
#[derive(Clone, Copy)]
enum Step {
    /// Return the bytes.
    Bytes(HeldBytes),
    /// Return the number.
    Count(i64),
    /// Return the reply in its place.
    Reply,
    /// Yield.
    Park,
    /// Go the long way.
    No,
}

/// The C function of a method with a short way.
pub(crate) const fn flowing<H, T, S, F>(_short: S, _body: F) -> lua_CFunction
where
    H: Host,
    T: object::Object,
    S: Fn(&H, This<T>, &Stack) -> Flow + Copy,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    assert!(size_of::<S>() == 0, "only plain functions can be entries");
    flow::<H, T, S, F>
}

/// Goes the short way, and then maybe the long one.
///
/// # Safety
/// Called by Lua, as a closure that `library` made.
unsafe extern "C-unwind" fn flow<H, T, S, F>(l: *mut lua_State) -> c_int
where
    H: Host,
    T: object::Object,
    S: Fn(&H, This<T>, &Stack) -> Flow + Copy,
    F: Fn(&H, &Stack) -> Result<Outcome, Fault> + Copy,
{
    // SAFETY: as in `entry::trampoline`; the object stays at index 1. Nothing that is alive when Lua may jump has a
    // destructor.
    unsafe {
        let Some((host, this)) = object::this::<H, T>(l, 1) else {
            return entry::trampoline::<H, F>(l);
        };
        let step = guarded(|| {
            if host.is_closed() {
                return Step::No;
            }
            let short = std::mem::zeroed::<S>();
            match short(host, this, &Stack::new(l, host.library())) {
                Flow::Bytes(bytes) => Step::Bytes(bytes),
                Flow::Count(count) => Step::Count(count),
                Flow::Reply(reply) => {
                    host.reply().set(*reply);
                    Step::Reply
                }
                Flow::Park => Step::Park,
                Flow::No => Step::No,
            }
        });
        let count = match step.unwrap_or(Step::No) {
            Step::Bytes(bytes) => push_bytes(l, host.reply(), bytes),
            Step::Count(count) => push_count(l, count),
            Step::Reply => push::push(l, host.library(), host.reply(), 1),
            Step::Park => return entry::park::<H>(l),
            Step::No => return entry::trampoline::<H, F>(l),
        };
        if host.has_woken_loose() {
            host.tighten(State::new(l));
        }
        count
    }
}

/// Pushes bytes that lie where the next read would put others, and two nils. `[-0, +3, m]`
///
/// # Safety
/// `l` is the running state, outside `catch_unwind`, with four free slots.
#[inline(always)]
unsafe fn push_bytes(l: *mut lua_State, slot: &ReplySlot, bytes: HeldBytes) -> c_int {
    // SAFETY: the caller's promise; Lua copies the bytes, which nobody overwrites before.
    unsafe {
        let before = slot.begin_push().1;
        let bytes = bytes.as_slice();
        ffi::lua_pushlstring(l, bytes.as_ptr().cast(), bytes.len());
        slot.end_push(before);
        ffi::lua_pushnil(l);
        ffi::lua_pushnil(l);
    }
    3
}

/// Pushes a number and two nils. `[-0, +3, -]`
///
/// # Safety
/// `l` is the running state with three free slots.
#[inline(always)]
unsafe fn push_count(l: *mut lua_State, count: i64) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        push_integer(l, count);
        ffi::lua_pushnil(l);
        ffi::lua_pushnil(l);
    }
    3
}

/// Pushes the bytes that lie ready for a call that has been parked, and two nils. `[-0, +3, m]`
///
/// # Safety
/// As `push_bytes`.
#[inline(always)]
pub(super) unsafe fn push_ready(l: *mut lua_State, slot: &ReplySlot) -> c_int {
    let bytes = slot.take_bytes();
    // SAFETY: the caller's promise.
    unsafe { push_bytes(l, slot, bytes) }
}

/// The C function by which a guard gets the bytes that lie ready.
pub(crate) const fn ready_bytes<H: Host>() -> lua_CFunction {
    push_ready_bytes::<H>
}

/// # Safety
/// Called by Lua, as a closure that `library` made.
unsafe extern "C-unwind" fn push_ready_bytes<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: as in `entry::trampoline`.
    unsafe {
        let host = &*ffi::lua_touserdata(l, ffi::lua_upvalueindex(3)).cast::<H>();
        push_ready(l, host.reply())
    }
}
