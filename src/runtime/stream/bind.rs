//! Binding a socket to a name, whose addresses are asked for off the loop thread.

use super::Stream;
use crate::runtime::operation::Poll;
use crate::runtime::{Lookup, Runtime};
use crate::sched::TaskId;
use crate::sys::failure;
use crate::sys::names::{Family, Question};
use crate::sys::socket::Address;
use crate::vm::{Class, Reply, Value};
use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

/// A call that binds.
pub(crate) struct Bind {
    /// The socket.
    stream: Rc<Stream>,
    /// To what.
    lookup: Lookup,
    /// What comes then.
    purpose: Purpose,
}

/// What a socket is bound for.
pub(crate) enum Purpose {
    /// Nothing more: the answer is the number 1.
    Address,
    /// It listens, with room for so many clients; the answer is the stream as a new object.
    Listen(i32, Class),
}

impl Bind {
    /// A call that binds to the first address that will do.
    pub(crate) fn new(stream: Rc<Stream>, question: Question, purpose: Purpose) -> Bind {
        Bind {
            stream,
            lookup: Lookup::new(question),
            purpose,
        }
    }

    /// The answer where no name has to be asked for.
    pub(crate) fn at_once(&self, runtime: &Runtime) -> Option<Reply> {
        let answer = self.lookup.question().numeric()?;
        Some(self.reply(runtime, answer))
    }

    /// To what it binds.
    pub(crate) fn target(&self) -> String {
        let question = self.lookup.question();
        let host = question.host.as_deref().unwrap_or("*");
        format!("{host}:{}", question.service)
    }

    /// Binds as soon as the addresses are known.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        match self.lookup.poll(runtime, task) {
            Some(answer) => Poll::Ready(self.reply(runtime, answer)),
            None => Poll::Pending,
        }
    }

    /// Binds, and says how that went.
    fn reply(
        &self,
        runtime: &Runtime,
        answer: Result<Vec<SocketAddr>, Cow<'static, str>>,
    ) -> Reply {
        let stream = &self.stream;
        if stream.is_closed() {
            return Reply::failure("closed");
        }
        let bound = answer.and_then(|addresses| match self.purpose {
            Purpose::Address => stream.bind_first(runtime, &addresses),
            Purpose::Listen(backlog, _) => stream.listen_first(runtime, &addresses, backlog),
        });
        match (bound, &self.purpose) {
            (Err(reason), _) => Reply::failure(reason),
            (Ok(()), Purpose::Address) => Reply::one(1_i64),
            (Ok(()), Purpose::Listen(_, class)) => {
                Reply::one(Value::Object(*class, Rc::clone(stream) as _))
            }
        }
    }
}

impl Stream {
    /// Binds to the first of the addresses that will do.
    pub(crate) fn bind_first(
        &self,
        runtime: &Runtime,
        addresses: &[SocketAddr],
    ) -> Result<(), Cow<'static, str>> {
        first(addresses, |address| self.bind(runtime, address))
    }

    /// Listens at the first of the addresses that will do.
    fn listen_first(
        &self,
        runtime: &Runtime,
        addresses: &[SocketAddr],
        backlog: i32,
    ) -> Result<(), Cow<'static, str>> {
        first(addresses, |address| {
            // A socket that has been bound in vain is bound.
            self.discard_socket(runtime);
            self.bind(runtime, address)?;
            self.with_socket(|socket| socket.listen(backlog))
        })
    }

    /// Binds to the address.
    fn bind(&self, runtime: &Runtime, address: &SocketAddr) -> io::Result<()> {
        let address = Address::from(*address);
        self.open(runtime, Family::of(&address))?;
        self.with_socket(|socket| socket.bind(&address))?;
        self.settle(Family::of(&address));
        Ok(())
    }
}

/// Tries one address after the other; the error of the last one is the answer.
fn first(
    addresses: &[SocketAddr],
    attempt: impl Fn(&SocketAddr) -> io::Result<()>,
) -> Result<(), Cow<'static, str>> {
    let mut reason = Cow::Borrowed("no info on address");
    for address in addresses {
        match attempt(address) {
            Ok(()) => return Ok(()),
            Err(error) => reason = failure::word(&error),
        }
    }
    Err(reason)
}
