-- A stand-in for busted with next to nothing on the heap, for `make stress`: there Lua collects all of it at each
-- allocation, and busted's own megabytes would take days.
--
--   lua5.5 spec/support/bare.lua spec/a_spec.lua spec/b_spec.lua …

package.path = "./?.lua;" .. package.path

local unpack = table.unpack or unpack
local subscribers = { test = {}, exit = {} }
local passed, failed = 0, 0
local names, hooks, last_rites = {}, {}, {}

local busted = {}

function busted.subscribe(event, f)
  local kind = event[1] == "exit" and subscribers.exit or subscribers.test
  kind[event[2] or 1] = f
end

package.loaded.busted = busted

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, value in pairs(a) do
    if not same(value, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

local function show(value)
  if type(value) ~= "table" then
    return tostring(value)
  end
  local parts = {}
  for key, item in pairs(value) do
    parts[#parts + 1] = tostring(key) .. "=" .. tostring(item)
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function fail(expected, passed_in, message)
  error((message or "assertion failed") .. "\nexpected " .. show(expected) .. "\ngot " .. show(passed_in), 3)
end

local checks = {
  equal = function(expected, value, message)
    return expected == value or fail(expected, value, message)
  end,
  same = function(expected, value, message)
    return same(expected, value) or fail(expected, value, message)
  end,
  is_true = function(value, message)
    return value == true or fail(true, value, message)
  end,
  is_false = function(value, message)
    return value == false or fail(false, value, message)
  end,
  is_nil = function(value, message)
    return value == nil or fail(nil, value, message)
  end,
  truthy = function(value, message)
    return value or fail("a true value", value, message)
  end,
  has_error = function(f, expected)
    local ok, err = pcall(f)
    -- As busted does: the place does not count.
    if type(err) == "string" then
      err = err:gsub("^.-:%d+: ", "", 1)
    end
    return not ok and (expected == nil or same(expected, err)) or fail(expected or "an error", err)
  end,
  matches = function(pattern, value, message)
    return value:find(pattern) ~= nil or fail(pattern, value, message)
  end,
  error_matches = function(f, pattern, init, plain)
    local ok, err = pcall(f)
    return not ok and tostring(err):find(pattern, init, plain) ~= nil or fail(pattern, err)
  end,
  are_not = {
    equal = function(unexpected, value, message)
      return unexpected ~= value or fail("another value", value, message)
    end,
  },
}
checks.is_truthy, checks.not_equal = checks.truthy, checks.are_not.equal

local stock_assert = assert
assert = setmetatable(checks, {
  __call = function(_, ...)
    return stock_assert(...)
  end,
})

package.loaded.luassert = assert

function describe(name, f)
  names[#names + 1] = name
  hooks[#names], last_rites[#names] = nil, nil
  f()
  if last_rites[#names] then
    last_rites[#names]()
  end
  hooks[#names], last_rites[#names] = nil, nil
  names[#names] = nil
end

function setup(f)
  f()
end

function teardown(f)
  last_rites[#names] = f
end

function after_each(f)
  hooks[#names] = f
end

function pending() end

function it(name, f)
  name = table.concat(names, " ") .. " " .. name
  if arg.filter and not name:find(arg.filter) then
    return
  end
  subscribers.test.start()
  local ok, err = xpcall(f, debug.traceback)
  for depth = #names, 1, -1 do
    if hooks[depth] then
      hooks[depth]()
    end
  end
  local tidy, left = pcall(subscribers.test["end"], { name = name }, nil, ok and "success" or "failure")
  if ok and tidy then
    passed = passed + 1
  else
    failed = failed + 1
    print("not ok: " .. name .. "\n" .. tostring(not ok and err or left))
  end
end

local files = {}
for _, word in ipairs(arg) do
  if word:match("^%-%-filter=") then
    arg.filter = word:match("=(.*)")
  else
    files[#files + 1] = word
  end
end
require "spec.helper"
for _, file in ipairs(files) do
  local before = passed + failed
  stock_assert(loadfile(file))(unpack(arg))
  print(("%-34s %d specs"):format(file, passed + failed - before))
end
subscribers.exit[1]()
print(passed .. " passed, " .. failed .. " failed")
os.exit(failed == 0)
