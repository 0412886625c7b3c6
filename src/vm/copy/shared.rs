//! What threads share: it crosses by reference, as a counted pointer in a userdata of each universe.

use crate::vm::object::{Class, Object};
use std::rc::Rc;
use std::sync::Arc;

/// An object of which each universe has a userdata of its own. The userdata's `Object::share` answers it.
pub(crate) trait Shared: Send + Sync {
    /// What the userdata of another universe holds: its class and the object in it.
    fn land(self: Arc<Self>) -> (Class, Rc<dyn Object>);
}

/// What the Lua function `cross` in helpers.lua is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub(super) enum Cross {
    /// Fill the table of the names of what every universe has.
    Learn = 0,
    /// Answer what has this name, or nil.
    Find = 1,
    /// Answer the tag and the bytes of LuaJIT's 64-bit integer, or nil for all else.
    Bytes = 2,
    /// Answer the 64-bit integer with this tag and these bytes, or nil where numbers must do.
    Integer = 3,
}

/// The name of the table of globals.
pub(super) const GLOBALS: &[u8] = b"_G:";
