-- Guards: the Lua around functions of Rust's where these cannot raise when they are resumed (5.1, LuaJIT). On LuaJIT,
-- methods that can often be done at once first ask, by its FFI: compiled code calls so in 2 ns, and goes on, where
-- a call of a C function takes 25 and ends the trace. Called with the natives, and the marks with which a parked call
-- is resumed that is to raise, or whose bytes lie ready; answers the function that puts a guard around another one.
local natives, ALARM, BYTES = ...

-- Makes the guards of methods that ask first, by what they ask. What is none of their business (other objects, rare
-- arguments, what has to wait) is the raw function's. Each method gets a copy of the code for itself: what compiled
-- code knows to belong to one function alone it takes for constants, and looks at no upvalue. So these have none from
-- outside. A question answers 0 for no, 1 for done and true, 2 for done and nothing; and from 4 on there is something
-- to be settled.
local makers = {}

function makers.call(type, getmetatable, ending, settle, _, _, raw, class, ask)
  return function(self, a, b)
    local x, y
    if a == nil and b == nil then
      if type(self) == "userdata" and getmetatable(self) == class then
        local answer = ask(self, 0)
        if answer ~= 0 then
          if answer >= 4 then answer = settle(answer) end
          if answer == 1 then return true end
          return
        end
      end
      x, y = raw(self)
    else
      x, y = raw(self, a, b)
    end
    return ending(x, y)
  end
end

-- The key is the caller's before the value lies there, and the object's afterwards: what a finalizer or a hook does in
-- between cannot come into conflict with it. Most of what is refused is so at once, before the table is looked for.
function makers.store(type, getmetatable, ending, settle, owned, own_table, raw, class, claim, hand)
  return function(self, value, timeout)
    local x, y
    if value ~= nil and timeout == nil then
      if type(self) == "userdata" and getmetatable(self) == class then
        local key = claim(self, 0)
        if key ~= 0 then
          local own = owned[self] or own_table(self)
          own[key] = value
          local answer = hand(self, key)
          if answer ~= 0 then
            if answer >= 4 then settle(answer) end
            return true
          end
          own[key] = nil
        end
      end
      x, y = raw(self, value)
    else
      x, y = raw(self, value, timeout)
    end
    return ending(x, y)
  end
end

-- A function that says whether an object gives a value away at once, and that value.
function makers.taking(_, _, _, settle, owned, own_table, take, free)
  return function(self)
    local own = owned[self] or own_table(self)
    local key = take(self, 0)
    if key == 0 then return false end
    local value = own[key]
    own[key] = nil
    local answer = free(self, key)
    if answer ~= 0 then settle(answer) end
    return true, value
  end
end

function makers.take(type, getmetatable, ending, _, _, _, raw, class, take_now)
  return function(self, timeout)
    local x, y
    if timeout == nil then
      if type(self) == "userdata" and getmetatable(self) == class then
        local found, value = take_now(self)
        if found then return value end
      end
      x, y = raw(self)
    else
      x, y = raw(self, timeout)
    end
    return ending(x, y)
  end
end

-- The loop calls it with its last value, which is not looked at.
function makers.next(type, getmetatable, ending, _, _, _, raw, class, take_now)
  return function(self)
    if type(self) == "userdata" and getmetatable(self) == class then
      local found, value = take_now(self)
      if found then return value end
    end
    local x, y = raw(self)
    return ending(x, y)
  end
end

function makers.try_take(type, getmetatable, ending, _, _, _, raw, class, take_now)
  return function(self)
    if type(self) == "userdata" and getmetatable(self) == class then
      local found, value = take_now(self)
      if found then return true, value end
    end
    local x, y = raw(self)
    return ending(x, y)
  end
end

-- What reads or writes a stream. It takes no list of arguments, so a nil alone is as none: the message of `send` says
-- "no value" for both.
function makers.flow(_, _, _, _, _, _, raw, ready_bytes, bytes, alarm_mark, error, alarm)
  return function(self, a, b, c)
    local x, y, z
    if b ~= nil or c ~= nil then
      x, y, z = raw(self, a, b, c)
    elseif a ~= nil then
      x, y, z = raw(self, a)
    else
      x, y, z = raw(self)
    end
    if x == bytes then return ready_bytes() end
    if x == alarm_mark then error(alarm(), 0) end
    return x, y, z
  end
end

-- Guards ----------------------------------------------------------------------

local error, getmetatable, setmetatable, type = error, getmetatable, setmetatable, type
local pcall, require = pcall, require
local loadstring, dump = loadstring, type(string) == "table" and string.dump
local jit, alarm = rawget(_G, "jit"), natives.alarm

-- What a call returns that has no more than two results; raises where it is to raise. (Only a call with a known number
-- of results lets LuaJIT compile what comes after it.)
local function ending(x, y)
  if x == ALARM then error(alarm(), 0) end
  if y ~= nil then return x, y end
  if x ~= nil then return x end
end

-- Questions ----------------------------------------------------------------

-- The FFI, and the types of questions. None where there is none, or where nothing is compiled: the interpreter takes
-- five times as long for such a call as for one of a C function.
local ffi, QUESTION
local function find_ffi()
  if type(jit) ~= "table" or not jit.status() then return end
  local library = require "ffi"
  QUESTION = library.typeof("int32_t (*)(void *, uint32_t)")
  -- Somebody else may call something so.
  if type(library.new(QUESTION)) == "cdata" then ffi = library end
end
pcall(find_ffi)

-- The tables of objects, which hold what Lua values the objects have.
local owned = setmetatable({}, { __mode = "kv" })
local function own_table(self)
  local own = natives.own_table(self)
  owned[self] = own
  return own
end

-- The runtime has something to tell: lets it, and answers what has been answered beside that.
local UNSETTLED = 4
local function settle(answer)
  natives.settle()
  return answer - UNSETTLED
end

-- The guard of that kind: what all of them get comes before what is about the one method.
local function make(kind, ...)
  local maker = makers[kind]
  local ok, copy = pcall(function()
    return loadstring(dump(maker))
  end)
  return (ok and copy or maker)(type, getmetatable, ending, settle, owned, own_table, ...)
end

-- The guard around the method of a class, which asks these questions.
local function asking(raw, class, kind, first, second, third)
  first, second = ffi.cast(QUESTION, first), ffi.cast(QUESTION, second)
  if kind == "call" or kind == "store" then return make(kind, raw, class, first, second) end
  local take_now = make("taking", first, second)
  if third then
    -- For coev.select.
    natives.channel_class, natives.receive_now, natives.has_something = class, take_now, ffi.cast(QUESTION, third)
  end
  return make(kind, raw, class, take_now)
end

-- Waits ----------------------------------------------------------------------

-- The classes whose waiting methods have no more than two arguments and two results.
local FEW = {
  ["coev.mutex"] = true, ["coev.semaphore"] = true, ["coev.rwlock"] = true, ["coev.condition"] = true,
  ["coev.event"] = true, ["coev.waitgroup"] = true, ["coev.barrier"] = true, ["coev.channel"] = true,
}

-- The classes of streams, and the methods that they call most: with no more than three arguments and three results.
local STREAMS = {
  ["tcp{master}"] = true, ["tcp{client}"] = true, ["tcp{server}"] = true,
  ["unixstream{master}"] = true, ["unixstream{client}"] = true, ["unixstream{server}"] = true,
}
local FLOWING = { receive = true, receiveany = true, receiveuntil = true, send = true }

-- Puts a guard around a function with that name: one that waits, or a method of a class that can ask first. Those
-- that are called most take no list of arguments: on LuaJIT that makes a switch 8 ns cheaper.
return function(raw, name, waits, class, metatable, kind, first, second, third)
  if kind and ffi then
    return asking(raw, metatable, kind, first, second, third)
  elseif not waits then
    return raw
  elseif name == "yield" then
    return function()
      if raw() == ALARM then error(alarm(), 0) end
    end
  elseif name == "sleep" then
    return function(seconds)
      if raw(seconds) == ALARM then error(alarm(), 0) end
    end
  elseif name == "choose" then
    return function(cases, timeout, only_receives)
      local index, a, b = raw(cases, timeout, only_receives)
      if index == ALARM then error(alarm(), 0) end
      return index, a, b
    end
  elseif FEW[class] then
    return function(self, a, b)
      local x, y = raw(self, a, b)
      return ending(x, y)
    end
  elseif STREAMS[class] and FLOWING[name] then
    return make("flow", raw, natives.ready_bytes, BYTES, ALARM, error, alarm)
  end
  local function check(...)
    if (...) == ALARM then error(alarm(), 0) end
    return ...
  end
  return function(...)
    return check(raw(...))
  end
end
