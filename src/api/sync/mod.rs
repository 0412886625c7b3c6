//! `coev.mutex` and its friends: what they share. The rest of each is in its own file, and in Lua what calls Lua functions.

mod channel;
mod gates;
mod locks;
mod select;

pub(super) use select::{AWAIT, CASE, CHOOSE, STOW, TAKE};

use super::{fd_set, socket, timer};
use crate::api::function;
use crate::error::Fault;
use crate::runtime::sync::{Kind, Place, Waitable, Wish};
use crate::runtime::{Deadline, Operation, Runtime};
use crate::vm::{
    Chapter, Class, ClassDef, Function, Makes, Module, Outcome, Reply, Source, Stack, Value,
    entry_table,
};
use std::rc::Rc;

/// The first class: behind those of sockets, sets of descriptors and timers.
#[expect(clippy::cast_possible_truncation, reason = "there are few classes")]
const FIRST: u8 = (socket::CLASSES.len() + fd_set::CLASSES.len() + timer::CLASSES.len()) as u8;

/// The classes, in the order of `class_of`.
pub(super) const CLASSES: &[ClassDef] = &[
    class(&MUTEX, locks::MUTEX_METHODS),
    class(&SEMAPHORE, locks::SEMAPHORE_METHODS),
    class(&RWLOCK, locks::RWLOCK_METHODS),
    class(&CONDITION, gates::CONDITION_METHODS),
    class(&EVENT, gates::EVENT_METHODS),
    class(&WAITGROUP, gates::WAITGROUP_METHODS),
    class(&BARRIER, gates::BARRIER_METHODS),
    class(&CHANNEL, channel::METHODS),
];

/// `__tostring` of all.
static TOSTRING: Function = function!(c"tostring", tostring);

/// A class whose objects tasks wait at.
const fn class(module: &Module, methods: &'static [Function]) -> ClassDef {
    ClassDef {
        name: module.loaded_as,
        module: module.name,
        methods,
        tostring: &TOSTRING,
    }
}

/// The class of an object.
fn class_of(object: &Waitable) -> Class {
    Class(
        FIRST
            + match object.kind {
                Kind::Mutex(_) => 0,
                Kind::Semaphore(_) => 1,
                Kind::Rwlock(_) => 2,
                Kind::Condition(_) => 3,
                Kind::Event(_) => 4,
                Kind::Waitgroup(_) => 5,
                Kind::Barrier(_) => 6,
                Kind::Channel(_) => 7,
            },
    )
}

/// The Lua that all of them share, and `coev.select`.
pub(super) const CHAPTER: Chapter = Chapter {
    sources: &[
        Source {
            name: c"=coev.sync",
            text: include_str!("objects.lua"),
        },
        Source {
            name: c"=coev.select",
            text: include_str!("select.lua"),
        },
    ],
    makes: Makes {
        fields: &[c"select"],
        natives: &[
            c"readiness",
            c"readiness_of",
            c"tell",
            c"adopt_class",
            c"note_sites",
            c"bad_argument",
            c"tell_of_end",
        ],
    },
    completes_tasks: false,
};

/// Describes a module.
macro_rules! module {
    ($name:literal, $loaded_as:literal, $functions:expr, $text:expr) => {
        module!($name, $loaded_as, $functions, $text, &[])
    };
    ($name:literal, $loaded_as:literal, $functions:expr, $text:expr, $natives:expr) => {
        Module {
            name: $name,
            loaded_as: $loaded_as,
            functions: $functions,
            sources: &[Source {
                name: c"=coev.sync",
                text: $text,
            }],
            makes: Makes {
                fields: &[],
                natives: $natives,
            },
        }
    };
}

/// The modules.
pub(super) const MUTEX: Module = module!(
    c"mutex",
    c"coev.mutex",
    &[function!(c"new", locks::new_mutex)],
    include_str!("mutex.lua"),
    &[c"lock", c"session", c"set_session"]
);
/// `coev.semaphore`.
pub(super) const SEMAPHORE: Module = module!(
    c"semaphore",
    c"coev.semaphore",
    &[function!(c"new", locks::new_semaphore)],
    "local module, _, natives = ... natives.adopt_class(module, \"semaphore\", true)"
);
/// `coev.rwlock`.
pub(super) const RWLOCK: Module = module!(
    c"rwlock",
    c"coev.rwlock",
    &[function!(c"new", locks::new_rwlock)],
    "local module, _, natives = ... natives.adopt_class(module, \"rwlock\", true)"
);
/// `coev.condition`.
pub(super) const CONDITION: Module = module!(
    c"condition",
    c"coev.condition",
    &[function!(c"new", gates::new_condition)],
    include_str!("condition.lua")
);
/// `coev.event`.
pub(super) const EVENT: Module = module!(
    c"event",
    c"coev.event",
    &[function!(c"new", gates::new_event)],
    include_str!("event.lua")
);
/// `coev.waitgroup`.
pub(super) const WAITGROUP: Module = module!(
    c"waitgroup",
    c"coev.waitgroup",
    &[function!(c"new", gates::new_waitgroup)],
    "local module, _, natives = ... natives.adopt_class(module, \"waitgroup\", true)"
);
/// `coev.barrier`.
pub(super) const BARRIER: Module = module!(
    c"barrier",
    c"coev.barrier",
    &[function!(c"new", gates::new_barrier)],
    "local module, _, natives = ... natives.adopt_class(module, \"barrier\", false)"
);
/// `coev.channel`.
pub(super) const CHANNEL: Module = module!(
    c"channel",
    c"coev.channel",
    &[function!(c"new", channel::new)],
    include_str!("channel.lua")
);

/// What only the embedded Lua sees of objects.
pub(super) const READY: Function = function!(c"ready", ready);
/// The table of an object.
pub(super) const OWN_TABLE: Function = Function {
    entry: entry_table::<Runtime>(),
    ..function!(c"own_table", ready)
};
/// Lets the runtime tell Lua what is new.
pub(super) const SETTLE: Function = function!(c"settle", settle);
/// Lets Lua know when an object may be ready.
pub(super) const WATCH: Function = function!(c"watch", watch);
/// Remembers where an object was made.
pub(super) const SET_SITE: Function = function!(c"set_site", set_site);

/// The arguments, by position.
mod slot {
    /// The object.
    pub(super) const SELF: i32 = 1;
    /// The first one behind it.
    pub(super) const FIRST: i32 = 2;
    /// The second one.
    pub(super) const SECOND: i32 = 3;
}

/// The object of a method of the kind that `index` chooses, and its state.
fn any(stack: &Stack) -> Result<Rc<Waitable>, Fault> {
    stack
        .holder::<Runtime>(slot::SELF)
        .ok_or_else(|| stack.expected(slot::SELF, "an object of coev's"))
}

/// A new object.
fn made(kind: Kind) -> Outcome {
    let object = Waitable::new(kind);
    Outcome::Reply(Reply::one(Value::Object(class_of(&object), object)))
}

/// An answer of one value.
fn answer(value: impl Into<Value>) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(Reply::one(value)))
}

/// A number without a fraction, and not below `least`.
fn count(stack: &Stack, slot: i32, least: i64) -> Result<i64, Fault> {
    if stack.is_absent(slot) {
        return Err(Fault::argument(slot, "number expected, got no value"));
    }
    let number = stack.integer(slot)?;
    if number < least {
        return Err(Fault::argument(
            slot,
            format!("{number} is less than {least}"),
        ));
    }
    Ok(number)
}

/// The same, where it may be left out.
fn opt_count(stack: &Stack, slot: i32, least: i64, default: i64) -> Result<i64, Fault> {
    if stack.is_absent(slot) {
        return Ok(default);
    }
    count(stack, slot, least)
}

/// Waits at an object, or not, as `timeout` says.
fn wait(
    runtime: &Runtime,
    stack: &Stack,
    object: Rc<Waitable>,
    wish: Wish,
    timeout: Option<f64>,
) -> Result<Outcome, Fault> {
    if let Some(given) = object.try_now(runtime, wish) {
        return Ok(Outcome::Reply(object.reply(wish, given, 0)));
    }
    let place = Place::new(object, wish);
    if timeout.is_some_and(|timeout| timeout <= 0.0) {
        let reply = place.expired();
        place.give_up();
        return Ok(Outcome::Reply(reply));
    }
    runtime.wait(stack, Operation::Place(place), Deadline::after(timeout))
}

/// `tostring(object)`
fn tostring(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(any(stack)?.text(runtime))
}

/// `ready(object, [events])` → those of them that would not wait, or nothing.
fn ready(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = any(stack)?;
    let events = if stack.is_absent(slot::FIRST) {
        "r"
    } else {
        stack.text(slot::FIRST)?
    };
    match object.ready(runtime, events) {
        "" => answer(()),
        ready => answer(ready),
    }
}

/// `watch(object, [name])`: `tell(name)` is called when it may be ready; no longer without a name.
fn watch(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = any(stack)?;
    let name = if stack.is_absent(slot::FIRST) {
        None
    } else {
        Some(stack.integer(slot::FIRST)?)
    };
    object.set_watch(runtime, name);
    answer(())
}

/// `set_site(object, text)`: it was made there.
fn set_site(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    any(stack)?.set_site(stack.text(slot::FIRST)?.to_owned());
    answer(())
}

/// `settle()`: what questions have left to be told has been told by the trampoline when this returns.
fn settle(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(Outcome::Reply(Reply::none()))
}
