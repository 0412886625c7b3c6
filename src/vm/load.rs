//! What happens when Lua loads the library: is it the right Lua, and is the library there already?

use super::entry::{Host, raise_text};
use super::library::{self, Library, Parts};
use super::{asking, compat};
use mlua::ffi::lua_State;
use std::ffi::CStr;
use std::io::Write as _;
use std::os::raw::c_int;

/// Defines the functions that Lua's loader calls, each for a field of the library or for the whole.
macro_rules! entry_points {
    (
        load($parts:path, $start:path, $interpreter:path);
        $($(#[$comment:meta])* $name:ident => $field:expr;)+
    ) => {
        $(
            $(#[$comment])*
            ///
            /// # Safety
            /// Called by Lua's loader with its running state.
            #[allow(unsafe_code, reason = "the name and the call are Lua's")]
            #[unsafe(no_mangle)]
            pub unsafe extern "C-unwind" fn $name(l: *mut mlua::ffi::lua_State) -> std::os::raw::c_int {
                // SAFETY: the loader's promise.
                unsafe { $crate::vm::load(l, &$parts, $start, $interpreter(), $field) }
            }
        )+
    };
}

pub(crate) use entry_points;

/// Leaves the library's table, or a field of it, on the stack. `[-0, +1, e]`
///
/// # Safety
/// Called by Lua's loader with the running state `l`.
pub(crate) unsafe fn load<H: Host>(
    l: *mut lua_State,
    parts: &'static Parts,
    start: fn(Library) -> H,
    interpreter: Option<&str>,
    field: Option<&CStr>,
) -> c_int {
    if let Some(interpreter) = interpreter
        && interpreter != compat::BUILT_FOR
    {
        // SAFETY: the caller's promise.
        return unsafe { refuse(l, interpreter) };
    }
    // SAFETY: the caller's promise; the Lua is the right one.
    unsafe {
        Library::open(l, parts, start);
        asking::push_module(l, (*library::host::<H>(l)).library(), field);
    }
    1
}

/// Raises that the library is for another Lua. `[-0, +0, v]`
///
/// # Safety
/// `l` is the running state, of whatever Lua: nothing is called that any of them lacks.
unsafe fn refuse(l: *mut lua_State, interpreter: &str) -> c_int {
    let mut message = [0_u8; 160];
    let room = message.len() - 1;
    // A message that does not fit is cut off; the last byte stays 0.
    let _ = write!(
        &mut message[..room],
        "this coev is built for {}, and this is {interpreter}: install coev for {interpreter}",
        compat::BUILT_FOR
    );
    // SAFETY: the caller's promise; the message ends with a zero byte, and has no destructor.
    unsafe { raise_text(l, &message) }
}
