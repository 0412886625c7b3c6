//! How much memory a state may take: an allocator around the state's own one, which it counts for.
//!
//! The own one does the work, so this serves every Lua, LuaJIT too, which takes no allocator of others at its start on
//! some machines. It is put back before the state is closed: LuaJIT knows its own by its address.

use mlua::ffi::{self, lua_Alloc, lua_State};
use std::os::raw::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The limit of one state. It stays where it is while the state has it.
pub(super) struct Limit {
    /// The allocator that does the work.
    inner: lua_Alloc,
    /// What that one is called with.
    data: *mut c_void,
    /// Bytes in use.
    used: usize,
    /// Bytes that may be.
    most: Arc<AtomicUsize>,
}

impl Limit {
    /// Sets the limit; what is in use counts.
    ///
    /// # Safety
    /// `l` is a live state that nothing runs in; `lift` is called before it is closed.
    pub(super) unsafe fn set(l: *mut lua_State, most: Arc<AtomicUsize>) -> Box<Limit> {
        // SAFETY: the caller's promise; the box stays where it is.
        unsafe {
            let mut data = std::ptr::null_mut();
            let inner = ffi::lua_getallocf(l, &raw mut data);
            let kilobytes = ffi::lua_gc(l, ffi::LUA_GCCOUNT, 0);
            let limit = Box::new(Limit {
                inner,
                data,
                used: usize::try_from(kilobytes).unwrap_or(0) * 1024,
                most,
            });
            ffi::lua_setallocf(l, allocate, (&raw const *limit).cast_mut().cast());
            limit
        }
    }

    /// Puts the own allocator back.
    ///
    /// # Safety
    /// `set` has been called with `l`, which is live.
    pub(super) unsafe fn lift(&self, l: *mut lua_State) {
        // SAFETY: the caller's promise.
        unsafe { ffi::lua_setallocf(l, self.inner, self.data) };
    }
}

/// The allocator: as Lua's manual says, but that it has no memory beyond the limit.
///
/// # Safety
/// Called by Lua, with the address of the `Limit`.
unsafe extern "C" fn allocate(
    data: *mut c_void,
    block: *mut c_void,
    before: usize,
    after: usize,
) -> *mut c_void {
    // SAFETY: the limit lives as long as Lua has it; nobody else looks at it meanwhile, since a state runs in one
    // thread.
    unsafe {
        let limit = data.cast::<Limit>();
        // For new blocks Lua says what they are for.
        let before = if block.is_null() { 0 } else { before };
        let used = (*limit).used.saturating_sub(before).saturating_add(after);
        if after > before && used > (*limit).most.load(Ordering::Relaxed) {
            return std::ptr::null_mut();
        }
        let answer = ((*limit).inner)((*limit).data, block, before, after);
        if !answer.is_null() || after == 0 {
            (*limit).used = used;
        }
        answer
    }
}
