//! The end of the host: it is dropped when Lua frees the memory that it lies in. Its finalizer has emptied it before; but
//! other finalizers may call its functions afterwards, and Lua does not tell which is the last one.

use super::entry::Host;
use mlua::ffi::{self, lua_Alloc, lua_State};
use std::os::raw::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// An allocator around the state's own one that waits for that memory to be freed.
struct Farewell<H> {
    /// The main coroutine, which is freed after everything else.
    l: *mut lua_State,
    /// The allocator that does the work.
    inner: lua_Alloc,
    /// What that one is called with.
    data: *mut c_void,
    /// The host.
    host: *mut H,
}

/// Lets the host be dropped with its memory. Where another coroutine than the main one runs, which is when a script has
/// thrown away what holds the host, it is not. `[-0, +1, -]`
///
/// # Safety
/// `l` is the running state, in the finalizer of the host, with a free slot; this is called once.
pub(super) unsafe fn expect<H: Host>(l: *mut lua_State, host: *mut H) {
    // SAFETY: the caller's promise; `allocate` takes the box back.
    unsafe {
        if ffi::lua_pushthread(l) == 0 {
            return;
        }
        let mut data = std::ptr::null_mut();
        let inner = ffi::lua_getallocf(l, &raw mut data);
        let farewell = Box::new(Farewell {
            l,
            inner,
            data,
            host,
        });
        ffi::lua_setallocf(l, allocate::<H>, Box::into_raw(farewell).cast());
    }
}

/// The allocator: the own one, which is put back when the host has been dropped. LuaJIT knows its own by its address.
///
/// # Safety
/// Called by Lua, with the address of the `Farewell`.
unsafe extern "C" fn allocate<H: Host>(
    data: *mut c_void,
    block: *mut c_void,
    before: usize,
    after: usize,
) -> *mut c_void {
    // SAFETY: the farewell lives as long as Lua has it. A block that is freed while the host lies in it is that of the
    // host's userdata: nobody can reach it any more, and the drop calls no Lua. The main coroutine is still there.
    unsafe {
        let farewell = data.cast::<Farewell<H>>();
        let Farewell {
            l,
            inner,
            data,
            host,
        } = farewell.read();
        let inside =
            !block.is_null() && (block.addr()..block.addr() + before).contains(&host.addr());
        if after == 0 && inside {
            ffi::lua_setallocf(l, inner, data);
            drop(Box::from_raw(farewell));
            // A panic must not cross into Lua; there is nobody left to tell.
            let _ = catch_unwind(AssertUnwindSafe(|| host.drop_in_place()));
        }
        inner(data, block, before, after)
    }
}
