//! The wait of `socket.select`; its tables are read and made in Lua.

use crate::api::function;
use crate::error::Fault;
use crate::runtime::{Deadline, Operation, Runtime, Select};
use crate::sys::readiness::Wanted;
use crate::vm::{Function, Outcome, Stack};

/// The function, which Lua takes out of the module again.
pub(super) const WAIT: Function = function!(waits c"await_ready", await_ready);

/// The descriptors as text.
const DESCRIPTORS: i32 = 1;
/// The seconds; less than 0 is for ever.
const SECONDS: i32 = 2;

/// `await_ready(descriptors, seconds)` → those that are ready. As text: `r` or `w`, then the number, one after the other;
/// or `closed`, when a socket of coev's has been closed meanwhile.
fn await_ready(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let mut wanted = Vec::new();
    for word in stack.text(DESCRIPTORS)?.split_inclusive(['r', 'w']) {
        let (number, letter) = word.split_at(word.len() - 1);
        let fd = number
            .parse()
            .map_err(|_| Fault::argument(DESCRIPTORS, "no descriptors"))?;
        wanted.push(Wanted {
            fd,
            read: letter == "r",
            write: letter == "w",
        });
    }
    let seconds = Some(stack.seconds(SECONDS)?);
    let deadline = Deadline::after(seconds.filter(|seconds| *seconds >= 0.0));
    let select = Operation::Select(Box::new(Select::new(wanted)));
    runtime.wait(stack, select, deadline)
}
