//! `coev.mutex` and its friends, which are Lua over one list of waiters (`waiters.lua`).

use crate::vm::{Module, Source};

/// The list that all the others are made of.
pub(super) const WAITERS: Source = Source {
    name: c"=coev.waiters",
    text: include_str!("waiters.lua"),
};

/// `coev.select`.
pub(super) const SELECT: Source = Source {
    name: c"=coev.select",
    text: include_str!("select.lua"),
};

/// Describes a module that is Lua alone.
macro_rules! module {
    ($name:literal, $loaded_as:literal, $source_name:literal, $text:expr) => {
        Module {
            name: $name,
            loaded_as: $loaded_as,
            functions: &[],
            sources: &[Source {
                name: $source_name,
                text: $text,
            }],
        }
    };
}

/// `coev.mutex`.
pub(super) const MUTEX: Module = module!(
    c"mutex",
    c"coev.mutex",
    c"=coev.mutex",
    include_str!("mutex.lua")
);

/// `coev.semaphore`.
pub(super) const SEMAPHORE: Module = module!(
    c"semaphore",
    c"coev.semaphore",
    c"=coev.semaphore",
    include_str!("semaphore.lua")
);

/// `coev.rwlock`.
pub(super) const RWLOCK: Module = module!(
    c"rwlock",
    c"coev.rwlock",
    c"=coev.rwlock",
    include_str!("rwlock.lua")
);

/// `coev.condition`.
pub(super) const CONDITION: Module = module!(
    c"condition",
    c"coev.condition",
    c"=coev.condition",
    include_str!("condition.lua")
);

/// `coev.event`.
pub(super) const EVENT: Module = module!(
    c"event",
    c"coev.event",
    c"=coev.event",
    include_str!("event.lua")
);

/// `coev.waitgroup`.
pub(super) const WAITGROUP: Module = module!(
    c"waitgroup",
    c"coev.waitgroup",
    c"=coev.waitgroup",
    include_str!("waitgroup.lua")
);

/// `coev.barrier`.
pub(super) const BARRIER: Module = module!(
    c"barrier",
    c"coev.barrier",
    c"=coev.barrier",
    include_str!("barrier.lua")
);

/// `coev.channel`.
pub(super) const CHANNEL: Module = module!(
    c"channel",
    c"coev.channel",
    c"=coev.channel",
    include_str!("channel.lua")
);
