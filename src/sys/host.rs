//! Which Lua has loaded this library, found out without calling it.

use std::ffi::{CStr, c_char, c_void};

/// The interpreter whose functions this library calls: `Lua 5.4`, `LuaJIT`; `None` when it does not say.
pub(crate) fn interpreter() -> Option<&'static str> {
    if !symbol(c"luaJIT_setmode").is_null() {
        return Some("LuaJIT");
    }
    let ident = symbol(c"lua_ident").cast::<c_char>();
    if ident.is_null() {
        return None;
    }
    // SAFETY: every Lua from 5.1 to 5.5 defines `lua_ident` as a constant C string.
    let ident = unsafe { CStr::from_ptr(ident) }.to_str().ok()?;
    version_in(ident)
}

/// The version in `lua_ident`, as in `$LuaVersion: Lua 5.4.6  Copyright …`.
fn version_in(ident: &'static str) -> Option<&'static str> {
    let start = ident.find("Lua 5.")?;
    ident.get(start..start + "Lua 5.x".len())
}

/// The address that a name has for this library.
fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: the name is a C string; asking for what is not there answers null.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn reads_the_version_of_each_lua() {
        assert_eq!(
            version_in("$Lua: Lua 5.1.5 Copyright (C) 1994-2012 Lua.org, PUC-Rio $"),
            Some("Lua 5.1")
        );
        assert_eq!(
            version_in("$LuaVersion: Lua 5.4.4  Copyright (C) $"),
            Some("Lua 5.4")
        );
        assert_eq!(version_in("something else"), None);
    }
}
