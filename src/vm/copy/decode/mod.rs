//! A message into values: a walk over its bytes, without recursion. Trusts no byte of it, but for bytecode.
//!
//! The walk makes tables and strings, which may raise for want of memory: it runs in a protected call, and owns nothing.
//! What it needs belongs to the `Landing` that its caller keeps.

mod function;
mod object;

use super::format::{self, Reader};
use super::parcel::{Failure, Policy};
use super::shared::Shared;
use crate::vm::compat;
use crate::vm::library::Library;
use crate::vm::object::Object;
use mlua::ffi::{self, lua_State};
use smallvec::SmallVec;
use std::os::raw::c_int;
use std::rc::Rc;
use std::sync::Arc;

/// A message on its way onto a Lua stack, with all that must be dropped whatever happens there.
pub(super) struct Landing<'a> {
    /// The library of the universe.
    library: &'a Library,
    /// What has not been read.
    reader: Reader<'a>,
    /// What crosses by reference.
    shared: &'a [Arc<dyn Shared>],
    /// What is expected of the message.
    policy: Policy,
    /// What is being made, the outermost first. Each lies on the Lua stack, above what is around it.
    frames: SmallVec<[Frame; 8]>,
    /// So many values of tables may still be announced: each takes a byte at least.
    announced: usize,
    /// Is the table of what has begun at `BEGUN`?
    has_references: bool,
    /// How many have begun.
    begun: u32,
    /// The upvalues that have begun: the number of the function, and which it is of that.
    upvalues: Vec<(u32, c_int)>,
    /// The object that is being made.
    object: Option<Rc<dyn Object>>,
    /// Why there are no values.
    pub(super) failure: Option<Failure>,
}

/// A table or function that is being made.
#[derive(Clone, Copy)]
struct Frame {
    /// Where it lies on the Lua stack.
    at: c_int,
    /// What it is, and how far it is.
    part: Part,
}

/// How far a table or function is.
#[derive(Clone, Copy)]
enum Part {
    /// A table.
    Table {
        /// The key of the next value.
        next: c_int,
        /// So many values follow, under that key and those after it.
        values: c_int,
        /// So many pairs follow.
        pairs: c_int,
        /// Does the next pair's key lie above the table?
        has_key: bool,
    },
    /// A function: its number, and the upvalue that comes next.
    Function(u32, c_int),
}

/// What reading a value has led to.
enum Item {
    /// It has been pushed.
    Whole,
    /// A table or function has been pushed, and its frame; what is in it follows.
    Begun,
}

/// Where the table of what has begun lies.
const BEGUN: c_int = 1;
/// Slots that a level of nesting takes, and those for making a value.
const LEVEL_SLOTS: c_int = 8;

/// Pushes the values of the message whose `Landing` is at index 1, or the text of its failure. Runs protected.
///
/// # Safety
/// Called only as the comment inside says.
pub(in crate::vm) unsafe extern "C-unwind" fn decode(l: *mut lua_State) -> c_int {
    // SAFETY: only `Parcel::land` calls it, with the address of a live `Landing`. Nothing here has a destructor.
    unsafe {
        let landing = &mut *ffi::lua_touserdata(l, 1).cast::<Landing>();
        ffi::lua_settop(l, 0);
        match landing.run(l) {
            Ok(count) => count,
            Err(failure) => {
                landing.failure = Some(failure);
                let text = failure.text();
                ffi::lua_pushlstring(l, text.as_ptr().cast(), text.len());
                1
            }
        }
    }
}

impl<'a> Landing<'a> {
    /// A walk that has not begun.
    pub(super) fn new(
        library: &'a Library,
        bytes: &'a [u8],
        shared: &'a [Arc<dyn Shared>],
        policy: Policy,
    ) -> Landing<'a> {
        Landing {
            library,
            reader: Reader::new(bytes),
            shared,
            policy,
            frames: SmallVec::new(),
            announced: bytes.len(),
            has_references: false,
            begun: 0,
            upvalues: Vec::new(),
            object: None,
            failure: None,
        }
    }

    /// Pushes the values; answers how many. `[-0, +n, m]`
    ///
    /// # Safety
    /// `l` is the running state, with an empty stack, in a protected call.
    unsafe fn run(&mut self, l: *mut lua_State) -> Result<c_int, Failure> {
        let contents = self.read_head()?;
        let count = self.reader.count().ok_or(Failure::Malformed)?;
        if count > self.reader.left() {
            return Err(Failure::Malformed);
        }
        let count = c_int::try_from(count).map_err(|_| Failure::Malformed)?;
        // SAFETY: the caller's promise; there is room for the values, and for a level above them.
        unsafe {
            self.has_references = contents & format::HAS_REFERENCES != 0;
            if self.has_references {
                ffi::lua_createtable(l, 0, 0);
            }
            if ffi::lua_checkstack(l, count.saturating_add(LEVEL_SLOTS)) == 0 {
                return Err(Failure::Oversized);
            }
            for _ in 0..count {
                self.push_value(l)?;
            }
        }
        if self.reader.left() > 0 {
            return Err(Failure::Malformed);
        }
        Ok(count)
    }

    /// Reads what every message begins with; answers what is in this one.
    fn read_head(&mut self) -> Result<u8, Failure> {
        if self.reader.left() > self.policy.limits.bytes {
            return Err(Failure::Oversized);
        }
        let head = self.reader.array::<{ format::HEAD }>();
        let [first, second, version, contents] = head.ok_or(Failure::Malformed)?;
        if [first, second] != format::MAGIC {
            return Err(Failure::Malformed);
        }
        if version != format::VERSION {
            return Err(Failure::Version);
        }
        if contents & !(format::HAS_REFERENCES | format::HAS_FUNCTIONS) != 0 {
            return Err(Failure::Malformed);
        }
        if contents & format::HAS_FUNCTIONS != 0 && !self.policy.functions {
            return Err(Failure::Functions);
        }
        Ok(contents)
    }

    /// Pushes one value and all that is in it. `[-0, +1, m]`
    ///
    /// # Safety
    /// As `run`, with the slots of a level.
    unsafe fn push_value(&mut self, l: *mut lua_State) -> Result<(), Failure> {
        // SAFETY: the caller's promise. Each frame has its level's slots.
        unsafe {
            let mut item = self.push_item(l)?;
            loop {
                if let Item::Whole = item
                    && !self.deliver(l)?
                {
                    return Ok(());
                }
                item = match self.frames.last().copied() {
                    None => return Ok(()),
                    Some(frame) => match frame.part {
                        Part::Table { .. } => self.go_on_with_table(l, frame)?,
                        Part::Function(number, next) => {
                            self.go_on_with_function(l, frame.at, number, next)?
                        }
                    },
                };
            }
        }
    }

    /// Puts the value on top where it belongs; answers whether that is in something else. `[-1, +0, m]` if so.
    ///
    /// # Safety
    /// As `push_value`; a value is on top.
    unsafe fn deliver(&mut self, l: *mut lua_State) -> Result<bool, Failure> {
        let Some(frame) = self.frames.last_mut() else {
            return Ok(false);
        };
        // SAFETY: the table or function lies at `at`; keys are checked, so that setting them raises for want of memory
        // alone.
        unsafe {
            match &mut frame.part {
                Part::Table {
                    next,
                    values,
                    pairs,
                    has_key,
                } => {
                    if *values > 0 {
                        if ffi::lua_type(l, -1) == ffi::LUA_TNIL {
                            return Err(Failure::Malformed);
                        }
                        compat::raw_set(l, frame.at, *next);
                        *values -= 1;
                        *next += 1;
                    } else if *has_key {
                        ffi::lua_rawset(l, frame.at);
                        *has_key = false;
                        *pairs -= 1;
                    } else {
                        check_key(l)?;
                        *has_key = true;
                    }
                }
                Part::Function(_, next) => {
                    if ffi::lua_setupvalue(l, frame.at, *next).is_null() {
                        return Err(Failure::Malformed);
                    }
                    *next += 1;
                }
            }
        }
        Ok(true)
    }

    /// Reads what comes next in a table, up to what is no plain value, or ends it. `[-0, +1, m]` or `[-0, +0, m]`
    ///
    /// # Safety
    /// As `push_value`; the frame is the last one.
    unsafe fn go_on_with_table(
        &mut self,
        l: *mut lua_State,
        frame: Frame,
    ) -> Result<Item, Failure> {
        let Part::Table {
            mut next,
            mut values,
            mut pairs,
            mut has_key,
        } = frame.part
        else {
            return Err(Failure::Malformed);
        };
        // SAFETY: the table lies at `at`, above it a key if there is one; a level has the slots for both and more. Keys
        // are checked, so that setting them raises for want of memory alone.
        unsafe {
            while values > 0 {
                if !self.push_plain(l)? {
                    break;
                }
                if ffi::lua_type(l, -1) == ffi::LUA_TNIL {
                    return Err(Failure::Malformed);
                }
                compat::raw_set(l, frame.at, next);
                values -= 1;
                next += 1;
            }
            while values == 0 && pairs > 0 {
                if !has_key {
                    if !self.push_plain(l)? {
                        break;
                    }
                    check_key(l)?;
                    has_key = true;
                }
                if !self.push_plain(l)? {
                    break;
                }
                ffi::lua_rawset(l, frame.at);
                has_key = false;
                pairs -= 1;
            }
            if values == 0 && pairs == 0 {
                self.frames.pop();
                return Ok(Item::Whole);
            }
            if let Some(frame) = self.frames.last_mut() {
                frame.part = Part::Table {
                    next,
                    values,
                    pairs,
                    has_key,
                };
            }
            self.push_item(l)
        }
    }

    /// Pushes the next value if nothing is in it; answers whether that was so. `[-0, +1, m]` if so.
    ///
    /// # Safety
    /// As `push_value`.
    #[inline]
    unsafe fn push_plain(&mut self, l: *mut lua_State) -> Result<bool, Failure> {
        let tag = self.reader.peek().ok_or(Failure::Malformed)?;
        // SAFETY: the caller's promise. Lua copies a string's bytes before anything else may happen: they belong to the
        // landing's owner.
        unsafe {
            match tag {
                format::SHORT_STRING..format::SMALL_INTEGER | format::STRING => {
                    self.reader.byte();
                    let string = self.reader.string(tag).ok_or(Failure::Malformed)?;
                    compat::push_string(l, string);
                }
                format::SMALL_INTEGER.. => {
                    self.reader.byte();
                    compat::push_exact(l, i64::from(tag - format::SMALL_INTEGER));
                }
                format::INTEGER => {
                    self.reader.byte();
                    let integer = self.reader.integer().ok_or(Failure::Malformed)?;
                    compat::push_exact(l, integer);
                }
                format::FLOAT => {
                    self.reader.byte();
                    let float = self.reader.array().ok_or(Failure::Malformed)?;
                    ffi::lua_pushnumber(l, f64::from_le_bytes(float));
                }
                format::FALSE | format::TRUE => {
                    self.reader.byte();
                    ffi::lua_pushboolean(l, c_int::from(tag == format::TRUE));
                }
                format::NIL => {
                    self.reader.byte();
                    ffi::lua_pushnil(l);
                }
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Pushes the next value, of which more may follow. `[-0, +1, m]`
    ///
    /// # Safety
    /// As `push_value`.
    unsafe fn push_item(&mut self, l: *mut lua_State) -> Result<Item, Failure> {
        // SAFETY: the caller's promise.
        unsafe {
            if self.push_plain(l)? {
                return Ok(Item::Whole);
            }
            let tag = self.reader.byte().ok_or(Failure::Malformed)?;
            match tag {
                format::TABLE | format::WIDE_TABLE => self.begin_table(l, tag),
                format::FUNCTION => self.begin_function(l),
                format::REFERENCE => self.push_reference(l),
                format::SHARED => self.push_object(l),
                format::KNOWN => self.push_known(l),
                format::INT64 | format::UINT64 => self.push_cdata(l, tag),
                _ => Err(Failure::Malformed),
            }
        }
    }

    /// Begins a table. `[-0, +1, m]`
    ///
    /// # Safety
    /// As `push_value`.
    unsafe fn begin_table(&mut self, l: *mut lua_State, tag: u8) -> Result<Item, Failure> {
        let counts = if tag == format::TABLE {
            let counts = self.reader.array::<2>();
            counts.map(|[values, pairs]| (u32::from(values), u32::from(pairs)))
        } else {
            let counts = (self.reader.array(), self.reader.array());
            counts
                .0
                .zip(counts.1)
                .map(|(values, pairs)| (u32::from_le_bytes(values), u32::from_le_bytes(pairs)))
        };
        let (values, pairs) = counts.ok_or(Failure::Malformed)?;
        // What is announced takes bytes that no other table has: memory stays in proportion to the message.
        let bytes = values as usize + 2 * pairs as usize;
        self.announced = self
            .announced
            .checked_sub(bytes)
            .ok_or(Failure::Malformed)?;
        let count = |count| c_int::try_from(count).map_err(|_| Failure::Malformed);
        let (values, pairs) = (count(values)?, count(pairs)?);
        // SAFETY: the caller's promise.
        unsafe {
            ffi::lua_createtable(l, values, pairs);
            self.note_begun(l);
            self.push_frame(
                l,
                Part::Table {
                    next: 1,
                    values,
                    pairs,
                    has_key: false,
                },
            )
        }
    }

    /// Notes that what is on top has begun; answers its number. `[-0, +0, m]`
    ///
    /// # Safety
    /// As `push_value`.
    #[inline]
    unsafe fn note_begun(&mut self, l: *mut lua_State) -> u32 {
        let number = self.begun;
        self.begun = number.wrapping_add(1);
        if self.has_references {
            // SAFETY: the caller's promise. A message of 2^31 tables is larger than any that there can be.
            unsafe {
                ffi::lua_pushvalue(l, -1);
                compat::raw_set(l, BEGUN, number.cast_signed().wrapping_add(1));
            }
        }
        number
    }

    /// Goes one level deeper, with what is on top. `[-0, +0, m]`
    ///
    /// # Safety
    /// As `push_value`.
    unsafe fn push_frame(&mut self, l: *mut lua_State, part: Part) -> Result<Item, Failure> {
        if self.frames.len() >= self.policy.limits.depth {
            return Err(Failure::Oversized);
        }
        // SAFETY: the caller's promise.
        let at = unsafe {
            if ffi::lua_checkstack(l, LEVEL_SLOTS) == 0 {
                return Err(Failure::Oversized);
            }
            ffi::lua_gettop(l)
        };
        self.frames.push(Frame { at, part });
        Ok(Item::Begun)
    }

    /// Pushes what has begun before. `[-0, +1, -]`
    ///
    /// # Safety
    /// As `push_value`.
    unsafe fn push_reference(&mut self, l: *mut lua_State) -> Result<Item, Failure> {
        let number = self.reader.groups().ok_or(Failure::Malformed)?;
        if !self.has_references || number >= u64::from(self.begun) {
            return Err(Failure::Malformed);
        }
        // SAFETY: the caller's promise; the number is one of those that were noted.
        unsafe { compat::raw_get(l, BEGUN, number.cast_signed() + 1) };
        Ok(Item::Whole)
    }
}

/// Can the value on top be a key? `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state, with a value on top.
#[inline]
unsafe fn check_key(l: *mut lua_State) -> Result<(), Failure> {
    // SAFETY: the caller's promise.
    let is_key = unsafe {
        match ffi::lua_type(l, -1) {
            ffi::LUA_TNIL => false,
            ffi::LUA_TNUMBER => !ffi::lua_tonumber(l, -1).is_nan(),
            _ => true,
        }
    };
    if is_key {
        Ok(())
    } else {
        Err(Failure::Malformed)
    }
}
