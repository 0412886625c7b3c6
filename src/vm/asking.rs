//! The tables and closures through which Lua asks for what `demand` makes.

use super::compat;
use super::demand::{complete_tasks, push_field, push_native, string_at};
use super::entry::Host;
use super::library::{ClassDef, Library, host_key};
use super::object::Metatable;
use mlua::ffi::{self, lua_CFunction, lua_State};
use std::ffi::CStr;
use std::os::raw::c_int;

/// The library of the universe that a closure made here belongs to.
///
/// # Safety
/// `l` runs a closure whose first upvalue is the host, of which `H` is the type; the reference is used in this call alone.
pub(super) unsafe fn library_here<'a, H: Host>(l: *mut lua_State) -> &'a Library {
    // SAFETY: the caller's promise; nobody can call such a closure before the host has been put there.
    unsafe { (*ffi::lua_touserdata(l, ffi::lua_upvalueindex(1)).cast::<H>()).library() }
}

/// `__index` of coev's own table.
///
/// # Safety
/// Called by Lua, as a closure with the host.
unsafe extern "C-unwind" fn own_field<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: the table and the key are the arguments.
    unsafe {
        push_field(l, library_here::<H>(l), 2);
    }
    1
}

/// `__index` of the table that scripts see: it keeps what it has answered.
///
/// # Safety
/// As `own_field`.
unsafe extern "C-unwind" fn module_field<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: the table and the key are the arguments. Whoever calls this by hand gets an answer alone.
    unsafe {
        if ffi::lua_type(l, 2) != ffi::LUA_TSTRING {
            return 0;
        }
        push_field(l, library_here::<H>(l), 2); // t k v
        if ffi::lua_type(l, 1) == ffi::LUA_TTABLE && ffi::lua_type(l, 3) != ffi::LUA_TNIL {
            ffi::lua_pushvalue(l, 2);
            ffi::lua_pushvalue(l, 3);
            ffi::lua_rawset(l, 1);
        }
    }
    1
}

/// `__pairs` of that table.
///
/// # Safety
/// As `own_field`.
unsafe extern "C-unwind" fn module_pairs<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: the table is the first argument.
    unsafe {
        let library = library_here::<H>(l);
        library.complete(l);
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.globals as _);
        ffi::lua_getfield(l, -1, c"next".as_ptr());
        ffi::lua_pushvalue(l, 1);
        ffi::lua_pushnil(l);
    }
    3
}

/// `__index` of the natives' table.
///
/// # Safety
/// As `own_field`.
unsafe extern "C-unwind" fn native<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: the table and the key are the arguments; nobody but the embedded Lua calls it.
    unsafe {
        let library = library_here::<H>(l);
        match string_at(l, 2) {
            b"task_methods" => {
                compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.task_methods as _);
            }
            b"task_class" => {
                let reference = library.handle_metatable().reference;
                compat::raw_get(l, ffi::LUA_REGISTRYINDEX, reference as _);
            }
            b"module" => {
                compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.module as _);
            }
            _ => push_native(l, library, 2),
        }
    }
    1
}

/// `__index` of the methods of tasks, as long as they are not there.
///
/// # Safety
/// As `own_field`.
unsafe extern "C-unwind" fn task_method<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: the table and the key are the arguments.
    unsafe {
        let library = library_here::<H>(l);
        complete_tasks(l, library);
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.task_methods as _);
        ffi::lua_pushvalue(l, 2);
        ffi::lua_rawget(l, -2);
    }
    1
}

/// `__tostring` of tasks, as long as that is not there.
///
/// # Safety
/// As `own_field`, with a handle.
unsafe extern "C-unwind" fn task_tostring<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: what Lua calls then takes the handle, and checks it.
    unsafe {
        let library = library_here::<H>(l);
        complete_tasks(l, library);
        ffi::lua_settop(l, 1);
        let reference = library.handle_metatable().reference;
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, reference as _);
        ffi::lua_getfield(l, -1, c"__tostring".as_ptr());
        ffi::lua_pushvalue(l, 1);
        ffi::lua_call(l, 1, 1);
    }
    1
}

/// Makes the metatable of tasks, which asks for the rest. `[-0, +0, m]`
///
/// # Safety
/// As `Library::open`; the userdata of the host is at the absolute index `host`.
pub(super) unsafe fn new_task_metatable<H: Host>(
    l: *mut lua_State,
    host: c_int,
    class: &ClassDef,
) -> (Metatable, c_int) {
    // SAFETY: the caller's promise; what is pushed is counted beside each line.
    unsafe {
        ffi::lua_createtable(l, 0, 4); // mt
        ffi::lua_pushstring(l, class.name.as_ptr());
        ffi::lua_setfield(l, -2, c"__name".as_ptr());
        set_asking(l, host, c"__tostring", task_tostring::<H>);
        ffi::lua_createtable(l, 0, 0); // mt methods
        ffi::lua_createtable(l, 0, 1); // mt methods mmt
        set_asking(l, host, c"__index", task_method::<H>);
        ffi::lua_setmetatable(l, -2); // mt methods
        ffi::lua_pushvalue(l, -1);
        ffi::lua_setfield(l, -3, c"__index".as_ptr());
        let methods = ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX); // mt
        (Metatable::keep(l), methods)
    }
}

/// Makes coev's own table, kept in the registry. `[-0, +0, m]`
///
/// # Safety
/// As `new_task_metatable`.
pub(super) unsafe fn new_own_table<H: Host>(l: *mut lua_State, host: c_int) -> c_int {
    // SAFETY: the caller's promise; what is pushed is counted beside each line.
    unsafe {
        ffi::lua_createtable(l, 0, 0); // coev
        ffi::lua_createtable(l, 0, 1); // coev mt
        set_asking(l, host, c"__index", own_field::<H>);
        ffi::lua_setmetatable(l, -2);
        ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX)
    }
}

/// Makes the table that scripts see, kept in the registry. `[-0, +0, m]`
///
/// # Safety
/// As `new_task_metatable`.
pub(super) unsafe fn new_module_table<H: Host>(l: *mut lua_State, host: c_int) -> c_int {
    // SAFETY: the caller's promise; what is pushed is counted beside each line.
    unsafe {
        ffi::lua_createtable(l, 0, 0); // coev
        if compat::PAIRS_ASKS {
            ffi::lua_createtable(l, 0, 2); // coev mt
            set_asking(l, host, c"__index", module_field::<H>);
            set_asking(l, host, c"__pairs", module_pairs::<H>);
            ffi::lua_setmetatable(l, -2);
        }
        ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX)
    }
}

/// Lets the natives' table on top ask for what it has not. `[-0, +0, m]`
///
/// # Safety
/// As `new_task_metatable`.
pub(super) unsafe fn let_natives_ask<H: Host>(l: *mut lua_State, host: c_int) {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_createtable(l, 0, 1); // ns mt
        set_asking(l, host, c"__index", native::<H>);
        ffi::lua_setmetatable(l, -2);
    }
}

/// Sets a closure with the host in the table on top. `[-0, +0, m]`
///
/// # Safety
/// As `new_task_metatable`.
unsafe fn set_asking(l: *mut lua_State, host: c_int, name: &CStr, function: lua_CFunction) {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_pushvalue(l, host);
        ffi::lua_pushcclosure(l, function, 1);
        ffi::lua_setfield(l, -2, name.as_ptr());
    }
}

/// Lets `package.preload` ask for the library, by every name by which it can be required. `[-0, +0, m]`
///
/// # Safety
/// As `demand::open`; `package` is on top.
pub(super) unsafe fn preload<H: Host>(l: *mut lua_State) {
    // SAFETY: the caller's promise; what is pushed is counted beside each line.
    unsafe {
        ffi::lua_getfield(l, -1, c"preload".as_ptr()); // package preload
        ffi::lua_createtable(l, 0, 1); // package preload mt
        ffi::lua_rawgetp(l, ffi::LUA_REGISTRYINDEX, host_key());
        ffi::lua_pushcclosure(l, preloaded::<H>, 1);
        ffi::lua_setfield(l, -2, c"__index".as_ptr());
        ffi::lua_setmetatable(l, -2); // package preload
        ffi::lua_settop(l, -2);
    }
}

/// `__index` of `package.preload`: what `require` calls for a name.
///
/// # Safety
/// As `own_field`.
unsafe extern "C-unwind" fn preloaded<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: the table and the name are the arguments.
    unsafe {
        let name = string_at(l, 2);
        let mut modules = library_here::<H>(l).parts.modules.iter();
        if name != b"coev" && !modules.any(|module| module.loaded_as.to_bytes() == name) {
            return 0;
        }
        ffi::lua_pushvalue(l, ffi::lua_upvalueindex(1));
        ffi::lua_pushcclosure(l, load_preloaded::<H>, 1);
    }
    1
}

/// What `require` calls then, with the name.
///
/// # Safety
/// As `own_field`.
unsafe extern "C-unwind" fn load_preloaded<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: the name is the first argument.
    unsafe {
        let library = library_here::<H>(l);
        let name = string_at(l, 1);
        let mut modules = library.parts.modules.iter();
        let module = modules.find(|module| module.loaded_as.to_bytes() == name);
        push_module(l, library, module.map(|module| module.name));
    }
    1
}

/// Pushes the library's table, or a field of it, for `require`. `[-0, +1, e]`
///
/// # Safety
/// As `demand::open`.
pub(super) unsafe fn push_module(l: *mut lua_State, library: &Library, field: Option<&CStr>) {
    // SAFETY: the caller's promise.
    unsafe {
        if !compat::PAIRS_ASKS {
            library.complete(l);
        }
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.module as _); // coev
        if let Some(field) = field {
            ffi::lua_getfield(l, -1, field.as_ptr());
        }
    }
}
