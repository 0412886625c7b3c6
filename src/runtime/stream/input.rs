//! Bytes that have been read from a stream and not yet asked for.

/// A buffer that owns no memory while it is empty for long.
#[derive(Default)]
pub(super) struct Input {
    /// The bytes, with those already taken in front.
    bytes: Vec<u8>,
    /// Where the unread ones start.
    start: usize,
}

/// A buffer this small is kept when it runs empty: a stream that leaves a rest once will do so again.
const KEPT_WHEN_EMPTY: usize = 4096;

impl Input {
    /// The unread bytes.
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Adds bytes at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.start >= self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Drops the first `count` unread bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEPT_WHEN_EMPTY {
                self.bytes = Vec::new();
            }
        }
    }

    /// Takes all unread bytes, and the memory with them.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..std::mem::take(&mut self.start));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_in_order_what_was_put_in() {
        let mut input = Input::default();
        input.append(b"abcdef");
        input.consume(4);
        input.append(b"ghi");
        assert_eq!(input.unread(), b"efghi");
        input.consume(1);
        assert_eq!(input.take(), b"fghi");
        assert_eq!(input.unread(), b"");
    }

    #[test]
    fn keeps_no_large_buffer_when_it_runs_empty() {
        let mut input = Input::default();
        input.append(&[0; 2 * KEPT_WHEN_EMPTY]);
        input.consume(2 * KEPT_WHEN_EMPTY);
        assert_eq!(input.bytes.capacity(), 0);
    }
}
