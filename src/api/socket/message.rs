//! `sock:sendmessage` and `sock:receivemessage`: values over a stream, each call's length first.

use super::common::{Role, deadline, self_as};
use super::flow::read_most;
use crate::api::method;
use crate::error::Fault;
use crate::runtime::stream::{LENGTH_BYTES, MAX_MESSAGE, Pattern, Reading, Receive, Send};
use crate::runtime::{Operation, Runtime};
use crate::vm::copy::{Limits, Policy, Scope};
use crate::vm::{Function, HeldBytes, Outcome, Stack};

/// `sendmessage`, of streams.
pub(super) const SEND: Function = method!(waits c"sendmessage", send_message);
/// `receivemessage`, of streams.
pub(super) const RECEIVE: Function = method!(waits c"receivemessage", receive_message);

/// The arguments, by position.
mod slot {
    /// The first value of `sendmessage`.
    pub(super) const VALUES: i32 = 2;
    /// The most bytes of `receivemessage`.
    pub(super) const MAX_SIZE: i32 = 2;
}

/// The longest message that its length can tell.
const LONGEST: usize = u32::MAX as usize;

/// `sock:sendmessage(...)`
fn send_message(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Client)?;
    let limits = runtime.limits.get();
    let limits = Limits {
        bytes: limits.bytes.min(LONGEST),
        ..limits
    };
    let message = stack.copy(slot::VALUES, Scope::Data, &limits)?.into_bytes();
    let len = u32::try_from(message.len()).map_err(|_| Fault::misuse("the message is too long"))?;
    let mut bytes = Vec::with_capacity(LENGTH_BYTES + message.len());
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&message);
    let deadline = deadline(&stream);
    let send = Send {
        stream,
        data: HeldBytes::new(b""),
        position: 0,
        end: bytes.len(),
        gathered: Some(bytes.into()),
        is_message: true,
    };
    runtime.wait(stack, Operation::Send(send), deadline)
}

/// `sock:receivemessage([maxsize])`
fn receive_message(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Client)?;
    let most = read_most(stack, slot::MAX_SIZE)?.unwrap_or(MAX_MESSAGE);
    let policy = Policy {
        limits: Limits {
            bytes: most,
            ..runtime.limits.get()
        },
        functions: false,
        raises: false,
    };
    let deadline = deadline(&stream);
    let (pattern, nothing) = (Pattern::Message(policy), HeldBytes::new(b""));
    let receive = Receive::new(stream, Reading::new(pattern, nothing, most));
    runtime.wait(stack, Operation::Receive(receive), deadline)
}
