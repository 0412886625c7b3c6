//! Functions into a message: Lua's own as bytecode with their upvalues, what every universe has by its name.

use super::{Encoder, Frame, Part, Problem};
use crate::vm::compat;
use crate::vm::copy::shared::{Cross, GLOBALS};
use crate::vm::copy::{Scope, format};
use mlua::ffi::{self, lua_State};
use std::ffi::CStr;
use std::os::raw::{c_int, c_void};

/// What `dump` in its protected call needs to know.
struct Dump {
    /// Where the bytecode goes: behind what is there.
    bytes: *mut Vec<u8>,
    /// Has all of it been written?
    is_done: bool,
}

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

    /// Writes the bytecode of the Lua function on top.
    ///
    /// # Safety
    /// As the comment in `begin` says.
    pub(super) unsafe fn put_bytecode(&mut self) -> Result<(), Problem> {
        self.bytes.push(format::FUNCTION);
        let len_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        let mut job = Dump {
            bytes: &raw mut self.bytes,
            is_done: false,
        };
        // SAFETY: three slots. The protected function gets the address of `job`, which outlives the call, as does the
        // vector, at which nobody else looks meanwhile.
        unsafe {
            let top = ffi::lua_gettop(self.l);
            compat::raw_get(
                self.l,
                ffi::LUA_REGISTRYINDEX,
                self.library.protected.dump as _,
            );
            ffi::lua_pushlightuserdata(self.l, (&raw mut job).cast());
            ffi::lua_pushvalue(self.l, top);
            ffi::lua_pcall(self.l, 2, 0, 0);
            ffi::lua_settop(self.l, top);
        }
        if !job.is_done {
            return Err(Problem::Kind("a function that cannot be dumped"));
        }
        let len = u32::try_from(self.bytes.len() - len_at - 4).map_err(|_| self.too_large())?;
        self.bytes[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
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
    pub(super) unsafe fn learn_names(&self) {
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

/// Writes the bytecode of the Lua function at index 2 to where the `Dump` at index 1 says. Runs protected: 5.5 takes
/// memory for it.
///
/// # Safety
/// Called only as the comment inside says.
pub(in crate::vm) unsafe extern "C-unwind" fn dump(l: *mut lua_State) -> c_int {
    // SAFETY: only `Encoder::put_bytecode` calls it, with the address of a live `Dump` and a Lua function on top.
    unsafe {
        let job = ffi::lua_touserdata(l, 1).cast::<Dump>();
        let status = ffi::lua_dump(l, write, (*job).bytes.cast(), 0);
        (*job).is_done = status == 0;
    }
    0
}

/// Appends a piece of bytecode; answers whether it failed.
///
/// # Safety
/// Called by `lua_dump` with the address of a live vector and a piece of memory.
unsafe extern "C-unwind" fn write(
    _: *mut lua_State,
    piece: *const c_void,
    len: usize,
    bytes: *mut c_void,
) -> c_int {
    if len == 0 {
        return 0;
    }
    // SAFETY: the caller's promise; nobody else looks at the vector meanwhile.
    unsafe {
        let bytes = &mut *bytes.cast::<Vec<u8>>();
        if bytes.try_reserve(len).is_err() {
            return 1;
        }
        bytes.extend_from_slice(std::slice::from_raw_parts(piece.cast::<u8>(), len));
    }
    0
}
