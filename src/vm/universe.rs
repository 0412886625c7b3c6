//! A universe that the library makes itself: the Lua of a thread, with the standard libraries and coev in it.

use super::copy::{Message, Parcel};
use super::entry::{Host, raise_top};
use super::hookable::Hookable;
use super::library::{self, Library, Parts};
use super::limit::Limit;
use super::state::State;
use super::{asking, chunks, compat, copy, demand};
use mlua::ffi::{self, lua_State};
use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// A universe of its own. It stays in the thread that made it, and is closed when it is dropped.
pub(crate) struct Universe<H: Host> {
    /// The main coroutine.
    l: *mut lua_State,
    /// Where it is hooked.
    hookable: Arc<Hookable>,
    /// Bytes that it may take, where there is a limit.
    ceiling: Arc<AtomicUsize>,
    /// What holds it to them.
    limit: Option<Box<Limit>>,
    /// What lies in the userdata that its functions have as an upvalue.
    host: PhantomData<H>,
}

/// What a universe is like.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    /// `package.path`.
    pub(crate) path: Vec<u8>,
    /// `package.cpath`.
    pub(crate) cpath: Vec<u8>,
    /// Bytes that it may take, where there is a limit.
    pub(crate) memory_limit: Option<usize>,
}

/// What `boot` in its protected call needs to know.
struct Booting<'a, H> {
    /// What the library consists of.
    parts: &'static Parts,
    /// Starts the host.
    start: fn(Library) -> H,
    /// What the universe is like.
    settings: &'a Settings,
}

/// What `run` in its protected call needs to know.
struct Running<'a> {
    /// The library of the universe.
    library: &'a Library,
    /// What messages call the chunk.
    name: CString,
    /// The chunk and its arguments.
    parcel: Option<Box<Parcel>>,
}

impl<H: Host> Universe<H> {
    /// Makes one. `Err`: there is no memory, or not as much as the limit says.
    pub(crate) fn open(
        parts: &'static Parts,
        start: fn(Library) -> H,
        settings: &Settings,
    ) -> Result<Universe<H>, String> {
        // SAFETY: a new state, which nobody else knows of. What is pushed before the limit is set is one function; all
        // else runs protected.
        unsafe {
            let l = ffi::luaL_newstate();
            if l.is_null() {
                return Err("not enough memory".into());
            }
            let booting = Booting {
                parts,
                start,
                settings,
            };
            ffi::lua_pushcclosure(l, boot::<H>, 0);
            ffi::lua_pushlightuserdata(l, (&raw const booting).cast_mut().cast());
            let ceiling = Arc::new(AtomicUsize::new(
                settings.memory_limit.unwrap_or(usize::MAX),
            ));
            let limit = settings.memory_limit;
            let limit = limit.map(|_| Limit::set(l, Arc::clone(&ceiling)));
            let universe = Universe {
                l,
                hookable: Arc::new(Hookable::new::<H>()),
                ceiling,
                limit,
                host: PhantomData,
            };
            if ffi::lua_pcall(l, 1, 0, 0) != ffi::LUA_OK {
                return Err(error_text(l));
            }
            Ok(universe)
        }
    }

    /// The host.
    pub(crate) fn host(&self) -> &H {
        // SAFETY: `open` has put it there, and it lives as long as the state.
        unsafe { &*library::host::<H>(self.l) }
    }

    /// Where it is hooked.
    pub(crate) fn hookable(&self) -> Arc<Hookable> {
        Arc::clone(&self.hookable)
    }

    /// Bytes that it may take; nobody asks where there was no limit at the start.
    pub(crate) fn ceiling(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.ceiling)
    }

    /// Runs the chunk that comes first among the values, with the others, as the main task of a thread with this name,
    /// and all tasks that there are then; the host learns how that has ended. `Err`: there is no memory for more.
    pub(crate) fn run(&self, name: &str, message: Arc<Message>) -> Result<(), String> {
        let chunk_name: String = name.chars().filter(|letter| *letter != '\0').collect();
        let mut running = Running {
            library: self.host().library(),
            name: CString::new(format!("={chunk_name}")).unwrap_or_default(),
            parcel: Some(Box::new(Parcel::from(message))),
        };
        // SAFETY: the state is live and nothing runs in it; `running` outlives the call. A C function without upvalues
        // takes no memory since 5.2; before, what raises here for want of memory is caught by `lua_cpcall`.
        unsafe {
            let status = compat::call_protected(self.l, begin::<H>, (&raw mut running).cast());
            let result = if status == ffi::LUA_OK {
                Ok(())
            } else {
                Err(error_text(self.l))
            };
            ffi::lua_settop(self.l, 0);
            result
        }
    }
}

impl<H: Host> Drop for Universe<H> {
    fn drop(&mut self) {
        // SAFETY: nothing runs in the state, and nobody uses it afterwards.
        unsafe {
            if let Some(limit) = &self.limit {
                limit.lift(self.l);
            }
            ffi::lua_close(self.l);
        }
    }
}

/// The error on top as text.
///
/// # Safety
/// `l` is a live state with a value on top.
unsafe fn error_text(l: *mut lua_State) -> String {
    // SAFETY: the caller's promise; a string is copied where it lies.
    unsafe {
        if ffi::lua_type(l, -1) != ffi::LUA_TSTRING {
            return "an error that is no string".into();
        }
        let mut len = 0;
        let pointer = ffi::lua_tolstring(l, -1, &raw mut len);
        let bytes = std::slice::from_raw_parts(pointer.cast::<u8>(), len);
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// Opens the standard libraries and coev, as the `Booting` at index 1 says. Runs protected.
///
/// # Safety
/// Called only as the comment inside says.
unsafe extern "C-unwind" fn boot<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: only `Universe::open` calls it, with the address of a live `Booting`. Nothing here has a destructor.
    unsafe {
        let booting = &*ffi::lua_touserdata(l, 1).cast::<Booting<H>>();
        ffi::luaL_openlibs(l);
        chunks::want();
        let settings = booting.settings;
        ffi::lua_getglobal(l, c"package".as_ptr()); // package
        for (name, value) in [(c"path", &settings.path), (c"cpath", &settings.cpath)] {
            ffi::lua_pushlstring(l, value.as_ptr().cast(), value.len());
            ffi::lua_setfield(l, -2, name.as_ptr());
        }
        Library::open(l, booting.parts, booting.start); // package coev
        ffi::lua_settop(l, -2); // package
        if settings.memory_limit.is_some() {
            (*library::host::<H>(l)).library().complete_natives(l);
        }
        asking::preload::<H>(l);
    }
    0
}

/// The slot of what the chunk is given to.
const MAIN: c_int = 2;
/// The slot of the chunk; the arguments follow.
const CHUNK: c_int = 3;

/// Does what the `Running` at index 1 says. Runs protected.
///
/// # Safety
/// Called only as the comment inside says.
unsafe extern "C-unwind" fn begin<H: Host>(l: *mut lua_State) -> c_int {
    // SAFETY: only `Universe::run` calls it, with the address of a live `Running`, which owns what has a destructor.
    unsafe {
        let running = ffi::lua_touserdata(l, 1).cast::<Running>();
        let library = (*running).library;
        demand::push_native_named(l, library, c"thread_main"); // r main
        let parcel = (*running).parcel.take();
        let count = parcel.map_or(Some(0), |parcel| copy::push_parcel(l, library, &parcel));
        let Some(count) = count else { raise_top(l) }; // r main chunk a…
        find_chunk(l, library, &(*running).name);
        let drove = ffi::lua_pcall(l, count, ffi::LUA_MULTRET, 0) == ffi::LUA_OK; // r ok v…
        ffi::luaL_checkstack(l, 20, std::ptr::null());
        run_exits(l, library);
        let host = library::host::<H>(l);
        if drove && ffi::lua_toboolean(l, MAIN) != 0 {
            let state = State::new(l);
            let concluded = catch_unwind(AssertUnwindSafe(|| (*host).concludes(state, MAIN)));
            if concluded.unwrap_or(false) {
                return 0;
            }
        }
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.helpers.conclude as _);
        ffi::lua_insert(l, MAIN);
        ffi::lua_pushboolean(l, c_int::from(drove));
        ffi::lua_insert(l, MAIN + 1); // r conclude drove ok v…
        ffi::lua_call(l, ffi::lua_gettop(l) - MAIN, 0);
    }
    0
}

/// Makes a function of the chunk: of a text what that says, of true what the workers of a pool run. A text that does not
/// compile becomes a call that raises why. `[-0, +(0 | 1), e]`
///
/// # Safety
/// As `begin`; the chunk is at `CHUNK`.
unsafe fn find_chunk(l: *mut lua_State, library: &Library, name: &CStr) {
    // SAFETY: the caller's promise; a string is read where it lies.
    unsafe {
        match ffi::lua_type(l, CHUNK) {
            ffi::LUA_TBOOLEAN => demand::push_native_named(l, library, c"work"),
            ffi::LUA_TSTRING => {
                let mut len = 0;
                let text = ffi::lua_tolstring(l, CHUNK, &raw mut len);
                let status = ffi::luaL_loadbufferx(l, text, len, name.as_ptr(), c"bt".as_ptr());
                if status != ffi::LUA_OK {
                    // A function with the message for an upvalue: it takes no argument.
                    ffi::lua_pushcclosure(l, refuse_chunk, 1);
                }
            }
            _ => return,
        }
        ffi::lua_replace(l, CHUNK);
    }
}

/// Raises the message that it has as an upvalue.
///
/// # Safety
/// Called by Lua, as `find_chunk` makes it.
unsafe extern "C-unwind" fn refuse_chunk(l: *mut lua_State) -> c_int {
    // SAFETY: the caller's promise; nothing here has a destructor.
    unsafe {
        ffi::lua_pushvalue(l, ffi::lua_upvalueindex(1));
        raise_top(l)
    }
}

/// Runs what is to be run when all tasks have ended. `[-0, +0, e]`
///
/// # Safety
/// As `begin`.
unsafe fn run_exits(l: *mut lua_State, library: &Library) {
    // SAFETY: the caller's promise; the function that Lua leaves there raises nothing.
    unsafe {
        let top = ffi::lua_gettop(l);
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.natives as _);
        ffi::lua_pushstring(l, c"run_exits".as_ptr());
        ffi::lua_rawget(l, -2);
        if ffi::lua_type(l, -1) == ffi::LUA_TFUNCTION {
            ffi::lua_call(l, 0, 0);
        }
        ffi::lua_settop(l, top);
    }
}
