//! How Lua code that computes is interrupted: a hook is set where it runs, from a signal handler of the same thread.

use super::coroutine::Coroutine;
use super::entry::Host;
use super::{library, raise};
use mlua::ffi::{self, lua_Debug, lua_Hook, lua_State};
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// Where the Lua code of one thread runs: what its signal handler needs to know.
pub(crate) struct Hookable {
    /// The coroutine that a task runs in, or null; where coev has resumed one inside it, that one, which the registry
    /// holds. One that coev has not resumed is reached when that is left.
    running: AtomicPtr<lua_State>,
    /// Has the thread been told to end? Then whatever runs is hooked.
    insists: AtomicBool,
    /// The hook.
    hook: lua_Hook,
}

/// What was running before.
#[derive(Clone, Copy)]
pub(crate) struct Outer(*mut lua_State);

/// Instructions after which code that has been told to end, and goes on, is told again: time enough to tidy up.
const AGAIN: i32 = 1_000_000;

impl Hookable {
    /// Nothing runs yet.
    pub(super) fn new<H: Host>() -> Hookable {
        Hookable {
            running: AtomicPtr::new(ptr::null_mut()),
            insists: AtomicBool::new(false),
            hook: interrupt::<H>,
        }
    }

    /// A coroutine is about to be resumed.
    #[inline]
    pub(crate) fn enter(&self, co: Coroutine) -> Outer {
        let outer = self.running.load(Ordering::Relaxed);
        self.running.store(co.raw(), Ordering::Relaxed);
        if self.insists.load(Ordering::Relaxed) {
            // SAFETY: the coroutine is anchored, as its type says, and a state runs in this thread alone.
            unsafe { ffi::lua_sethook(co.raw(), Some(self.hook), ffi::LUA_MASKCOUNT, AGAIN) };
        }
        Outer(outer)
    }

    /// From now on whatever runs is hooked.
    pub(crate) fn insist(&self) {
        self.insists.store(true, Ordering::Relaxed);
    }

    /// It is back.
    #[inline]
    pub(crate) fn leave(&self, outer: Outer) {
        self.running.store(outer.0, Ordering::Relaxed);
    }

    /// Sets the hook where Lua code runs. Called in the signal handler of the thread that runs it, and nowhere else.
    pub(crate) fn arm(&self) {
        let running = self.running.load(Ordering::Relaxed);
        if !running.is_null() {
            // SAFETY: the coroutine runs in this very thread, under the signal; Lua's manual allows this call there.
            unsafe { ffi::lua_sethook(running, Some(self.hook), ffi::LUA_MASKCOUNT, 1) };
        }
    }
}

/// The hook: the thread stands still, or the code that runs is told to end.
///
/// # Safety
/// Called by Lua, in a universe of which a `Host` is the host.
unsafe extern "C-unwind" fn interrupt<H: Host>(l: *mut lua_State, frame: *mut lua_Debug) {
    // SAFETY: `l` runs; the frame is filled in before it is read, and what is asked for takes no memory. Nothing that
    // has a destructor is alive when Lua may jump.
    unsafe {
        ffi::lua_sethook(l, None, 0, 0);
        let host = library::host::<H>(l);
        if host.is_null() || (*host).is_closed() {
            return;
        }
        let interrupted = catch_unwind(AssertUnwindSafe(|| (*host).interrupted()));
        if !interrupted.unwrap_or(false) {
            return;
        }
        ffi::lua_getinfo(l, c"S".as_ptr(), frame);
        let source = CStr::from_ptr((*frame).short_src.as_ptr()).to_bytes();
        // coev's own Lua is left in peace: it comes to an end, and must not be left half done.
        let inside = source.starts_with(b"coev");
        let count = if inside { 1 } else { AGAIN };
        ffi::lua_sethook(l, Some(interrupt::<H>), ffi::LUA_MASKCOUNT, count);
        if !inside {
            raise::interrupted(l, (*host).library());
        }
    }
}
