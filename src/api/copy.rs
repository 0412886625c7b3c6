//! `coev.pack`, `coev.unpack` and what they are allowed.

use crate::api::function;
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::vm::copy::{Limits, MOST_DEPTH, Parcel, Policy, Scope, Source};
use crate::vm::{Chapter, Function, Makes, Outcome, Reply, Source as Text, Stack, Value};

/// Their Lua, and that of names.
pub(super) const CHAPTER: Chapter = Chapter {
    sources: &[Text {
        name: c"=coev.copy",
        text: include_str!("copy.lua"),
    }],
    makes: Makes {
        fields: &[c"pack", c"unpack", c"message_limits"],
        natives: &[c"cross"],
    },
    completes_tasks: false,
};

/// `coev.pack(...)`
pub(super) const PACK: Function = function!(c"pack", pack);
/// `unpack(string, functions, depth, size)`: what `coev.unpack` calls.
pub(super) const UNPACK: Function = function!(c"unpack", unpack);
/// `message_limits([depth, size])` → those before: what `coev.message_limits` calls.
pub(super) const LIMITS: Function = function!(c"message_limits", message_limits);

/// The arguments, by position.
mod slot {
    /// The first value of `pack`.
    pub(super) const VALUES: i32 = 1;
    /// The string of `unpack`.
    pub(super) const STRING: i32 = 1;
    /// May there be functions in it?
    pub(super) const FUNCTIONS: i32 = 2;
    /// How deep it may be.
    pub(super) const DEPTH: i32 = 3;
    /// How many bytes it may have.
    pub(super) const SIZE: i32 = 4;
    /// The depth of `message_limits`.
    pub(super) const NEW_DEPTH: i32 = 1;
    /// The size of `message_limits`.
    pub(super) const NEW_SIZE: i32 = 2;
}

/// `coev.pack(...)` → string
fn pack(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let message = stack.copy(slot::VALUES, Scope::Bytes, &runtime.limits.get())?;
    Ok(Outcome::Reply(Reply::one(message.into_bytes())))
}

/// `unpack(string, functions, depth, size)` → the values, or `nil` and what is wrong.
fn unpack(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let source = Source::Held(stack.held(slot::STRING)?);
    let functions = !stack.is_absent(slot::FUNCTIONS) && stack.boolean(slot::FUNCTIONS)?;
    let limits = read_limits(stack, slot::DEPTH, slot::SIZE, runtime.limits.get())?;
    let policy = Policy {
        limits,
        functions,
        raises: false,
    };
    Ok(Outcome::Reply(Reply::one(Parcel { source, policy })))
}

/// `message_limits([depth, size])` → depth and size until now; `nil` is the default.
fn message_limits(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let before = runtime.limits.get();
    if stack.has(slot::NEW_DEPTH) {
        let limits = read_limits(stack, slot::NEW_DEPTH, slot::NEW_SIZE, Limits::default())?;
        runtime.limits.set(limits);
    }
    let count =
        |count: usize| i64::try_from(count).map_or(Value::Number(f64::INFINITY), Value::Integer);
    Ok(Outcome::Reply(Reply::two(
        count(before.depth),
        count(before.bytes),
    )))
}

/// Limits, where they are given.
fn read_limits(stack: &Stack, depth: i32, size: i32, default: Limits) -> Result<Limits, Fault> {
    let read = |slot: i32, name: &str, default: usize| {
        if stack.is_absent(slot) {
            return Ok(default);
        }
        let number = stack.number(slot)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is out of range becomes the nearest"
        )]
        match number {
            1.0.. => Ok(number as usize),
            _ => Err(Fault::misuse(format!(
                "the {name} of a message is at least 1"
            ))),
        }
    };
    Ok(Limits {
        depth: read(depth, "depth", default.depth)?.min(MOST_DEPTH),
        bytes: read(size, "size", default.bytes)?,
    })
}
