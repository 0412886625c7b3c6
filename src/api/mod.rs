//! What Lua sees: one file a noun. Each function reads its arguments, makes an operation, and answers an `Outcome`.

mod copy;
mod fd_set;
mod natives;
mod scheduler;
mod socket;
mod supervisor;
mod sync;
mod task;
mod thread;
mod timer;

use crate::runtime::Runtime;
use crate::vm::{Chapter, Library, Makes, Module, Parts, Source};

/// Describes a function for Lua: its name there and the Rust function.
macro_rules! function {
    ($name:literal, $body:expr) => {
        crate::api::describe!($name, $body, method: false, waits: false)
    };
    (waits $name:literal, $body:expr) => {
        crate::api::describe!($name, $body, method: false, waits: true)
    };
}

/// Describes a method for Lua: its first argument is the object before the colon.
macro_rules! method {
    ($name:literal, $body:expr) => {
        crate::api::describe!($name, $body, method: true, waits: false)
    };
    (waits $name:literal, $body:expr) => {
        crate::api::describe!($name, $body, method: true, waits: true)
    };
}

/// What `function` and `method` have in common.
macro_rules! describe {
    ($name:literal, $body:expr, method: $method:literal, waits: $waits:literal) => {
        crate::vm::Function {
            name: $name,
            method: $method,
            waits: $waits,
            entry: crate::vm::entry_of::<crate::runtime::Runtime, _>($body),
        }
    };
}

pub(crate) use {describe, function, method};

/// Everything that is set up when the library is loaded.
pub(crate) static PARTS: Parts = Parts {
    functions: scheduler::FUNCTIONS,
    task: task::CLASS,
    classes: &[
        socket::CLASSES,
        fd_set::CLASSES,
        timer::CLASSES,
        sync::CLASSES,
        thread::CLASSES,
    ],
    modules: &[
        socket::MODULE,
        timer::MODULE,
        POLL,
        supervisor::MODULE,
        sync::MUTEX,
        sync::SEMAPHORE,
        sync::RWLOCK,
        sync::CONDITION,
        sync::EVENT,
        sync::WAITGROUP,
        sync::BARRIER,
        sync::CHANNEL,
        thread::MODULE,
    ],
    additions: socket::ADDITIONS,
    natives: &[natives::FUNCTIONS, thread::NATIVES],
    helpers: Source {
        name: c"=coev",
        text: include_str!("helpers.lua"),
    },
    chapters: &[
        task::CHAPTER,
        COROUTINE,
        copy::CHAPTER,
        thread::SHARED_MAP,
        sync::CHAPTER,
    ],
};

/// `coev.coroutine`, protected calls and `coev.patch`.
const COROUTINE: Chapter = Chapter {
    sources: &[Source {
        name: c"=coev.coroutine",
        text: include_str!("coroutine.lua"),
    }],
    makes: Makes {
        fields: &[c"coroutine", c"pcall", c"xpcall", c"patch"],
        natives: &[c"pcall", c"traced", c"failure"],
    },
    completes_tasks: false,
};

/// `coev.poll`, which is Lua over sets of descriptors.
const POLL: Module = Module {
    name: c"poll",
    loaded_as: c"coev.poll",
    functions: &[],
    sources: &[Source {
        name: c"=coev.poll",
        text: include_str!("poll.lua"),
    }],
    makes: Makes {
        fields: &[c"wait", c"poller"],
        natives: &[],
    },
};

/// Starts the runtime of a universe.
pub(crate) fn start(library: Library) -> Runtime {
    Runtime::new(library)
}
