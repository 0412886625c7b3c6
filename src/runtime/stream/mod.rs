//! A socket with what makes it cooperative: its place among the interests, its unread input, its two queues.

mod accept;
mod bind;
mod connect;
mod datagram;
mod file;
mod input;
mod moving;
mod numeral;
mod output;
mod race;
mod reading;
mod receive;
mod relay;
mod scan;
mod send;
mod short;
mod turnstile;

pub(crate) use accept::Accept;
pub(crate) use bind::{Bind, Purpose};
pub(crate) use connect::{Connect, Target};
pub(crate) use datagram::{ReceiveFrom, SendTo, Sender};
pub(crate) use file::SendFile;
pub(crate) use moving::Moving;
pub(crate) use reading::{LENGTH_BYTES, MAX_LINE, MAX_MESSAGE, Mark, Pattern, Reading};
pub(in crate::runtime) use receive::Answer;
pub(crate) use receive::Receive;
pub(crate) use relay::Relay;
pub(crate) use send::Send;
pub(crate) use short::{receive, send};

use super::Departures;
use super::Runtime;
use super::deadline::now;
use super::interests::{Direction, Key};
use crate::sched::{Moment, TaskId};
use crate::sys::names::Family;
use crate::sys::socket::{Kind, Setting, Socket};
use input::Input;
use race::Attempt;
use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use turnstile::Turnstile;

/// A socket of Lua's.
pub(crate) struct Stream {
    /// Does it carry bytes, or messages?
    kind: Kind,
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
    /// The rest of a message whose call was cut short: it goes out before anything else.
    owed: RefCell<Option<Box<[u8]>>>,
    /// Who may read or accept now, and who may write or connect.
    turnstiles: [RefCell<Turnstile>; 2],
    /// How long a call may wait.
    pub(crate) timeouts: Cell<Timeouts>,
    /// Options that were set before the family was known.
    wishes: RefCell<Vec<Setting>>,
    /// What has passed through it.
    pub(crate) stats: Cell<Stats>,
    /// The longest line that `receive` answers.
    pub(crate) max_line: Cell<usize>,
    /// Where its key goes when it is collected.
    departures: OnceCell<Departures>,
}

/// What has passed through a socket, and since when.
#[derive(Clone, Copy)]
pub(crate) struct Stats {
    /// Bytes that `receive` has answered.
    pub(crate) received: u64,
    /// Bytes that `send` has written.
    pub(crate) sent: u64,
    /// When it was made.
    pub(crate) since: Moment,
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

impl Stream {
    /// A stream around a socket, or one that gets its socket when the family is known.
    pub(crate) fn new(socket: Option<Socket>, family: Family) -> Stream {
        Stream::of_kind(Kind::Stream, socket, family)
    }

    /// The same for either kind.
    pub(crate) fn of_kind(kind: Kind, socket: Option<Socket>, family: Family) -> Stream {
        Stream {
            kind,
            socket: RefCell::new(socket),
            closed: Cell::new(false),
            family: Cell::new(family),
            key: Cell::new(None),
            input: RefCell::default(),
            owed: RefCell::default(),
            turnstiles: Default::default(),
            timeouts: Cell::default(),
            wishes: RefCell::default(),
            stats: Cell::new(Stats {
                received: 0,
                sent: 0,
                since: now(),
            }),
            max_line: Cell::new(MAX_LINE),
            departures: OnceCell::new(),
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

    /// Makes sure that there is a socket of the family, with the options that were asked for before. Until the family is
    /// settled, what there is has been tried in vain, and makes room.
    pub(crate) fn open(&self, runtime: &Runtime, family: Family) -> io::Result<()> {
        if self.is_settled() && self.family.get() == family {
            return Ok(());
        }
        self.discard_socket(runtime);
        // Who reads goes on with the next one.
        self.wake_inside(runtime, Direction::Read);
        self.socket.replace(Some(self.fresh(family)?));
        Ok(())
    }

    /// Do its calls wait no longer than it takes the other ready tasks to have one turn?
    #[inline]
    fn is_impatient(&self) -> bool {
        let Timeouts { block, total } = self.timeouts.get();
        let is_over = |seconds: Option<f64>| seconds.is_some_and(|seconds| seconds <= 0.0);
        is_over(block) || is_over(total)
    }

    /// The socket is of this family from now on.
    pub(crate) fn settle(&self, family: Family) {
        self.family.set(family);
    }

    /// Is there a socket of a family that will stay?
    fn is_settled(&self) -> bool {
        self.family.get() != Family::Unspecified && self.socket.borrow().is_some()
    }

    /// Bytes, or messages?
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// A socket of the family, with the options that were asked for before.
    fn fresh(&self, family: Family) -> io::Result<Socket> {
        let socket = Socket::new(family, self.kind)?;
        for setting in &*self.wishes.borrow() {
            socket.set(setting)?;
        }
        Ok(socket)
    }

    /// Takes the socket of an attempt to connect.
    fn take_over(&self, runtime: &Runtime, attempt: Attempt) {
        self.discard_socket(runtime);
        self.key.set(attempt.key);
        self.socket.replace(Some(attempt.socket));
    }

    /// Sets an option, now or as soon as there is a socket.
    pub(crate) fn set(&self, setting: Setting) -> io::Result<()> {
        if let Some(socket) = self.socket() {
            socket.set(&setting)?;
        }
        if !self.is_settled() {
            self.wishes.borrow_mut().push(setting);
        }
        Ok(())
    }

    /// Has something been read that nobody has asked for yet?
    pub(crate) fn is_dirty(&self) -> bool {
        !self.input.borrow().unread().is_empty()
    }

    /// Takes what has been read and not yet asked for.
    pub(crate) fn take_unread(&self) -> Vec<u8> {
        self.input.borrow_mut().take()
    }

    /// Puts bytes after those that have been read and not yet asked for.
    pub(crate) fn add_unread(&self, bytes: &[u8]) {
        self.input.borrow_mut().append(bytes);
    }

    /// Counts bytes that `receive` answers.
    fn count_received(&self, count: usize) {
        let mut stats = self.stats.get();
        stats.received += count as u64;
        self.stats.set(stats);
    }

    /// Counts bytes that `send` has written.
    fn count_sent(&self, count: usize) {
        let mut stats = self.stats.get();
        stats.sent += count as u64;
        self.stats.set(stats);
    }

    /// Lets the descriptor go without closing it; who waits for it learns of it.
    pub(crate) fn release(&self, runtime: &Runtime) -> Option<RawFd> {
        let fd = self.socket()?.fd();
        if let Some(key) = self.key.take() {
            runtime.abandon_interest(fd, key);
        }
        let socket = self.socket.take()?;
        self.wake_both(runtime);
        Some(socket.release())
    }

    /// Closes its descriptor of a socket that has others.
    fn let_go(&self, runtime: &Runtime) {
        let fd = self.socket().map(|socket| socket.fd());
        if let (Some(fd), Some(key)) = (fd, self.key.take()) {
            runtime.abandon_interest(fd, key);
        }
        self.socket.take();
    }

    /// Takes a socket in place of the one that it has let go.
    pub(crate) fn embrace(&self, socket: Socket, family: Family) {
        self.closed.set(false);
        self.family.set(family);
        self.owed.take();
        self.socket.replace(Some(socket));
    }

    /// Closes the socket; who waits for it learns of it at its turn. What has been read can still be asked for.
    pub(crate) fn close(&self, runtime: &Runtime) {
        self.closed.set(true);
        self.discard_socket(runtime);
        self.wake_both(runtime);
    }

    /// Wakes who is inside of either direction.
    fn wake_both(&self, runtime: &Runtime) {
        for direction in [Direction::Read, Direction::Write] {
            self.wake_inside(runtime, direction);
        }
        runtime.note_closing();
    }

    /// Wakes who is inside of the direction.
    fn wake_inside(&self, runtime: &Runtime, direction: Direction) {
        if let Some(inside) = self.turnstiles[direction as usize].borrow().inside() {
            runtime.wake(inside);
        }
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
        self.departures.get_or_init(|| runtime.departures());
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
        if let (Some(key), Some(departures)) = (self.key.take(), self.departures.get()) {
            departures.borrow_mut().push(key);
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.family.get(), self.kind) {
            (Family::Unix, _) => "unix",
            (_, Kind::Stream) => "tcp",
            (_, Kind::Datagram) => "udp",
        };
        let address =
            self.with_socket(|socket| socket.peer_address().or_else(|_| socket.local_address()));
        match address.ok().and_then(|address| address.as_socket()) {
            Some(address) => write!(out, "{name} {address}"),
            None => out.write_str(name),
        }
    }
}
