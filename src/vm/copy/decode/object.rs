//! Objects and LuaJIT's 64-bit integers out of a message.

use super::{Item, Landing};
use crate::vm::copy::format;
use crate::vm::copy::parcel::Failure;
use crate::vm::copy::shared::Cross;
use crate::vm::{compat, object};
use mlua::ffi::{self, lua_State};
use std::sync::Arc;

impl Landing<'_> {
    /// Pushes a userdata for a shared object. `[-0, +1, m]`
    ///
    /// # Safety
    /// As `push_value`.
    pub(super) unsafe fn push_object(&mut self, l: *mut lua_State) -> Result<Item, Failure> {
        let place = self.reader.count().ok_or(Failure::Malformed)?;
        let shared = self.shared.get(place).ok_or(Failure::Malformed)?;
        let (class, object) = Arc::clone(shared).land();
        let object = self.object.insert(object);
        // SAFETY: the caller's promise; the object belongs to the landing.
        unsafe {
            object::push(l, self.library, class, &raw const *object);
            self.note_begun(l);
        }
        Ok(Item::Whole)
    }

    /// Pushes LuaJIT's 64-bit integer, or the number that it is elsewhere. `[-0, +1, m]`
    ///
    /// # Safety
    /// As `push_value`.
    pub(super) unsafe fn push_cdata(
        &mut self,
        l: *mut lua_State,
        tag: u8,
    ) -> Result<Item, Failure> {
        let bytes = self.reader.array::<8>().ok_or(Failure::Malformed)?;
        let mut question = [tag; 9];
        question[1..].copy_from_slice(&bytes);
        // SAFETY: the caller's promise; three slots.
        unsafe {
            self.ask(l, Cross::Integer, &question);
            if ffi::lua_type(l, -1) != ffi::LUA_TNIL {
                return Ok(Item::Whole);
            }
            ffi::lua_settop(l, -2);
            let integer = i64::from_le_bytes(bytes);
            if tag == format::UINT64 && integer < 0 {
                #[expect(clippy::cast_precision_loss, reason = "the nearest float will do")]
                ffi::lua_pushnumber(l, integer.cast_unsigned() as f64);
            } else {
                compat::push_exact(l, integer);
            }
        }
        Ok(Item::Whole)
    }
}
