//! What `coev.socket.dns` asks; its tables are made in Lua.

use crate::api::function;
use crate::error::Fault;
use crate::runtime::{Deadline, Operation, Resolve, Runtime};
use crate::sys::hosts::{self, Inquiry};
use crate::sys::names::{Family, Question};
use crate::sys::socket::Kind;
use crate::vm::{Function, Outcome, Reply, Stack};

/// The functions, which Lua takes out of the module again.
pub(super) const ADDRESSES: Function = function!(waits c"addresses_of", addresses_of);
/// All about a host.
pub(super) const HOST: Function = function!(waits c"facts_of", facts_of);
/// The names of addresses.
pub(super) const NAMES: Function = function!(waits c"names_of", names_of);
/// This host's name.
pub(super) const OWN_NAME: Function = function!(c"own_name", own_name);

/// The host.
const HOST_SLOT: i32 = 1;
/// The service.
const SERVICE_SLOT: i32 = 2;

/// Asks, and waits for the answer.
fn ask(runtime: &Runtime, stack: &Stack, inquiry: Inquiry) -> Result<Outcome, Fault> {
    let resolve = Operation::Resolve(Box::new(Resolve::new(inquiry)));
    runtime.wait(stack, resolve, Deadline::Never)
}

/// `addresses_of(host [, service])` → its addresses, `4` or `6` before each, and the port of the service of messages.
fn addresses_of(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let (service, kind) = if stack.is_absent(SERVICE_SLOT) {
        ("0", Kind::Stream)
    } else {
        (stack.text(SERVICE_SLOT)?, Kind::Datagram)
    };
    let question = Question {
        host: Some(stack.text(HOST_SLOT)?.to_owned()),
        service: service.to_owned(),
        family: Family::Unspecified,
        kind,
    };
    ask(runtime, stack, Inquiry::Addresses(question))
}

/// `facts_of(host)` → its name, aliases and IPv4 addresses, `n`, `a` or `i` before each.
fn facts_of(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let host = stack.text(HOST_SLOT)?.to_owned();
    ask(runtime, stack, Inquiry::Host(host))
}

/// `names_of(host, service)` → the names of its addresses and of the service, `h` or `s` before each.
fn names_of(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let text = |slot| {
        if stack.is_absent(slot) {
            Ok(None)
        } else {
            stack.text(slot).map(|text| Some(text.to_owned()))
        }
    };
    let inquiry = Inquiry::Names(text(HOST_SLOT)?, text(SERVICE_SLOT)?);
    ask(runtime, stack, inquiry)
}

/// `own_name()` → the name of this host.
fn own_name(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(match hosts::own_name() {
        Ok(name) => Reply::one(name),
        Err(reason) => Reply::failure(reason),
    }))
}
