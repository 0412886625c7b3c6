//! Functions into a message: Lua's own as bytecode with their upvalues, what every universe has by its name.

use super::{Encoder, Frame, Part, Problem};
use crate::vm::compat;
use crate::vm::copy::shared::{Cross, GLOBALS};
use crate::vm::copy::{Scope, format};
use mlua::ffi;
use std::ffi::CStr;
use std::os::raw::c_int;

impl Encoder<'_> {
    /// Begins the function on top, or writes its name.
    ///
    /// # Safety
    /// As the comment in `begin` says.
    pub(super) unsafe fn begin_function(&mut self) -> Result<(), Problem> {
        if self.scope == Scope::Data {
            return Err(Problem::Kind("a function"));
        }
        // SAFETY: the caller's promise.
        unsafe {
            if self.put_known() {
                return Ok(());
            }
            if ffi::lua_iscfunction(self.l, -1) != 0 {
                return Err(Problem::Kind("a C function"));
            }
            if self.put_seen()? {
                return Ok(());
            }
            self.bytes[format::CONTENTS] |= format::HAS_FUNCTIONS;
            self.put_bytecode()?;
            self.push_frame(Part::Function(0))?;
            self.functions += 1;
        }
        Ok(())
    }

    /// Writes a function's next upvalue; ends it after the last.
    pub(super) fn go_on_with_function(
        &mut self,
        frame: Frame,
        begun: c_int,
    ) -> Result<(), Problem> {
        let upvalue = begun + 1;
        // SAFETY: the function is at `at`, with nothing above it: what was there has been written. A level has the
        // slots. An upvalue's name stays as long as its function.
        unsafe {
            let name = ffi::lua_getupvalue(self.l, frame.at, upvalue);
            if name.is_null() {
                self.bytes.push(format::END);
                self.functions -= 1;
                return self.end_frame(frame);
            }
            if let Some(frame) = self.frames.last_mut() {
                frame.part = Part::Function(upvalue);
            }
            let id = compat::upvalue_id(self.l, frame.at, upvalue);
            if !id.is_null()
                && let Some(number) = self.upvalues.find_or_add(id)
            {
                self.bytes[format::CONTENTS] |= format::HAS_REFERENCES;
                self.bytes.push(format::JOINED);
                format::put_groups(&mut self.bytes, u64::from(number));
                ffi::lua_settop(self.l, frame.at);
                return Ok(());
            }
            if CStr::from_ptr(name) == c"_ENV" {
                self.put_name(GLOBALS);
                ffi::lua_settop(self.l, frame.at);
                return Ok(());
            }
            if self.put_plain(frame.at + 1)? {
                ffi::lua_settop(self.l, frame.at);
                return Ok(());
            }
            self.begin()
        }
    }

    /// Writes the name of what belongs to a standard library or to coev, when the value on top does.
    /// `[-1, +0, -]` when it does.
    ///
    /// # Safety
    /// As the comment in `begin` says.
    pub(super) unsafe fn put_known(&mut self) -> bool {
        if self.scope == Scope::Data {
            return false;
        }
        // SAFETY: four slots; the table of names is made in a protected call when it is first needed, and again for a C
        // function that is not in it. A raw look takes no memory, and a string is read where it lies.
        unsafe {
            let top = ffi::lua_gettop(self.l);
            compat::raw_get(self.l, ffi::LUA_REGISTRYINDEX, self.library.known as _);
            compat::raw_get(self.l, top + 1, 1);
            if ffi::lua_toboolean(self.l, -1) == 0 {
                self.learn_names();
            }
            ffi::lua_settop(self.l, top + 1);
            ffi::lua_pushvalue(self.l, top);
            ffi::lua_rawget(self.l, top + 1);
            if ffi::lua_type(self.l, -1) != ffi::LUA_TSTRING
                && ffi::lua_iscfunction(self.l, top) != 0
            {
                self.learn_names();
                ffi::lua_settop(self.l, top + 1);
                ffi::lua_pushvalue(self.l, top);
                ffi::lua_rawget(self.l, top + 1);
            }
            if ffi::lua_type(self.l, -1) != ffi::LUA_TSTRING {
                ffi::lua_settop(self.l, top);
                return false;
            }
            let mut len = 0;
            let pointer = ffi::lua_tolstring(self.l, -1, &raw mut len);
            self.put_name(std::slice::from_raw_parts(pointer.cast::<u8>(), len));
            ffi::lua_settop(self.l, top - 1);
        }
        true
    }

    /// Lets Lua fill the table of names.
    ///
    /// # Safety
    /// Two slots are free.
    #[cold]
    unsafe fn learn_names(&mut self) {
        self.is_disturbed = true;
        // SAFETY: the caller's promise; the call is protected. What it leaves, the caller drops.
        unsafe {
            compat::raw_get(
                self.l,
                ffi::LUA_REGISTRYINDEX,
                self.library.helpers.cross as _,
            );
            ffi::lua_pushinteger(self.l, Cross::Learn as _);
            ffi::lua_pcall(self.l, 1, 0, 0);
        }
    }

    /// Writes the name of something that every universe has.
    pub(super) fn put_name(&mut self, name: &[u8]) {
        self.bytes[format::CONTENTS] |= format::HAS_FUNCTIONS;
        self.bytes.push(format::KNOWN);
        format::put_string_head(&mut self.bytes, name.len());
        self.bytes.extend_from_slice(name);
    }
}
