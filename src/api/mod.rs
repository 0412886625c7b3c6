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
            at_once: None,
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
    guards: Source {
        name: c"=coev",
        text: include_str!("guards.lua"),
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
        natives: &[c"has_descriptor"],
    },
};

/// Starts the runtime of a universe.
pub(crate) fn start(library: Library) -> Runtime {
    Runtime::new(library)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Makes;
    use std::ffi::CStr;

    /// The names that a source gives a value in the table `owner`: those at the start of a line, which its run reaches.
    fn made<'a>(text: &'a str, owner: &str) -> Vec<&'a str> {
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let name = |line: &'a str| {
            let function = line.strip_prefix("function ");
            let rest = function.unwrap_or(line).strip_prefix(owner)?;
            let rest = rest.strip_prefix('.')?;
            let end = rest.find(|letter| !is_part(letter))?;
            let after = &rest[end..];
            let defines = function.is_some() || after.starts_with(" =") || after.starts_with(',');
            defines.then_some(&rest[..end])
        };
        text.lines().filter_map(name).collect()
    }

    /// Is what the texts make what is listed? Some of it is made inside of an `if`, and must at least be mentioned.
    fn check(texts: &[&str], makes: Makes) {
        for (owner, listed) in [("coev", makes.fields), ("natives", makes.natives)] {
            let listed: Vec<&str> = listed.iter().map(|name| name.to_str().unwrap()).collect();
            for name in texts.iter().flat_map(|text| made(text, owner)) {
                assert!(listed.contains(&name), "{owner}.{name} is not listed");
            }
            for name in listed {
                let full = format!("{owner}.{name}");
                let is_rust = owner == "coev"
                    && PARTS
                        .functions
                        .iter()
                        .any(|function| is(function.name, name));
                assert!(
                    is_rust || texts.iter().any(|text| text.contains(&full)),
                    "{full} is listed, but nobody makes it"
                );
            }
        }
    }

    /// Are they the same?
    fn is(name: &CStr, other: &str) -> bool {
        name.to_bytes() == other.as_bytes()
    }

    #[test]
    fn each_piece_of_lua_says_what_it_makes() {
        for chapter in PARTS.chapters {
            let texts: Vec<&str> = chapter.sources.iter().map(|source| source.text).collect();
            check(&texts, chapter.makes);
        }
        for module in PARTS.modules {
            let additions = PARTS
                .additions
                .iter()
                .filter(|addition| addition.module == module.name);
            let sources = module.sources.iter().copied();
            let texts: Vec<&str> = sources
                .chain(additions.map(|addition| addition.source))
                .map(|source| source.text)
                .collect();
            check(&texts, module.makes);
        }
    }

    #[test]
    fn each_class_belongs_to_a_module() {
        for class in PARTS.classes.iter().copied().flatten() {
            let mut modules = PARTS.modules.iter();
            assert!(
                modules.any(|module| module.name == class.module),
                "{:?}",
                class.name
            );
        }
    }
}
