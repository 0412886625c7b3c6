//! Looking through bytes that have come: for a string that ends them, and for what a line drops. Knows no streams.

/// So many bytes are few: the head of a request, say.
const FEW: usize = 1024;

/// Where `text`, which is not empty, begins. Among few bytes its first one is looked for: for a request of `http` that takes
/// 440 instructions where `memmem`, which has more to prepare, takes 710. Among many that one is fast also at the worst.
pub(super) fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    match text {
        [first, rest @ ..] if bytes.len() <= FEW => {
            let mut places = memchr::memchr_iter(*first, bytes);
            places.find(|place| {
                let mut after = bytes[place + 1..].iter();
                rest.iter().all(|byte| after.next() == Some(byte))
            })
        }
        _ => memchr::memmem::find(bytes, text),
    }
}

/// Moves the bytes together that are no carriage returns; answers how many these are.
pub(super) fn drop_returns(bytes: &mut [u8]) -> usize {
    let Some(first) = memchr::memchr(b'\r', bytes) else {
        return bytes.len();
    };
    let mut kept = first;
    for place in first..bytes.len() {
        if bytes[place] != b'\r' {
            bytes[kept] = bytes[place];
            kept += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_found_among_few_bytes_and_among_many() {
        for text in ["a", "ab", "aab", "\r\n\r\n"] {
            for before in ["", "b", "aa", "a\r\n\r", "\r\n"] {
                for more in [0, 2 * FEW] {
                    let bytes = format!("{}{before}{text}aab", ".".repeat(more));
                    let found = find(bytes.as_bytes(), text.as_bytes());
                    assert_eq!(found, bytes.find(text), "{text:?} in {bytes:?}");
                }
            }
        }
        assert_eq!(find(b"\r\n\r", b"\r\n\r\n"), None);
    }

    #[test]
    fn every_carriage_return_is_dropped() {
        for (given, expected) in [
            ("", ""),
            ("a", "a"),
            ("\r", ""),
            ("a\rb\r", "ab"),
            ("\r\rxy\rz", "xyz"),
        ] {
            let mut bytes = given.as_bytes().to_vec();
            let kept = drop_returns(&mut bytes);
            assert_eq!(&bytes[..kept], expected.as_bytes());
        }
    }
}
