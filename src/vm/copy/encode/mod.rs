//! Values into a message: a walk over what is on the Lua stack, without recursion and without a call that may raise.

mod function;
mod object;
mod path;
mod protected;

pub(in crate::vm) use protected::{dump, grow, next};

use super::format::{self, HEAD};
use super::seen::Seen;
use super::shared::Shared;
use super::{Departing, Limits, Message, Refusal, Scope};
use crate::vm::compat::{self, Number};
use crate::vm::library::Library;
use mlua::ffi::{self, lua_State};
use smallvec::SmallVec;
use std::os::raw::c_int;
use std::sync::Arc;

/// A walk.
pub(super) struct Encoder<'a> {
    /// The running state.
    pub(super) l: *mut lua_State,
    /// The library, which knows its classes.
    library: &'a Library,
    /// What the message may be at most.
    limits: &'a Limits,
    /// What may be in it.
    scope: Scope,
    /// The message.
    bytes: Vec<u8>,
    /// What crosses by reference.
    shared: Vec<Arc<dyn Shared>>,
    /// What moves with it.
    departing: Departing,
    /// What has begun, by its number.
    seen: Seen,
    /// The upvalues that have begun, by their number: what tells each from others.
    upvalues: Seen,
    /// What is being written, the outermost first. Each lies on the Lua stack, above what is around it.
    pub(super) frames: SmallVec<[Frame; 8]>,
    /// How many of them are functions.
    functions: usize,
    /// Up to this index the Lua stack has room.
    room: c_int,
    /// May Lua code have run since the walk began? Then a table may have lost the key that the walk stands at.
    is_disturbed: bool,
}

/// A table or function that is being written.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    /// Where it lies on the Lua stack.
    pub(super) at: c_int,
    /// What it is, and how far it is.
    pub(super) part: Part,
}

/// How far a table or function is.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// A table. Its current key lies above it, or nil at the start.
    Table {
        /// Where its counts are in the message.
        counts: usize,
        /// Do these have four bytes each?
        is_wide: bool,
        /// Have all keys so far been 1, 2, 3 …?
        in_sequence: bool,
        /// Is the key written, and its value, which lies above the key, is not?
        owes_value: bool,
        /// Values under such keys.
        values: u32,
        /// Pairs after these.
        pairs: u32,
    },
    /// A function: so many of its upvalues have begun.
    Function(c_int),
}

/// What is wrong with a value.
pub(super) enum Problem {
    /// Its kind cannot be sent.
    Kind(&'static str),
    /// The whole is wrong.
    Whole(String),
}

/// Slots that every call of a C function has free.
const FREE_SLOTS: c_int = 16;
/// Slots that a level of nesting takes, and those for looking at a value.
const LEVEL_SLOTS: c_int = 8;
/// The first memory of a message that has tables.
const TABLE_BYTES: usize = 256;

impl<'a> Encoder<'a> {
    /// A walk that has not begun.
    pub(super) fn new(
        l: *mut lua_State,
        library: &'a Library,
        limits: &'a Limits,
        scope: Scope,
    ) -> Encoder<'a> {
        Encoder {
            l,
            library,
            limits,
            scope,
            bytes: Vec::new(),
            shared: Vec::new(),
            departing: Vec::new(),
            seen: Seen::default(),
            upvalues: Seen::default(),
            frames: SmallVec::new(),
            functions: 0,
            room: 0,
            is_disturbed: false,
        }
    }

    /// Copies the `count` values from the absolute index `first` on. `[-0, +0, -]`
    pub(super) fn encode(
        mut self,
        first: c_int,
        count: c_int,
        name: &dyn Fn(i32) -> String,
    ) -> Result<(Message, Departing), Refusal> {
        // SAFETY: the state runs; its frame has the slots that `encode` asks for.
        let top = unsafe { ffi::lua_gettop(self.l) };
        self.room = top + FREE_SLOTS;
        self.reserve(first, count);
        self.bytes.extend_from_slice(&format::MAGIC);
        self.bytes.extend_from_slice(&[format::VERSION, 0]);
        format::put_groups(&mut self.bytes, u64::try_from(count).unwrap_or(0));
        for index in 0..count {
            let result = self.put_value(first + index);
            if let Err(problem) = result {
                let message = self.explain(name(index), problem);
                // SAFETY: what lies above the old top is the walk's.
                unsafe { ffi::lua_settop(self.l, top) };
                return Err(Refusal { index, message });
            }
        }
        let message = Message {
            bytes: self.bytes,
            shared: self.shared,
        };
        Ok((message, self.departing))
    }

    /// Takes the memory that plain values need, and a first piece for tables.
    fn reserve(&mut self, first: c_int, count: c_int) {
        let mut bytes = HEAD + 5;
        for index in first..first + count {
            // SAFETY: so many values lie there; a string's length converts nothing.
            bytes += unsafe {
                match ffi::lua_type(self.l, index) {
                    ffi::LUA_TSTRING => ffi::lua_rawlen(self.l, index) + 10,
                    ffi::LUA_TTABLE | ffi::LUA_TFUNCTION => TABLE_BYTES,
                    _ => 11,
                }
            };
        }
        // Without memory the first string says so.
        let _ = self.bytes.try_reserve_exact(bytes);
    }

    /// Writes the value at `index` and all that is in it.
    fn put_value(&mut self, index: c_int) -> Result<(), Problem> {
        if self.put_plain(index)? {
            return Ok(());
        }
        // SAFETY: there is room for it, as `room` says.
        unsafe { ffi::lua_pushvalue(self.l, index) };
        self.begin()?;
        while let Some(frame) = self.frames.last().copied() {
            match frame.part {
                Part::Table { .. } => self.go_on_with_table(frame)?,
                Part::Function(begun) => self.go_on_with_function(frame, begun)?,
            }
        }
        Ok(())
    }

    /// Writes the value at `index` if nothing is in it; answers whether that was so.
    #[inline]
    fn put_plain(&mut self, index: c_int) -> Result<bool, Problem> {
        // SAFETY: the state runs; each value is asked only for what its type has, so that nothing is converted. A
        // string is copied while it lies on the stack.
        unsafe {
            match ffi::lua_type(self.l, index) {
                ffi::LUA_TSTRING => {
                    let mut len = 0;
                    let pointer = ffi::lua_tolstring(self.l, index, &raw mut len);
                    let string = std::slice::from_raw_parts(pointer.cast::<u8>(), len);
                    self.put_string(string)?;
                }
                ffi::LUA_TNUMBER => match compat::number(self.l, index) {
                    Number::Integer(integer) => format::put_integer(&mut self.bytes, integer),
                    Number::Float(float) => format::put_float(&mut self.bytes, float),
                },
                ffi::LUA_TBOOLEAN => {
                    let is_true = ffi::lua_toboolean(self.l, index) != 0;
                    self.bytes
                        .push(if is_true { format::TRUE } else { format::FALSE });
                }
                ffi::LUA_TNIL => self.bytes.push(format::NIL),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Writes a string.
    #[inline]
    fn put_string(&mut self, string: &[u8]) -> Result<(), Problem> {
        if self.bytes.len() + string.len() > self.limits.bytes {
            return Err(self.too_large());
        }
        if self.bytes.try_reserve(string.len() + 10).is_err() {
            return Err(Problem::Whole("not enough memory".into()));
        }
        format::put_string_head(&mut self.bytes, string.len());
        self.bytes.extend_from_slice(string);
        Ok(())
    }

    /// Begins the table, function or object on top, which is no plain value; what can be written at once is, and
    /// dropped from the stack. `[-1, +0, -]` or `[-0, +0, -]`
    fn begin(&mut self) -> Result<(), Problem> {
        if self.bytes.len() > self.limits.bytes {
            return Err(self.too_large());
        }
        // SAFETY: the state runs, a value is on top, and a level's slots are free: `push_frame` and `encode` see to it.
        unsafe {
            match ffi::lua_type(self.l, -1) {
                ffi::LUA_TTABLE => self.begin_table(),
                ffi::LUA_TFUNCTION => self.begin_function(),
                ffi::LUA_TUSERDATA => self.put_object(),
                ffi::LUA_TTHREAD => Err(Problem::Kind("a coroutine")),
                ffi::LUA_TLIGHTUSERDATA => Err(Problem::Kind("light userdata")),
                _ => self.put_cdata(),
            }
        }
    }

    /// Begins the table on top.
    ///
    /// # Safety
    /// As the comment in `begin` says.
    unsafe fn begin_table(&mut self) -> Result<(), Problem> {
        // SAFETY: the caller's promise.
        unsafe {
            let has_metatable = ffi::lua_getmetatable(self.l, -1) != 0;
            if has_metatable {
                ffi::lua_settop(self.l, -2);
            }
            if (has_metatable || self.functions > 0) && self.put_known() {
                return Ok(());
            }
            if has_metatable {
                return Err(Problem::Kind("a table with a metatable"));
            }
            if self.put_seen()? {
                return Ok(());
            }
            let is_wide = ffi::lua_rawlen(self.l, -1) > usize::from(u8::MAX);
            let (tag, room) = if is_wide {
                (format::WIDE_TABLE, 8)
            } else {
                (format::TABLE, 2)
            };
            self.bytes.push(tag);
            let counts = self.bytes.len();
            self.bytes.extend_from_slice(&[0; 8][..room]);
            let part = Part::Table {
                counts,
                is_wide,
                in_sequence: true,
                owes_value: false,
                values: 0,
                pairs: 0,
            };
            self.push_frame(part)?;
            ffi::lua_pushnil(self.l);
        }
        Ok(())
    }

    /// Writes the number of what is on top when it has begun before; answers whether that was so.
    ///
    /// # Safety
    /// As the comment in `begin` says.
    #[inline]
    unsafe fn put_seen(&mut self) -> Result<bool, Problem> {
        // SAFETY: the caller's promise.
        let pointer = unsafe { ffi::lua_topointer(self.l, -1) };
        let Some(number) = self.seen.find_or_add(pointer) else {
            return Ok(false);
        };
        self.bytes[format::CONTENTS] |= format::HAS_REFERENCES;
        self.bytes.push(format::REFERENCE);
        format::put_groups(&mut self.bytes, u64::from(number));
        // SAFETY: the caller's promise.
        unsafe { ffi::lua_settop(self.l, -2) };
        Ok(true)
    }

    /// Goes one level deeper, with what is on top.
    ///
    /// # Safety
    /// As the comment in `begin` says.
    unsafe fn push_frame(&mut self, part: Part) -> Result<(), Problem> {
        if self.frames.len() >= self.limits.depth {
            let problem = format!("tables nest deeper than {} levels", self.limits.depth);
            return Err(Problem::Whole(problem));
        }
        // SAFETY: the caller's promise.
        let at = unsafe { ffi::lua_gettop(self.l) };
        if at + LEVEL_SLOTS > self.room {
            self.make_room(at)?;
        }
        self.frames.push(Frame { at, part });
        Ok(())
    }

    /// Writes a table's next key and value, up to one that is no plain value; ends it after the last.
    fn go_on_with_table(&mut self, frame: Frame) -> Result<(), Problem> {
        let Part::Table {
            counts,
            mut is_wide,
            mut in_sequence,
            mut owes_value,
            mut values,
            mut pairs,
        } = frame.part
        else {
            return Ok(());
        };
        let (l, at) = (self.l, frame.at);
        loop {
            // SAFETY: the table is at `at`, above it its current key, and the value when it is owed; a level has two
            // slots more.
            unsafe {
                if !owes_value {
                    if !self.next(at)? {
                        self.put_counts(counts, is_wide, values, pairs);
                        return self.end_frame(frame);
                    }
                    in_sequence = in_sequence && self.is_next(at + 1, values);
                    if in_sequence {
                        values += 1;
                    } else {
                        pairs += 1;
                    }
                    if !is_wide && values.max(pairs) > u32::from(u8::MAX) {
                        self.widen(counts);
                        is_wide = true;
                    }
                    if !in_sequence && !self.put_plain(at + 1)? {
                        ffi::lua_pushvalue(l, at + 1);
                        self.save(counts, is_wide, in_sequence, true, values, pairs);
                        return self.begin();
                    }
                }
                owes_value = false;
                if self.put_plain(at + 2)? {
                    ffi::lua_settop(l, at + 1);
                } else {
                    self.save(counts, is_wide, in_sequence, false, values, pairs);
                    return self.begin();
                }
            }
        }
    }

    /// Notes how far the innermost table is.
    #[inline]
    fn save(
        &mut self,
        counts: usize,
        is_wide: bool,
        in_sequence: bool,
        owes_value: bool,
        values: u32,
        pairs: u32,
    ) {
        if let Some(frame) = self.frames.last_mut() {
            frame.part = Part::Table {
                counts,
                is_wide,
                in_sequence,
                owes_value,
                values,
                pairs,
            };
        }
    }

    /// Is the key at `index` the integer after `count`?
    #[inline]
    fn is_next(&self, index: c_int, count: u32) -> bool {
        // SAFETY: a key lies there.
        unsafe {
            ffi::lua_type(self.l, index) == ffi::LUA_TNUMBER
                && compat::number(self.l, index) == Number::Integer(i64::from(count) + 1)
        }
    }

    /// Replaces the key on top by the next one of the table at `at`, and its value; by nothing after the last.
    ///
    /// # Safety
    /// As in `go_on_with_table`, with a key of the table, or nil, on top.
    #[inline]
    unsafe fn next(&mut self, at: c_int) -> Result<bool, Problem> {
        if self.is_disturbed {
            // SAFETY: the caller's promise.
            return unsafe { self.next_protected(at) };
        }
        // SAFETY: the caller's promise. No Lua code has run, so that the table still has its key.
        Ok(unsafe { ffi::lua_next(self.l, at) } != 0)
    }

    /// Gives the table whose counts are there room for large ones.
    #[cold]
    fn widen(&mut self, counts: usize) {
        self.bytes[counts - 1] = format::WIDE_TABLE;
        self.bytes.splice(counts..counts, [0; 6]);
    }

    /// Writes how much there was in a table.
    #[inline]
    fn put_counts(&mut self, counts: usize, is_wide: bool, values: u32, pairs: u32) {
        if is_wide {
            self.bytes[counts..counts + 4].copy_from_slice(&values.to_le_bytes());
            self.bytes[counts + 4..counts + 8].copy_from_slice(&pairs.to_le_bytes());
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "it is not wide")]
            self.bytes[counts..counts + 2].copy_from_slice(&[values as u8, pairs as u8]);
        }
    }

    /// Leaves a level: what has been written goes from the stack, and what is above it. `[-?, +0, -]`
    fn end_frame(&mut self, frame: Frame) -> Result<(), Problem> {
        self.frames.pop();
        // SAFETY: it lies at `at`, and nothing below it is touched.
        unsafe { ffi::lua_settop(self.l, frame.at - 1) };
        Ok(())
    }

    /// The message is too long.
    #[cold]
    fn too_large(&self) -> Problem {
        Problem::Whole(format!("more than {} bytes", self.limits.bytes))
    }
}
