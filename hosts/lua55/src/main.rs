//! A stand-alone Lua 5.5: the command line of the stock interpreter, without its prompt.
//!
//! A Lua error jumps over the frames between its origin and the nearest protected call. Every
//! function here that a jump may cross is `extern "C-unwind"` and owns nothing with a destructor:
//! the command line is read into `Options` first, and only borrowed from then on.

#![no_main]

mod options;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io::Write;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use mlua_sys as lua;
use mlua_sys::lua_State;
use options::{Options, Step};

/// The main state while it runs a chunk: where the signal handler sets its hook.
static MAIN: AtomicPtr<lua_State> = AtomicPtr::new(ptr::null_mut());

/// The C entry point: Rust's own would ignore SIGPIPE and catch SIGSEGV, which no stock Lua does.
///
/// # Safety
/// Called by the C runtime, with `count` C strings in `words`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    // SAFETY: by the contract above.
    let words = (0..count as usize).map(|at| unsafe { CStr::from_ptr(*words.add(at)) }.to_owned());
    let done = match Options::read(words.collect()) {
        Ok(options) => run(&options),
        Err(message) => {
            write_error(message.to_bytes());
            write_error(b"usage: lua5.5 [-e stat] [-l mod] [-v] [-E] [-W] [--] [script [args]]");
            false
        }
    };
    if done {
        libc::EXIT_SUCCESS
    } else {
        libc::EXIT_FAILURE
    }
}

/// Makes a state, does in it what the command line asks for, and closes it.
fn run(options: &Options) -> bool {
    // SAFETY: the state is this function's own, and `options` outlives it. What may raise runs
    // inside `lua_pcall`.
    unsafe {
        let state = lua::luaL_newstate();
        if state.is_null() {
            write_error(b"cannot create state: not enough memory");
            return false;
        }
        // Nothing is collected before the libraries are complete.
        lua::lua_gc(state, lua::LUA_GCSTOP);
        lua::lua_pushcfunction(state, protected_main);
        let options: *const Options = options;
        lua::lua_pushlightuserdata(state, options.cast_mut().cast::<c_void>());
        let status = lua::lua_pcall(state, 1, 1, 0);
        let done = lua::lua_toboolean(state, -1) != 0;
        let done = report(state, status) && done;
        lua::lua_close(state);
        done
    }
}

/// The whole run, given the options as a light userdata; answers whether it went well.
///
/// # Safety
/// Called by Lua, with a pointer to `Options` that outlives the state.
unsafe extern "C-unwind" fn protected_main(state: *mut lua_State) -> c_int {
    // SAFETY: by the contract above; the libraries are Lua's own.
    unsafe {
        let options = &*lua::lua_touserdata(state, 1).cast::<Options>();
        if options.ignore_environment {
            lua::lua_pushboolean(state, 1);
            lua::lua_setfield(state, lua::LUA_REGISTRYINDEX, c"LUA_NOENV".as_ptr());
        }
        lua::luaL_openlibs(state);
        push_arg(state, options);
        lua::lua_setglobal(state, c"arg".as_ptr());
        lua::lua_gc(state, lua::LUA_GCRESTART);
        lua::lua_gc(state, lua::LUA_GCGEN);

        if options.version {
            lua::lua_getglobal(state, c"print".as_ptr());
            lua::lua_getglobal(state, c"_VERSION".as_ptr());
            lua::lua_call(state, 1, 0);
        }
        let ok =
            run_init(state, options) && run_steps(state, options) && run_script(state, options);
        lua::lua_pushboolean(state, c_int::from(ok));
    }
    1
}

/// Pushes the table of all words, the script's own name at 0. `[-0, +1, m]`
///
/// # Safety
/// `state` is live and protected.
unsafe fn push_arg(state: *mut lua_State, options: &Options) {
    // Without a script the program's name is at 0.
    let words = &options.words;
    let zero = if options.script < words.len() {
        options.script
    } else {
        0
    };
    // SAFETY: the words are C strings that outlive the call.
    unsafe {
        lua::lua_createtable(state, 0, 0);
        for (at, word) in words.iter().enumerate() {
            lua::lua_pushstring(state, word.as_ptr());
            lua::lua_rawseti(state, -2, at as lua::lua_Integer - zero as lua::lua_Integer);
        }
    }
}

/// Runs what `LUA_INIT_5_5`, or else `LUA_INIT`, says: a statement, or `@` and the name of a file.
///
/// # Safety
/// `state` is live and protected.
unsafe fn run_init(state: *mut lua_State, options: &Options) -> bool {
    if options.ignore_environment {
        return true;
    }
    for name in [c"=LUA_INIT_5_5", c"=LUA_INIT"] {
        // SAFETY: `name` has a character before its end, and `getenv` answers a C string or null.
        unsafe {
            let init = libc::getenv(name.as_ptr().add(1));
            if init.is_null() {
                continue;
            }
            return if *init as u8 == b'@' {
                run_file(state, init.add(1), 0)
            } else {
                run_string(state, CStr::from_ptr(init), name)
            };
        }
    }
    true
}

/// Runs the options of the command line in order, up to one that fails.
///
/// # Safety
/// `state` is live and protected.
unsafe fn run_steps(state: *mut lua_State, options: &Options) -> bool {
    // SAFETY: by the contract above. A new state warns; the command line does so only on demand.
    unsafe {
        lua::lua_warning(state, c"@off".as_ptr(), 0);
        options.steps.iter().all(|step| run_step(state, step))
    }
}

/// Runs one option of the command line.
///
/// # Safety
/// `state` is live and protected.
unsafe fn run_step(state: *mut lua_State, step: &Step) -> bool {
    // SAFETY: the strings outlive the call.
    unsafe {
        match step {
            Step::Execute(chunk) => run_string(state, chunk, c"=(command line)"),
            Step::Require { global, module } => {
                lua::lua_getglobal(state, c"require".as_ptr());
                lua::lua_pushstring(state, module.as_ptr());
                let status = call(state, 1, 1);
                if status == lua::LUA_OK {
                    lua::lua_setglobal(state, global.as_ptr());
                }
                report(state, status)
            }
            Step::Warn => {
                lua::lua_warning(state, c"@on".as_ptr(), 0);
                true
            }
        }
    }
}

/// Runs the script with its arguments; the standard input when there is nothing else to do.
///
/// # Safety
/// `state` is live and protected.
unsafe fn run_script(state: *mut lua_State, options: &Options) -> bool {
    let at = options.script;
    // SAFETY: the words are C strings that outlive the call.
    unsafe {
        let Some(script) = options.words.get(at) else {
            return !options.is_idle() || run_file(state, ptr::null(), 0);
        };
        let arguments = &options.words[at + 1..];
        lua::luaL_checkstack(
            state,
            // The script, its handler, and what they need.
            arguments.len() as c_int + 8,
            c"too many arguments".as_ptr(),
        );
        for word in arguments {
            lua::lua_pushstring(state, word.as_ptr());
        }
        // "-" names the standard input, unless "--" says that it is a file.
        let is_input = script.as_bytes() == b"-" && options.words[at - 1].as_bytes() != b"--";
        let name = if is_input {
            ptr::null()
        } else {
            script.as_ptr()
        };
        run_file(state, name, arguments.len() as c_int)
    }
}

/// Runs a file, or the standard input when `name` is null, with the top `count` values as `...`.
///
/// # Safety
/// `state` is live and protected, `name` null or a C string.
unsafe fn run_file(state: *mut lua_State, name: *const c_char, count: c_int) -> bool {
    // SAFETY: by the contract above; the stack holds `count` values.
    unsafe {
        let mut status = lua::luaL_loadfile(state, name);
        if status == lua::LUA_OK {
            lua::lua_insert(state, -(count + 1));
            status = call(state, count, 0);
        }
        report(state, status)
    }
}

/// Runs a chunk of source.
///
/// # Safety
/// `state` is live and protected.
unsafe fn run_string(state: *mut lua_State, chunk: &CStr, name: &CStr) -> bool {
    let bytes = chunk.to_bytes();
    // SAFETY: `bytes` and `name` outlive the call.
    unsafe {
        let source = bytes.as_ptr().cast::<c_char>();
        let mut status = lua::luaL_loadbuffer(state, source, bytes.len(), name.as_ptr());
        if status == lua::LUA_OK {
            status = call(state, 0, 0);
        }
        report(state, status)
    }
}

/// Calls a function with a traceback for its errors, and with Ctrl-C for its user.
/// `[-(count + 1), +(results | 1), -]`
///
/// # Safety
/// The function and `count` arguments are on top of `state`.
unsafe fn call(state: *mut lua_State, count: c_int, results: c_int) -> c_int {
    // SAFETY: by the contract above; `base` is where the function was, so the handler is below it.
    unsafe {
        let base = lua::lua_gettop(state) - count;
        lua::lua_pushcfunction(state, add_traceback);
        lua::lua_insert(state, base);
        MAIN.store(state, Ordering::SeqCst);
        on_interrupt(interrupt as *const () as libc::sighandler_t);
        let status = lua::lua_pcall(state, count, results, base);
        on_interrupt(libc::SIG_DFL);
        lua::lua_remove(state, base);
        status
    }
}

/// Lua's message handler: the error as a string, with a traceback below it.
///
/// # Safety
/// Called by Lua, with the error.
unsafe extern "C-unwind" fn add_traceback(state: *mut lua_State) -> c_int {
    // SAFETY: by the contract above; what `lua_tostring` answers stays on the stack meanwhile.
    unsafe {
        let mut message = lua::lua_tostring(state, 1);
        if message.is_null() {
            if lua::luaL_callmeta(state, 1, c"__tostring".as_ptr()) != 0
                && lua::lua_type(state, -1) == lua::LUA_TSTRING
            {
                return 1;
            }
            let kind = lua::luaL_typename(state, 1);
            message = lua::lua_pushfstring(state, c"(error object is a %s value)".as_ptr(), kind);
        }
        lua::luaL_traceback(state, state, message, 1);
    }
    1
}

/// Writes the error on top of the stack, when there is one; answers whether there was none.
///
/// # Safety
/// With a `status` other than `LUA_OK`, the error is on top of `state`.
unsafe fn report(state: *mut lua_State, status: c_int) -> bool {
    if status == lua::LUA_OK {
        return true;
    }
    // SAFETY: the string stays on the stack until it is written.
    unsafe {
        let message = lua::lua_tostring(state, -1);
        let text = if message.is_null() {
            c"(error message not a string)"
        } else {
            CStr::from_ptr(message)
        };
        write_error(text.to_bytes());
        lua::lua_pop(state, 1);
    }
    false
}

/// Writes `lua5.5: text` to the standard error stream, bytes as they are.
fn write_error(text: &[u8]) {
    let line = [b"lua5.5: ", text, b"\n"].concat();
    // A closed stream leaves nobody to tell.
    let _ = std::io::stderr().write_all(&line);
}

/// What SIGINT does from now on. Without SA_RESTART: a blocking call must notice.
fn on_interrupt(action: libc::sighandler_t) {
    // SAFETY: zeroes are a valid `sigaction`, and the handlers given here are safe in a signal.
    unsafe {
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = action;
        libc::sigemptyset(&mut new.sa_mask);
        libc::sigaction(libc::SIGINT, &new, ptr::null_mut());
    }
}

/// The signal handler: lets the next step of the main state raise. A second Ctrl-C kills.
extern "C" fn interrupt(_signal: c_int) {
    let mask = lua::LUA_MASKCALL | lua::LUA_MASKRET | lua::LUA_MASKLINE | lua::LUA_MASKCOUNT;
    on_interrupt(libc::SIG_DFL);
    // SAFETY: `lua_sethook` may be called in a signal handler; the state lives while the handler
    // is set.
    unsafe {
        lua::lua_sethook(
            MAIN.load(Ordering::SeqCst),
            Some(raise_interrupted),
            mask,
            1,
        )
    };
}

/// The hook: once, and then gone.
///
/// # Safety
/// Called by Lua, in a protected call.
unsafe extern "C-unwind" fn raise_interrupted(state: *mut lua_State, _: *mut lua::lua_Debug) {
    // SAFETY: by the contract above; nothing here has a destructor.
    unsafe {
        lua::lua_sethook(state, None, 0, 0);
        lua::luaL_error(state, c"interrupted!".as_ptr());
    }
}
