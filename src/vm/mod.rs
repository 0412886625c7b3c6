//! The Lua floor: everything that touches the Lua C API. Knows neither the scheduler nor the operating system.
//!
//! Two rules make it sound. A Rust function that Lua calls never jumps: it answers an `Outcome`, and the trampoline in
//! `entry` performs it with nothing alive that has a destructor. And what may raise runs either in the trampoline,
//! outside `catch_unwind`, or in a protected call.

#![allow(unsafe_code, reason = "this floor is one of the two where it lives")]

mod ask;
mod asking;
mod batch;
mod brief;
mod chunks;
mod clock;
mod compat;
pub(crate) mod copy;
mod coroutine;
mod demand;
mod ending;
mod entry;
mod farewell;
mod finalizer;
mod flow;
mod function;
mod helpers;
mod holding;
mod hookable;
mod library;
mod limit;
mod lists;
mod load;
mod making;
mod marks;
mod object;
mod outcome;
mod protected;
mod push;
mod quick;
mod raise;
mod registry;
mod spawn;
mod stack;
mod state;
mod universe;

pub(crate) use ask::AtOnce;
pub(crate) use batch::{Readies, gathering as entry_gathering};
pub(crate) use brief::{Wakes, here as entry_here, wake as entry_wake};
pub(crate) use clock::{
    Clockwork, Halted, halting as entry_halting, is_span, running as entry_running,
    starting as entry_starting,
};
pub(crate) use compat::{CLOSES_VARIABLES, NESTED_WAITS};
pub(crate) use coroutine::{Coroutine, Resumed};
pub(crate) use ending::ErrorAt;
pub(crate) use entry::{Host, leaving as entry_leaving, listing as entry_listing, of as entry_of};
pub(crate) use flow::{Flow, flowing as entry_flowing, ready_bytes as entry_ready_bytes};
pub(crate) use function::Function;
pub(crate) use holding::Holder;
pub(crate) use hookable::Hookable;
pub(crate) use library::{Addition, Chapter, ClassDef, Library, Makes, Module, Parts, Source};
pub(crate) use load::{entry_points, load};
pub(crate) use object::{Class, Object, This};
pub(crate) use outcome::{
    HeldBytes, Instead, Leave, Outcome, Outward, Reply, ReplySlot, TaskName, Value,
};
pub(crate) use quick::{
    Keeps, Quick, call as entry_quick, receive as entry_receive, store as entry_store,
    table as entry_table,
};
pub(crate) use registry::{Ended, Slot};
pub(crate) use spawn::spawning as entry_spawning;
pub(crate) use stack::{Argument, Stack};
pub(crate) use state::State;
pub(crate) use universe::{Settings, Universe};
