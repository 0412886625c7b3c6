//! `coev.thread`: OS threads, and the channels between them.

mod channel;
mod code;
mod handle;
mod job;
mod shared;

pub(super) use shared::CHAPTER as SHARED_MAP;

use super::{fd_set, socket, sync, timer};
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::vm::copy::{Departing, Message, encode};
use crate::vm::{
    Class, ClassDef, Function, Host, Makes, Module, Outcome, Reply, Source, Stack, Value,
};

/// The first class of these: behind those of sets of descriptors.
#[expect(clippy::cast_possible_truncation, reason = "there are few classes")]
const FIRST: u8 =
    (socket::CLASSES.len() + fd_set::CLASSES.len() + timer::CLASSES.len() + sync::CLASSES.len())
        as u8;

/// The class of threads.
const THREAD: Class = Class(FIRST);
/// The class of channels between threads.
const CHANNEL: Class = Class(FIRST + 1);
/// The class of what a job's end is read from.
const LATCH: Class = Class(FIRST + 2);
/// The class of what a job's end is written with.
const SETTLER: Class = Class(FIRST + 3);
/// The class of what closes a channel when it is collected.
const GUARD: Class = Class(FIRST + 4);
/// The class of values that are copied once and unpacked in many places.
const CODE: Class = Class(FIRST + 5);
/// The class of shared maps.
const SHARED: Class = Class(FIRST + 6);

/// The classes, each at its number.
pub(super) const CLASSES: &[ClassDef] = &[
    handle::CLASS,
    channel::CLASS,
    job::LATCH_CLASS,
    job::SETTLER_CLASS,
    channel::GUARD_CLASS,
    code::CLASS,
    shared::CLASS,
];

/// The functions that only the embedded Lua sees.
pub(super) const NATIVES: &[Function] = &[
    channel::GUARD,
    channel::NEW,
    channel::POST,
    code::PACK,
    code::UNPACK,
    handle::CPUS,
    handle::RENEW,
    job::ABANDON,
    job::IS_SETTLED,
    handle::ASK,
    handle::AWAIT,
    handle::CANCEL,
    handle::CANCELLED,
    handle::CONCLUDE,
    handle::MAIN,
    handle::DETACH,
    handle::MAKE,
    handle::NAME,
    handle::OWN,
    handle::PAUSE,
    handle::REQUEST,
    handle::START,
    handle::STATUS,
    handle::UNLIMITED,
    job::LATCH,
    job::SETTLE,
    shared::NEW,
];

/// The module.
pub(super) const MODULE: Module = Module {
    name: c"thread",
    loaded_as: c"coev.thread",
    functions: &[],
    sources: &[
        Source {
            name: c"=coev.thread",
            text: include_str!("thread.lua"),
        },
        Source {
            name: c"=coev.pool",
            text: include_str!("pool.lua"),
        },
    ],
    makes: Makes {
        fields: &[],
        natives: &[
            c"write_end",
            c"new_job",
            c"heed",
            c"interrupted",
            c"conclude",
            c"work",
            c"call_chunk",
        ],
    },
};

/// Copies the `count` values from `first` on; `name` says what each is called where it cannot be copied, from 0. `Err`:
/// what is wrong with one of them.
fn copy(
    runtime: &Runtime,
    stack: &Stack,
    first: i32,
    count: i32,
    name: impl Fn(i32) -> String,
) -> Result<(Message, Departing), String> {
    let (library, limits) = (runtime.library(), runtime.limits.get());
    encode(stack.state(), library, first, count, &limits, &name).map_err(|refusal| refusal.message)
}

/// How many values there are from `first` on.
fn count_from(stack: &Stack, first: i32) -> i32 {
    (stack.count() - first + 1).max(0)
}

/// `nil` and what is wrong, for the Lua that raises it at its caller's place.
fn refuse(problem: String) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(Reply::failure(problem)))
}

/// An answer of one value.
fn answer(value: impl Into<Value>) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(Reply::one(value)))
}
