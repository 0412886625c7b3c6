//! Sets the library up in a universe: the tables that Lua sees, the metatables, what the registry keeps.

use super::clock::Clocks;
use super::entry::{self, Host};
use super::finalizer;
use super::function::{Function, add_functions, push_function};
use super::helpers::Helpers;
use super::object::{self, Class, Metatable};
use super::protected::Protected;
use super::{chunks, compat, registry, state};
use mlua::ffi::{self, lua_CFunction, lua_State};
use std::any::TypeId;
use std::ffi::CStr;
use std::os::raw::{c_int, c_void};

/// One class of objects as Lua sees it. Its place in the list is its `Class`.
pub(crate) struct ClassDef {
    /// What `tostring` and messages call it.
    pub(crate) name: &'static CStr,
    /// What `__index` holds.
    pub(crate) methods: &'static [Function],
    /// `__tostring`.
    pub(crate) tostring: &'static Function,
}

/// What the library consists of.
pub(crate) struct Parts {
    /// The functions of `coev` itself.
    pub(crate) functions: &'static [Function],
    /// The class of task handles.
    pub(crate) task: ClassDef,
    /// The classes of objects, numbered through.
    pub(crate) classes: &'static [&'static [ClassDef]],
    /// The submodules: name, name in `package.loaded`, functions.
    pub(crate) modules: &'static [Module],
    /// More Lua source of submodules, called as theirs is when all of them are there.
    pub(crate) additions: &'static [Addition],
    /// The functions that only the embedded Lua sees.
    pub(crate) natives: &'static [&'static [Function]],
    /// Called with the table of these, and the mark of nested coroutines; answers the Lua functions that `Library` keeps.
    pub(crate) helpers: Source,
    /// Called with the table of these, and the mark of calls that raise; answers the function that guards others.
    pub(crate) guards: Source,
    /// Called with the table of coev, that of the natives, and the methods of tasks: adds what is better said in Lua.
    pub(crate) sources: &'static [Source],
}

/// A submodule.
pub(crate) struct Module {
    /// Its field in `coev`.
    pub(crate) name: &'static CStr,
    /// Its name for `require`.
    pub(crate) loaded_as: &'static CStr,
    /// Its functions.
    pub(crate) functions: &'static [Function],
    /// Lua source that is called with the module's table, coev's and that of the natives, and adds what is better
    /// said in Lua.
    pub(crate) sources: &'static [Source],
}

/// Lua source that belongs to a submodule.
pub(crate) struct Addition {
    /// The submodule's field in `coev`.
    pub(crate) module: &'static CStr,
    /// The source.
    pub(crate) source: Source,
}

/// Lua source that is compiled into the library.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    /// Its name in tracebacks.
    pub(crate) name: &'static CStr,
    /// Its text.
    pub(crate) text: &'static str,
}

/// What the library keeps in the registry of its universe. Plain numbers and addresses: it may be jumped over.
#[derive(Clone, Copy)]
pub(crate) struct Library {
    /// The main coroutine, or null where Lua does not tell.
    pub(super) main: *mut lua_State,
    /// The table of the coroutines of live tasks.
    pub(super) anchors: c_int,
    /// The weak table of their handles.
    pub(super) handles: c_int,
    /// A coroutine that holds what the end of a task needs.
    pub(super) desk: *mut lua_State,
    /// The metatable of handles.
    task: Metatable,
    /// The metatable of sentinels, which are collected with handles whose end matters.
    pub(super) sentinel: Metatable,
    /// The metatables of the classes.
    classes: [Metatable; MOST_CLASSES],
    /// The metatable of cancelled errors.
    pub(super) cancelled: *const c_void,
    /// The coroutine inside a task's own one that runs, or did.
    pub(super) inner: c_int,
    /// Where the host lies.
    pub(super) host: *const c_void,
    /// The type of the objects whose tables may hold tasks.
    pub(super) holder: TypeId,
    /// What Lua keeps for tasks, by their place in the table.
    pub(super) belongings: c_int,
    /// What it keeps for timers.
    pub(super) clocks: Clocks,
    /// The names of what every universe has: of functions and modules, by themselves.
    pub(super) known: c_int,
    /// The functions that are called protected.
    pub(super) protected: Protected,
    /// The Lua functions that the runtime asks.
    pub(super) helpers: Helpers,
}

/// Room for the metatables of classes.
const MOST_CLASSES: usize = 32;

impl Library {
    /// The metatable of a class.
    #[inline(always)]
    pub(super) fn metatable(&self, class: Class) -> Metatable {
        self.classes[usize::from(class.0)]
    }

    /// Is it the metatable of a class?
    #[inline]
    pub(super) fn is_class(&self, metatable: *const c_void) -> bool {
        // Places without a class hold that of handles.
        metatable != self.task.pointer
            && self.classes.iter().any(|class| class.pointer == metatable)
    }

    /// The metatable of handles.
    #[inline(always)]
    pub(super) fn handle_metatable(&self) -> Metatable {
        self.task
    }

    /// Opens the library in the universe of `l`, or finds it there; leaves its table on the stack. `[-0, +1, m]`
    ///
    /// # Safety
    /// Called by Lua's loader with the running state `l`, which is of the Lua that this library is built for.
    pub(super) unsafe fn open<H: Host>(l: *mut lua_State, parts: &Parts, start: fn(Library) -> H) {
        // SAFETY: every line leaves the stack as the comment at its end says; nothing here has a destructor while Lua
        // may raise: the host itself is made when all is ready.
        unsafe {
            ffi::lua_rawgetp(l, ffi::LUA_REGISTRYINDEX, state::registry_key());
            if ffi::lua_type(l, -1) == ffi::LUA_TTABLE {
                return;
            }
            ffi::lua_settop(l, -2); //
            entry::probe(l);
            let memory = compat::new_userdata(l, size_of::<H>()).cast::<H>(); // host
            let host = ffi::lua_gettop(l);
            ffi::lua_createtable(l, 0, 32); // host natives
            let library = Library::set_up::<H>(l, parts, host); // host natives
            for functions in parts.natives {
                add_functions(l, host, library.helpers.guard, None, functions);
            }
            ffi::lua_createtable(l, 0, 64); // host natives coev
            add_functions(l, host, library.helpers.guard, None, parts.functions);
            for source in parts.sources {
                ffi::lua_pushvalue(l, -1); // host natives coev coev
                ffi::lua_pushvalue(l, -3); // host natives coev coev natives
                call_source(l, *source, 2, 0); // host natives coev
            }
            for module in parts.modules {
                add_module(l, host, library.helpers.guard, host + 1, module);
            }
            for addition in parts.additions {
                ffi::lua_getfield(l, -1, addition.module.as_ptr()); // host natives coev m
                ffi::lua_pushvalue(l, -2); // host natives coev m coev
                ffi::lua_pushvalue(l, host + 1); // host natives coev m coev natives
                call_source(l, addition.source, 3, 0); // host natives coev
            }
            ffi::lua_remove(l, -2); // host coev

            // From here on the host lives, and its finalizer ends it.
            ffi::lua_createtable(l, 0, 1); // host coev mt
            ffi::lua_pushcclosure(l, finalizer::close::<H>, 0);
            ffi::lua_setfield(l, -2, c"__gc".as_ptr());
            memory.write(start(library));
            ffi::lua_setmetatable(l, host); // host coev
            ffi::lua_pushvalue(l, -1);
            ffi::lua_rawsetp(l, ffi::LUA_REGISTRYINDEX, state::registry_key());
            ffi::lua_pushvalue(l, host);
            ffi::lua_rawsetp(l, ffi::LUA_REGISTRYINDEX, host_key());
            ffi::lua_remove(l, host); // coev
            for module in parts.modules {
                announce(l, module);
            }
        }
    }

    /// Makes metatables and registry entries. `[-0, +0, m]`
    ///
    /// # Safety
    /// As `open`; the userdata of the host is at `host`, the table of the natives on top.
    unsafe fn set_up<H: Host>(l: *mut lua_State, parts: &Parts, host: c_int) -> Library {
        // SAFETY: as `open`.
        unsafe {
            let natives = ffi::lua_gettop(l);
            compat::push_main_coroutine(l);
            let main = ffi::lua_tothread(l, -1);
            ffi::lua_settop(l, -2);
            ffi::lua_createtable(l, 0, 0);
            let anchors = ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX);
            ffi::lua_createtable(l, 0, 0);
            ffi::lua_createtable(l, 0, 1);
            ffi::lua_pushstring(l, c"v".as_ptr());
            ffi::lua_setfield(l, -2, c"__mode".as_ptr());
            ffi::lua_setmetatable(l, -2);
            let handles = ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX);
            let belongings = keep_table(l, natives, c"belongings");
            let desk = registry::new_desk(l, anchors, belongings);
            let known = keep_table(l, natives, c"known");
            ffi::lua_pushboolean(l, 0);
            let inner = ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX);
            let (helpers, cancelled) = Helpers::set_up(l, parts, natives);
            let task = new_metatable(l, host, helpers.guard, &parts.task, false);
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, task.reference as _);
            ffi::lua_getfield(l, -1, c"__index".as_ptr());
            ffi::lua_setfield(l, natives, c"task_methods".as_ptr());
            ffi::lua_setfield(l, natives, c"task_class".as_ptr());
            let sentinel = new_sentinel_metatable(l, host, finalizer::dropped::<H>);
            ffi::lua_createtable(l, 0, 32); // metatables
            let mut classes = [task; MOST_CLASSES];
            for (place, class) in classes
                .iter_mut()
                .zip(parts.classes.iter().copied().flatten())
            {
                *place = new_metatable(l, host, helpers.guard, class, true);
                compat::raw_get(l, ffi::LUA_REGISTRYINDEX, place.reference as _);
                ffi::lua_getfield(l, -1, c"__index".as_ptr());
                ffi::lua_setfield(l, natives, class.name.as_ptr());
                ffi::lua_setfield(l, -2, class.name.as_ptr()); // metatables
            }
            ffi::lua_setfield(l, natives, c"metatables".as_ptr());
            let clocks = Clocks::set_up(l, natives);
            let protected = Protected::set_up(l);
            Library {
                main,
                anchors,
                handles,
                desk,
                task,
                sentinel,
                classes,
                cancelled,
                host: ffi::lua_touserdata(l, host),
                holder: TypeId::of::<H::Holder>(),
                inner,
                belongings,
                clocks,
                known,
                protected,
                helpers,
            }
        }
    }
}

/// A new table that the natives have as a field, kept in the registry. `[-0, +0, m]`
///
/// # Safety
/// As `Library::open`; the table of the natives is at the absolute index `natives`.
unsafe fn keep_table(l: *mut lua_State, natives: c_int, name: &CStr) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_createtable(l, 0, 0);
        ffi::lua_pushvalue(l, -1);
        ffi::lua_setfield(l, natives, name.as_ptr());
        ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX)
    }
}

/// The host of the universe of `l`, or null. `[-0, +0, -]`
///
/// # Safety
/// `l` is a live state with a free slot; `H` is the type that this library is opened with.
pub(super) unsafe fn host<H: Host>(l: *mut lua_State) -> *const H {
    // SAFETY: the caller's promise; only `open` sets the key.
    unsafe {
        ffi::lua_rawgetp(l, ffi::LUA_REGISTRYINDEX, host_key());
        let host = ffi::lua_touserdata(l, -1);
        ffi::lua_settop(l, -2);
        host.cast::<H>()
    }
}

/// A place in this library's memory whose address no other library has: the key of its host in the registry.
fn host_key() -> *const c_void {
    /// Only its address counts.
    static KEY: u8 = 1;
    (&raw const KEY).cast()
}

/// Makes the metatable of a class: `__index` is a table that `pairs` walks. `[-0, +0, m]`
///
/// # Safety
/// As `add_functions`.
unsafe fn new_metatable(
    l: *mut lua_State,
    host: c_int,
    guard: c_int,
    class: &ClassDef,
    counted: bool,
) -> Metatable {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_createtable(l, 0, 8); // mt
        ffi::lua_createtable(l, 0, 32); // mt methods
        // What is set first is found first.
        ffi::lua_pushvalue(l, -1);
        ffi::lua_setfield(l, -3, c"__index".as_ptr());
        let metatable = ffi::lua_gettop(l) - 1;
        add_functions(l, host, guard, Some((class.name, metatable)), class.methods);
        if counted {
            ffi::lua_pushstring(l, class.name.as_ptr());
            ffi::lua_setfield(l, -2, c"class".as_ptr());
        }
        ffi::lua_settop(l, -2); // mt
        ffi::lua_pushstring(l, class.name.as_ptr());
        ffi::lua_setfield(l, -2, c"__name".as_ptr());
        if let Some(len) = class.methods.iter().find(|method| method.name == c"len") {
            push_function(l, host, len);
            ffi::lua_setfield(l, -2, c"__len".as_ptr()); // mt
        }
        push_function(l, host, class.tostring);
        ffi::lua_setfield(l, -2, c"__tostring".as_ptr()); // mt
        if counted {
            ffi::lua_pushvalue(l, -1);
            ffi::lua_pushcclosure(l, object::collect, 1);
            ffi::lua_setfield(l, -2, c"__gc".as_ptr()); // mt
        }
        let pointer = ffi::lua_topointer(l, -1);
        Metatable {
            reference: ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX),
            pointer,
        }
    }
}

/// Makes the metatable of sentinels. `[-0, +0, m]`
///
/// # Safety
/// As `add_functions`.
unsafe fn new_sentinel_metatable(
    l: *mut lua_State,
    host: c_int,
    finalizer: lua_CFunction,
) -> Metatable {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_createtable(l, 0, 1); // mt
        ffi::lua_pushvalue(l, host);
        ffi::lua_pushcclosure(l, finalizer, 1);
        ffi::lua_setfield(l, -2, c"__gc".as_ptr()); // mt
        let pointer = ffi::lua_topointer(l, -1);
        Metatable {
            reference: ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX),
            pointer,
        }
    }
}

/// Adds a submodule to the table of coev on top. `[-0, +0, m]`
///
/// # Safety
/// As `add_functions`.
unsafe fn add_module(
    l: *mut lua_State,
    host: c_int,
    guard: c_int,
    natives: c_int,
    module: &'static Module,
) {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_createtable(l, 0, 32); // coev m
        add_functions(l, host, guard, None, module.functions);
        for source in module.sources {
            ffi::lua_pushvalue(l, -1); // coev m m
            ffi::lua_pushvalue(l, -3); // coev m m coev
            ffi::lua_pushvalue(l, natives); // coev m m coev natives
            call_source(l, *source, 3, 0); // coev m
        }
        ffi::lua_setfield(l, -2, module.name.as_ptr()); // coev
    }
}

/// Compiles a source and calls it with the `arguments` values on top. `[-arguments, +results, e]`
///
/// # Safety
/// As `Library::open`.
pub(super) unsafe fn call_source(
    l: *mut lua_State,
    source: Source,
    arguments: c_int,
    results: c_int,
) {
    // SAFETY: the caller's promise; the text is static.
    unsafe {
        if chunks::load(l, source) != ffi::LUA_OK {
            entry::raise_top(l);
        }
        ffi::lua_insert(l, -1 - arguments);
        ffi::lua_call(l, arguments, results);
    }
}

/// Puts a submodule of the table on top into `package.loaded`. `[-0, +0, m]`
///
/// # Safety
/// As `Library::open`.
unsafe fn announce(l: *mut lua_State, module: &Module) {
    // SAFETY: the caller's promise; `_LOADED` is the registry's name of `package.loaded` in every Lua.
    unsafe {
        ffi::lua_getfield(l, ffi::LUA_REGISTRYINDEX, c"_LOADED".as_ptr()); // coev loaded
        if ffi::lua_type(l, -1) == ffi::LUA_TTABLE {
            ffi::lua_getfield(l, -2, module.name.as_ptr()); // coev loaded m
            ffi::lua_setfield(l, -2, module.loaded_as.as_ptr()); // coev loaded
        }
        ffi::lua_settop(l, -2); // coev
    }
}
