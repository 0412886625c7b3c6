//! `coev.socket`: LuaSocket's module, cooperative.

mod common;
mod dns;
mod file;
mod flow;
mod functions;
mod message;
mod moving;
mod options;
mod select;
mod tcp;
mod udp;
mod unix;

use crate::vm::{Addition, Class, ClassDef, Function, Makes, Module, Source};

/// The class of a socket that is neither connected nor listening.
const MASTER: Class = Class(0);
/// The class of a connected socket.
const CLIENT: Class = Class(1);
/// The class of a listening socket.
const SERVER: Class = Class(2);
/// The class of a UDP socket without a peer.
const UDP: Class = Class(3);
/// The class of a UDP socket with a peer.
const UDP_CONNECTED: Class = Class(4);
/// As `MASTER`, of paths.
const UNIX_MASTER: Class = Class(5);
/// As `CLIENT`, of paths.
const UNIX_CLIENT: Class = Class(6);
/// As `SERVER`, of paths.
const UNIX_SERVER: Class = Class(7);
/// As `UDP`, of paths.
const DGRAM: Class = Class(8);
/// As `UDP_CONNECTED`, of paths.
const DGRAM_CONNECTED: Class = Class(9);

/// Every class.
const ANY: &[Class] = &[
    MASTER,
    CLIENT,
    SERVER,
    UDP,
    UDP_CONNECTED,
    UNIX_MASTER,
    UNIX_CLIENT,
    UNIX_SERVER,
    DGRAM,
    DGRAM_CONNECTED,
];

/// A class with its name.
const fn class(name: &'static std::ffi::CStr, methods: &'static [Function]) -> ClassDef {
    ClassDef {
        name,
        module: MODULE.name,
        methods,
        tostring: &common::TOSTRING,
    }
}

/// The classes, each at its number.
pub(super) const CLASSES: &[ClassDef] = &[
    class(c"tcp{master}", tcp::METHODS),
    class(c"tcp{client}", tcp::METHODS),
    class(c"tcp{server}", tcp::METHODS),
    class(c"udp{unconnected}", udp::METHODS),
    class(c"udp{connected}", udp::METHODS),
    class(c"unixstream{master}", unix::STREAM_METHODS),
    class(c"unixstream{client}", unix::STREAM_METHODS),
    class(c"unixstream{server}", unix::STREAM_METHODS),
    class(c"unixdgram{unconnected}", unix::DATAGRAM_METHODS),
    class(c"unixdgram{connected}", unix::DATAGRAM_METHODS),
];

/// The files of Lua that come after the module's own.
pub(super) const ADDITIONS: &[Addition] = &[
    addition(c"=coev.socket.options", include_str!("options.lua")),
    addition(c"=coev.socket.names", include_str!("names.lua")),
    addition(c"=coev.socket.files", include_str!("files.lua")),
    addition(c"=coev.socket.server", include_str!("server.lua")),
    addition(c"=coev.socket.select", include_str!("select.lua")),
    addition(c"=coev.socket.protect", include_str!("protect.lua")),
    addition(c"=coev.socket.stream", include_str!("stream.lua")),
];

/// One of them.
const fn addition(name: &'static std::ffi::CStr, text: &'static str) -> Addition {
    Addition {
        module: MODULE.name,
        source: Source { name, text },
    }
}

/// The module.
pub(super) const MODULE: Module = Module {
    name: c"socket",
    loaded_as: c"coev.socket",
    functions: functions::FUNCTIONS,
    sources: &[Source {
        name: c"=coev.socket",
        text: include_str!("socket.lua"),
    }],
    makes: Makes {
        fields: &[],
        natives: &[c"socket"],
    },
};
