//! Copies of values that leave their universe: as messages to other threads, and as bytes to anywhere.
//!
//! Reading them off the Lua stack (`encode`) never raises, and runs wherever a Rust function runs. Making values of them
//! again (`decode`) takes memory of Lua's, and so runs in a protected call, with all it owns outside of that.

mod decode;
mod encode;
mod format;
mod parcel;
mod plain;
mod seen;
mod shared;

pub(super) use self::decode::decode as decode_protected;
pub(super) use encode::{dump, grow, next};
pub(super) use parcel::push_parcel;
pub(crate) use parcel::{Parcel, Policy, Source};
pub(crate) use plain::Plain;
pub(crate) use shared::Shared;

use super::library::Library;
use super::object::Object;
use super::state::State;
use encode::Encoder;
use std::rc::Rc;
use std::sync::Arc;

/// Values on their way from one universe to another. Whoever owns it may take it to any thread.
pub(crate) struct Message {
    /// The values, as `format` says.
    pub(super) bytes: Vec<u8>,
    /// What crosses by reference, in the order of its first appearance.
    pub(super) shared: Vec<Arc<dyn Shared>>,
}

/// What moves with a message: it is to be given up here once that has crossed.
pub(crate) type Departing = Vec<Rc<dyn Object>>;

/// What a message may be at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// How deep tables and functions may nest.
    pub(crate) depth: usize,
    /// How many bytes it may have.
    pub(crate) bytes: usize,
}

/// What may be in a message beside plain values and tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// Functions, shared objects and what moves: it is received once, in this process.
    Process,
    /// Functions and shared objects: it is kept in this process, and received any number of times.
    Kept,
    /// Functions: it is bytes, and comes back to those who trust it.
    Bytes,
    /// Nothing: it is bytes that others read.
    Data,
}

/// Why values cannot leave.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Which of the values, from 0.
    pub(crate) index: i32,
    /// Where in it, and what is wrong: `arg 2.cfg.cb: a coroutine cannot be sent`.
    pub(crate) message: String,
}

/// How deep tables may nest unless somebody says otherwise.
pub(crate) const DEPTH: usize = 200;
/// How deep they may nest at most: Lua's stack holds up to four values a level, and 8,000 on 5.1.
pub(crate) const MOST_DEPTH: usize = 1000;
/// How many bytes a message may have unless somebody says otherwise: 256 MiB.
pub(crate) const BYTES: usize = 256 << 20;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            depth: DEPTH,
            bytes: BYTES,
        }
    }
}

impl Message {
    /// The string that is all of it; or the message, if it is another one. Most that are sent often are strings.
    pub(crate) fn into_string(mut self) -> Result<Vec<u8>, Message> {
        match format::only_string(&self.bytes) {
            Some(start) => {
                self.bytes.drain(..start);
                Ok(self.bytes)
            }
            None => Err(self),
        }
    }

    /// One of these bytes, for tests.
    #[cfg(loom)]
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Message {
        let shared = Vec::new();
        Message { bytes, shared }
    }

    /// The bytes, when nothing crosses by reference.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Copies the `count` values from `first` on the stack of `state`, which stay there; `name` says what a value is called
/// in a refusal, from 0. `[-0, +0, -]`, with up to 16 of the free slots that each call of a C function has.
pub(crate) fn encode(
    state: State,
    library: &Library,
    first: i32,
    count: i32,
    limits: &Limits,
    name: &dyn Fn(i32) -> String,
) -> Result<(Message, Departing), Refusal> {
    if count == 1
        && let Some(string) = state.string_at(first)
        && let Some(bytes) = format::string_message(string, limits.bytes)
    {
        let shared = Vec::new();
        return Ok((Message { bytes, shared }, Vec::new()));
    }
    Encoder::new(state.raw(), library, limits, Scope::Process).encode(first, count, name)
}

/// The same for a message that may leave the process, as `scope` says.
pub(crate) fn encode_as(
    state: State,
    library: &Library,
    first: i32,
    count: i32,
    limits: &Limits,
    name: &dyn Fn(i32) -> String,
    scope: Scope,
) -> Result<Message, Refusal> {
    let encoder = Encoder::new(state.raw(), library, limits, scope);
    encoder
        .encode(first, count, name)
        .map(|(message, _)| message)
}
