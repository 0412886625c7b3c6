//! A stream socket with what makes it cooperative: its place among the interests, its unread input, its two queues.

mod accept;
mod connect;
mod input;
mod receive;
mod send;
mod turnstile;

pub(crate) use accept::Accept;
pub(crate) use connect::{Connect, Target};
pub(crate) use receive::{Pattern, Receive};
pub(crate) use send::Send;

use super::Departures;
use super::Runtime;
use super::interests::{Direction, Key};
use crate::sched::TaskId;
use crate::sys::names::Family;
use crate::sys::socket::{Flag, Socket};
use crate::vm::Object;
use input::Input;
use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::io;
use turnstile::Turnstile;

/// A TCP socket of Lua's.
pub(crate) struct Stream {
    /// The socket; none before the family is known, and none after `close`.
    socket: RefCell<Option<Socket>>,
    /// Has `close` been called?
    closed: Cell<bool>,
    /// The family, once it is known.
    family: Cell<Family>,
    /// Its place among the interests, once somebody had to wait.
    key: Cell<Option<Key>>,
    /// What has been read and not yet asked for.
    input: RefCell<Input>,
    /// Who may read or accept now, and who may write or connect.
    turnstiles: [RefCell<Turnstile>; 2],
    /// How long a call may wait.
    pub(crate) timeouts: Cell<Timeouts>,
    /// Options that were set before there was a socket.
    wishes: RefCell<Vec<(Flag, bool)>>,
    /// Where its key goes when it is collected.
    departures: Departures,
}

/// How many seconds a call may wait; `None` is for ever. Both count from the call's start; the nearer one holds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Timeouts {
    /// LuaSocket's mode "b".
    pub(crate) block: Option<f64>,
    /// LuaSocket's mode "t".
    pub(crate) total: Option<f64>,
}

impl Timeouts {
    /// The nearer one.
    pub(crate) fn nearest(self) -> Option<f64> {
        match (self.block, self.total) {
            (Some(block), Some(total)) => Some(block.min(total)),
            (block, total) => block.or(total),
        }
    }
}

impl Object for Stream {}

impl Stream {
    /// A stream around a socket, or one that gets its socket when the family is known.
    pub(crate) fn new(runtime: &Runtime, socket: Option<Socket>, family: Family) -> Stream {
        Stream {
            socket: RefCell::new(socket),
            closed: Cell::new(false),
            family: Cell::new(family),
            key: Cell::new(None),
            input: RefCell::default(),
            turnstiles: Default::default(),
            timeouts: Cell::default(),
            wishes: RefCell::default(),
            departures: runtime.departures(),
        }
    }

    /// Has `close` been called?
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// The family of its addresses.
    pub(crate) fn family(&self) -> Family {
        self.family.get()
    }

    /// Works with the socket, where there is one.
    pub(crate) fn with_socket<T>(
        &self,
        work: impl FnOnce(&Socket) -> io::Result<T>,
    ) -> io::Result<T> {
        match &*self.socket.borrow() {
            Some(socket) => work(socket),
            None => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    /// The socket, where there is one.
    fn socket(&self) -> Option<Ref<'_, Socket>> {
        Ref::filter_map(self.socket.borrow(), Option::as_ref).ok()
    }

    /// Makes sure that there is a socket of the family, with the options that were asked for before.
    pub(crate) fn open(&self, runtime: &Runtime, family: Family) -> io::Result<()> {
        if self.family.get() == family && self.socket.borrow().is_some() {
            return Ok(());
        }
        let socket = Socket::new(family)?;
        for (flag, on) in &*self.wishes.borrow() {
            socket.set_flag(*flag, *on)?;
        }
        self.discard_socket(runtime);
        self.family.set(family);
        self.socket.replace(Some(socket));
        Ok(())
    }

    /// Sets an option, now or as soon as there is a socket.
    pub(crate) fn set_flag(&self, flag: Flag, on: bool) -> io::Result<()> {
        match &*self.socket.borrow() {
            Some(socket) => socket.set_flag(flag, on),
            None => {
                self.wishes.borrow_mut().push((flag, on));
                Ok(())
            }
        }
    }

    /// Closes the socket; who waits for it learns of it at its turn. What has been read can still be asked for.
    pub(crate) fn close(&self, runtime: &Runtime) {
        self.closed.set(true);
        self.discard_socket(runtime);
        for turnstile in &self.turnstiles {
            if let Some(inside) = turnstile.borrow().inside() {
                runtime.wake(inside);
            }
        }
        runtime.note_closing();
    }

    /// Lets the socket go, and its place among the interests.
    fn discard_socket(&self, runtime: &Runtime) {
        if let Some(key) = self.key.take() {
            runtime.forget_interest(key);
        }
        self.socket.take();
    }

    /// Lets `task` into the direction, or into its queue.
    fn enter(&self, direction: Direction, task: TaskId) -> bool {
        self.turnstiles[direction as usize].borrow_mut().enter(task)
    }

    /// Has the task got past the queue of the direction?
    fn is_inside(&self, direction: Direction, task: TaskId) -> bool {
        self.turnstiles[direction as usize].borrow().inside() == Some(task)
    }

    /// The task is done with the direction: the next one's turn has come.
    fn leave(&self, runtime: &Runtime, direction: Direction, task: TaskId) {
        if let Some(next) = self.turnstiles[direction as usize].borrow_mut().leave(task) {
            runtime.wake(next);
        }
    }

    /// The task waits no more, for the next edge or for its turn.
    fn withdraw(&self, runtime: &Runtime, direction: Direction, task: TaskId) {
        if let Some(key) = self.key.get() {
            runtime
                .core
                .borrow_mut()
                .interests
                .unwatch(key, direction, task);
        }
        self.leave(runtime, direction, task);
    }

    /// Is there no proof that the direction would block?
    fn is_ready(&self, runtime: &Runtime, direction: Direction) -> bool {
        self.key
            .get()
            .is_none_or(|key| runtime.core.borrow_mut().interests.is_ready(key, direction))
    }

    /// Notes that the direction would block now.
    fn blocks(&self, runtime: &Runtime, direction: Direction) {
        if let Some(key) = self.key.get() {
            runtime.core.borrow_mut().interests.blocks(key, direction);
        }
    }

    /// Lets `task` be woken by the next edge of the direction.
    fn watch(&self, runtime: &Runtime, direction: Direction, task: TaskId) -> io::Result<()> {
        let key = match (self.key.get(), &*self.socket.borrow()) {
            (Some(key), _) => key,
            (None, Some(socket)) => runtime.add_interest(socket.fd(), direction)?,
            (None, None) => return Ok(()),
        };
        self.key.set(Some(key));
        runtime
            .core
            .borrow_mut()
            .interests
            .watch(key, direction, task);
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.departures.borrow_mut().push(key);
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address =
            self.with_socket(|socket| socket.peer_address().or_else(|_| socket.local_address()));
        match address {
            Ok(Some(address)) => write!(out, "tcp {address}"),
            _ => out.write_str("tcp"),
        }
    }
}
