//! The bytes of a message: what they mean, and how numbers lie in them. Knows no Lua.
//!
//! A head of four bytes (two of magic, the version, what is in it), the number of values, and the values. All numbers
//! are little-endian, or in groups of seven bits, the lowest first. Tables, functions and shared objects are counted in
//! the order in which they begin; one that comes again is its number.

/// What every message begins with.
pub(super) const MAGIC: [u8; 2] = [0xCE, b'V'];
/// The version of all this.
pub(super) const VERSION: u8 = 1;
/// How many bytes the head has.
pub(super) const HEAD: usize = 4;
/// Where in the head it is said what is in the message.
pub(super) const CONTENTS: usize = 3;
/// Something in it comes again.
pub(super) const HAS_REFERENCES: u8 = 1;
/// There are functions in it, or modules.
pub(super) const HAS_FUNCTIONS: u8 = 2;

/// `nil`.
pub(super) const NIL: u8 = 0x00;
/// `false`.
pub(super) const FALSE: u8 = 0x01;
/// `true`.
pub(super) const TRUE: u8 = 0x02;
/// An integer, in groups, its sign in the lowest bit.
pub(super) const INTEGER: u8 = 0x03;
/// A float of eight bytes.
pub(super) const FLOAT: u8 = 0x04;
/// A string: its length in groups, its bytes.
pub(super) const STRING: u8 = 0x05;
/// A table: two counts of one byte each, of values under 1, 2, 3 …, and of pairs; then those.
pub(super) const TABLE: u8 = 0x06;
/// The same with counts of four bytes each.
pub(super) const WIDE_TABLE: u8 = 0x07;
/// What has that number, in groups.
pub(super) const REFERENCE: u8 = 0x08;
/// A Lua function: the length of its bytecode in four bytes, the bytecode, its upvalues up to `END`.
pub(super) const FUNCTION: u8 = 0x09;
/// Something of a standard library or of coev's: its name, as a string.
pub(super) const KNOWN: u8 = 0x0A;
/// A shared object: its place in the message's list, in groups.
pub(super) const SHARED: u8 = 0x0B;
/// LuaJIT's `int64_t`, in eight bytes.
pub(super) const INT64: u8 = 0x0C;
/// LuaJIT's `uint64_t`, in eight bytes.
pub(super) const UINT64: u8 = 0x0D;
/// As an upvalue: the same variable as the upvalue that was written as that number, in groups.
pub(super) const JOINED: u8 = 0x0E;
/// The end of a function's upvalues.
pub(super) const END: u8 = 0x0F;
/// A string of up to 63 bytes: its length in the lower bits, its bytes.
pub(super) const SHORT_STRING: u8 = 0x40;
/// The longest of these.
pub(super) const SHORTEST_LONG: usize = 64;
/// An integer from 0 to 127, in the lower bits.
pub(super) const SMALL_INTEGER: u8 = 0x80;

/// The most bytes of a number in groups.
const MOST_GROUPS: u32 = 10;

/// Appends a number in groups of seven bits.
#[inline]
pub(super) fn put_groups(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "one group")]
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "less than 0x80")]
    bytes.push(number as u8);
}

/// Appends an integer.
#[inline]
pub(super) fn put_integer(bytes: &mut Vec<u8>, integer: i64) {
    if let 0..=0x7F = integer {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range is checked"
        )]
        bytes.push(SMALL_INTEGER | integer as u8);
    } else {
        bytes.push(INTEGER);
        put_groups(bytes, ((integer << 1) ^ (integer >> 63)).cast_unsigned());
    }
}

/// Appends a float.
#[inline]
pub(super) fn put_float(bytes: &mut Vec<u8>, float: f64) {
    let mut value = [FLOAT; 9];
    value[1..].copy_from_slice(&float.to_le_bytes());
    bytes.extend_from_slice(&value);
}

/// Appends what stands before a string of `len` bytes.
#[inline]
pub(super) fn put_string_head(bytes: &mut Vec<u8>, len: usize) {
    if len < SHORTEST_LONG {
        #[expect(clippy::cast_possible_truncation, reason = "less than 64")]
        bytes.push(SHORT_STRING | len as u8);
    } else {
        bytes.push(STRING);
        put_groups(bytes, len as u64);
    }
}

/// The message that is this string alone, if it is no longer than so many bytes.
#[inline]
pub(super) fn string_message(string: &[u8], most: usize) -> Option<Vec<u8>> {
    // The head, the count, the tag and the groups of the length.
    let mut bytes = Vec::with_capacity(HEAD + 2 + MOST_GROUPS as usize + string.len());
    bytes.extend_from_slice(&[MAGIC[0], MAGIC[1], VERSION, 0, 1]);
    put_string_head(&mut bytes, string.len());
    bytes.extend_from_slice(string);
    (bytes.len() <= most).then_some(bytes)
}

/// Where the string begins, in a message of this process that is nothing else.
#[inline]
pub(super) fn only_string(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(bytes.strip_prefix(&[MAGIC[0], MAGIC[1], VERSION, 0, 1])?);
    let tag = reader.byte()?;
    if !matches!(tag, SHORT_STRING..SMALL_INTEGER | STRING) {
        return None;
    }
    let string = reader.string(tag)?;
    (reader.left() == 0).then(|| bytes.len() - string.len())
}

/// Reads a message from its front. Holds nothing that must be dropped.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    /// What has not been read.
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next byte, which stays.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next byte.
    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The next `count` bytes.
    #[inline]
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(bytes)
    }

    /// The next bytes, as many as the array has.
    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    /// A number in groups, which has no group too many.
    #[inline]
    pub(super) fn groups(&mut self) -> Option<u64> {
        let mut number = 0;
        for group in 0..MOST_GROUPS {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            let shift = group * 7;
            if (bits << shift) >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return (byte != 0 || group == 0).then_some(number);
            }
        }
        None
    }

    /// A number in groups that counts something.
    #[inline]
    pub(super) fn count(&mut self) -> Option<usize> {
        usize::try_from(self.groups()?).ok()
    }

    /// An integer, after its tag.
    #[inline]
    pub(super) fn integer(&mut self) -> Option<i64> {
        let groups = self.groups()?;
        Some((groups >> 1).cast_signed() ^ -(groups & 1).cast_signed())
    }

    /// A string, after its tag, of which `count` is known for short ones.
    #[inline]
    pub(super) fn string(&mut self, tag: u8) -> Option<&'a [u8]> {
        let len = if tag == STRING {
            self.count()?
        } else {
            usize::from(tag - SHORT_STRING)
        };
        self.bytes(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back() {
        for integer in [
            0,
            1,
            127,
            128,
            -1,
            -64,
            -65,
            300,
            i64::MAX,
            i64::MIN,
            1 << 53,
        ] {
            let mut bytes = Vec::new();
            put_integer(&mut bytes, integer);
            let mut reader = Reader::new(&bytes);
            let read = match reader.byte() {
                Some(INTEGER) => reader.integer(),
                Some(small) => Some(i64::from(small - SMALL_INTEGER)),
                None => None,
            };
            assert_eq!(read, Some(integer));
            assert_eq!(reader.left(), 0);
        }
    }

    #[test]
    fn groups_have_one_form() {
        for bad in [
            &[][..],
            &[0x80],
            &[0x80, 0x00],
            &[0xFF; 11],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02],
        ] {
            assert_eq!(Reader::new(bad).groups(), None, "{bad:?}");
        }
        let most = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
        assert_eq!(Reader::new(&most).groups(), Some(u64::MAX));
    }

    #[test]
    fn nothing_is_read_past_the_end() {
        let mut reader = Reader::new(&[SHORT_STRING | 3, b'a', b'b']);
        let tag = reader.byte().unwrap();
        assert_eq!(reader.string(tag), None);
        assert_eq!(Reader::new(&[1, 2, 3]).array::<4>(), None);
    }
}
