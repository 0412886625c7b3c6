//! Rust values inside userdata. A userdata holds one counted reference; an operation may hold another.

use super::copy::Shared;
use super::library::Library;
use super::{compat, demand};
use mlua::ffi::{self, lua_State};
use std::any::{Any, TypeId};
use std::cell::Cell;
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

impl Metatable {
    /// That of a class which nobody has asked for: no userdata has it.
    pub(super) const UNMADE: Metatable = {
        /// Only its address counts.
        static NOTHING: u8 = 2;
        Metatable {
            reference: 0,
            pointer: (&raw const NOTHING).cast(),
        }
    };

    /// Keeps the table on top in the registry. `[-1, +0, m]`
    ///
    /// # Safety
    /// `l` is the running state, outside `catch_unwind`; a table is on top.
    pub(super) unsafe fn keep(l: *mut lua_State) -> Metatable {
        // SAFETY: the caller's promise.
        unsafe {
            Metatable {
                pointer: ffi::lua_topointer(l, -1),
                reference: ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX),
            }
        }
    }

    /// Is it there?
    pub(super) fn is_made(&self) -> bool {
        self.reference != 0
    }
}

/// What lies in the userdata's memory.
#[repr(C)]
struct Payload {
    /// The type of the object: 128 bits that no other userdata has here by chance.
    id: TypeId,
    /// Where the host lies.
    host: *const c_void,
    /// Has the userdata a table of its own?
    has_table: Cell<bool>,
    /// The class: what its metatable says, in two calls less.
    class: Cell<Class>,
    /// Where the value of that type lies, or null: what the next one would say after a look at its table of methods.
    value: Cell<*const c_void>,
    /// The object. `None` after `__gc`.
    object: Option<Rc<dyn Object>>,
}

impl Payload {
    /// The value, if it is there.
    ///
    /// # Safety
    /// The id is that of `T`. The reference is used only while somebody holds the userdata, and `__gc` is not called.
    #[inline(always)]
    unsafe fn value<'a, T: Object>(&self) -> Option<&'a T> {
        // SAFETY: the caller's promise: the id is written with the address of a value of its type, which lives as long
        // as the counted reference beside it.
        unsafe { self.value.get().cast::<T>().as_ref() }
    }
}

/// Pushes a new userdata that holds `object`. `[-0, +1, m]`
///
/// # Safety
/// `l` is the running state with eight free slots, outside `catch_unwind`; `object` is owned by the runtime's reply,
/// so that nothing leaks when this raises.
pub(super) unsafe fn push(
    l: *mut lua_State,
    library: &Library,
    class: Class,
    object: *const Rc<dyn Object>,
) {
    // SAFETY: the memory is written before the metatable, and with it `__gc`, is set; a `Payload` is aligned to 8, as
    // Lua aligns userdata.
    unsafe {
        if !library.metatable(class).is_made() {
            demand::open_class(l, library, class);
        }
        let memory = compat::new_userdata(l, size_of::<Payload>()).cast::<Payload>();
        memory.write(Payload {
            id: TypeId::of::<()>(),
            host: library.host,
            has_table: Cell::new(false),
            class: Cell::new(class),
            value: Cell::new(std::ptr::null()),
            object: None,
        });
        compat::raw_get(
            l,
            ffi::LUA_REGISTRYINDEX,
            library.metatable(class).reference as _,
        );
        ffi::lua_setmetatable(l, -2);
        (*memory).id = Any::type_id(&**object);
        (*memory).value.set(Rc::as_ptr(&*object).cast());
        (*memory).object = Some(Rc::clone(&*object));
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
    unsafe {
        (*ffi::lua_touserdata(l, index).cast::<Payload>())
            .object
            .as_ref()
    }
}

/// The payload of the value at `index`, if that holds an object of the type. `[-0, +0, -]`
///
/// # Safety
/// `l` is a live state; the value stays where it is while the pointer is used.
#[inline(always)]
unsafe fn payload(l: *mut lua_State, index: c_int, id: TypeId) -> Option<*const Payload> {
    // SAFETY: a full userdata of this size has so many bytes to be read; those of somebody else are not the id of an
    // object's type, which only `push` writes, with such an object behind it.
    unsafe {
        // What is no userdata has no address, and a light one no length.
        let payload = ffi::lua_touserdata(l, index).cast::<Payload>().cast_const();
        if payload.is_null() || ffi::lua_rawlen(l, index) != size_of::<Payload>() {
            return None;
        }
        ((*payload).id == id).then_some(payload)
    }
}

/// The `T` in the value at `index`, if it holds one: in three calls. `[-0, +0, -]`
///
/// # Safety
/// `l` is a live state; the value stays where it is while the reference is used.
#[inline(always)]
pub(super) unsafe fn typed<'a, T: Object>(l: *mut lua_State, index: c_int) -> Option<&'a T> {
    // SAFETY: the id says that the object is a `T`; the counted reference lives as long as the userdata.
    unsafe { (*payload(l, index, TypeId::of::<T>())?).value() }
}

/// As `typed`, for an object that is used by a method: with its host, and whether the userdata has a table of
/// its own. `[-0, +0, -]`
///
/// # Safety
/// As `typed`; `H` is the host of the universe.
#[inline(always)]
pub(super) unsafe fn in_use<'a, H, T: Object>(
    l: *mut lua_State,
    index: c_int,
) -> Option<(&'a H, &'a T, &'a Cell<bool>)> {
    // SAFETY: as in `typed`; the host lies where it lay when it made the object.
    unsafe {
        let payload = payload(l, index, TypeId::of::<T>())?;
        let value = (*payload).value()?;
        Some((&*(*payload).host.cast::<H>(), value, &(*payload).has_table))
    }
}

/// An object whose method runs: it lies at the call's first index as long as the call runs.
#[derive(Clone, Copy)]
pub(crate) struct This<'a, T> {
    /// The object.
    object: &'a T,
    /// The reference to it in the userdata.
    held: &'a Rc<dyn Object>,
    /// Its class.
    pub(crate) class: Class,
}

impl<T> std::ops::Deref for This<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.object
    }
}

impl<T> This<'_, T> {
    /// A share in it.
    pub(crate) fn share(&self) -> Rc<T> {
        let share = Rc::into_raw(Rc::clone(self.held)).cast::<T>();
        // SAFETY: the counted reference is one to the `T`.
        unsafe { Rc::from_raw(share) }
    }
}

/// As `in_use`, with what is needed to get a share in the object. `[-0, +0, -]`
///
/// # Safety
/// As `in_use`.
#[inline(always)]
pub(super) unsafe fn this<'a, H, T: Object>(
    l: *mut lua_State,
    index: c_int,
) -> Option<(&'a H, This<'a, T>)> {
    // SAFETY: as in `in_use`.
    unsafe {
        let payload = payload(l, index, TypeId::of::<T>())?;
        let held = (*payload).object.as_ref()?;
        let this = This {
            object: &*Rc::as_ptr(held).cast::<T>(),
            held,
            class: (*payload).class.get(),
        };
        Some((&*(*payload).host.cast::<H>(), this))
    }
}

/// As `in_use`, for a userdata whose memory lies there.
///
/// # Safety
/// The userdata is as large as those that `push` makes, and somebody holds it while the references are used; `H` is the
/// host of the universe.
#[inline(always)]
pub(super) unsafe fn in_use_at<'a, H, T: Object>(memory: *const c_void) -> Option<(&'a H, &'a T)> {
    // SAFETY: as in `in_use`.
    unsafe {
        let payload = memory.cast::<Payload>();
        if (*payload).id != TypeId::of::<T>() {
            return None;
        }
        Some((&*(*payload).host.cast::<H>(), (*payload).value()?))
    }
}

/// The class of the value at `index`, and a share in its object, if it was made for a `T`; that has gone when `__gc` has
/// been called. `[-0, +0, -]`
///
/// # Safety
/// As `typed`.
#[inline(always)]
pub(super) unsafe fn classed<T: Object>(
    l: *mut lua_State,
    index: c_int,
) -> Option<(Class, Option<Rc<T>>)> {
    // SAFETY: the id says that the object is a `T`, so that is what the counted reference points to.
    unsafe {
        let payload = payload(l, index, TypeId::of::<T>())?;
        let object = (*payload).object.as_ref();
        let object = object.map(|object| Rc::from_raw(Rc::into_raw(Rc::clone(object)).cast::<T>()));
        Some(((*payload).class.get(), object))
    }
}

/// Notes that the userdata at `index` has got the metatable of another class. `[-0, +0, -]`
///
/// # Safety
/// `l` is a live state, and a userdata that `push` made is at `index`.
pub(super) unsafe fn set_class(l: *mut lua_State, index: c_int, class: Class) {
    // SAFETY: the caller's promise.
    unsafe {
        (*ffi::lua_touserdata(l, index).cast::<Payload>())
            .class
            .set(class)
    };
}

/// As `typed`, with a share in the object.
///
/// # Safety
/// As `typed`.
pub(super) unsafe fn shared<T: Object>(l: *mut lua_State, index: c_int) -> Option<Rc<T>> {
    // SAFETY: the caller's promise.
    let object = unsafe { (*payload(l, index, TypeId::of::<T>())?).object.as_ref()? };
    let object: Rc<dyn Any> = Rc::clone(object) as _;
    object.downcast().ok()
}

/// Pushes the table of the userdata at `index`, if it holds an object of the type and has a table; answers whether it
/// has. `[-0, +(0 | 1), -]`
///
/// # Safety
/// `l` is a live state with a free slot.
#[inline(always)]
pub(super) unsafe fn push_table(l: *mut lua_State, index: c_int, id: TypeId) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let has = payload(l, index, id).is_some_and(|payload| (*payload).has_table.get());
        if has {
            compat::user_value(l, index);
        }
        has
    }
}

/// Pushes the table of the userdata at the absolute `index`, made when first needed, if it holds an object of the type;
/// answers whether it does. `[-0, +(0 | 1), m]`
///
/// # Safety
/// `l` is a running state with three free slots, where an error may be raised.
#[inline(always)]
pub(super) unsafe fn own_table(l: *mut lua_State, index: c_int, id: TypeId) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(payload) = payload(l, index, id) else {
            return false;
        };
        if (*payload).has_table.get() {
            compat::user_value(l, index);
        } else {
            ffi::lua_createtable(l, 0, 0);
            ffi::lua_pushvalue(l, -1);
            compat::set_user_table(l, index);
            (*payload).has_table.set(true);
        }
        true
    }
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
        if own && let Some(object) = (*memory).object.take() {
            (*memory).value.set(std::ptr::null());
            // A panic must not cross into Lua; there is nothing to be told here.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                object.collected();
                drop(object);
            }));
        }
    }
    0
}
