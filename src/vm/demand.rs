//! What of the library is made when it is first asked for: functions, classes, submodules and the embedded Lua.
//!
//! A script asks for a field of coev, the embedded Lua for one of the natives' table, the runtime for a helper or for a
//! class. Whatever makes that is made then, once, and with it what that asks for in turn. Where `pairs` asks nobody (5.1,
//! LuaJIT), `require` asks for everything at once: a script sees all that there is, in every Lua.

use super::entry;
use super::function::{Function, add_functions};
use super::library::{Chapter, ClassDef, Library, Makes, Module, host_key};
use super::making::{add_module, add_task_methods, call_source, make_class};
use super::object::Class;
use super::{compat, helpers};
use mlua::ffi::{self, lua_State};
use std::ffi::CStr;
use std::os::raw::{c_int, c_void};

/// A piece of the embedded Lua.
#[derive(Clone, Copy)]
enum Piece {
    /// Of coev itself.
    Chapter(&'static Chapter),
    /// A submodule.
    Module(&'static Module),
}

/// What `open_piece` in its protected call needs to know.
struct Opening<'a> {
    /// The library of the universe.
    library: &'a Library,
    /// What is to be opened.
    piece: Piece,
}

impl Piece {
    /// What it makes.
    fn makes(self) -> Makes {
        match self {
            Piece::Chapter(chapter) => chapter.makes,
            Piece::Module(module) => module.makes,
        }
    }

    /// The address that tells it from others.
    fn address(self) -> *const c_void {
        match self {
            Piece::Chapter(chapter) => (&raw const *chapter).cast(),
            Piece::Module(module) => (&raw const *module).cast(),
        }
    }
}

/// Is the name in the list?
fn lists(names: &[&CStr], name: &[u8]) -> bool {
    names.iter().any(|listed| listed.to_bytes() == name)
}

impl Library {
    /// The pieces, in the order in which they are opened where all are.
    fn pieces(&self) -> impl Iterator<Item = Piece> {
        let chapters = self.parts.chapters.iter().map(Piece::Chapter);
        chapters.chain(self.parts.modules.iter().map(Piece::Module))
    }

    /// The classes, each with its number.
    pub(super) fn class_definitions(&self) -> impl Iterator<Item = (Class, &'static ClassDef)> {
        let all = self.parts.classes.iter().copied().flatten();
        (0..).map(Class).zip(all)
    }

    /// Opens all that there is, and puts it into the table that scripts see. `[-0, +0, e]`
    ///
    /// # Safety
    /// `l` is the running state, outside `catch_unwind`; the host of this library lives.
    pub(super) unsafe fn complete(&self, l: *mut lua_State) {
        if self.is_whole.get() {
            return;
        }
        // SAFETY: the caller's promise; each round leaves the stack as it was.
        unsafe {
            ffi::luaL_checkstack(l, 20, std::ptr::null());
            for piece in self.pieces() {
                open(l, self, piece);
            }
            let own = self.parts.functions.iter().map(|function| function.name);
            let modules = self.parts.modules.iter().map(|module| module.name);
            let made = self.pieces().flat_map(|piece| piece.makes().fields);
            for name in own.chain(modules).chain(made.copied()) {
                compat::raw_get(l, ffi::LUA_REGISTRYINDEX, self.module as _); // coev
                ffi::lua_pushstring(l, name.as_ptr()); // coev k
                ffi::lua_pushvalue(l, -1);
                ffi::lua_rawget(l, -3); // coev k v?
                if ffi::lua_type(l, -1) == ffi::LUA_TNIL {
                    ffi::lua_settop(l, -2); // coev k
                    push_field(l, self, ffi::lua_gettop(l)); // coev k v
                    ffi::lua_rawset(l, -3); // coev
                    ffi::lua_settop(l, -2);
                } else {
                    ffi::lua_settop(l, -4);
                }
            }
        }
        self.is_whole.set(true);
    }
}

impl Library {
    /// Makes all that there is, also for the embedded Lua: where memory is limited, whatever tells that it has been taken
    /// must not want any. `[-0, +0, e]`
    ///
    /// # Safety
    /// As `complete`.
    pub(super) unsafe fn complete_natives(&self, l: *mut lua_State) {
        // SAFETY: the caller's promise.
        unsafe {
            self.complete(l);
            self.helpers.load(l, self);
            for function in self.parts.natives.iter().copied().flatten() {
                push_native_named(l, self, function.name);
                ffi::lua_settop(l, -2);
            }
        }
    }
}

/// Runs a piece, unless that has been done or is being done. `[-0, +0, e]`
///
/// # Safety
/// `l` is the running state, outside `catch_unwind`, with eight free slots; the host of the library lives.
unsafe fn open(l: *mut lua_State, library: &Library, piece: Piece) {
    // SAFETY: the caller's promise; what is pushed is counted beside each line, and `opening` outlives the call.
    unsafe {
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.natives as _); // ns
        ffi::lua_rawgetp(l, -1, piece.address()); // ns done?
        if ffi::lua_toboolean(l, -1) != 0 {
            ffi::lua_settop(l, -3);
            return;
        }
        ffi::lua_settop(l, -2); // ns
        let opening = Opening { library, piece };
        ffi::lua_pushcclosure(l, open_piece, 0); // ns f
        ffi::lua_pushboolean(l, 1);
        ffi::lua_rawsetp(l, -3, piece.address()); // ns f
        ffi::lua_pushlightuserdata(l, (&raw const opening).cast_mut().cast());
        if ffi::lua_pcall(l, 1, 0, 0) != ffi::LUA_OK {
            // Whoever asks next may have the memory for it.
            ffi::lua_pushnil(l); // ns e nil
            ffi::lua_rawsetp(l, -3, piece.address()); // ns e
            entry::raise_top(l);
        }
        // The names of what is new are not known.
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.known as _); // ns known
        ffi::lua_pushnil(l);
        ffi::lua_rawseti(l, -2, 1);
        ffi::lua_settop(l, -3);
    }
}

/// Runs the piece of the `Opening` at index 1. Runs protected.
///
/// # Safety
/// Called only as the comment inside says.
unsafe extern "C-unwind" fn open_piece(l: *mut lua_State) -> c_int {
    // SAFETY: only `open` calls it, with the address of a live `Opening`.
    unsafe {
        let Opening { library, piece } = *ffi::lua_touserdata(l, 1).cast::<Opening>();
        match piece {
            Piece::Chapter(chapter) => {
                if chapter.completes_tasks {
                    add_task_methods(l, library);
                }
                for source in chapter.sources {
                    compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.own as _);
                    compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.natives as _);
                    call_source(l, library, *source, 2, 0);
                }
                if chapter.completes_tasks {
                    compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.task_methods as _);
                    ffi::lua_pushnil(l);
                    ffi::lua_setmetatable(l, -2);
                }
            }
            Piece::Module(module) => add_module(l, library, module),
        }
    }
    0
}

/// Makes a class, and completes its methods. `[-0, +0, e]`
///
/// # Safety
/// As `open`.
#[cold]
pub(super) unsafe fn open_class(l: *mut lua_State, library: &Library, class: Class) {
    // SAFETY: the caller's promise, and room for what opening takes.
    unsafe {
        ffi::luaL_checkstack(l, 20, std::ptr::null());
        let definition = library
            .class_definitions()
            .find(|(other, _)| *other == class);
        let (_, definition) = definition.expect("each class is in the list");
        let mut modules = library.parts.modules.iter();
        if let Some(module) = modules.find(|module| module.name == definition.module) {
            open(l, library, Piece::Module(module));
        }
        make_class(l, library, class, definition);
    }
}

/// Pushes the field of coev whose name is at the absolute index `key`, or nil. `[-0, +1, e]`
///
/// # Safety
/// As `open`; a string is at `key`.
pub(super) unsafe fn push_field(l: *mut lua_State, library: &Library, key: c_int) {
    // SAFETY: the caller's promise; the name stays where it is.
    unsafe {
        let name = string_at(l, key);
        let makes = |piece: &Piece| match piece {
            Piece::Module(module) if module.name.to_bytes() == name => true,
            _ => lists(piece.makes().fields, name),
        };
        if let Some(piece) = library.pieces().find(makes) {
            open(l, library, piece);
        }
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.own as _); // coev
        push_made(l, library, key, library.parts.functions.iter());
    }
}

/// Pushes what the table on top has under the key; where that is nothing, one of the functions, which it has from then
/// on; or nil. `[-1, +1, e]`
///
/// # Safety
/// As `push_field`.
unsafe fn push_made(
    l: *mut lua_State,
    library: &Library,
    key: c_int,
    mut functions: impl Iterator<Item = &'static Function>,
) {
    // SAFETY: the caller's promise; what is pushed is counted beside each line.
    unsafe {
        let table = ffi::lua_gettop(l);
        ffi::lua_pushvalue(l, key); // t k
        ffi::lua_rawget(l, table); // t v?
        if ffi::lua_type(l, -1) == ffi::LUA_TNIL {
            let name = string_at(l, key);
            if let Some(function) = functions.find(|function| function.name.to_bytes() == name) {
                ffi::lua_rawgetp(l, ffi::LUA_REGISTRYINDEX, host_key()); // t nil host
                ffi::lua_pushvalue(l, table); // t nil host t
                let guard = library.helpers.guard;
                add_functions(l, table + 2, guard, None, std::iter::once(function));
                ffi::lua_pushvalue(l, key);
                ffi::lua_rawget(l, table); // t nil host t v
                ffi::lua_replace(l, table + 1);
                ffi::lua_settop(l, table + 1); // t v
            }
        }
        ffi::lua_remove(l, table); // v
    }
}

/// Pushes the native whose name is at the absolute index `key`, or nil. `[-0, +1, e]`
///
/// # Safety
/// As `push_field`.
pub(super) unsafe fn push_native(l: *mut lua_State, library: &Library, key: c_int) {
    // SAFETY: the caller's promise; the name stays where it is.
    unsafe {
        let name = string_at(l, key);
        let makes = |piece: &Piece| lists(piece.makes().natives, name);
        if lists(helpers::NATIVES, name) {
            library.helpers.load(l, library);
        } else if let Some(piece) = library.pieces().find(makes) {
            open(l, library, piece);
        }
        let mut classes = library.class_definitions();
        let is_meant = |(_, class): &(Class, &ClassDef)| class.name.to_bytes() == name;
        if let Some((class, definition)) = classes.find(is_meant) {
            make_class(l, library, class, definition);
        }
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.natives as _);
        let natives = library.parts.natives.iter().copied().flatten();
        push_made(l, library, key, natives);
    }
}

/// Pushes the native of that name. `[-0, +1, e]`
///
/// # Safety
/// As `open`.
pub(super) unsafe fn push_native_named(l: *mut lua_State, library: &Library, name: &CStr) {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_pushstring(l, name.as_ptr());
        let key = ffi::lua_gettop(l);
        push_native(l, library, key);
        ffi::lua_remove(l, key);
    }
}

/// The string at `index`; nothing where there is none. `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state, and the value stays where it is while the bytes are used.
pub(super) unsafe fn string_at<'a>(l: *mut lua_State, index: c_int) -> &'a [u8] {
    // SAFETY: the caller's promise; a string is read where it lies.
    unsafe {
        if ffi::lua_type(l, index) != ffi::LUA_TSTRING {
            return &[];
        }
        let mut len = 0;
        let pointer = ffi::lua_tolstring(l, index, &raw mut len);
        std::slice::from_raw_parts(pointer.cast::<u8>(), len)
    }
}

/// Opens the chapter of tasks. `[-0, +0, e]`
///
/// # Safety
/// As `open`.
pub(super) unsafe fn complete_tasks(l: *mut lua_State, library: &Library) {
    let mut chapters = library.parts.chapters.iter();
    if let Some(chapter) = chapters.find(|chapter| chapter.completes_tasks) {
        // SAFETY: the caller's promise.
        unsafe { open(l, library, Piece::Chapter(chapter)) };
    }
}
