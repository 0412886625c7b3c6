//! Bytes on their way out of a stream: those of the running call, and before them what is owed to the peer.

use super::Stream;
use crate::runtime::Runtime;
use crate::runtime::interests::Direction;
use crate::sched::TaskId;
use crate::sys::failure;
use std::borrow::Cow;
use std::io;

/// How far some bytes have come.
pub(super) enum Progress {
    /// All of them are out.
    Done,
    /// There is no room for now: the task is woken when there is.
    Blocked,
    /// The stream is closed, or the system says no.
    Failed(Cow<'static, str>),
}

impl Stream {
    /// Writes `bytes` from `position` on, which moves.
    pub(super) fn write_all(
        &self,
        runtime: &Runtime,
        task: TaskId,
        bytes: &[u8],
        position: &mut usize,
    ) -> Progress {
        while *position < bytes.len() {
            let Some(socket) = self.socket() else {
                return Progress::Failed("closed".into());
            };
            let written = if self.is_ready(runtime, Direction::Write) {
                socket.write(&bytes[*position..])
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
            drop(socket);
            match written {
                Ok(count) => {
                    *position += count;
                    self.count_sent(count);
                }
                Err(error) => return self.not_written(runtime, task, &error),
            }
        }
        Progress::Done
    }

    /// Why nothing has been written; where there was no room, lets `task` be woken when there is.
    #[cold]
    fn not_written(&self, runtime: &Runtime, task: TaskId, error: &io::Error) -> Progress {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Progress::Failed(failure::word(error));
        }
        self.blocks(runtime, Direction::Write);
        match self.watch(runtime, Direction::Write, task) {
            Ok(()) => Progress::Blocked,
            Err(error) => Progress::Failed(failure::word(&error)),
        }
    }

    /// Writes what is owed: the rest of a message whose call was cut short.
    pub(super) fn write_owed(&self, runtime: &Runtime, task: TaskId) -> Progress {
        let owed = self.owed.take();
        let Some(owed) = owed else {
            return Progress::Done;
        };
        let mut position = 0;
        let progress = self.write_all(runtime, task, &owed, &mut position);
        if position < owed.len() {
            self.owe(&owed[position..]);
        }
        progress
    }

    /// Must something else go out before what is sent?
    #[inline]
    pub(super) fn owes(&self) -> bool {
        self.owed.borrow().is_some()
    }

    /// Notes what must go out before anything else does.
    pub(super) fn owe(&self, rest: &[u8]) {
        if !rest.is_empty() {
            self.owed.replace(Some(rest.into()));
        }
    }
}
