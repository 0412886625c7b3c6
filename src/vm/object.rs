//! Rust values inside userdata. A userdata holds one counted reference; an operation may hold another.

use super::compat;
use super::copy::Shared;
use mlua::ffi::{self, lua_State};
use std::any::Any;
use std::os::raw::{c_int, c_void};
use std::rc::Rc;
use std::sync::Arc;

/// A Rust value that Lua can hold.
pub(crate) trait Object: Any {
    /// Called when Lua's last reference is gone, or its state closes.
    fn collected(&self) {}

    /// What crosses to other universes in its place; `None` where it cannot.
    fn share(&self) -> Option<Arc<dyn Shared>> {
        None
    }

    /// Does it move, so that it is to be given up here once it has crossed?
    fn departs(&self) -> bool {
        false
    }
}

/// A kind of userdata: an index into the library's metatables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Class(pub(crate) u8);

/// The metatable of a class.
#[derive(Clone, Copy)]
pub(super) struct Metatable {
    /// Its place in the registry.
    pub(super) reference: c_int,
    /// Its address, which tells a userdata's class in two calls.
    pub(super) pointer: *const c_void,
}

/// What lies in the userdata's memory. `None` after `__gc`.
type Payload = Option<Rc<dyn Object>>;

/// Pushes a new userdata that holds `object`. `[-0, +1, m]`
///
/// # Safety
/// `l` is the running state with three free slots, outside `catch_unwind`; `object` is owned by the runtime's reply,
/// so that nothing leaks when this raises.
pub(super) unsafe fn push(l: *mut lua_State, metatable: Metatable, object: *const Rc<dyn Object>) {
    // SAFETY: the memory is written before the metatable, and with it `__gc`, is set; a `Payload` is 16 bytes and
    // aligned to 8, as Lua aligns userdata.
    unsafe {
        let memory = compat::new_userdata(l, size_of::<Payload>()).cast::<Payload>();
        memory.write(None);
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, metatable.reference as _);
        ffi::lua_setmetatable(l, -2);
        memory.write(Some(Rc::clone(&*object)));
    }
}

/// The metatable's address of the value at `index`, or null. `[-0, +0, -]`; needs a free slot.
///
/// # Safety
/// `l` is the running state.
#[inline(always)]
pub(super) unsafe fn metatable_of(l: *mut lua_State, index: c_int) -> *const c_void {
    // SAFETY: the caller's promise.
    unsafe {
        if ffi::lua_type(l, index) != ffi::LUA_TUSERDATA || ffi::lua_getmetatable(l, index) == 0 {
            return std::ptr::null();
        }
        let pointer = ffi::lua_topointer(l, -1);
        ffi::lua_settop(l, -2);
        pointer
    }
}

/// The object in the userdata at `index`. `[-0, +0, -]`
///
/// # Safety
/// The value at `index` is a userdata that `push` made, and stays on the stack while the reference is used.
#[inline(always)]
pub(super) unsafe fn borrow<'a>(l: *mut lua_State, index: c_int) -> Option<&'a Rc<dyn Object>> {
    // SAFETY: the caller's promise.
    unsafe { (*ffi::lua_touserdata(l, index).cast::<Payload>()).as_ref() }
}

/// `__gc` of every class: drops the reference. `[-0, +0, -]`
///
/// # Safety
/// Called by Lua, as a closure with the class's metatable.
pub(super) unsafe extern "C-unwind" fn collect(l: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it with a userdata that `push` made. `__gc` can also be called by hand (it is in the
    // metatable); then the type check holds foreign values off, and a second call finds `None`.
    unsafe {
        let memory = ffi::lua_touserdata(l, 1).cast::<Payload>();
        if ffi::lua_type(l, 1) != ffi::LUA_TUSERDATA
            || ffi::lua_rawlen(l, 1) != size_of::<Payload>()
        {
            return 0;
        }
        let own = ffi::lua_getmetatable(l, 1) != 0
            && ffi::lua_rawequal(l, -1, ffi::lua_upvalueindex(1)) != 0;
        if own && let Some(object) = (*memory).take() {
            // A panic must not cross into Lua; there is nothing to be told here.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                object.collected();
                drop(object);
            }));
        }
    }
    0
}
