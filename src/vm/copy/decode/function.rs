//! Functions out of a message.

use super::{BEGUN, Item, Landing, Part};
use crate::vm::copy::format;
use crate::vm::copy::parcel::Failure;
use crate::vm::copy::shared::Cross;
use crate::vm::{compat, entry};
use mlua::ffi::{self, lua_State};
use std::os::raw::c_int;

impl Landing<'_> {
    /// Joins a function's next upvalue, reads its value, or ends the function. `[-0, +1, m]` or `[-0, +0, m]`
    ///
    /// # Safety
    /// As `push_value`; a function lies at `at`, with nothing above it.
    pub(super) unsafe fn go_on_with_function(
        &mut self,
        l: *mut lua_State,
        at: c_int,
        number: u32,
        next: c_int,
    ) -> Result<Item, Failure> {
        match self.reader.peek() {
            Some(format::END) => {
                self.reader.byte();
                self.frames.pop();
                Ok(Item::Whole)
            }
            Some(format::JOINED) => {
                self.reader.byte();
                // SAFETY: the caller's promise.
                unsafe { self.join_upvalue(l, at, next)? };
                if let Some(frame) = self.frames.last_mut() {
                    frame.part = Part::Function(number, next + 1);
                }
                Ok(Item::Begun)
            }
            _ => {
                if self.has_references {
                    self.upvalues.push((number, next));
                }
                // SAFETY: the caller's promise.
                unsafe { self.push_item(l) }
            }
        }
    }

    /// Lets an upvalue of the function at `at` be one that has begun before. `[-0, +0, -]`
    ///
    /// # Safety
    /// As `go_on_with_function`.
    pub(super) unsafe fn join_upvalue(
        &mut self,
        l: *mut lua_State,
        at: c_int,
        upvalue: c_int,
    ) -> Result<(), Failure> {
        let place = self.reader.count().ok_or(Failure::Malformed)?;
        let (number, other) = *self.upvalues.get(place).ok_or(Failure::Malformed)?;
        // SAFETY: four slots. An upvalue that is there, is there to be joined.
        unsafe {
            compat::raw_get(l, BEGUN, i64::from(number) + 1);
            if ffi::lua_type(l, -1) != ffi::LUA_TFUNCTION
                || ffi::lua_getupvalue(l, -1, other).is_null()
                || ffi::lua_getupvalue(l, at, upvalue).is_null()
            {
                return Err(Failure::Malformed);
            }
            compat::join_upvalues(l, at, upvalue, at + 1, other);
            ffi::lua_settop(l, at);
        }
        Ok(())
    }

    /// Begins a function. `[-0, +1, m]`
    ///
    /// # Safety
    /// As `push_value`.
    pub(super) unsafe fn begin_function(&mut self, l: *mut lua_State) -> Result<Item, Failure> {
        if !self.policy.functions {
            return Err(Failure::Functions);
        }
        let len = self.reader.array().map(u32::from_le_bytes);
        let bytecode = len.and_then(|len| self.reader.bytes(usize::try_from(len).ok()?));
        let bytecode = bytecode.ok_or(Failure::Malformed)?;
        // SAFETY: the caller's promise; whoever allows functions trusts the bytecode.
        unsafe {
            let status = ffi::luaL_loadbufferx(
                l,
                bytecode.as_ptr().cast(),
                bytecode.len(),
                c"=message".as_ptr(),
                c"b".as_ptr(),
            );
            if status == ffi::LUA_ERRMEM {
                entry::raise_top(l);
            }
            if status != ffi::LUA_OK {
                return Err(Failure::Malformed);
            }
            let number = self.note_begun(l);
            self.push_frame(l, Part::Function(number, 1))
        }
    }

    /// Pushes something of a standard library or of coev's. `[-0, +1, m]`
    ///
    /// # Safety
    /// As `push_value`.
    pub(super) unsafe fn push_known(&mut self, l: *mut lua_State) -> Result<Item, Failure> {
        if !self.policy.functions {
            return Err(Failure::Functions);
        }
        let tag = self.reader.byte().ok_or(Failure::Malformed)?;
        if !matches!(
            tag,
            format::SHORT_STRING..format::SMALL_INTEGER | format::STRING
        ) {
            return Err(Failure::Malformed);
        }
        let name = self.reader.string(tag).ok_or(Failure::Malformed)?;
        // SAFETY: the caller's promise; three slots.
        unsafe { self.ask(l, Cross::Find, name) };
        // SAFETY: the answer is on top.
        if unsafe { ffi::lua_type(l, -1) } == ffi::LUA_TNIL {
            return Err(Failure::Unknown);
        }
        Ok(Item::Whole)
    }

    /// Pushes what Lua answers. `[-0, +1, e]`
    ///
    /// # Safety
    /// As `push_value`, with three slots.
    pub(super) unsafe fn ask(&self, l: *mut lua_State, what: Cross, about: &[u8]) {
        // SAFETY: the caller's promise.
        unsafe {
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, self.library.helpers.cross as _);
            ffi::lua_pushinteger(l, what as _);
            compat::push_string(l, about);
            ffi::lua_call(l, 2, 1);
        }
    }
}
