//! What differs between the Luas, given the shape of the newest. The only file that asks which Lua it is built for.

use mlua::ffi::{self, lua_State};
use std::os::raw::{c_int, c_void};

mod values;

pub(super) use values::{
    Number, join_upvalues, number, push_exact, push_string, raw_set, upvalue_id,
};

#[cfg(not(any(
    feature = "lua51",
    feature = "lua52",
    feature = "lua53",
    feature = "lua54",
    feature = "lua55",
    feature = "luajit"
)))]
compile_error!(
    "coev is built for one Lua at a time: choose a feature, as in `cargo build --release --features lua54` \
     (lua51, lua52, lua53, lua54, lua55 or luajit)"
);

#[cfg(any(
    all(
        feature = "lua51",
        any(
            feature = "lua52",
            feature = "lua53",
            feature = "lua54",
            feature = "lua55",
            feature = "luajit"
        )
    ),
    all(
        feature = "lua52",
        any(
            feature = "lua53",
            feature = "lua54",
            feature = "lua55",
            feature = "luajit"
        )
    ),
    all(
        feature = "lua53",
        any(feature = "lua54", feature = "lua55", feature = "luajit")
    ),
    all(feature = "lua54", any(feature = "lua55", feature = "luajit")),
    all(feature = "lua55", feature = "luajit")
))]
compile_error!(
    "coev is built for one Lua at a time: the features lua51 … lua55 and luajit exclude each other"
);

/// The Lua that this library is built for, as its interpreter names itself.
pub(crate) const BUILT_FOR: &str = if cfg!(feature = "lua51") {
    "Lua 5.1"
} else if cfg!(feature = "lua52") {
    "Lua 5.2"
} else if cfg!(feature = "lua53") {
    "Lua 5.3"
} else if cfg!(feature = "lua54") {
    "Lua 5.4"
} else if cfg!(feature = "lua55") {
    "Lua 5.5"
} else {
    "LuaJIT"
};

/// How deep waits may nest where the VM cannot yield.
///
/// Since 5.2 every nested resume counts against the C stack limit of 200 that coroutines inherit, and each level
/// takes up to five of it. 5.1 and LuaJIT count each coroutine by itself; there the C stack is the limit, at about
/// 3 KiB a level.
pub(crate) const NESTED_WAITS: usize = if cfg!(any(feature = "lua51", feature = "luajit")) {
    150
} else {
    30
};

/// Must the base of a coroutine be a Lua function? 5.1 cannot resume a C function there that has yielded.
pub(super) const NEEDS_LUA_BASE: bool = cfg!(feature = "lua51");

/// Does a waiting function need a Lua function around it that raises? Where a C function that has yielded gets no
/// second chance to do so itself.
pub(super) const NEEDS_GUARD: bool = cfg!(any(feature = "lua51", feature = "luajit"));

/// May Lua call C functions without its C API?
pub(super) const HAS_FFI: bool = cfg!(feature = "luajit");

/// May a failed coroutine have left variables that are to be closed?
pub(crate) const CLOSES_VARIABLES: bool = cfg!(any(feature = "lua54", feature = "lua55"));

/// Does `pairs` ask the metatable of a table? Then a table need not have all that it shows.
pub(super) const PAIRS_ASKS: bool = !cfg!(any(feature = "lua51", feature = "luajit"));

/// A continuation as 5.3 and later call it.
pub(super) type Continuation = unsafe extern "C-unwind" fn(*mut lua_State, c_int, isize) -> c_int;

/// Yields the `count` values on top; where Lua can, a continuation runs when the coroutine is resumed: `after` since
/// 5.3, with the `context`, `plain` on 5.2. `[-?, +?, v]`
///
/// # Safety
/// `l` is the running state, in a C function that returns the answer at once.
#[inline(always)]
pub(super) unsafe fn yield_then(
    l: *mut lua_State,
    count: c_int,
    context: isize,
    after: Continuation,
    plain: ffi::lua_CFunction,
) -> c_int {
    let _ = (context, after, plain);
    #[cfg(any(feature = "lua51", feature = "luajit"))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_yield(l, count)
    }
    #[cfg(feature = "lua52")]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_yieldk(l, count, 0, Some(plain))
    }
    #[cfg(any(feature = "lua53", feature = "lua54", feature = "lua55"))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_yieldk(l, count, context, Some(after))
    }
}

/// Do yields go wrong inside a `__gc`? LuaJIT runs finalizers as it runs hooks, and takes the first yield of a C
/// function there for one of a hook's; that yield ends the mistake.
pub(super) const MISTAKES_FINALIZERS: bool = cfg!(feature = "luajit");

/// Allocates a userdata without user values. `[-0, +1, m]`
///
/// # Safety
/// `l` is the running state and has a free slot; may raise.
#[inline(always)]
pub(super) unsafe fn new_userdata(l: *mut lua_State, size: usize) -> *mut c_void {
    #[cfg(any(feature = "lua54", feature = "lua55"))]
    // SAFETY: the caller's promise; one user value is what the older Luas always give.
    unsafe {
        ffi::lua_newuserdatauv(l, size, 1)
    }
    #[cfg(not(any(feature = "lua54", feature = "lua55")))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_newuserdata(l, size)
    }
}

/// Pushes what the table at `index` has under an integer. `[-0, +1, -]`
///
/// # Safety
/// A table is at `index`; one slot is free.
#[inline(always)]
pub(super) unsafe fn raw_get(l: *mut lua_State, index: c_int, key: i64) {
    #[cfg(any(feature = "lua51", feature = "luajit"))]
    #[expect(clippy::cast_possible_truncation, reason = "5.1 has no larger keys")]
    // SAFETY: the caller's promise. Its namesake would ask for the value's type, too.
    unsafe {
        ffi::lua_rawgeti_(l, index, key as c_int);
    }
    #[cfg(not(any(feature = "lua51", feature = "luajit")))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_rawgeti(l, index, key);
    }
}

/// As `raw_get`; answers the type of what it pushes.
///
/// # Safety
/// As `raw_get`.
#[inline(always)]
pub(super) unsafe fn raw_get_type(l: *mut lua_State, index: c_int, key: i64) -> c_int {
    #[cfg(any(feature = "lua51", feature = "lua52", feature = "luajit"))]
    // SAFETY: the caller's promise.
    unsafe {
        raw_get(l, index, key);
        ffi::lua_type(l, -1)
    }
    #[cfg(not(any(feature = "lua51", feature = "lua52", feature = "luajit")))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_rawgeti(l, index, key)
    }
}

/// Makes the table on top the user value of the userdata at `index`. `[-1, +0, -]`
///
/// # Safety
/// A table is on top and a full userdata at `index`.
#[inline(always)]
pub(super) unsafe fn set_user_table(l: *mut lua_State, index: c_int) {
    #[cfg(any(feature = "lua51", feature = "luajit"))]
    // SAFETY: the caller's promise; a userdata's environment may be any table.
    unsafe {
        ffi::lua_setfenv(l, index);
    }
    #[cfg(not(any(feature = "lua51", feature = "luajit")))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_setuservalue(l, index);
    }
}

/// Pushes the user value of the userdata at `index`. `[-0, +1, -]`
///
/// # Safety
/// A full userdata is at `index`; one slot is free.
#[inline(always)]
pub(super) unsafe fn user_value(l: *mut lua_State, index: c_int) {
    #[cfg(any(feature = "lua51", feature = "luajit"))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_getfenv(l, index);
    }
    #[cfg(not(any(feature = "lua51", feature = "luajit")))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_getuservalue(l, index);
    }
}

/// The first level from this one on that runs no Lua of coev's own. `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state.
pub(super) unsafe fn caller_level(l: *mut lua_State, from: c_int) -> c_int {
    let mut level = from;
    // SAFETY: the frame is filled in before it is read; "S" takes no memory.
    unsafe {
        let mut frame = std::mem::zeroed::<ffi::lua_Debug>();
        while ffi::lua_getstack(l, level, &raw mut frame) != 0 {
            ffi::lua_getinfo(l, c"S".as_ptr(), &raw mut frame);
            let source = std::ffi::CStr::from_ptr(frame.source);
            if !source.to_bytes().starts_with(b"=coev") {
                break;
            }
            level += 1;
        }
    }
    level
}

/// Calls a C function protected with one light userdata; the error is left on the stack. `[-0, +(0|1), -]`
///
/// # Safety
/// `l` is a live state, or its running coroutine, with two free slots.
pub(super) unsafe fn call_protected(
    l: *mut lua_State,
    function: ffi::lua_CFunction,
    argument: *mut c_void,
) -> c_int {
    #[cfg(any(feature = "lua51", feature = "luajit"))]
    // SAFETY: the caller's promise; here a C function takes memory, which this call asks for inside.
    unsafe {
        ffi::lua_cpcall(l, function, argument)
    }
    #[cfg(not(any(feature = "lua51", feature = "luajit")))]
    // SAFETY: the caller's promise; a C function without upvalues takes no memory.
    unsafe {
        ffi::lua_pushcclosure(l, function, 0);
        ffi::lua_pushlightuserdata(l, argument);
        ffi::lua_pcall(l, 1, 0, 0)
    }
}

/// Closes what a failed coroutine left open (`<close>` variables, 5.4 and later). `[-0, +0, -]` on `from`.
///
/// # Safety
/// `co` has ended with an error and is not running; `from` is the running state.
#[inline]
pub(super) unsafe fn close_coroutine(co: *mut lua_State, from: *mut lua_State) {
    #[cfg(feature = "lua55")]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_closethread(co, from);
    }
    #[cfg(feature = "lua54")]
    // SAFETY: the caller's promise. `lua_closethread` is younger than 5.4.4, which Debian has.
    unsafe {
        let _ = from;
        ffi::lua_resetthread(co);
    }
    #[cfg(not(any(feature = "lua54", feature = "lua55")))]
    let _ = (co, from);
}

/// Pushes the main coroutine of the universe, or nil where Lua does not tell (5.1, LuaJIT). `[-0, +1, -]`
///
/// # Safety
/// `l` is the running state and has a free slot.
pub(super) unsafe fn push_main_coroutine(l: *mut lua_State) {
    #[cfg(any(feature = "lua51", feature = "luajit"))]
    // SAFETY: the caller's promise. At load the main coroutine is the one that runs, unless the library is first
    // required inside a coroutine.
    unsafe {
        if ffi::lua_pushthread(l) == 0 {
            ffi::lua_settop(l, -2);
            ffi::lua_pushnil(l);
        }
    }
    #[cfg(not(any(feature = "lua51", feature = "luajit")))]
    // SAFETY: the caller's promise; the registry holds the main coroutine at this index in 5.2 and later.
    unsafe {
        raw_get(l, ffi::LUA_REGISTRYINDEX, ffi::LUA_RIDX_MAINTHREAD as _);
    }
}

/// Pushes the table of globals. `[-0, +1, -]`
///
/// # Safety
/// `l` is a live state with a free slot.
pub(super) unsafe fn push_globals(l: *mut lua_State) {
    #[cfg(any(feature = "lua51", feature = "luajit"))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_pushvalue(l, ffi::LUA_GLOBALSINDEX);
    }
    #[cfg(not(any(feature = "lua51", feature = "luajit")))]
    // SAFETY: the caller's promise.
    unsafe {
        raw_get(l, ffi::LUA_REGISTRYINDEX, ffi::LUA_RIDX_GLOBALS as _);
    }
}

/// May the running coroutine yield from a C function right here? `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state.
#[inline(always)]
pub(super) unsafe fn is_yieldable(l: *mut lua_State) -> bool {
    #[cfg(any(feature = "lua53", feature = "lua54", feature = "lua55"))]
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_isyieldable(l) != 0
    }
    #[cfg(feature = "luajit")]
    // SAFETY: the caller's promise; LuaJIT 2.1 exports it.
    unsafe {
        lua_isyieldable(l) != 0
    }
    #[cfg(any(feature = "lua51", feature = "lua52"))]
    // SAFETY: the caller's promise; read only after a probe has seen the fields change as they must.
    unsafe {
        layout::trusted() && layout::is_yieldable(l)
    }
}

#[cfg(feature = "luajit")]
unsafe extern "C-unwind" {
    /// LuaJIT 2.1 has it; the headers of 5.1 do not.
    fn lua_isyieldable(l: *mut lua_State) -> c_int;
}

/// Finds out at load whether `is_yieldable` can be told. `[-0, +0, m]`
///
/// # Safety
/// `l` is the running state with a few free slots; may raise for want of memory.
pub(super) unsafe fn probe(l: *mut lua_State) {
    #[cfg(any(feature = "lua51", feature = "lua52"))]
    // SAFETY: the caller's promise.
    unsafe {
        layout::probe(l);
    }
    #[cfg(not(any(feature = "lua51", feature = "lua52")))]
    let _ = l;
}

/// Two fields of `lua_State` that say whether a yield is allowed, where no function does.
#[cfg(any(feature = "lua51", feature = "lua52"))]
mod layout {
    use super::{c_int, c_void, ffi, lua_State};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// The head of `lua_State` as 5.1 lays it out.
    #[cfg(feature = "lua51")]
    #[repr(C)]
    struct Head {
        /// `next`, `tt`, `marked`, `status`.
        common: (*mut c_void, u8, u8, u8),
        /// `top`, `base`, `l_G`, `ci`, `savedpc`, `stack_last`, `stack`, `end_ci`, `base_ci`.
        pointers: [*mut c_void; 9],
        /// `stacksize`, `size_ci`.
        sizes: [c_int; 2],
        /// C calls now.
        calls: u16,
        /// C calls when the coroutine was resumed.
        base_calls: u16,
    }

    /// The head of `lua_State` as 5.2 lays it out.
    #[cfg(feature = "lua52")]
    #[repr(C)]
    struct Head {
        /// `next`, `tt`, `marked`, `status`.
        common: (*mut c_void, u8, u8, u8),
        /// `top`, `l_G`, `ci`, `oldpc`, `stack_last`, `stack`.
        pointers: [*mut c_void; 6],
        /// `stacksize`.
        sizes: c_int,
        /// Calls on the stack that cannot be yielded across.
        unyieldable: u16,
    }

    /// Has the probe seen the fields change as they must? A fact about the interpreter's build, so one for all states.
    static TRUSTED: AtomicBool = AtomicBool::new(false);

    /// May `is_yieldable` be asked?
    #[inline(always)]
    pub(super) fn trusted() -> bool {
        TRUSTED.load(Ordering::Relaxed)
    }

    /// # Safety
    /// `l` is a live state of the layout that `Head` says.
    #[inline(always)]
    pub(super) unsafe fn is_yieldable(l: *mut lua_State) -> bool {
        // SAFETY: the caller's promise; the fields are plain integers within the state's allocation.
        let head = unsafe { &*l.cast::<Head>() };
        #[cfg(feature = "lua51")]
        return head.calls <= head.base_calls;
        #[cfg(feature = "lua52")]
        return head.unyieldable == 0;
    }

    /// Answers what `is_yieldable` says where it is called. A plain C function for the probe.
    ///
    /// # Safety
    /// Called by Lua, in the probe.
    unsafe extern "C-unwind" fn ask(l: *mut lua_State) -> c_int {
        // SAFETY: `l` runs this function; a boolean needs no memory.
        unsafe { ffi::lua_pushboolean(l, c_int::from(is_yieldable(l))) };
        1
    }

    /// Asks once through a protected call, where a yield is not allowed, and once directly, where it is.
    ///
    /// # Safety
    /// Called by Lua, in the probe.
    unsafe extern "C-unwind" fn ask_twice(l: *mut lua_State) -> c_int {
        // SAFETY: `l` runs this function and has its 20 slots.
        unsafe {
            ffi::lua_pushboolean(l, c_int::from(is_yieldable(l)));
            ffi::lua_pushcclosure(l, ask, 0);
            if ffi::lua_pcall(l, 0, 1, 0) != 0 {
                ffi::lua_pushboolean(l, 1);
            }
            ffi::lua_pushboolean(l, c_int::from(is_yieldable(l)));
        }
        3
    }

    /// # Safety
    /// As `super::probe`.
    pub(super) unsafe fn probe(l: *mut lua_State) {
        // SAFETY: a fresh coroutine runs a C function that only reads; its results are read where they lie.
        unsafe {
            let top = ffi::lua_gettop(l);
            let co = ffi::lua_newthread(l);
            ffi::lua_pushcclosure(co, ask_twice, 0);
            let mut results: c_int = 0;
            let status = ffi::lua_resume(co, l, 0, &raw mut results);
            let answers = [-3, -2, -1].map(|index| ffi::lua_toboolean(co, index) != 0);
            let right = status == ffi::LUA_OK && results == 3 && answers == [true, false, true];
            TRUSTED.store(right, Ordering::Relaxed);
            ffi::lua_settop(l, top);
        }
    }
}
