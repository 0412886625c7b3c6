//! `coev.socket`: LuaSocket's module, cooperative.

mod dns;
mod functions;
mod options;
mod tcp;

use crate::vm::{Class, ClassDef, Module, Source};

/// The class of a socket that is neither connected nor listening.
const MASTER: Class = Class(0);
/// The class of a connected socket.
const CLIENT: Class = Class(1);
/// The class of a listening socket.
const SERVER: Class = Class(2);

/// Every class of TCP sockets.
const ANY: &[Class] = &[MASTER, CLIENT, SERVER];

/// The classes, each at its number.
pub(super) const CLASSES: &[ClassDef] = &[
    ClassDef {
        name: c"tcp{master}",
        methods: tcp::METHODS,
        tostring: &tcp::TOSTRING,
    },
    ClassDef {
        name: c"tcp{client}",
        methods: tcp::METHODS,
        tostring: &tcp::TOSTRING,
    },
    ClassDef {
        name: c"tcp{server}",
        methods: tcp::METHODS,
        tostring: &tcp::TOSTRING,
    },
];

/// The module.
pub(super) const MODULE: Module = Module {
    name: c"socket",
    loaded_as: c"coev.socket",
    functions: functions::FUNCTIONS,
    source: Source {
        name: c"=coev.socket",
        text: include_str!("socket.lua"),
    },
};
