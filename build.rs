//! Link options that make the library safe to load into any stock interpreter.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        // Lua's own symbols come from the interpreter that loads the library.
        Ok("macos") => println!(
            "cargo:rustc-cdylib-link-arg=-undefined\ncargo:rustc-cdylib-link-arg=dynamic_lookup"
        ),
        // `lua_close` unloads C modules while threads may still run in them: the library stays mapped.
        _ => println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete"),
    }
}
