//! The arguments of a running call, read without ever raising.

use super::compat;
use super::copy::{self, Limits, Message, Plain, Scope};
use super::coroutine::Coroutine;
use super::entry::Host;
use super::library::Library;
use super::object::{self, Class, Object};
use super::outcome::HeldBytes;
use super::registry::Handle;
use super::state::State;
use crate::error::Fault;
use mlua::ffi::{self, lua_State};
use std::os::raw::c_int;
use std::rc::Rc;

/// The stack of one call: argument `n` of the function is slot `n`; the object of a method is slot 1.
pub(crate) struct Stack<'a> {
    /// The running state.
    pub(super) l: *mut lua_State,
    /// The library, which knows its classes.
    library: &'a Library,
}

/// A value that can be had without a fault.
#[derive(Clone, Copy)]
pub(crate) enum Argument<'a> {
    /// Nothing, or nil.
    Absent,
    /// A number.
    Number(f64),
    /// A string.
    Text(&'a [u8]),
    /// Something else.
    Other,
}

impl<'a> Stack<'a> {
    /// # Safety
    /// `l` is the running state, in a call whose frame outlives the value.
    pub(super) unsafe fn new(l: *mut lua_State, library: &'a Library) -> Stack<'a> {
        Stack { l, library }
    }

    /// The running state.
    pub(crate) fn state(&self) -> State {
        // SAFETY: `l` runs as long as `self` lives.
        unsafe { State::new(self.l) }
    }

    /// The type of the value at `slot`.
    fn kind(&self, slot: i32) -> c_int {
        // SAFETY: `l` is the running state; an index above the top is `none`.
        unsafe { ffi::lua_type(self.l, slot) }
    }

    /// The name of the type of the value at `slot`, as Lua's own messages say it.
    pub(crate) fn kind_name(&self, slot: i32) -> &'static str {
        match self.kind(slot) {
            ffi::LUA_TNONE => "no value",
            ffi::LUA_TNIL => "nil",
            ffi::LUA_TBOOLEAN => "boolean",
            ffi::LUA_TNUMBER => "number",
            ffi::LUA_TSTRING => "string",
            ffi::LUA_TTABLE => "table",
            ffi::LUA_TFUNCTION => "function",
            ffi::LUA_TUSERDATA | ffi::LUA_TLIGHTUSERDATA => "userdata",
            ffi::LUA_TTHREAD => "thread",
            _ => "cdata",
        }
    }

    /// The fault that says what was expected at `slot`.
    pub(crate) fn expected(&self, slot: i32, what: &str) -> Fault {
        Fault::argument(
            slot,
            format!("{what} expected, got {}", self.kind_name(slot)),
        )
    }

    /// Is there nothing, or nil, at `slot`?
    pub(crate) fn is_absent(&self, slot: i32) -> bool {
        self.kind(slot) <= ffi::LUA_TNIL
    }

    /// Is there an argument, be it nil?
    pub(crate) fn has(&self, slot: i32) -> bool {
        self.kind(slot) != ffi::LUA_TNONE
    }

    /// How many arguments there are.
    pub(crate) fn count(&self) -> i32 {
        // SAFETY: `l` is the running state.
        unsafe { ffi::lua_gettop(self.l) }
    }

    /// Copies all values from `first` on; a refusal calls them `arg 1` and so on.
    pub(crate) fn copy(&self, first: i32, scope: Scope, limits: &Limits) -> Result<Message, Fault> {
        // SAFETY: `l` is the running state.
        let count = unsafe { ffi::lua_gettop(self.l) } - first + 1;
        let name = |index: i32| format!("arg {}", index + 1);
        copy::encode_as(
            self.state(),
            self.library,
            first,
            count,
            limits,
            &name,
            scope,
        )
        .map_err(|refusal| Fault::argument(first + refusal.index, refusal.message))
    }

    /// Copies the value at `slot`, which a refusal calls `name`.
    pub(crate) fn copy_one(
        &self,
        slot: i32,
        name: &str,
        scope: Scope,
        limits: &Limits,
    ) -> Result<Message, Fault> {
        let (state, name) = (self.state(), |_| name.to_owned());
        copy::encode_as(state, self.library, slot, 1, limits, &name, scope)
            .map_err(|refusal| Fault::argument(slot, refusal.message))
    }

    /// The value at `slot`, unless there may be others in it.
    pub(crate) fn plain(&self, slot: i32) -> Option<Plain> {
        // SAFETY: `l` is the running state.
        unsafe { Plain::read(self.l, slot) }
    }

    /// Is there a table?
    pub(crate) fn is_table(&self, slot: i32) -> bool {
        self.kind(slot) == ffi::LUA_TTABLE
    }

    /// What lies at `slot`, said at once.
    #[inline]
    pub(crate) fn argument(&self, slot: i32) -> Argument<'a> {
        match self.kind(slot) {
            // SAFETY: `l` is the running state, and a number is there.
            ffi::LUA_TNUMBER => Argument::Number(unsafe { ffi::lua_tonumber(self.l, slot) }),
            ffi::LUA_TSTRING => self.bytes(slot).map_or(Argument::Other, Argument::Text),
            ffi::LUA_TNIL | ffi::LUA_TNONE => Argument::Absent,
            _ => Argument::Other,
        }
    }

    /// Is there a string?
    pub(crate) fn is_string(&self, slot: i32) -> bool {
        self.kind(slot) == ffi::LUA_TSTRING
    }

    /// The strings of the list at `slot`, one after the other.
    pub(crate) fn strings(&self, slot: i32) -> Result<Box<[u8]>, Fault> {
        let mut bytes = Vec::new();
        for index in 1.. {
            // SAFETY: a table is at `slot`; the stack has room for one more value, which is a string when its bytes
            // are asked for, so nothing is converted. It is read while it lies on the stack.
            let kind = unsafe {
                compat::raw_get(self.l, slot, index);
                let kind = ffi::lua_type(self.l, -1);
                if kind == ffi::LUA_TSTRING {
                    let mut len = 0;
                    let pointer = ffi::lua_tolstring(self.l, -1, &raw mut len);
                    bytes.extend_from_slice(std::slice::from_raw_parts(pointer.cast::<u8>(), len));
                }
                ffi::lua_settop(self.l, -2);
                kind
            };
            match kind {
                ffi::LUA_TSTRING => {}
                ffi::LUA_TNIL => break,
                _ => {
                    let problem = format!("item {index} of the list is no string");
                    return Err(Fault::argument(slot, problem));
                }
            }
        }
        Ok(bytes.into())
    }

    /// Is there a number, or a string that reads as one?
    pub(crate) fn is_numeric(&self, slot: i32) -> bool {
        // SAFETY: `l` is the running state; converts nothing in place.
        unsafe { ffi::lua_isnumber(self.l, slot) != 0 }
    }

    /// Is there a number that is none?
    pub(crate) fn is_nan(&self, slot: i32) -> bool {
        // SAFETY: `l` is the running state; what is a number is not converted.
        self.kind(slot) == ffi::LUA_TNUMBER && unsafe { ffi::lua_tonumber(self.l, slot) }.is_nan()
    }

    /// Is there a function?
    pub(crate) fn function(&self, slot: i32) -> Result<(), Fault> {
        if self.kind(slot) == ffi::LUA_TFUNCTION {
            Ok(())
        } else {
            Err(self.expected(slot, "function"))
        }
    }

    /// A boolean, and nothing that merely counts as one.
    pub(crate) fn boolean(&self, slot: i32) -> Result<bool, Fault> {
        if self.kind(slot) != ffi::LUA_TBOOLEAN {
            return Err(self.expected(slot, "boolean"));
        }
        // SAFETY: `l` is the running state.
        Ok(unsafe { ffi::lua_toboolean(self.l, slot) != 0 })
    }

    /// A number; a string that reads as one will do, as everywhere in Lua.
    pub(crate) fn number(&self, slot: i32) -> Result<f64, Fault> {
        if self.kind(slot) != ffi::LUA_TNUMBER && !self.is_numeric(slot) {
            return Err(self.expected(slot, "number"));
        }
        // SAFETY: `l` is the running state.
        Ok(unsafe { ffi::lua_tonumber(self.l, slot) })
    }

    /// A number, and nothing that merely reads as one.
    pub(crate) fn strict_number(&self, slot: i32) -> Result<f64, Fault> {
        if self.kind(slot) == ffi::LUA_TNUMBER {
            self.number(slot)
        } else {
            Err(self.expected(slot, "number"))
        }
    }

    /// A number without a fraction that fits into 53 bits, so that it is the same on every Lua.
    pub(crate) fn integer(&self, slot: i32) -> Result<i64, Fault> {
        /// The largest integer up to which every float is exact.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let number = self.number(slot)?;
        if number.fract() != 0.0 || number.abs() > EXACT {
            return Err(Fault::argument(
                slot,
                "number has no integer representation",
            ));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked one line up")]
        Ok(number as i64)
    }

    /// A number without its fraction, as C would convert it; what is out of range becomes the nearest.
    pub(crate) fn truncated(&self, slot: i32) -> Result<i64, Fault> {
        #[expect(clippy::cast_possible_truncation, reason = "that is what is asked for")]
        self.number(slot).map(|number| number as i64)
    }

    /// Seconds: a number that is not NaN. Negative ones mean what the function says.
    pub(crate) fn seconds(&self, slot: i32) -> Result<f64, Fault> {
        let seconds = self.number(slot)?;
        if seconds.is_nan() {
            return Err(Fault::argument(slot, "time is not a number"));
        }
        Ok(seconds)
    }

    /// Seconds, or `None` where nothing is given.
    pub(crate) fn opt_seconds(&self, slot: i32) -> Result<Option<f64>, Fault> {
        if self.is_absent(slot) {
            Ok(None)
        } else {
            self.seconds(slot).map(Some)
        }
    }

    /// The bytes of a string. A number makes the trampoline convert it and call again.
    pub(crate) fn bytes(&self, slot: i32) -> Result<&'a [u8], Fault> {
        match self.kind(slot) {
            ffi::LUA_TSTRING => {
                let mut len = 0;
                // SAFETY: a string is at `slot`, so nothing is converted and nothing raises; the string stays on the
                // stack as long as the call runs.
                unsafe {
                    let pointer = ffi::lua_tolstring(self.l, slot, &raw mut len);
                    Ok(std::slice::from_raw_parts(pointer.cast::<u8>(), len))
                }
            }
            ffi::LUA_TNUMBER => Err(Fault::NumberForString(slot)),
            _ => Err(self.expected(slot, "string")),
        }
    }

    /// The bytes of a string that a parked call keeps on its stack.
    pub(crate) fn held(&self, slot: i32) -> Result<HeldBytes, Fault> {
        self.bytes(slot).map(HeldBytes::new)
    }

    /// A string that is text.
    pub(crate) fn text(&self, slot: i32) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes(slot)?)
            .map_err(|_| Fault::argument(slot, "string is not valid UTF-8"))
    }

    /// The object at `slot`, which is of one of `classes`; `expected` names them in the fault.
    pub(crate) fn object<T: Object>(
        &self,
        slot: i32,
        classes: &[Class],
        expected: &str,
    ) -> Result<Rc<T>, Fault> {
        // SAFETY: `l` is the running state; the value stays on its stack during the call.
        match unsafe { object::classed::<T>(self.l, slot) } {
            Some((class, object)) if classes.contains(&class) => {
                object.ok_or_else(|| Fault::argument(slot, "the object has been collected"))
            }
            _ => Err(self.expected(slot, expected)),
        }
    }

    /// The object at `slot` that tasks wait at, if it is one.
    pub(crate) fn holder<H: Host>(&self, slot: i32) -> Option<Rc<H::Holder>> {
        // SAFETY: `l` is the running state; the value stays on its stack during the call.
        unsafe { object::shared(self.l, slot) }
    }

    /// The same, without a share in it: it stays at `slot` as long as it is used.
    pub(crate) fn held_object<H: Host>(&self, slot: i32) -> Option<&'a H::Holder> {
        // SAFETY: as in `holder`.
        unsafe { object::typed(self.l, slot) }
    }

    /// The object of that type at `slot`, if it is one: it stays there as long as it is used.
    pub(crate) fn typed<T: Object>(&self, slot: i32) -> Option<&'a T> {
        // SAFETY: as in `holder`.
        unsafe { object::typed(self.l, slot) }
    }

    /// How many values lie on it.
    pub(crate) fn top(&self) -> i32 {
        // SAFETY: `l` is the running state.
        unsafe { ffi::lua_gettop(self.l) }
    }

    /// Drops what lies above `top`, or fills up with nil; no more than 16 slots above the arguments.
    pub(crate) fn set_top(&self, top: i32) {
        // SAFETY: `l` is the running state, and nothing there is to be closed.
        unsafe { ffi::lua_settop(self.l, top) };
    }

    /// How many items the table at `slot` has; none where there is no table.
    pub(crate) fn length(&self, slot: i32) -> i32 {
        if !self.is_table(slot) {
            return 0;
        }
        // SAFETY: a table's length is found without its metatable.
        let length = unsafe { ffi::lua_rawlen(self.l, slot) };
        i32::try_from(length).unwrap_or(i32::MAX)
    }

    /// Pushes an item of the table at `slot`, or nil where there is none; answers whether there is something. Callers
    /// leave no more than 16 values above the arguments.
    pub(crate) fn push_field(&self, slot: i32, index: i32) -> bool {
        // SAFETY: the stack has room, as the caller promises; a raw get cannot raise.
        unsafe {
            if self.is_table(slot) {
                compat::raw_get(self.l, slot, index.into());
            } else {
                ffi::lua_pushnil(self.l);
            }
            ffi::lua_type(self.l, -1) != ffi::LUA_TNIL
        }
    }

    /// Pushes an item of the table at `slot`, where there is one for sure; answers whether that is a table.
    #[inline(always)]
    pub(crate) fn push_table_of(&self, slot: i32, index: i32) -> bool {
        // SAFETY: as in `push_field`.
        unsafe { compat::raw_get_type(self.l, slot, index.into()) == ffi::LUA_TTABLE }
    }

    /// Pushes an item of the table at `slot`, where there is one for sure.
    #[inline(always)]
    pub(crate) fn push_item_of(&self, slot: i32, index: i32) {
        // SAFETY: as in `push_field`.
        unsafe { compat::raw_get(self.l, slot, index.into()) }
    }

    /// Pushes an item of the table at `slot`, where there is one for sure; answers its bytes if it is a string. It stays
    /// on the stack as long as they are used.
    #[inline(always)]
    pub(crate) fn push_bytes_of(&self, slot: i32, index: i32) -> Option<&'a [u8]> {
        // SAFETY: as in `push_field` and `bytes`.
        unsafe {
            if compat::raw_get_type(self.l, slot, index.into()) != ffi::LUA_TSTRING {
                return None;
            }
            let mut len = 0;
            let pointer = ffi::lua_tolstring(self.l, -1, &raw mut len);
            Some(std::slice::from_raw_parts(pointer.cast::<u8>(), len))
        }
    }

    /// A number in the table at `slot`.
    pub(crate) fn number_field(&self, slot: i32, index: i32) -> Option<u32> {
        let top = self.top();
        let has = self.push_field(slot, index);
        let number = (has && self.kind(top + 1) == ffi::LUA_TNUMBER)
            .then(|| self.integer(top + 1).ok())
            .flatten();
        self.set_top(top);
        u32::try_from(number?).ok()
    }

    /// Is there room for so many values more?
    pub(crate) fn has_room(&self, count: i32) -> bool {
        // SAFETY: `l` is the running state; to ask raises nothing.
        unsafe { ffi::lua_checkstack(self.l, count) != 0 }
    }

    /// Drops the value below the top one.
    pub(crate) fn drop_below_top(&self) {
        // SAFETY: two values lie there, as the caller promises.
        unsafe { ffi::lua_remove(self.l, -2) };
    }

    /// Is there a number that is infinite?
    pub(crate) fn is_infinite(&self, slot: i32) -> bool {
        self.kind(slot) == ffi::LUA_TNUMBER
            && self
                .number(slot)
                .is_ok_and(|number| number == f64::INFINITY)
    }

    /// The class of the userdata at `slot`, when it is one of `classes`.
    pub(crate) fn class(&self, slot: i32, classes: &[Class]) -> Option<Class> {
        // SAFETY: `l` is the running state.
        let metatable = unsafe { object::metatable_of(self.l, slot) };
        classes
            .iter()
            .copied()
            .find(|class| self.library.metatable(*class).pointer == metatable)
    }

    /// The address that tells the value at `slot` from others.
    pub(crate) fn address(&self, slot: i32) -> usize {
        // SAFETY: `l` is the running state.
        unsafe { ffi::lua_topointer(self.l, slot) }.addr()
    }

    /// Gives the userdata at `slot` another class of the same object.
    pub(crate) fn set_class(&self, slot: i32, class: Class) {
        // SAFETY: one of `classes` has been checked at `slot`; the stack has room, and setting an existing metatable
        // takes no memory where the new one has the same finalizer.
        unsafe {
            compat::raw_get(
                self.l,
                ffi::LUA_REGISTRYINDEX,
                self.library.metatable(class).reference as _,
            );
            ffi::lua_setmetatable(self.l, slot);
            object::set_class(self.l, slot, class);
        }
    }

    /// The coroutine at `slot`, which stays there during the call.
    pub(crate) fn coroutine(&self, slot: i32) -> Result<Coroutine, Fault> {
        if self.kind(slot) != ffi::LUA_TTHREAD {
            return Err(self.expected(slot, "coroutine"));
        }
        // SAFETY: a coroutine is at `slot`.
        Ok(unsafe { Coroutine::new(ffi::lua_tothread(self.l, slot)) })
    }

    /// Lets the registry hold the coroutine at `slot` while it runs inside a task's own one, and until another one does.
    pub(crate) fn hold_inner(&self, slot: i32) {
        // SAFETY: the stack has room; the key exists, so storing takes no memory.
        unsafe {
            ffi::lua_pushvalue(self.l, slot);
            ffi::lua_rawseti(self.l, ffi::LUA_REGISTRYINDEX, self.library.inner as _);
        }
    }

    /// The task handle at `slot`.
    pub(crate) fn handle(&self, slot: i32) -> Result<&'a Handle, Fault> {
        // SAFETY: the metatable's address shows that it is a handle, which stays on the stack during the call.
        unsafe {
            if object::metatable_of(self.l, slot) != self.library.handle_metatable().pointer {
                return Err(self.expected(slot, "task"));
            }
            Ok(&*ffi::lua_touserdata(self.l, slot).cast::<Handle>())
        }
    }
}
