//! The library as Lua values: functions, classes and submodules are made, and the embedded Lua is run. Does not know when.

use super::function::{add_functions, push_function};
use super::library::{ClassDef, Library, MOST_CLASSES, Module, Source, host_key};
use super::object::{self, Class, Metatable};
use super::{chunks, compat, entry};
use mlua::ffi::{self, lua_State};
use std::os::raw::c_int;

/// Makes the metatable of a class, unless it is there. `[-0, +0, e]`
///
/// # Safety
/// As `demand::open`.
pub(super) unsafe fn make_class(
    l: *mut lua_State,
    library: &Library,
    class: Class,
    definition: &'static ClassDef,
) {
    let place = &library.classes[usize::from(class.0) % MOST_CLASSES];
    if place.get().is_made() {
        return;
    }
    // SAFETY: the caller's promise; what is pushed is counted beside each line.
    unsafe {
        ffi::lua_rawgetp(l, ffi::LUA_REGISTRYINDEX, host_key()); // host
        let host = ffi::lua_gettop(l);
        let name = definition.name.as_ptr();
        ffi::lua_createtable(l, 0, 8); // host mt
        ffi::lua_createtable(l, 0, 32); // host mt methods
        // What is set first is found first.
        ffi::lua_pushvalue(l, -1);
        ffi::lua_setfield(l, host + 1, c"__index".as_ptr());
        ffi::lua_pushstring(l, name);
        ffi::lua_setfield(l, host + 1, c"__name".as_ptr());
        let class = Some((definition.name, host + 1));
        let methods = definition.methods.iter();
        add_functions(l, host, library.helpers.guard, class, methods);
        ffi::lua_pushstring(l, name);
        ffi::lua_setfield(l, -2, c"class".as_ptr()); // host mt methods
        let mut methods = definition.methods.iter();
        if let Some(len) = methods.find(|method| method.name == c"len") {
            push_function(l, host, len);
            ffi::lua_setfield(l, host + 1, c"__len".as_ptr());
        }
        push_function(l, host, definition.tostring);
        ffi::lua_setfield(l, host + 1, c"__tostring".as_ptr());
        ffi::lua_pushvalue(l, host + 1);
        ffi::lua_pushcclosure(l, object::collect, 1);
        ffi::lua_setfield(l, host + 1, c"__gc".as_ptr()); // host mt methods
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.natives as _); // host mt methods ns
        ffi::lua_insert(l, -2); // host mt ns methods
        ffi::lua_setfield(l, -2, name); // host mt ns
        ffi::lua_getfield(l, -1, c"metatables".as_ptr());
        ffi::lua_pushvalue(l, host + 1); // host mt ns mts mt
        ffi::lua_setfield(l, -2, name);
        ffi::lua_settop(l, host + 1); // host mt
        place.set(Metatable::keep(l));
        ffi::lua_settop(l, host - 1);
    }
}

/// Makes a submodule: its classes, its functions, and what its Lua adds. `[-0, +0, e]`
///
/// # Safety
/// As `demand::open`.
pub(super) unsafe fn add_module(l: *mut lua_State, library: &Library, module: &'static Module) {
    // SAFETY: the caller's promise; what is pushed is counted beside each line. `_LOADED` is the registry's name of
    // `package.loaded` in every Lua.
    unsafe {
        for (class, definition) in library.class_definitions() {
            if definition.module == module.name {
                make_class(l, library, class, definition);
            }
        }
        ffi::lua_createtable(l, 0, 32); // m
        let table = ffi::lua_gettop(l);
        ffi::lua_rawgetp(l, ffi::LUA_REGISTRYINDEX, host_key()); // m host
        ffi::lua_pushvalue(l, table); // m host m
        let (guard, functions) = (library.helpers.guard, module.functions.iter());
        add_functions(l, table + 1, guard, None, functions);
        ffi::lua_settop(l, table); // m
        let additions = library.parts.additions.iter();
        let additions = additions.filter(|addition| addition.module == module.name);
        let additions = additions.map(|addition| addition.source);
        for source in module.sources.iter().copied().chain(additions) {
            ffi::lua_pushvalue(l, table); // m m
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.own as _); // m m coev
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.natives as _); // m m coev ns
            call_source(l, library, source, 3, 0); // m
        }
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.own as _); // m coev
        ffi::lua_pushstring(l, module.name.as_ptr());
        ffi::lua_pushvalue(l, table); // m coev k m
        ffi::lua_rawset(l, -3); // m coev
        ffi::lua_getfield(l, ffi::LUA_REGISTRYINDEX, c"_LOADED".as_ptr()); // m coev loaded
        if ffi::lua_type(l, -1) == ffi::LUA_TTABLE {
            ffi::lua_pushvalue(l, table);
            ffi::lua_setfield(l, -2, module.loaded_as.as_ptr());
        }
        ffi::lua_settop(l, table - 1);
    }
}

/// Gives tasks the methods that are Rust's. `[-0, +0, e]`
///
/// # Safety
/// As `demand::open`.
pub(super) unsafe fn add_task_methods(l: *mut lua_State, library: &Library) {
    // SAFETY: the caller's promise; what is pushed is counted beside each line.
    unsafe {
        let (task, guard) = (&library.parts.task, library.helpers.guard);
        ffi::lua_rawgetp(l, ffi::LUA_REGISTRYINDEX, host_key()); // host
        let host = ffi::lua_gettop(l);
        let reference = library.handle_metatable().reference;
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, reference as _); // host mt
        push_function(l, host, task.tostring);
        ffi::lua_setfield(l, -2, c"__tostring".as_ptr());
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.task_methods as _); // host mt methods
        let class = Some((task.name, host + 1));
        add_functions(l, host, guard, class, task.methods.iter());
        ffi::lua_settop(l, host - 1);
    }
}

/// Compiles a source and calls it with the `arguments` values on top. `[-arguments, +results, e]`
///
/// # Safety
/// As `demand::open`.
pub(super) unsafe fn call_source(
    l: *mut lua_State,
    library: &Library,
    source: Source,
    arguments: c_int,
    results: c_int,
) {
    // SAFETY: the caller's promise; the text is static.
    unsafe {
        if chunks::load(l, source) != ffi::LUA_OK {
            entry::raise_top(l);
        }
        if compat::PAIRS_ASKS {
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.globals as _);
            ffi::lua_setupvalue(l, -2, 1);
        }
        ffi::lua_insert(l, -1 - arguments);
        ffi::lua_call(l, arguments, results);
    }
}

/// Keeps the globals as they are in the registry: what scripts do to theirs later is nothing to the embedded Lua, which
/// runs when it is first asked for. Answers where; none where it runs before any script goes on. `[-0, +0, m]`
///
/// # Safety
/// As `Library::open`.
pub(super) unsafe fn keep_globals(l: *mut lua_State) -> c_int {
    if !compat::PAIRS_ASKS {
        return ffi::LUA_NOREF;
    }
    // SAFETY: the caller's promise; what is pushed is counted beside each line.
    unsafe {
        let top = ffi::lua_gettop(l);
        ffi::lua_createtable(l, 0, 64); // gs
        compat::push_globals(l); // gs _G
        ffi::lua_pushnil(l);
        while ffi::lua_next(l, top + 2) != 0 {
            ffi::lua_pushvalue(l, -2); // gs _G k v k
            ffi::lua_insert(l, -2); // gs _G k k v
            ffi::lua_rawset(l, top + 1); // gs _G k
        }
        ffi::lua_settop(l, top + 1);
        ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX)
    }
}
