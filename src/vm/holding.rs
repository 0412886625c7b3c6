//! Who holds a parked task where the registry does not: the handle of a task, the objects that it waits at, or the
//! supervisor for an event of which it waits.

use super::library::Library;
use super::outcome::TaskName;
use super::registry::{
    COROUTINE, Slot, bind, guard, push_bound_handle, push_coroutine, push_live_handle,
};
use super::{compat, object};
use mlua::ffi::{self, lua_State};
use std::os::raw::c_int;

/// What holds a parked task.
#[derive(Clone, Copy)]
pub(crate) enum Holder {
    /// The handle of a task, maybe its own.
    Task(TaskName),
    /// The objects among the so many values that its parked call keeps.
    Objects(i32),
    /// The supervisor that has the list at this place.
    List(u32),
}

/// Lets the parked task be held by what it waits for, the task of `holder`, and no longer by the registry: where
/// nothing else reaches that one, both are garbage. `[-0, +0, m]`
///
/// # Safety
/// `l` runs a protected call with sixteen free slots; both tasks are alive, and the registry anchors `task`.
pub(super) unsafe fn loosen(
    l: *mut lua_State,
    library: &Library,
    task: TaskName,
    holder: Holder,
    weak: bool,
) {
    // SAFETY: the caller's promise; what is pushed is counted beside each line.
    unsafe {
        let base = ffi::lua_gettop(l);
        push_live_handle(l, library, task); // h
        bind(l, library, base + 1, task.slot); // h u
        guard(l, library, base + 1, task.id); // h u
        if let Holder::Objects(kept) = holder {
            let co = parked_coroutine(l, base + 2); // h u co
            let first = ffi::lua_gettop(co) - kept;
            for place in 1..=kept {
                ffi::lua_pushvalue(co, first + place);
                ffi::lua_xmove(co, l, 1); // h u co o
                if object::own_table(l, base + 4, library.holder) {
                    ffi::lua_pushvalue(l, if weak { base + 3 } else { base + 1 }); // h u co o t h
                    ffi::lua_rawseti(l, -2, -task.slot.key());
                }
                ffi::lua_settop(l, base + 3); // h u co
            }
        } else if let Holder::List(place) = holder {
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.listings as _); // h u ls
            compat::raw_get(l, base + 3, place.into()); // h u ls held?
            if !weak && ffi::lua_type(l, base + 4) == ffi::LUA_TTABLE {
                ffi::lua_pushvalue(l, base + 1); // h u ls held h
                ffi::lua_rawseti(l, base + 4, task.slot.key());
            }
        } else if let Holder::Task(holder) = holder
            && holder != task
        {
            push_live_handle(l, library, holder); // h u H
            bind(l, library, base + 3, holder.slot); // h u H U
            if weak {
                compat::raw_get(l, base + 2, COROUTINE); // h u H U co
            } else {
                ffi::lua_pushvalue(l, base + 1); // h u H U h
            }
            ffi::lua_rawseti(l, base + 4, -task.slot.key()); // h u H U

            // Whoever holds the holder's coroutine must hold its handle, which holds the waiter.
            compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.anchors as _); // h u H U as
            compat::raw_get(l, -1, holder.slot.key()); // h u H U as co?
            if ffi::lua_type(l, -1) == ffi::LUA_TTHREAD {
                ffi::lua_pushvalue(l, base + 3);
                ffi::lua_rawseti(l, base + 5, holder.slot.key());
            }
        }
        ffi::lua_settop(l, base);
        // `false` keeps the key, so that `tighten` takes no memory.
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.anchors as _);
        ffi::lua_pushboolean(l, 0);
        ffi::lua_rawseti(l, -2, task.slot.key());
        ffi::lua_settop(l, base);
    }
}

/// Pushes the coroutine in the table of a handle at `table`; answers it. `[-0, +1, -]`
///
/// # Safety
/// `l` is a live state with a free slot; `bind` has made the table.
unsafe fn parked_coroutine(l: *mut lua_State, table: c_int) -> *mut lua_State {
    // SAFETY: the caller's promise.
    unsafe {
        compat::raw_get(l, table, COROUTINE);
        ffi::lua_tothread(l, -1)
    }
}

/// Lets the objects among the `kept` values of a parked call no longer hold its task. `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state with six free slots; the coroutine of the task, which is parked, has four.
unsafe fn let_go(l: *mut lua_State, library: &Library, slot: Slot, kept: c_int) {
    // SAFETY: the caller's promise; what is stored is nil, and the key exists where there is something.
    unsafe {
        push_coroutine(l, library, slot); // co?
        let co = ffi::lua_tothread(l, -1);
        if !co.is_null() {
            let top = ffi::lua_gettop(co);
            for index in top - kept + 1..=top {
                if object::push_table(co, index, library.holder) {
                    compat::raw_get(co, -1, -slot.key()); // t h?
                    if ffi::lua_type(co, -1) != ffi::LUA_TNIL {
                        ffi::lua_pushnil(co);
                        ffi::lua_rawseti(co, -3, -slot.key());
                    }
                    ffi::lua_settop(co, top);
                }
            }
        }
        ffi::lua_settop(l, -2);
    }
}

/// Lets the registry hold a task again that was held by what it waited for: by its handle, which holds those who wait
/// for it, but for a `weak` one. `[-0, +0, -]`
///
/// # Safety
/// `l` is the running state with six free slots; `loosen` has loosened the task, and what holds it is still reachable;
/// or the task is anchored.
pub(super) unsafe fn tighten(
    l: *mut lua_State,
    library: &Library,
    slot: Slot,
    weak: bool,
    kept: c_int,
) {
    // SAFETY: the caller's promise; the key exists, so storing takes no memory.
    unsafe {
        let top = ffi::lua_gettop(l);
        compat::raw_get(l, ffi::LUA_REGISTRYINDEX, library.anchors as _); // as
        if weak || !push_bound_handle(l, library, slot) {
            push_coroutine(l, library, slot);
        } // as h | co
        ffi::lua_rawseti(l, top + 1, slot.key()); // as
        if kept > 0 {
            let_go(l, library, slot, kept);
        }
        ffi::lua_settop(l, top);
    }
}
