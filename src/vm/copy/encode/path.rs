//! Where in a value something is that cannot be sent, in words.

use super::{Encoder, Part, Problem};
use mlua::ffi;
use std::ffi::CStr;
use std::fmt::Write as _;
use std::os::raw::c_int;

/// A path that is longer ends in dots.
const LONG: usize = 200;
/// Of a key that is longer, the beginning is shown.
const LONG_KEY: usize = 40;

impl Encoder<'_> {
    /// What is wrong, and with what: `arg 2.cfg.cb: a coroutine cannot be sent`.
    #[cold]
    pub(super) fn explain(&self, name: String, problem: Problem) -> String {
        let mut text = name;
        for frame in &self.frames {
            if text.len() > LONG {
                text.push('…');
                break;
            }
            match frame.part {
                Part::Table {
                    owes_value: true, ..
                } => text.push_str(", a key"),
                Part::Table { .. } => self.add_key(&mut text, frame.at + 1),
                Part::Function(upvalue) => self.add_upvalue(&mut text, frame.at, upvalue),
            }
        }
        match problem {
            Problem::Kind(kind) => text + ": " + kind + " cannot be sent",
            Problem::Whole(problem) => text + ": " + &problem,
        }
    }

    /// Appends the key at `index` as one would write it.
    fn add_key(&self, text: &mut String, index: c_int) {
        // SAFETY: a table's key lies there; each is asked only for what its type has.
        unsafe {
            // Writing to a string cannot fail.
            let _ = match ffi::lua_type(self.l, index) {
                ffi::LUA_TSTRING => {
                    let mut len = 0;
                    let pointer = ffi::lua_tolstring(self.l, index, &raw mut len);
                    add_string(text, std::slice::from_raw_parts(pointer.cast::<u8>(), len))
                }
                ffi::LUA_TNUMBER => write!(text, "[{}]", ffi::lua_tonumber(self.l, index)),
                ffi::LUA_TBOOLEAN => {
                    write!(text, "[{}]", ffi::lua_toboolean(self.l, index) != 0)
                }
                _ => write!(text, "[…]"),
            };
        }
    }

    /// Appends the name of an upvalue of the function at `index`.
    fn add_upvalue(&self, text: &mut String, index: c_int, upvalue: c_int) {
        // SAFETY: a level has the slot for the upvalue, whose name stays as long as the function.
        unsafe {
            let name = ffi::lua_getupvalue(self.l, index, upvalue);
            if name.is_null() {
                return;
            }
            ffi::lua_settop(self.l, -2);
            let name = CStr::from_ptr(name).to_string_lossy();
            let _ = write!(text, ", upvalue '{name}'");
        }
    }
}

/// Appends a key that is a string.
fn add_string(text: &mut String, key: &[u8]) -> std::fmt::Result {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let starts_well = key.first().is_some_and(|first| !first.is_ascii_digit());
    let shown = String::from_utf8_lossy(&key[..key.len().min(LONG_KEY)]);
    if starts_well && key.len() <= LONG_KEY && key.iter().all(is_word) {
        write!(text, ".{shown}")
    } else {
        write!(text, "[{shown:?}]")
    }
}

#[cfg(test)]
mod tests {
    use super::add_string;

    #[test]
    fn keys_look_as_one_would_write_them() {
        let cases: [(&[u8], &str); 5] = [
            (b"cfg", ".cfg"),
            (b"_a1", "._a1"),
            (b"1a", "[\"1a\"]"),
            (b"a b", "[\"a b\"]"),
            (b"", "[\"\"]"),
        ];
        for (key, expected) in cases {
            let mut text = String::new();
            add_string(&mut text, key).unwrap();
            assert_eq!(text, expected);
        }
    }
}
