-- Values that leave the universe: coev.pack and coev.unpack, the names of what every universe has, LuaJIT's 64-bit
-- integers. Called with coev's table and the natives.
local coev, natives = ...
local error, type, next, pairs, rawget, require, select = error, type, next, pairs, rawget, require, select
local find, sub = string.find, string.sub
local getinfo, loaded = debug and debug.getinfo, package and package.loaded
local known, check = natives.known, natives.check

-- Names --------------------------------------------------------------------

-- A name is that of a module, a colon, and the way from there: "string:format", "coev.socket:dns.toip", "coev:".

local STANDARD = {
  "_G", "string", "table", "math", "io", "os", "debug", "coroutine", "package", "utf8", "bit32", "bit", "ffi",
  "jit", "jit.opt", "jit.util", "string.buffer",
}

local function is_builtin(f)
  return not getinfo or getinfo(f, "S").what == "C"
end

-- Notes the functions of a table, and those of coev's own tables inside it.
local function learn_table(contents, name, is_own)
  -- What nobody has asked for yet is not there, and cannot be sent.
  for key, value in next, contents do
    if type(key) == "string" then
      if type(value) == "function" then
        if is_own or is_builtin(value) then known[value] = name .. key end
      elseif is_own and type(value) == "table" and not known[value] and not find(key, "^_") then
        known[value] = name .. key
        learn_table(value, name .. key .. ".", true)
      end
    end
  end
end

local function learn()
  known[1] = true
  if not loaded then return end
  for i = 1, #STANDARD do
    local contents = loaded[STANDARD[i]]
    if type(contents) == "table" then
      known[contents] = STANDARD[i] .. ":"
      learn_table(contents, STANDARD[i] .. ":", false)
    end
  end
  -- Also where coev's functions have taken the place of stock ones, they are coev's.
  known[natives.module] = "coev:"
  for name, contents in pairs(loaded) do
    if type(contents) == "table" and type(name) == "string" and find(name, "^coev%.") then
      known[contents] = name .. ":"
      learn_table(contents, name .. ":", true)
    end
  end
  learn_table(coev, "coev:", true)
end

local function find_known(name)
  local colon = find(name, ":", 1, true)
  if not colon or not loaded then return nil end
  local module, way = sub(name, 1, colon - 1), sub(name, colon + 1)
  local value = loaded[module]
  if module == "coev" then
    value = way == "" and natives.module or coev
  elseif find(module, "^coev%.") then
    value = coev[sub(module, 6)]
  end
  for key in way:gmatch("[^.]+") do
    if type(value) ~= "table" then return nil end
    if value == coev then value = coev[key] else value = rawget(value, key) end
  end
  if type(value) == "function" or type(value) == "table" then return value end
  return nil
end

-- 64-bit integers of LuaJIT ------------------------------------------------

local INT64, UINT64 = "\12", "\13"
local jit = loaded and rawget(_G, "jit")

local function ffi()
  return jit and require("ffi")
end

local function integer_bytes(value)
  local C = ffi()
  if not C then return nil end
  if C.istype("int64_t", value) then return INT64 .. C.string(C.new("int64_t[1]", value), 8) end
  if C.istype("uint64_t", value) then return UINT64 .. C.string(C.new("uint64_t[1]", value), 8) end
end

local function integer_from(text)
  local C = ffi()
  if not C then return nil end
  local kind = sub(text, 1, 1) == INT64 and "int64_t[1]" or "uint64_t[1]"
  local box = C.new(kind)
  C.copy(box, sub(text, 2), 8)
  return box[0]
end

natives.cross = { [0] = learn, find_known, integer_bytes, integer_from }

-- Bytes --------------------------------------------------------------------

coev.pack = natives.pack

-- Raises for a field that is not of its type; sizes begin at 1.
local function check_field(options, field, expected, position, name)
  local value = options[field]
  if value == nil then return end
  if type(value) ~= expected then
    error(("bad argument #%d to '%s' (field '%s' is no %s)"):format(position, name, field, expected), 3)
  elseif expected == "number" and (value < 1 or value ~= value) then
    error(("bad argument #%d to '%s' (field '%s' is not at least 1)"):format(position, name, field), 3)
  end
end

local unpack_bytes = natives.unpack

function coev.unpack(bytes, options)
  if type(bytes) ~= "string" then check(bytes, "string", 1, "unpack") end
  if options == nil then return unpack_bytes(bytes) end
  check(options, "table", 2, "unpack")
  check_field(options, "functions", "boolean", 2, "unpack")
  check_field(options, "depth", "number", 2, "unpack")
  check_field(options, "size", "number", 2, "unpack")
  return unpack_bytes(bytes, options.functions, options.depth, options.size)
end

local limits = natives.message_limits

function coev.message_limits(...)
  local depth, size = limits()
  local count = select("#", ...)
  if count > 0 then
    local options = ...
    if options == nil then
      limits(nil, nil)
    else
      check(options, "table", 1, "message_limits")
      check_field(options, "depth", "number", 1, "message_limits")
      check_field(options, "size", "number", 1, "message_limits")
      limits(options.depth or depth, options.size or size)
    end
  end
  return { depth = depth, size = size }
end
