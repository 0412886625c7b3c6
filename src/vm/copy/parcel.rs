//! A message whose values are due on a Lua stack: who owns it meanwhile, and what happens when it is a bad one.

use super::decode::Landing;
use super::{Limits, Message};
use crate::vm::compat;
use crate::vm::library::Library;
use crate::vm::outcome::HeldBytes;
use mlua::ffi::{self, lua_State};
use std::os::raw::c_int;
use std::sync::Arc;

/// A message in a reply, whose values are pushed in its place.
pub(crate) struct Parcel {
    /// Where the message is.
    pub(crate) source: Source,
    /// What is expected of it.
    pub(crate) policy: Policy,
}

/// Where a message is.
pub(crate) enum Source {
    /// Here, from another thread.
    Message(Message),
    /// Here and elsewhere.
    Shared(Arc<Message>),
    /// Here, from outside.
    Bytes(Vec<u8>),
    /// In a string that the call holds, from outside.
    Held(HeldBytes),
}

/// What is expected of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Policy {
    /// What it may be at most.
    pub(crate) limits: Limits,
    /// May there be functions in it? Bytecode can do anything, so only if it comes from those who are trusted.
    pub(crate) functions: bool,
    /// Does a bad one raise, rather than being `nil` and the reason?
    pub(crate) raises: bool,
}

/// Why there are no values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// It is no message, or not all of one.
    Malformed,
    /// It is of a version that this coev does not know.
    Version,
    /// It is larger, or deeper, than is allowed.
    Oversized,
    /// There are functions in it.
    Functions,
    /// It names something that this universe has not.
    Unknown,
}

/// How the pushing went.
#[derive(Clone, Copy)]
enum Landed {
    /// So many values lie on the stack.
    Values(c_int),
    /// The reason why there are none lies there, and is an answer.
    Answered,
    /// An error lies there.
    Raised,
}

impl Failure {
    /// What is said of it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Failure::Malformed => "malformed message",
            Failure::Version => "unsupported version",
            Failure::Oversized => "oversized",
            Failure::Functions => "functions are not allowed",
            Failure::Unknown => "unknown function",
        }
    }
}

impl Policy {
    /// For messages of this process.
    pub(crate) const TRUSTED: Policy = Policy {
        limits: Limits {
            depth: usize::MAX,
            bytes: usize::MAX,
        },
        functions: true,
        raises: true,
    };
}

impl From<Message> for Parcel {
    fn from(message: Message) -> Parcel {
        Parcel {
            source: Source::Message(message),
            policy: Policy::TRUSTED,
        }
    }
}

impl From<Arc<Message>> for Parcel {
    fn from(message: Arc<Message>) -> Parcel {
        Parcel {
            source: Source::Shared(message),
            policy: Policy::TRUSTED,
        }
    }
}

impl Parcel {
    /// Pushes the values, the reason why there are none, or an error. Never raises.
    ///
    /// # Safety
    /// `l` is the running state, with two free slots.
    unsafe fn land(&self, l: *mut lua_State, library: &Library) -> Landed {
        let (bytes, shared) = match &self.source {
            Source::Message(message) => (&*message.bytes, &*message.shared),
            Source::Shared(message) => (&*message.bytes, &*message.shared),
            Source::Bytes(bytes) => (&**bytes, &[][..]),
            Source::Held(held) => (held.as_slice(), &[][..]),
        };
        let mut landing = Landing::new(library, bytes, shared, self.policy);
        // SAFETY: two slots. The protected function gets the address of `landing`, which outlives the call, as does all
        // that it borrows.
        unsafe {
            let top = ffi::lua_gettop(l);
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.protected.decode as _);
            ffi::lua_pushlightuserdata(l, (&raw mut landing).cast());
            if ffi::lua_pcall(l, 1, ffi::LUA_MULTRET, 0) != ffi::LUA_OK {
                return Landed::Raised;
            }
            match landing.failure {
                None => Landed::Values(ffi::lua_gettop(l) - top),
                Some(_) if self.policy.raises => Landed::Raised,
                Some(_) => Landed::Answered,
            }
        }
    }
}

/// Pushes the values of a message, or `nil` and the reason; answers how many. `None`: an error is on top, and is to be
/// raised. `[-0, +n, -]`
///
/// # Safety
/// `l` is the running state, with three free slots; the parcel is the caller's alone.
pub(in crate::vm) unsafe fn push_parcel(
    l: *mut lua_State,
    library: &Library,
    parcel: &Parcel,
) -> Option<c_int> {
    // SAFETY: the caller's promise.
    unsafe {
        match parcel.land(l, library) {
            Landed::Values(count) => Some(count),
            Landed::Raised => None,
            Landed::Answered => {
                ffi::lua_pushnil(l);
                ffi::lua_insert(l, -2);
                Some(2)
            }
        }
    }
}
