//! Objects and LuaJIT's 64-bit integers into a message.

use super::{Encoder, Problem};
use crate::vm::copy::shared::Cross;
use crate::vm::copy::{Scope, format};
use crate::vm::{compat, object};
use mlua::ffi;
use std::rc::Rc;

impl Encoder<'_> {
    /// Writes the object on top, which crosses by reference. `[-1, +0, -]`
    ///
    /// # Safety
    /// As the comment in `begin` says.
    pub(super) unsafe fn put_object(&mut self) -> Result<(), Problem> {
        // SAFETY: the caller's promise; a class's metatable shows that `object::push` made the userdata.
        unsafe {
            let metatable = object::metatable_of(self.l, -1);
            let object = if self.library.is_class(metatable) {
                object::borrow(self.l, -1)
            } else {
                None
            };
            let shared = object.and_then(|object| Some((object, object.share()?)));
            let Some((object, shared)) = shared else {
                return Err(Problem::Kind("userdata"));
            };
            match self.scope {
                Scope::Process => {}
                Scope::Kept if object.departs() => return Err(Problem::Kind("what moves")),
                Scope::Kept => {}
                Scope::Bytes | Scope::Data => {
                    return Err(Problem::Kind("an object of this process"));
                }
            }
            if self.put_seen()? {
                return Ok(());
            }
            self.bytes.push(format::SHARED);
            format::put_groups(&mut self.bytes, self.shared.len() as u64);
            self.shared.push(shared);
            if object.departs() {
                self.departing.push(Rc::clone(object));
            }
            ffi::lua_settop(self.l, -2);
        }
        Ok(())
    }

    /// Writes the 64-bit integer on top, which only LuaJIT has beside its numbers. `[-1, +0, -]`
    ///
    /// # Safety
    /// As the comment in `begin` says.
    pub(super) unsafe fn put_cdata(&mut self) -> Result<(), Problem> {
        self.is_disturbed = true;
        // SAFETY: three slots; the call is protected. It answers a tag and eight bytes, or nothing.
        unsafe {
            let top = ffi::lua_gettop(self.l);
            compat::raw_get(
                self.l,
                ffi::LUA_REGISTRYINDEX,
                self.library.helpers.cross as _,
            );
            ffi::lua_pushinteger(self.l, Cross::Bytes as _);
            ffi::lua_pushvalue(self.l, top);
            let status = ffi::lua_pcall(self.l, 2, 1, 0);
            let mut len = 0;
            let is_string = ffi::lua_type(self.l, -1) == ffi::LUA_TSTRING;
            if status != ffi::LUA_OK || !is_string || ffi::lua_rawlen(self.l, -1) != 9 {
                return Err(Problem::Kind("cdata"));
            }
            let pointer = ffi::lua_tolstring(self.l, -1, &raw mut len);
            self.bytes
                .extend_from_slice(std::slice::from_raw_parts(pointer.cast::<u8>(), len));
            ffi::lua_settop(self.l, top - 1);
        }
        Ok(())
    }
}
