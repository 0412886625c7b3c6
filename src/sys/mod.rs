//! The operating system floor: clock, readiness, sockets, names. Knows neither Lua nor tasks.
//!
//! What each system must provide: `clock::now`, `poller::Poller` (`new add wait`), `waker::Waker` (`new wake drain fd`),
//! `socket::Socket`, `names::resolve`, `host::interpreter`.

#![allow(unsafe_code, reason = "this floor is one of the two where it lives")]

pub(crate) mod clock;
pub(crate) mod failure;
pub(crate) mod fork;
pub(crate) mod heap;
pub(crate) mod host;
pub(crate) mod hosts;
pub(crate) mod interrupt;
pub(crate) mod names;
pub(crate) mod poller;
pub(crate) mod readiness;
pub(crate) mod socket;
pub(crate) mod waker;
