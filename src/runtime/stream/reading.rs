//! What a reading call asks for, and how much of some bytes answers it. Knows no streams.

use super::numeral::{self, Extent};
use super::scan::{drop_returns, find};
use crate::vm::HeldBytes;
use crate::vm::copy::Policy;

/// What shall be read.
#[derive(Clone, Copy)]
pub(crate) enum Pattern {
    /// Up to the next line feed, which is dropped, as every carriage return is.
    Line,
    /// Until the peer has closed.
    All,
    /// A numeral, with the space before it, as Lua's files read one.
    Numeral,
    /// So many bytes, the prefix among them.
    Count(usize),
    /// What there is, as soon as there is something, but no more than so many bytes.
    Any(usize),
    /// Up to a string, in pieces where these are asked for.
    Until(Mark),
    /// A message: its length in four bytes, and so many more; what is expected of it.
    Message(Policy),
}

/// Where a read ends.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    /// The string, which the parked call holds; not empty.
    pub(crate) text: HeldBytes,
    /// Does the answer end with it?
    pub(crate) inclusive: bool,
    /// How long a piece is, where the answer comes in pieces.
    pub(crate) piece: Option<usize>,
}

/// Bytes that a line may have unless the caller says otherwise, so that no peer fills the memory with one.
pub(crate) const MAX_LINE: usize = 1 << 20;

/// Bytes that a message may have unless the caller says otherwise: what is made of them takes up to forty times as many.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;
/// Bytes before a message that say how long it is.
pub(crate) const LENGTH_BYTES: usize = 4;

/// What a reading call asks for, and how far it has looked.
pub(crate) struct Reading {
    /// What shall be read.
    pub(super) pattern: Pattern,
    /// What the answer begins with; empty, or a string that the parked call holds.
    pub(super) prefix: HeldBytes,
    /// The most bytes that the answer may have.
    pub(super) limit: usize,
    /// How many of the unread bytes are known to hold no end of what is asked for.
    scanned: usize,
}

/// What there is to be answered.
pub(super) enum Measure {
    /// So many bytes are taken, and so many of these shown.
    Complete(usize, usize),
    /// A piece of so many bytes; more will follow.
    Piece(usize),
    /// There are too many bytes.
    Oversized,
    /// There are too few.
    Incomplete,
}

impl Reading {
    /// What a call asks for.
    pub(crate) fn new(pattern: Pattern, prefix: HeldBytes, limit: usize) -> Reading {
        Reading {
            pattern,
            prefix,
            limit,
            scanned: 0,
        }
    }

    /// May there be an answer with nothing read? Only where a caller asks for it: by a prefix that is long enough, or a
    /// count that is too large.
    pub(super) fn may_need_nothing(&self) -> bool {
        let may_be_too_large =
            matches!(self.pattern, Pattern::Count(_)) && self.limit != usize::MAX;
        may_be_too_large || !self.prefix.as_slice().is_empty()
    }

    /// Is a line asked for, which has no carriage returns?
    pub(super) fn is_line(&self) -> bool {
        matches!(self.pattern, Pattern::Line)
    }

    /// What of `bytes` is to be answered.
    pub(super) fn measure(&mut self, bytes: &[u8]) -> Measure {
        let limit = self.limit.saturating_sub(self.prefix.as_slice().len());
        let measure = match self.pattern {
            Pattern::Line => match memchr::memchr(b'\n', &bytes[self.scanned..]) {
                Some(place) => Measure::Complete(self.scanned + place + 1, self.scanned + place),
                None => self.unfinished(bytes.len(), bytes.len()),
            },
            Pattern::All => self.unfinished(bytes.len(), bytes.len()),
            Pattern::Count(count) => {
                let prefix = self.prefix.as_slice().len();
                let missing = count.saturating_sub(prefix);
                if prefix > 0 && count <= prefix {
                    Measure::Complete(0, 0)
                } else if missing > limit {
                    Measure::Oversized
                } else if bytes.len() >= missing.max(1) {
                    // LuaSocket waits for a byte even when none is asked for.
                    Measure::Complete(missing, missing)
                } else {
                    Measure::Incomplete
                }
            }
            Pattern::Any(most) => match bytes.len().min(most) {
                0 => Measure::Incomplete,
                count => Measure::Complete(count, count),
            },
            Pattern::Until(mark) => self.measure_until(bytes, mark),
            Pattern::Numeral => {
                let Extent { len, open } = numeral::extent(bytes);
                if open {
                    self.unfinished(bytes.len(), 0)
                } else {
                    Measure::Complete(len, len)
                }
            }
            Pattern::Message(_) => return self.measure_message(bytes),
        };
        match measure {
            Measure::Complete(_, shown) if shown > limit => Measure::Oversized,
            measure => measure,
        }
    }

    /// What a read up to a string answers.
    fn measure_until(&mut self, bytes: &[u8], mark: Mark) -> Measure {
        let text = mark.text.as_slice();
        let found = find(&bytes[self.scanned..], text);
        let end = found.map(|place| self.scanned + place);
        let safe = end.unwrap_or((bytes.len() + 1).saturating_sub(text.len()));
        match (end, mark.piece) {
            (_, Some(piece)) if safe > piece || (end.is_none() && safe == piece) => {
                self.scanned = 0;
                Measure::Piece(piece)
            }
            (Some(end), _) if mark.inclusive => {
                Measure::Complete(end + text.len(), end + text.len())
            }
            (Some(end), _) => Measure::Complete(end + text.len(), end),
            (None, _) => self.unfinished(bytes.len(), safe),
        }
    }

    /// What a read of a message answers.
    fn measure_message(&self, bytes: &[u8]) -> Measure {
        match message_len(bytes) {
            Some(len) if len > self.limit => Measure::Oversized,
            Some(len) if bytes.len() - LENGTH_BYTES >= len => {
                Measure::Complete(LENGTH_BYTES + len, LENGTH_BYTES + len)
            }
            _ => Measure::Incomplete,
        }
    }

    /// There is no end among `count` bytes, of which the first `scanned` need not be looked at again.
    fn unfinished(&mut self, count: usize, scanned: usize) -> Measure {
        self.scanned = scanned;
        if count > self.limit.saturating_sub(self.prefix.as_slice().len()) {
            Measure::Oversized
        } else {
            Measure::Incomplete
        }
    }

    /// The prefix and the bytes as the pattern shows them.
    pub(super) fn joined(&self, bytes: &[u8]) -> Vec<u8> {
        let mut joined = self.prefix.as_slice().to_vec();
        let start = joined.len();
        joined.extend_from_slice(bytes);
        if self.is_line() {
            let shown = drop_returns(&mut joined[start..]);
            joined.truncate(start + shown);
        }
        joined
    }
}

/// How long the message is that begins there, once that is known.
pub(super) fn message_len(bytes: &[u8]) -> Option<usize> {
    let len = bytes.first_chunk::<LENGTH_BYTES>()?;
    usize::try_from(u32::from_le_bytes(*len)).ok()
}
