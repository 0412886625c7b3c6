//! What holds Lua values for the runtime: the anchors of tasks, and the handles that stand for them.

use super::compat;
use super::library::Library;
use super::outcome::TaskName;
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
    /// How it ended, where it has left something; a task that is gone without has returned.
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
    /// It has not, or it has returned nothing.
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

/// Where the table of anchors lies on the desk.
const DESK_ANCHORS: c_int = 1;

/// Where what Lua keeps for tasks lies there: on top.
const DESK_BELONGINGS: c_int = 2;

impl Slot {
    /// The slot as a key of the two tables.
    pub(super) fn key(self) -> i64 {
        i64::from(self.0) + 1
    }
}

/// Makes the desk: a coroutine that never runs, on which the tables lie that the end of a task needs. So they need not be
/// fetched for it, half of what that costs. `[-0, +0, m]`
///
/// # Safety
/// `l` is the running state with three free slots; both are references of tables.
pub(super) unsafe fn new_desk(
    l: *mut lua_State,
    anchors: c_int,
    belongings: c_int,
) -> *mut lua_State {
    // SAFETY: a new coroutine has room for 20 values; the registry keeps it as long as the state is open.
    unsafe {
        let desk = ffi::lua_newthread(l); // d
        for table in [anchors, belongings] {
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, table as _);
            ffi::lua_xmove(l, desk, 1);
        }
        ffi::luaL_ref(l, ffi::LUA_REGISTRYINDEX); //
        desk
    }
}

/// Pushes a new handle; answers where it lies. `[-0, +1, m]`
///
/// # Safety
/// `l` is the running state with two free slots, outside `catch_unwind`.
pub(super) unsafe fn push_handle(l: *mut lua_State, library: &Library, id: u64) -> *mut Handle {
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
        if !is_handle_of(l, task) {
            ffi::lua_settop(l, -2); // hs
            push_handle(l, library, task.id); // hs h
            ffi::lua_pushvalue(l, -1); // hs h h
            ffi::lua_rawseti(l, -3, task.slot.key()); // hs h
        }
        ffi::lua_remove(l, -2); // h
    }
}

/// Is the value on top the handle of this task? Those of tasks that have left nothing stay in the table until the next
/// task has their slot. `[-0, +0, -]`
///
/// # Safety
/// A value of the table of handles, or nil, is on top.
unsafe fn is_handle_of(l: *mut lua_State, task: TaskName) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let handle = ffi::lua_touserdata(l, -1).cast::<Handle>();
        !handle.is_null() && (*handle).id == task.id
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
            if table == library.anchors {
                ffi::lua_pushvalue(l, top + 2);
                ffi::lua_xmove(l, library.desk, 1);
                ffi::lua_replace(library.desk, DESK_ANCHORS);
            }
            ffi::lua_rawseti(l, ffi::LUA_REGISTRYINDEX, table as _); // old
            ffi::lua_settop(l, top);
        }
    }
}

/// Lets go of the coroutine of an ended task, and of what Lua keeps for it where that may be something. `[-0, +0, -]`
///
/// # Safety
/// `slot` was anchored by `spawn`, so that its key exists.
pub(super) unsafe fn release(library: &Library, slot: Slot, belongings: bool) {
    let desk = library.desk;
    // SAFETY: the library keeps the desk, which has free slots; storing nil takes no memory where the key exists.
    unsafe {
        ffi::lua_pushnil(desk);
        ffi::lua_rawseti(desk, DESK_ANCHORS, slot.key());
        if belongings {
            compat::raw_get(desk, DESK_BELONGINGS, slot.key());
            if ffi::lua_type(desk, -1) != ffi::LUA_TNIL {
                ffi::lua_pushnil(desk);
                ffi::lua_rawseti(desk, DESK_BELONGINGS, slot.key());
            }
            ffi::lua_settop(desk, DESK_BELONGINGS);
        }
    }
}

impl Library {
    /// Lets go of the coroutine of a task that has ended and leaves nothing, and of which Lua has kept nothing.
    #[inline(always)]
    pub(crate) fn forget(&self, task: TaskName) {
        // SAFETY: the task had its place among the anchors.
        unsafe { release(self, task.slot, false) };
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
    task: TaskName,
    ended: Ended,
    count: c_int,
) {
    // SAFETY: what is pushed is counted beside each line.
    unsafe {
        let base = ffi::lua_gettop(l) - count;
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.handles as _); // r… hs
        compat::raw_get(l, -1, task.slot.key()); // r… hs h?
        if is_handle_of(l, task) {
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
            ffi::lua_rawseti(l, -3, task.slot.key()); // r… hs h
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
        let handle = &*ffi::lua_touserdata(l, index).cast::<Handle>();
        matches!(handle.ended.get(), Ended::Not | Ended::Done)
    }
}
