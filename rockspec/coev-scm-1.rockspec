rockspec_format = "3.0"
package = "coev"
version = "scm-1"
source = {
  url = "git+file://.",
}
description = {
  summary = "Cooperative tasks, sockets, timers and threads for every stock Lua",
  detailed = [[
    A concurrency library in one file, written in Rust: tasks and their
    scheduler, timers, polling, locks, channels, supervisors, OS threads and a
    LuaSocket-compatible network layer, for Lua 5.1 to 5.5 and LuaJIT.
    Building it takes cargo and a C compiler.
  ]],
  license = "MIT",
  labels = { "concurrency", "coroutine", "network", "async" },
}
supported_platforms = { "unix" }
dependencies = {
  "lua >= 5.1, < 5.6",
}
build = {
  type = "make",
  build_target = "rock-build",
  install_target = "rock-install",
  -- LUA is the interpreter that LuaRocks installs for: coev is built for that one.
  build_variables = {
    CFLAGS = "$(CFLAGS)",
    LUA_EXE = "$(LUA)",
  },
  install_variables = {
    LUA_EXE = "$(LUA)",
    LIBDIR = "$(LIBDIR)",
  },
}
