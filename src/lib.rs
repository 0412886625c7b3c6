//! coev: cooperative tasks, sockets, timers and threads for every stock Lua. This file is the entry point, nothing else.

mod api;
mod error;
mod runtime;
mod sched;
mod sys;
#[cfg(test)]
mod tidy;
mod vm;

vm::entry_points! {
    load(api::PARTS, api::start, sys::host::interpreter);
    /// `require "coev"`
    luaopen_coev => None;
    /// `require "coev.socket"`: Lua's all-in-one loader finds it in the same file.
    luaopen_coev_socket => Some(c"socket");
    /// `require "coev.timer"`
    luaopen_coev_timer => Some(c"timer");
    /// `require "coev.poll"`
    luaopen_coev_poll => Some(c"poll");
    /// `require "coev.supervisor"`
    luaopen_coev_supervisor => Some(c"supervisor");
    /// `require "coev.mutex"`
    luaopen_coev_mutex => Some(c"mutex");
    /// `require "coev.semaphore"`
    luaopen_coev_semaphore => Some(c"semaphore");
    /// `require "coev.rwlock"`
    luaopen_coev_rwlock => Some(c"rwlock");
    /// `require "coev.condition"`
    luaopen_coev_condition => Some(c"condition");
    /// `require "coev.event"`
    luaopen_coev_event => Some(c"event");
    /// `require "coev.waitgroup"`
    luaopen_coev_waitgroup => Some(c"waitgroup");
    /// `require "coev.barrier"`
    luaopen_coev_barrier => Some(c"barrier");
    /// `require "coev.channel"`
    luaopen_coev_channel => Some(c"channel");
    /// `require "coev.thread"`
    luaopen_coev_thread => Some(c"thread");
}
