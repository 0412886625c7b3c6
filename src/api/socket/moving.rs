//! Sockets that move to another thread.

use super::{
    CLIENT, DGRAM, DGRAM_CONNECTED, MASTER, SERVER, UDP, UDP_CONNECTED, UNIX_CLIENT, UNIX_MASTER,
    UNIX_SERVER,
};
use crate::runtime::stream::{Moving, Stream};
use crate::sys::names::Family;
use crate::sys::socket::{Kind, Nature};
use crate::vm::copy::Shared;
use crate::vm::{Class, Object};
use std::rc::Rc;
use std::sync::Arc;

impl Object for Stream {
    fn share(&self) -> Option<Arc<dyn Shared>> {
        self.moving()
            .map(|moving| Arc::new(moving) as Arc<dyn Shared>)
    }

    fn departs(&self) -> bool {
        true
    }
}

impl Shared for Moving {
    fn land(self: Arc<Self>) -> (Class, Rc<dyn Object>) {
        (class_of(&self.nature), Rc::new(Moving::land(&self)))
    }
}

/// The class that fits.
pub(super) fn class_of(nature: &Nature) -> Class {
    match (nature.kind, nature.family == Family::Unix, nature.connected) {
        (Kind::Stream, false, _) if nature.listens => SERVER,
        (Kind::Stream, true, _) if nature.listens => UNIX_SERVER,
        (Kind::Stream, false, true) => CLIENT,
        (Kind::Stream, false, false) => MASTER,
        (Kind::Stream, true, true) => UNIX_CLIENT,
        (Kind::Stream, true, false) => UNIX_MASTER,
        (Kind::Datagram, false, false) => UDP,
        (Kind::Datagram, false, true) => UDP_CONNECTED,
        (Kind::Datagram, true, false) => DGRAM,
        (Kind::Datagram, true, true) => DGRAM_CONNECTED,
    }
}
