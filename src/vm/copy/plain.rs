//! Values in which nothing else is: as threads compare and count them.

use super::Message;
use super::format;
use crate::vm::compat::{self, Number};
use crate::vm::outcome::Value;
use mlua::ffi::{self, lua_State};
use std::os::raw::c_int;

/// A value in which nothing else is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Plain {
    /// `nil`.
    Nil,
    /// A boolean.
    Boolean(bool),
    /// An integer, or a float that stands for one where Lua has floats alone.
    Integer(i64),
    /// A float.
    Float(f64),
    /// A string.
    String(Box<[u8]>),
}

impl Plain {
    /// The value at `index`; `None` for tables and the like. `[-0, +0, -]`
    ///
    /// # Safety
    /// `l` is the running state.
    pub(in crate::vm) unsafe fn read(l: *mut lua_State, index: c_int) -> Option<Plain> {
        // SAFETY: each value is asked only for what its type has, so that nothing is converted; a string is copied
        // while it lies on the stack.
        unsafe {
            Some(match ffi::lua_type(l, index) {
                ffi::LUA_TNONE | ffi::LUA_TNIL => Plain::Nil,
                ffi::LUA_TBOOLEAN => Plain::Boolean(ffi::lua_toboolean(l, index) != 0),
                ffi::LUA_TNUMBER => match compat::number(l, index) {
                    Number::Integer(integer) => Plain::Integer(integer),
                    Number::Float(float) => Plain::Float(float),
                },
                ffi::LUA_TSTRING => {
                    let mut len = 0;
                    let pointer = ffi::lua_tolstring(l, index, &raw mut len);
                    Plain::String(std::slice::from_raw_parts(pointer.cast::<u8>(), len).into())
                }
                _ => return None,
            })
        }
    }

    /// Is it the same as Lua's `==` says? An integer and a float may be.
    pub(crate) fn equals(&self, other: &Plain) -> bool {
        #[expect(
            clippy::cast_precision_loss,
            clippy::float_cmp,
            reason = "as Lua's `==` compares, but for integers beyond 2^53"
        )]
        match (self, other) {
            (Plain::Integer(integer), Plain::Float(float))
            | (Plain::Float(float), Plain::Integer(integer)) => *integer as f64 == *float,
            _ => self == other,
        }
    }

    /// The sum; `None` when not both are numbers. Integers wrap around, as Lua's own.
    pub(crate) fn plus(&self, other: &Plain) -> Option<Plain> {
        #[expect(clippy::cast_precision_loss, reason = "as Lua converts")]
        let float = |plain: &Plain| match plain {
            Plain::Integer(integer) => Some(*integer as f64),
            Plain::Float(float) => Some(*float),
            _ => None,
        };
        match (self, other) {
            (Plain::Integer(first), Plain::Integer(second)) => {
                Some(Plain::Integer(first.wrapping_add(*second)))
            }
            _ => Some(Plain::Float(float(self)? + float(other)?)),
        }
    }
}

impl From<Plain> for Value {
    fn from(plain: Plain) -> Value {
        match plain {
            Plain::Nil => Value::Nil,
            Plain::Boolean(boolean) => Value::Boolean(boolean),
            Plain::Integer(integer) => Value::Integer(integer),
            Plain::Float(float) => Value::Number(float),
            Plain::String(bytes) => Value::Bytes(bytes.into()),
        }
    }
}

impl Message {
    /// A message of one array.
    pub(crate) fn list(values: &[Plain]) -> Message {
        let mut bytes = format::MAGIC.to_vec();
        bytes.extend_from_slice(&[format::VERSION, 0, 1, format::WIDE_TABLE]);
        let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        for value in values.iter().take(count as usize) {
            match value {
                Plain::Nil => bytes.push(format::NIL),
                Plain::Boolean(false) => bytes.push(format::FALSE),
                Plain::Boolean(true) => bytes.push(format::TRUE),
                Plain::Integer(integer) => format::put_integer(&mut bytes, *integer),
                Plain::Float(float) => format::put_float(&mut bytes, *float),
                Plain::String(string) => {
                    format::put_string_head(&mut bytes, string.len());
                    bytes.extend_from_slice(string);
                }
            }
        }
        Message {
            bytes,
            shared: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Plain::{Boolean, Float, Integer, Nil, String};

    #[test]
    fn numbers_compare_and_add_as_in_lua() {
        assert!(Integer(1).equals(&Float(1.0)));
        assert!(!Float(f64::NAN).equals(&Float(f64::NAN)));
        assert!(!Boolean(true).equals(&Integer(1)));
        assert!(String((*b"a").into()).equals(&String((*b"a").into())));
        assert_eq!(Integer(i64::MAX).plus(&Integer(1)), Some(Integer(i64::MIN)));
        assert_eq!(Integer(1).plus(&Float(0.5)), Some(Float(1.5)));
        assert_eq!(Integer(1).plus(&Nil), None);
    }
}
