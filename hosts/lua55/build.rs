//! Builds stock Lua 5.5 and links the whole of it, visible to the C modules that Lua opens.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let api_checks = std::env::var_os("CARGO_FEATURE_APICHECK").is_some();
    let lua = lua_src::Build::new()
        .debug(api_checks)
        .opt_level("2")
        .build(lua_src::Lua55);

    println!("cargo:rustc-link-search=native={}", lua.lib_dir().display());
    for lib in lua.libs() {
        println!("cargo:rustc-link-lib=static:+whole-archive={lib}");
    }
    println!("cargo:rustc-link-arg-bins=-rdynamic");
    println!("cargo:rustc-link-lib=m");
    println!("cargo:rustc-link-lib=dl");
}
