//! `sendfile`: a file, or a part of one, to a stream; and what comes from one stream to another.

use super::common::{Role, closed, deadline, self_as};
use crate::api::{function, method};
use crate::error::Fault;
use crate::runtime::stream::{Relay, SendFile, Stream};
use crate::runtime::{Deadline, Operation, Runtime};
use crate::sys::failure;
use crate::vm::{Function, Outcome, Reply, Stack};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// `sendfile`, of streams.
pub(super) const SENDFILE: Function = method!(waits c"sendfile", sendfile);

/// What `copy` calls, where both streams are coev's.
pub(super) const RELAY: Function = function!(waits c"relay", relay);

/// The streams of `copy`.
const FROM: i32 = 1;
/// Where the bytes go.
const TO: i32 = 2;
/// The path of the file.
const PATH: i32 = 2;
/// Where to begin in it.
const OFFSET: i32 = 3;
/// How many bytes to send.
const LENGTH: i32 = 4;

/// `sock:sendfile(path [, offset [, length]])` → the bytes sent.
fn sendfile(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let stream = self_as(stack, Role::Client)?;
    let path = OsStr::from_bytes(stack.bytes(PATH)?);
    let number = |slot: i32| {
        if stack.is_absent(slot) {
            return Ok(None);
        }
        let number = u64::try_from(stack.integer(slot)?);
        let number = number.map_err(|_| Fault::argument(slot, "out of range"))?;
        Ok(Some(number))
    };
    let (offset, length) = (number(OFFSET)?.unwrap_or(0), number(LENGTH)?);
    if stream.is_closed() {
        return Ok(closed());
    }
    let opened = File::open(path).and_then(|file| {
        let about = file.metadata()?;
        if about.is_file() {
            Ok((file, about.len()))
        } else {
            Err(io::Error::other("not a regular file"))
        }
    });
    let (file, size) = match opened {
        Ok(opened) => opened,
        Err(error) => return Ok(Outcome::Reply(Reply::failure(failure::word(&error)))),
    };
    let end = length.map_or(size, |length| size.min(offset.saturating_add(length)));
    let deadline = deadline(&stream);
    let send = SendFile {
        stream,
        file,
        offset,
        end,
        sent: 0,
    };
    runtime.wait(stack, Operation::SendFile(Box::new(send)), deadline)
}

/// `relay(from, to)` → the bytes passed on until the end, or `nil`, the reason, and how many. The reason is "none", at
/// once, where there is no way through the kernel, or a timeout for each piece.
fn relay(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let classes = Role::Client.classes();
    let [from, to] = [FROM, TO].map(|slot| stack.object::<Stream>(slot, classes, "client"));
    let (from, to) = (from?, to?);
    let timed = [&from, &to].map(|stream| stream.timeouts.get().nearest().is_some());
    match Relay::new(from, to) {
        Ok(relay) if timed == [false, false] => {
            runtime.wait(stack, Operation::Relay(Box::new(relay)), Deadline::Never)
        }
        _ => Ok(Outcome::Reply(Reply::failure("none"))),
    }
}
