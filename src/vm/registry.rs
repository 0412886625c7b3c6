//! What holds Lua values for the runtime: the anchors of tasks, and the handles that stand for them.

use super::library::Library;
use super::outcome::TaskName;
use super::{compat, coroutine::Coroutine};
use mlua::ffi::{self, lua_State};
use std::cell::Cell;
use std::os::raw::c_int;

/// A task's place in the anchor and handle tables: its index in the task table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot(pub(crate) u32);

/// The Rust half of a task's handle. Plain bytes in a userdata: it needs no finalizer.
pub(crate) struct Handle {
    /// The task, as the scheduler names it.
    pub(crate) id: u64,
    /// How it ended.
    pub(crate) ended: Cell<Ended>,
    /// How many values lie in the handle's user table, when the task has ended.
    pub(super) results: Cell<u32>,
    /// Is there a sentinel in the user table?
    pub(super) guarded: Cell<bool>,
    /// Has anybody been told how it ended?
    pub(super) told: Cell<bool>,
    /// Does the user table hold the coroutine of the live task, and those that wait for it?
    pub(super) bound: Cell<bool>,
}

/// How a task ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// It has not.
    Not,
    /// It has returned.
    Done,
    /// It has failed.
    Failed,
    /// It has been cancelled, and the cancel has ended it.
    Cancelled,
}

/// The key of the coroutine in a handle's table; waiters stand under their slots' keys, negated.
pub(super) const COROUTINE: i64 = 1;

/// The key of the sentinel there.
const SENTINEL: i64 = 2;

impl Slot {
    /// The slot as a key of the two tables.
    pub(super) fn key(self) -> i64 {
        i64::from(self.0) + 1
    }
}

/// Makes a coroutine of the function and the arguments on the stack, anchors it and its new handle, and leaves the
/// handle on top. Answers the task, whose place `reserve` gives, its coroutine, and how many values the first resume of
/// that takes. `[-?, +?, m]`
///
/// # Safety
/// `l` is the running state, outside `catch_unwind`; the function is at index 1, and nothing lies below it.
pub(super) unsafe fn spawn(
    l: *mut lua_State,
    library: &Library,
    reserve: impl FnOnce() -> TaskName,
) -> (TaskName, Coroutine, c_int) {
    // SAFETY: what is pushed is counted beside each line; a C function has 20 free slots. The new coroutine has as
    // many as it asks for. A finalizer, which may spawn tasks of its own, only runs before a place is reserved. What
    // raises (memory) leaves both tables as they were or with a slot that is set again by the next task of that index.
    unsafe {
        if compat::NEEDS_LUA_BASE && ffi::lua_iscfunction(l, 1) != 0 {
            // What stands in for it is no Lua function.
            library.helpers.load(l, library);
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.helpers.call as _); // f a… call
            ffi::lua_insert(l, 1); // call f a…
        }
        let arguments = ffi::lua_gettop(l);
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.anchors as _); // f a… as
        let co = ffi::lua_newthread(l); // f a… as co
        if arguments == 1 {
            // As most: a new coroutine has room for it.
            ffi::lua_pushvalue(l, 1); // f as co f
        } else {
            if ffi::lua_checkstack(co, arguments) == 0 {
                ffi::lua_pushstring(l, c"too many arguments for a task".as_ptr());
                super::entry::raise_top(l);
            }
            ffi::lua_insert(l, 1);
            ffi::lua_insert(l, 1); // as co f a…
        }
        ffi::lua_xmove(l, co, arguments); // … as co
        let handle = push_handle(l, library, 0); // … as co h
        let task = reserve();
        (*handle).id = task.id;
        ffi::lua_insert(l, -2); // … as h co
        ffi::lua_rawseti(l, -3, task.slot.key()); // … as h
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.handles as _); // … as h hs
        ffi::lua_pushvalue(l, -2); // … as h hs h
        ffi::lua_rawseti(l, -2, task.slot.key()); // … as h hs
        ffi::lua_settop(l, -2); // … as h
        (task, Coroutine::new(co), arguments - 1)
    }
}

/// Pushes a new handle; answers where it lies. `[-0, +1, m]`
///
/// # Safety
/// `l` is the running state with two free slots, outside `catch_unwind`.
unsafe fn push_handle(l: *mut lua_State, library: &Library, id: u64) -> *mut Handle {
    // SAFETY: a `Handle` has no destructor and an alignment of 8, as Lua aligns userdata.
    unsafe {
        let memory = compat::new_userdata(l, size_of::<Handle>()).cast::<Handle>();
        memory.write(Handle {
            id,
            ended: Cell::new(Ended::Not),
            results: Cell::new(0),
            guarded: Cell::new(false),
            told: Cell::new(false),
            bound: Cell::new(false),
        });
        compat::raw_get(
            l,
            ffi::LUA_REGISTRYINDEX,
            library.handle_metatable().reference as _,
        );
        ffi::lua_setmetatable(l, -2);
        memory
    }
}

/// Pushes the handle of a live task: the one that is still somewhere, else a new one. `[-0, +1, m]`
///
/// # Safety
/// `l` is the running state with four free slots, outside `catch_unwind`; `task` is alive.
pub(super) unsafe fn push_live_handle(l: *mut lua_State, library: &Library, task: TaskName) {
    // SAFETY: what is pushed is counted beside each line.
    unsafe {
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.handles as _); // hs
        compat::raw_get(l, -1, task.slot.key()); // hs h?
        if ffi::lua_type(l, -1) != ffi::LUA_TUSERDATA {
            ffi::lua_settop(l, -2); // hs
            push_handle(l, library, task.id); // hs h
            ffi::lua_pushvalue(l, -1); // hs h h
            ffi::lua_rawseti(l, -3, task.slot.key()); // hs h
        }
        ffi::lua_remove(l, -2); // h
    }
}

/// Pushes the coroutine of the live task in `slot`, or nil. `[-0, +1, -]`
///
/// # Safety
/// `l` is the running state with four free slots.
pub(super) unsafe fn push_coroutine(l: *mut lua_State, library: &Library, slot: Slot) {
    // SAFETY: the caller's promise; each step leaves one value more, and the last line all but one.
    unsafe {
        let top = ffi::lua_gettop(l);
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.anchors as _);
        compat::raw_get(l, -1, slot.key()); // as co | h | false
        if ffi::lua_type(l, -1) == ffi::LUA_TBOOLEAN {
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.handles as _);
            compat::raw_get(l, -1, slot.key());
        }
        if ffi::lua_type(l, -1) == ffi::LUA_TUSERDATA {
            // One that has been made since the old one was collected knows of no coroutine.
            let handle = ffi::lua_touserdata(l, -1).cast::<Handle>();
            if (*handle).bound.get() {
                compat::user_value(l, -1);
                compat::raw_get(l, -1, COROUTINE);
            } else {
                ffi::lua_pushnil(l);
            }
        }
        ffi::lua_replace(l, top + 1);
        ffi::lua_settop(l, top + 1);
    }
}

/// Pushes the table of a live task's handle, which holds its coroutine and those that wait for it; made when first
/// needed. From then on whoever holds the handle holds the coroutine. `[-0, +1, m]`
///
/// # Safety
/// `l` runs a protected call with eight free slots; the handle of the live task in `slot` is at the absolute `index`.
pub(super) unsafe fn bind(l: *mut lua_State, library: &Library, index: c_int, slot: Slot) {
    // SAFETY: the caller's promise; what is pushed is counted beside each line.
    unsafe {
        let handle = &*ffi::lua_touserdata(l, index).cast::<Handle>();
        if handle.bound.get() {
            compat::user_value(l, index); // u
            return;
        }
        ffi::lua_createtable(l, 1, 0); // u
        push_coroutine(l, library, slot); // u co
        ffi::lua_rawseti(l, -2, COROUTINE); // u
        ffi::lua_pushvalue(l, -1); // u u
        compat::set_user_table(l, index); // u
        handle.bound.set(true);
    }
}

/// Pushes the handle of the live task in `slot` where that holds its coroutine; answers whether it does.
/// `[-0, +(0 | 1), -]`
///
/// # Safety
/// `l` is the running state with two free slots.
pub(super) unsafe fn push_bound_handle(l: *mut lua_State, library: &Library, slot: Slot) -> bool {
    // SAFETY: the caller's promise; only handles lie in the table.
    unsafe {
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.handles as _); // hs
        compat::raw_get(l, -1, slot.key()); // hs h?
        ffi::lua_remove(l, -2); // h?
        let handle = ffi::lua_touserdata(l, -1).cast::<Handle>();
        let bound = !handle.is_null() && (*handle).bound.get();
        if !bound {
            ffi::lua_settop(l, -2);
        }
        bound
    }
}

/// Puts the coroutine on top in the place of the live task's own one. `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state with five free slots; `spawn` has anchored the task.
pub(super) unsafe fn replace_coroutine(l: *mut lua_State, library: &Library, slot: Slot) {
    // SAFETY: the caller's promise; the keys exist, so storing takes no memory.
    unsafe {
        let co = ffi::lua_gettop(l);
        if push_bound_handle(l, library, slot) {
            compat::user_value(l, -1); // co h u
            ffi::lua_pushvalue(l, co);
            ffi::lua_rawseti(l, -2, COROUTINE);
            ffi::lua_settop(l, co);
        }
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.anchors as _); // co as
        compat::raw_get(l, -1, slot.key()); // co as co | h | false
        if ffi::lua_type(l, -1) != ffi::LUA_TUSERDATA {
            ffi::lua_pushvalue(l, co);
            ffi::lua_rawseti(l, co + 1, slot.key());
        }
        ffi::lua_settop(l, co);
    }
}

/// Lets the runtime learn when the handle of a live task is collected; leaves it alone on the stack, and answers that it
/// is one value. `[-?, +1, m]`
///
/// # Safety
/// `l` is the running state with ten free slots, outside `catch_unwind`; the handle is at index 1.
pub(super) unsafe fn guard_handle(l: *mut lua_State, library: &Library) -> c_int {
    // SAFETY: the caller's promise; the low half of the id is the task's slot.
    unsafe {
        let id = (*ffi::lua_touserdata(l, 1).cast::<Handle>()).id;
        #[expect(clippy::cast_possible_truncation, reason = "the half is meant")]
        bind(l, library, 1, Slot(id as u32)); // u
        guard(l, library, 1, id); // u
        ffi::lua_settop(l, 1);
    }
    1
}

/// Puts a sentinel into the handle's table, which is on top: it is collected when the handle is. A finalizer on the
/// handle itself would do, but Lua searches all objects for one that gets its finalizer late. `[-0, +0, m]`
///
/// # Safety
/// As `bind`, which has pushed the table.
pub(super) unsafe fn guard(l: *mut lua_State, library: &Library, index: c_int, id: u64) {
    // SAFETY: the caller's promise; a sentinel is eight bytes that need no destructor.
    unsafe {
        let handle = &*ffi::lua_touserdata(l, index).cast::<Handle>();
        if handle.guarded.replace(true) {
            return;
        }
        compat::new_userdata(l, size_of::<u64>())
            .cast::<u64>()
            .write(id); // u s
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.sentinel.reference as _); // u s mt
        ffi::lua_setmetatable(l, -2); // u s
        ffi::lua_rawseti(l, -2, SENTINEL); // u
    }
}

/// Makes the tables of anchors and handles anew with the live entries alone: a table of Lua's does not shrink by
/// itself. `[-0, +0, m]`
///
/// # Safety
/// `l` runs a protected call with eight free slots; no slot from `places` on is in use.
pub(super) unsafe fn rebuild(l: *mut lua_State, library: &Library, places: u32) {
    for table in [library.anchors, library.handles] {
        // SAFETY: the caller's promise; the new table takes the old one's place in the registry.
        unsafe {
            let top = ffi::lua_gettop(l);
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, table as _); // old
            ffi::lua_createtable(l, 0, 0); // old new
            for place in 0..places {
                compat::raw_get(l, top + 1, Slot(place).key());
                if ffi::lua_type(l, -1) == ffi::LUA_TNIL {
                    ffi::lua_settop(l, -2);
                } else {
                    ffi::lua_rawseti(l, top + 2, Slot(place).key());
                }
            }
            if ffi::lua_getmetatable(l, top + 1) != 0 {
                ffi::lua_setmetatable(l, top + 2);
            }
            ffi::lua_rawseti(l, ffi::LUA_REGISTRYINDEX, table as _); // old
            ffi::lua_settop(l, top);
        }
    }
}

/// Lets go of the coroutine of an ended task, and of what Lua keeps for it where that may be something. `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state with two free slots; `slot` was anchored by `spawn`, so that its key exists.
pub(super) unsafe fn release(l: *mut lua_State, library: &Library, slot: Slot, belongings: bool) {
    // SAFETY: the caller's promise; storing nil takes no memory where the key exists.
    unsafe {
        let top = ffi::lua_gettop(l);
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.anchors as _);
        ffi::lua_pushnil(l);
        ffi::lua_rawseti(l, -2, slot.key());
        if belongings {
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.belongings as _);
            compat::raw_get(l, -1, slot.key());
            if ffi::lua_type(l, -1) != ffi::LUA_TNIL {
                ffi::lua_pushnil(l);
                ffi::lua_rawseti(l, -3, slot.key());
            }
        }
        ffi::lua_settop(l, top);
    }
}

/// Writes into the handle, where it is still somewhere, how the task ended and what it left, and takes the handle out
/// of its slot. `[-count, +0, m]`
///
/// # Safety
/// `l` is the running state in a protected call; the `count` results are on top, with six free slots above.
pub(super) unsafe fn settle(
    l: *mut lua_State,
    library: &Library,
    slot: Slot,
    ended: Ended,
    count: c_int,
) {
    // SAFETY: what is pushed is counted beside each line.
    unsafe {
        let base = ffi::lua_gettop(l) - count;
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.handles as _); // r… hs
        compat::raw_get(l, -1, slot.key()); // r… hs h?
        if ffi::lua_type(l, -1) == ffi::LUA_TUSERDATA {
            let handle = ffi::lua_touserdata(l, -1).cast::<Handle>();
            if count == 0 && (*handle).bound.get() {
                compat::user_value(l, -1); // r… hs h t
                ffi::lua_pushnil(l);
                while ffi::lua_next(l, -2) != 0 {
                    ffi::lua_pushnil(l); // r… hs h t key value nil
                    ffi::lua_replace(l, -2);
                    ffi::lua_pushvalue(l, -2);
                    ffi::lua_insert(l, -2); // r… hs h t key key nil
                    ffi::lua_rawset(l, -4); // r… hs h t key
                }
                ffi::lua_settop(l, -2); // r… hs h
            }
            if count > 0 {
                let results = ffi::lua_gettop(l) + 1;
                ffi::lua_createtable(l, count, 0); // r… hs h t
                for index in 1..=count {
                    ffi::lua_pushvalue(l, base + index);
                    ffi::lua_rawseti(l, results, index.into());
                }
                compat::set_user_table(l, -2); // r… hs h
                (*handle).results.set(count.unsigned_abs());
            }
            (*handle).ended.set(ended);
            ffi::lua_pushnil(l); // r… hs h nil
            ffi::lua_rawseti(l, -3, slot.key()); // r… hs h
        }
        ffi::lua_settop(l, base);
    }
}

/// Pushes what the ended task of the handle at `index` left. `[-0, +n, m]`
///
/// # Safety
/// `l` is the running state, outside `catch_unwind`; a handle is at the absolute `index`.
pub(super) unsafe fn push_results(l: *mut lua_State, index: c_int) -> c_int {
    // SAFETY: the user table holds `results` values; room for them is asked for first.
    unsafe {
        let count = (*ffi::lua_touserdata(l, index).cast::<Handle>())
            .results
            .get()
            .cast_signed();
        if count == 0 {
            return 0;
        }
        if ffi::lua_checkstack(l, count + 1) == 0 {
            ffi::lua_pushstring(l, c"too many results of a task".as_ptr());
            super::entry::raise_top(l);
        }
        compat::user_value(l, index);
        let table = ffi::lua_gettop(l);
        for place in 1..=count {
            compat::raw_get(l, table, place.into());
        }
        ffi::lua_remove(l, table);
        count
    }
}

/// Has the task of the handle at `index` returned, rather than failed? Whoever asks has been told. `[-0, +0, -]`
///
/// # Safety
/// A handle is at `index`.
pub(super) unsafe fn ended_well(l: *mut lua_State, index: c_int) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        (*ffi::lua_touserdata(l, index).cast::<Handle>())
            .ended
            .get()
            == Ended::Done
    }
}
