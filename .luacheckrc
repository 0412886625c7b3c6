-- What every Lua from 5.1 to 5.5 has, and names that only some have: code looks before it uses them.
std = "min"
read_globals = { "jit", "loadstring", "newproxy", "setfenv", "unpack", table = { fields = { "unpack" } } }
max_line_length = 120

files["spec"] = { std = "min+busted" }
-- Loaded by Lua 5.5 alone.
files["spec/support/lua55"] = { std = "lua54" }
files["rockspec"] = { std = "rockspec" }

-- It knows the coroutine library of every Lua, and with `coev.patch` replaces it.
files["src/api/coroutine.lua"] = { ignore = { "122", "143" } }
files["spec/support/bare.lua"] = { globals = { "assert", "after_each", "describe", "it", "pending", "setup", "teardown", "arg" } }
