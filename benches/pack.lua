-- The cost of a value that becomes bytes and a value again.
-- usage: lua pack.lua KIND VALUE COUNT   prints: nanoseconds for both ways

local kind, value, count = arg[1], arg[2], tonumber(arg[3])
local load_text = loadstring or load

local values = {}

function values.fields()
  return { id = 12345, name = "someone", email = "a@b.example", age = 42, score = 1.5, active = true, city = "Berlin",
    zip = "10115", country = "de", note = "hello world" }
end

function values.string()
  return ("x"):rep(100)
end

function values.integers()
  local list = {}
  for i = 1, 1000 do list[i] = i end
  return list
end

function values.records()
  local list = {}
  for i = 1, 100 do list[i] = { id = i, name = "name " .. i, ratio = i / 3 } end
  return list
end

local kinds = {}

function kinds.coev()
  local coev = require "coev"
  return coev.pack, coev.unpack
end

-- What one writes by hand: a Lua expression, loaded to be read.
function kinds.lua()
  local concat, format, pairs, tostring, type = table.concat, string.format, pairs, tostring, type
  local function write(what, parts, n)
    local kind_of = type(what)
    if kind_of == "string" then
      parts[n + 1] = format("%q", what)
      return n + 1
    elseif kind_of == "number" then
      parts[n + 1] = format("%.17g", what)
      return n + 1
    elseif kind_of ~= "table" then
      parts[n + 1] = tostring(what)
      return n + 1
    end
    n = n + 1
    parts[n] = "{"
    for key, field in pairs(what) do
      parts[n + 1] = "["
      n = write(key, parts, n + 1) + 1
      parts[n] = "]="
      n = write(field, parts, n) + 1
      parts[n] = ","
    end
    parts[n + 1] = "}"
    return n + 1
  end
  return function(what)
    local parts = { "return " }
    write(what, parts, 1)
    return concat(parts)
  end, function(text)
    return load_text(text)()
  end
end

function kinds.cjson()
  local cjson = require "cjson"
  return cjson.encode, cjson.decode
end

function kinds.cmsgpack()
  local cmsgpack = require "cmsgpack"
  return cmsgpack.pack, cmsgpack.unpack
end

local pack, unpack = kinds[kind]()
local what = values[value]()
if kind == "cjson" and value == "string" then what = { what } end
local back
local function round(times)
  for _ = 1, times do back = unpack((pack(what))) end
end
round(count / 10)
local began = os.clock()
round(count)
local took = os.clock() - began
assert(type(back) == type(what) and pack(back) == pack(back))
print(took / count * 1e9)
