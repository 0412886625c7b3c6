//! Sets the library up in a universe: the tables that Lua sees, the metatables, what the registry keeps.

use super::clock::Clocks;
use super::entry::{self, Host};
use super::finalizer;
use super::function::Function;
use super::helpers::Helpers;
use super::object::{Class, Metatable};
use super::protected::Protected;
use super::{asking, compat, making, registry, state};
use mlua::ffi::{self, lua_CFunction, lua_State};
use std::any::TypeId;
use std::cell::Cell;
use std::ffi::CStr;
use std::os::raw::{c_int, c_void};

/// One class of objects as Lua sees it. Its place in the list is its `Class`.
pub(crate) struct ClassDef {
    /// What `tostring` and messages call it.
    pub(crate) name: &'static CStr,
    /// The field in `coev` of the submodule that makes such objects, and completes their methods.
    pub(crate) module: &'static CStr,
    /// What `__index` holds.
    pub(crate) methods: &'static [Function],
    /// `__tostring`.
    pub(crate) tostring: &'static Function,
}

/// What the library consists of. Most of it is made when it is first asked for: see `demand`.
pub(crate) struct Parts {
    /// The functions of `coev` itself.
    pub(crate) functions: &'static [Function],
    /// The class of task handles.
    pub(crate) task: ClassDef,
    /// The classes of objects, numbered through.
    pub(crate) classes: &'static [&'static [ClassDef]],
    /// The submodules.
    pub(crate) modules: &'static [Module],
    /// More Lua source of submodules, called as theirs is, and after that.
    pub(crate) additions: &'static [Addition],
    /// The functions that only the embedded Lua sees.
    pub(crate) natives: &'static [&'static [Function]],
    /// Called with the table of these, the mark of nested coroutines and the metatable of cancelled errors; answers the
    /// Lua functions that `Library` keeps.
    pub(crate) helpers: Source,
    /// Called with the table of these, and the mark of calls that raise; answers the function that guards others.
    pub(crate) guards: Source,
    /// What else is better said in Lua.
    pub(crate) chapters: &'static [Chapter],
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
    /// What that makes beside the module.
    pub(crate) makes: Makes,
}

/// Lua source of `coev` itself.
pub(crate) struct Chapter {
    /// Called with the table of coev and that of the natives.
    pub(crate) sources: &'static [Source],
    /// What that makes.
    pub(crate) makes: Makes,
    /// Are the methods of tasks among it?
    pub(crate) completes_tasks: bool,
}

/// What a piece of Lua source makes: it is run when one of these is first asked for.
#[derive(Clone, Copy)]
pub(crate) struct Makes {
    /// Fields of `coev`.
    pub(crate) fields: &'static [&'static CStr],
    /// Fields of the natives' table.
    pub(crate) natives: &'static [&'static CStr],
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

/// What the library keeps in the registry of its universe. Numbers and addresses: it may be jumped over.
pub(crate) struct Library {
    /// What it consists of.
    pub(super) parts: &'static Parts,
    /// The table that `require "coev"` answers. It fills itself from the next one.
    pub(super) module: c_int,
    /// coev's own table of its functions and submodules, whatever a script puts into the other one.
    pub(super) own: c_int,
    /// The table of the natives.
    pub(super) natives: c_int,
    /// The globals as they were, for the embedded Lua; none where all of that runs at once.
    pub(super) globals: c_int,
    /// Has everything been asked for?
    pub(super) is_whole: Cell<bool>,
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
    /// The methods of tasks.
    pub(super) task_methods: c_int,
    /// The metatable of sentinels, which are collected with handles whose end matters.
    pub(super) sentinel: Metatable,
    /// The metatables of the classes, once somebody has asked for them.
    pub(super) classes: [Cell<Metatable>; MOST_CLASSES],
    /// The metatable of cancelled errors.
    pub(super) cancelled: Metatable,
    /// The coroutine inside a task's own one that runs, or did.
    pub(super) inner: c_int,
    /// Where the host lies.
    pub(super) host: *const c_void,
    /// The type of the objects whose tables may hold tasks.
    pub(super) holder: TypeId,
    /// What Lua keeps for tasks, by their place in the table.
    pub(super) belongings: c_int,
    /// Where supervisors hold those that wait for their events, by the places of the lists. Weak.
    pub(super) listings: c_int,
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
pub(super) const MOST_CLASSES: usize = 32;

impl Library {
    /// The metatable of a class.
    #[inline(always)]
    pub(super) fn metatable(&self, class: Class) -> Metatable {
        self.classes[usize::from(class.0)].get()
    }

    /// Is it the metatable of a class?
    #[inline]
    pub(super) fn is_class(&self, metatable: *const c_void) -> bool {
        self.classes
            .iter()
            .any(|class| class.get().pointer == metatable)
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
    pub(super) unsafe fn open<H: Host>(
        l: *mut lua_State,
        parts: &'static Parts,
        start: fn(Library) -> H,
    ) {
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
            let library = Library::set_up::<H>(l, parts, host); // host
            let module = library.module;

            // From here on the host lives, and its finalizer ends it.
            ffi::lua_createtable(l, 0, 1); // host mt
            ffi::lua_pushcclosure(l, finalizer::close::<H>, 0);
            ffi::lua_setfield(l, -2, c"__gc".as_ptr());
            memory.write(start(library));
            ffi::lua_setmetatable(l, host); // host
            ffi::lua_pushvalue(l, host);
            ffi::lua_rawsetp(l, ffi::LUA_REGISTRYINDEX, host_key());
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, module as _); // host coev
            ffi::lua_pushvalue(l, -1);
            ffi::lua_rawsetp(l, ffi::LUA_REGISTRYINDEX, state::registry_key());
            ffi::lua_remove(l, host); // coev
        }
    }

    /// Makes the tables, metatables and registry entries that are there from the start. `[-0, +0, m]`
    ///
    /// # Safety
    /// As `open`; the userdata of the host is at `host`, on top.
    unsafe fn set_up<H: Host>(l: *mut lua_State, parts: &'static Parts, host: c_int) -> Library {
        // SAFETY: as `open`.
        unsafe {
            ffi::lua_createtable(l, 0, 32);
            let natives = ffi::lua_gettop(l);
            compat::push_main_coroutine(l);
            let main = ffi::lua_tothread(l, -1);
            ffi::lua_settop(l, -2);
            let anchors = new_table(l);
            let handles = new_weak_table(l);
            let belongings = keep_table(l, natives, c"belongings");
            let desk = registry::new_desk(l, anchors, belongings);
            let known = keep_table(l, natives, c"known");
            let listings = keep_table(l, natives, c"listings");
            ffi::lua_createtable(l, 0, 0);
            ffi::lua_setfield(l, natives, c"metatables".as_ptr());
            ffi::lua_pushboolean(l, 0);
            let inner = ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX);
            ffi::lua_createtable(l, 0, 0);
            let cancelled = Metatable::keep(l);
            let (task, task_methods) = asking::new_task_metatable::<H>(l, host, &parts.task);
            let sentinel = new_sentinel_metatable(l, host, finalizer::dropped::<H>);
            let clocks = Clocks::set_up(l, natives);
            let protected = Protected::set_up(l);
            let helpers = Helpers::set_up::<H>(l, host);
            let globals = making::keep_globals(l);
            let own = asking::new_own_table::<H>(l, host);
            let module = asking::new_module_table::<H>(l, host);
            asking::let_natives_ask::<H>(l, host);
            Library {
                parts,
                module,
                own,
                natives: ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX),
                globals,
                is_whole: Cell::new(false),
                main,
                anchors,
                handles,
                desk,
                task,
                task_methods,
                sentinel,
                classes: [const { Cell::new(Metatable::UNMADE) }; MOST_CLASSES],
                cancelled,
                host: ffi::lua_touserdata(l, host),
                holder: TypeId::of::<H::Holder>(),
                inner,
                belongings,
                listings,
                clocks,
                known,
                protected,
                helpers,
            }
        }
    }
}

/// A new table, kept in the registry. `[-0, +0, m]`
///
/// # Safety
/// As `Library::open`.
unsafe fn new_table(l: *mut lua_State) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_createtable(l, 0, 0);
        ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX)
    }
}

/// A new table that holds no value from being collected, kept in the registry. `[-0, +0, m]`
///
/// # Safety
/// As `Library::open`.
unsafe fn new_weak_table(l: *mut lua_State) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_createtable(l, 0, 0);
        ffi::lua_createtable(l, 0, 1);
        ffi::lua_pushstring(l, c"v".as_ptr());
        ffi::lua_setfield(l, -2, c"__mode".as_ptr());
        ffi::lua_setmetatable(l, -2);
        ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX)
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
pub(super) fn host_key() -> *const c_void {
    /// Only its address counts.
    static KEY: u8 = 1;
    (&raw const KEY).cast()
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
        Metatable::keep(l)
    }
}
