//! Where a numeral ends, as Lua's files read one: the longest start of the bytes that could be a number's.

/// Bytes that a numeral may have; Lua's limit.
const LONGEST: usize = 200;

/// What is taken for a numeral, with the space before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    /// Its bytes, and those of the space.
    pub(super) len: usize,
    /// Could more bytes change that?
    pub(super) open: bool,
}

/// A place in bytes.
struct Reader<'a> {
    /// The bytes.
    bytes: &'a [u8],
    /// How many of them have been taken.
    place: usize,
    /// Where the numeral has to end.
    end: usize,
}

impl Reader<'_> {
    /// Takes one byte, if it is one of these.
    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> bool {
        let taken =
            self.place < self.end && self.bytes.get(self.place).copied().is_some_and(wanted);
        self.place += usize::from(taken);
        taken
    }

    /// Takes as many digits as there are; answers how many.
    fn digits(&mut self, hexadecimal: bool) -> usize {
        let start = self.place;
        while self.take(|byte| {
            if hexadecimal {
                byte.is_ascii_hexdigit()
            } else {
                byte.is_ascii_digit()
            }
        }) {}
        self.place - start
    }
}

/// The numeral at the start of the bytes.
pub(super) fn extent(bytes: &[u8]) -> Extent {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = bytes.iter().take_while(|byte| is_space(byte)).count();
    let mut reader = Reader {
        bytes,
        place: start,
        end: start + LONGEST,
    };
    reader.take(|byte| matches!(byte, b'+' | b'-'));
    let mut count = 0;
    let mut hexadecimal = false;
    if reader.take(|byte| byte == b'0') {
        hexadecimal = reader.take(|byte| matches!(byte, b'x' | b'X'));
        count = usize::from(!hexadecimal);
    }
    count += reader.digits(hexadecimal);
    if reader.take(|byte| byte == b'.') {
        count += reader.digits(hexadecimal);
    }
    let exponent = if hexadecimal { b'p' } else { b'e' };
    if count > 0 && reader.take(|byte| byte.to_ascii_lowercase() == exponent) {
        reader.take(|byte| matches!(byte, b'+' | b'-'));
        reader.digits(false);
    }
    Extent {
        len: reader.place,
        open: reader.place == bytes.len() && reader.place < reader.end,
    }
}

#[cfg(test)]
mod tests {
    use super::{Extent, LONGEST, extent};

    #[test]
    fn ends_where_no_number_goes_on() {
        for (text, taken) in [
            ("12 13", "12"),
            (" \n-0x1Fp+2z", " \n-0x1Fp+2"),
            ("1.5e3,", "1.5e3"),
            (".5.5", ".5"),
            ("1e+;", "1e+"),
            ("abc", ""),
            ("+-1", "+"),
            ("0x;", "0x"),
            ("e5", ""),
            ("00x1", "00"),
        ] {
            let len = taken.len();
            assert_eq!(
                extent(text.as_bytes()),
                Extent { len, open: false },
                "{text}"
            );
        }
    }

    #[test]
    fn is_open_as_long_as_more_may_come() {
        for text in ["", "  ", "-", "12", "0x", "1e", "1."] {
            assert!(extent(text.as_bytes()).open, "{text}");
        }
        let long = "1".repeat(LONGEST + 1);
        assert_eq!(
            extent(long.as_bytes()),
            Extent {
                len: LONGEST,
                open: false
            }
        );
    }
}
