//! Interrupts a thread that computes: a signal lets it call a function of its own.
//!
//! The signal is SIGURG, which the system ignores by default and hardly anybody uses; who had a handler for it keeps
//! it. System calls go on after it, but for those that wait for readiness.

use std::cell::Cell;
use std::ptr;
use std::sync::{Arc, Once, OnceLock};

/// What an interrupted thread calls, in the handler of a signal: it may do what `lua_sethook` does, and no more.
pub(crate) type Action = Arc<dyn Fn() + Send + Sync>;

/// Lets the thread that made it be interrupted, as long as it is there.
pub(crate) struct Guard(Box<Action>);

/// A thread that can be interrupted. Whoever keeps it gives it up before the thread's `Guard` has gone.
#[derive(Clone, Copy)]
pub(crate) struct Target(libc::pthread_t);

/// The signal.
const SIGNAL: libc::c_int = libc::SIGURG;

/// What there was before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

thread_local! {
    /// The action of this thread, while it has one.
    static ACTION: Cell<*const Action> = const { Cell::new(ptr::null()) };
}

impl Guard {
    /// Lets this thread be interrupted.
    pub(crate) fn enter(action: Action) -> Guard {
        install();
        let guard = Guard(Box::new(action));
        ACTION.set(&raw const *guard.0);
        guard
    }

    /// This thread, for those who interrupt it.
    pub(crate) fn target(&self) -> Target {
        // SAFETY: takes nothing and cannot fail.
        Target(unsafe { libc::pthread_self() })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        ACTION.set(ptr::null());
    }
}

impl Target {
    /// Interrupts it.
    pub(crate) fn interrupt(self) {
        // SAFETY: the thread runs, since its guard is there: whoever keeps the target has promised it.
        unsafe { libc::pthread_kill(self.0, SIGNAL) };
    }
}

/// Sets the handler, once.
fn install() {
    /// Whether that has been done.
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: both structures are whole; `handle` has the signature that SA_SIGINFO asks for.
        unsafe {
            let mut action = std::mem::zeroed::<libc::sigaction>();
            let mut before = std::mem::zeroed::<libc::sigaction>();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(SIGNAL, &raw const action, &raw mut before);
            let _ = BEFORE.set(before);
        }
    });
}

/// The handler: calls the action of the thread that it interrupts, and else whoever was there before.
extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let action = ACTION.get();
    if !action.is_null() {
        // SAFETY: the guard of this very thread keeps it alive until it has set this to null.
        unsafe { (*action)() };
        return;
    }
    let Some(before) = BEFORE.get() else { return };
    if before.sa_sigaction == libc::SIG_DFL || before.sa_sigaction == libc::SIG_IGN {
        return;
    }
    // SAFETY: the address is that of a handler, as the system has kept it, of the kind that its flags say.
    unsafe {
        if before.sa_flags & libc::SA_SIGINFO != 0 {
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                std::mem::transmute(before.sa_sigaction);
            handler(signal, info, context);
        } else {
            let handler: extern "C" fn(libc::c_int) = std::mem::transmute(before.sa_sigaction);
            handler(signal);
        }
    }
}
