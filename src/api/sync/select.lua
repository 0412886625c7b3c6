-- coev.select: waits for one of several things, and lets exactly one take effect. Called with coev's table and the
-- natives.
--
-- Mutexes, channels and their friends are looked at, and waited for, in Rust. What is none of them (tasks, timers, poll
-- objects) has a readiness: it is watched, and looked at again when it tells that it may be ready. For what the system
-- tells of, sockets and other descriptors, a task waits meanwhile.
local coev, natives = ...
local error, getmetatable, next, pairs, setmetatable, tostring, type =
  error, getmetatable, next, pairs, setmetatable, tostring, type
local unpack, floor = table.unpack or unpack, math.floor
local take, choose, await, stow = natives.take, natives.choose, natives.await, natives.stow
local here, poke = natives.here, natives.wake
-- The natives have these once channels are there.
local channel_class = coev.channel and natives.channel_class
local receive_now, has_something = natives.receive_now, natives.has_something
local readiness_of, pcall, now = natives.readiness_of, natives.pcall, coev.now
local spawn, current = coev.spawn, natives.current

local ENDED = { done = true, failed = true, cancelled = true }
local task_methods = natives.task_methods

-- Those who watch a task, under its key. They are held by nobody here: a watch must not keep what it is for from being
-- garbage.
local watchers_of, weak = {}, { __mode = "k" }

-- A task is ready when it has ended. Whoever watches it then is told of its failure, and nobody else is.
natives.readiness[task_methods] = {
  ready = function(task, events)
    if ENDED[task:status()] then return events or "r" end
  end,
  watch = function(task, _, callback)
    local slot = natives.slot(task)
    if not slot then return callback() end
    watchers_of[slot] = watchers_of[slot] or setmetatable({}, weak)
    watchers_of[slot][callback] = true
    natives.watch_task(task)
  end,
  unwatch = function(task, _, callback)
    local watchers = watchers_of[natives.slot(task) or 0]
    if watchers then watchers[callback] = nil end
  end,
  results = function(task)
    return task:join(0)
  end,
}

-- Tells those who watch the task that has ended; answers whether there are any.
function natives.tell_of_end(slot)
  local watchers = watchers_of[slot]
  watchers_of[slot] = nil
  local told = false
  for callback in pairs(watchers or {}) do
    told = true
    callback()
  end
  return told
end

local DIRECTIONS = { r = true, w = true, rw = true }

local function check_direction(_, how)
  if how ~= nil and not DIRECTIONS[how] then return "'r', 'w' or 'rw' expected, got " .. tostring(how) end
end

-- The polls of those who wait for the system in the place of a select, by what they call.
local delegates = {}

local function wait_outside(set, callback)
  if set:wait() then callback() end
end

-- What has a descriptor is ready as coev.wait says, and its results are that call's.
local outside = {
  check = check_direction,
  try = function(what, how)
    local events, err = coev.wait(what, how, 0)
    if events then return true, events end
    if err ~= "timeout" then return true, nil, err end
  end,
  watch = function(what, how, callback)
    local set, err = coev.poll.new()
    if not set then error("'select': " .. err, 0) end
    if not pcall(set.add, set, what, how) then
      -- It has been closed by now.
      set:close()
      return callback()
    end
    delegates[callback] = set
    spawn(wait_outside, set, callback):name("select")
  end,
  unwatch = function(_, _, callback)
    local set = delegates[callback]
    delegates[callback] = nil
    if set then set:close() end
  end,
}

-- The readiness of what is no object of Rust's, if it can be waited for.
local function source_of(what)
  if what == nil then return nil end
  local class = getmetatable(what)
  local readiness = type(class) == "table" and class.case or readiness_of(what)
  if readiness then return readiness.fd and outside or readiness end
  return natives.has_descriptor(what) and outside or nil
end

local function bad_case(index, problem)
  error(("bad argument #1 to 'select' (case %d: %s)"):format(index, problem), 5)
end

-- What the cases are that are no objects of Rust's, by their indices; raises for what cannot be waited for.
local function look_over(cases)
  local others = {}
  for index = 1, #cases do
    local case = cases[index]
    if type(case) ~= "table" then bad_case(index, "table expected, got " .. type(case)) end
    local what, how = case[1], case[2]
    local problem, kind = natives.case(what, how, case[3])
    if problem then bad_case(index, problem) end
    if kind == nil then
      local readiness = source_of(what)
      if not readiness then bad_case(index, "nothing that one can wait for in a select") end
      local fault = (readiness.check or check_direction)(what, how, case[3])
      if fault then bad_case(index, fault) end
      others[index] = readiness
    end
  end
  return others
end

-- The answer of a case with a readiness, if it is ready. `wake` has what watches them, if anything does: a timer is
-- ready for those that have seen it run.
local function look_at(others, cases, wake)
  for index, readiness in pairs(others) do
    local case = cases[index]
    -- Of some nobody can be sure before it has tried.
    local done, a, b
    if readiness.try then
      done, a, b = readiness.try(case[1], case[2], case[3])
      if done then return index, a, b end
    end
    local ready = not readiness.try and readiness.ready(case[1], case[2] or "r", wake and wake[index])
    if ready then
      if readiness.results then return index, readiness.results(case[1], case[2]) end
      return index, ready
    end
  end
end

-- The objects of Rust's where they are too many to be put on the stack one by one.
local FEW = 10
local function rest(cases)
  if #cases <= FEW then return end
  local objects = {}
  for index = 1, #cases do
    objects[index] = cases[index][1]
  end
  return unpack(objects, 1, #cases)
end

-- Puts what is to be sent into the channels; answers their keys by the indices of the cases.
local function stow_all(cases, others)
  local keys = {}
  for index = 1, #cases do
    local case = cases[index]
    local sends = case[2] == "send" and not others[index] and natives.case(case[1], "send", case[3]) == nil
    keys[index] = sends and stow(case[1], case[3]) or false
  end
  return keys
end

-- Lets `wake` be called by what has a readiness.
local function watch_all(others, cases, wake)
  for index, readiness in pairs(others) do
    readiness.watch(cases[index][1], cases[index][2], wake[index])
  end
end

local function unwatch_all(others, cases, wake)
  for index, readiness in pairs(others) do
    readiness.unwatch(cases[index][1], cases[index][2], wake[index])
  end
end

-- Waits for what is ready, where some cases have only a readiness.
local function wait_for_others(cases, others, timeout)
  local deadline, slot, wake = timeout and now() + timeout, here(), {}
  -- Whoever holds the functions holds the one who selects, and all that it waits for.
  local owner = { current(), cases }
  for index in pairs(others) do
    -- Each a function of its own: 5.2 and 5.3 make one of those that share all their variables.
    wake[index] = function()
      poke(slot, index, owner)
    end
  end
  while true do
    watch_all(others, cases, wake)
    local keys = stow_all(cases, others)
    local ok, index, a, b = pcall(await, cases, keys, deadline and deadline - now(), rest(cases))
    local poked = ok and index == 0
    if poked then
      ok, index, a, b = pcall(look_at, others, cases, wake)
    end
    unwatch_all(others, cases, wake)
    if not ok then error(index, 0) end
    if index or not poked then return index, a, b end
    -- What was ready is no more: the next turn may be another's.
  end
end

-- Goes on where no case can be at once, or not without a look by Lua.
local function select_late(cases, timeout)
  local others = look_over(cases)
  if next(others) then
    local index, a, b = look_at(others, cases)
    if index then return index, a, b end
  end
  if cases.default then return nil, "default" end
  if timeout and timeout <= 0 then return nil, "timeout" end
  if next(others) then return wait_for_others(cases, others, timeout) end
  local index, a, b = await(cases, stow_all(cases, others), timeout, rest(cases))
  return index, a, b
end

-- Takes what is there, where all cases receive from channels: compiled code asks eight of these in the time of one
-- call through the C API. It begins with another one each time. (The fractions of multiples of the golden ratio are
-- spread evenly.) Answers nil and true where all do and nothing is there.
local GOLDEN, fraction = (5 ^ 0.5 - 1) / 2, 0
local function look_at_channels(cases)
  local count = #cases
  fraction = (fraction + GOLDEN) % 1
  local index, found = floor(fraction * count), false
  for _ = 1, count do
    index = index + 1
    if index > count then index = 1 end
    local case = cases[index]
    if type(case) ~= "table" or case[2] ~= "receive" then return nil end
    local channel = case[1]
    if type(channel) ~= "userdata" or getmetatable(channel) ~= channel_class then return nil end
    if has_something(channel, 0) ~= 0 then
      found = true
      break
    end
  end
  if found then
    local taken, value = receive_now(cases[index][1])
    if taken then return index, value end
    return nil
  end
  return nil, count > 0
end

function coev.select(cases)
  if type(cases) ~= "table" then
    local got = cases == nil and "no value" or type(cases)
    error(("bad argument #1 to 'select' (table expected, got %s)"):format(got), 2)
  end
  local timeout = cases.timeout
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout) then
    error("bad argument #1 to 'select' (field 'timeout' is not a number)", 2)
  end
  local only_receives
  if receive_now and cases[1] ~= nil then
    local index, value = look_at_channels(cases)
    if index then return index, value end
    only_receives = value
  end
  local index, a, b = choose(cases, cases.default and 0 or timeout, only_receives)
  if index then return index, a, b end
  if index == nil then
    if cases.default then return nil, "default" end
    return nil, a or "timeout"
  end
  index, a, b = take(cases)
  if index then
    if index > 0 then return index, a, b end
    -- There is room for what is to be sent.
    local case = cases[-index]
    local sent, err = case[1]:try_send(case[3])
    if sent then return -index, true end
    if err then return -index, nil, err end
  elseif #cases == 0 and timeout == nil and not cases.default then
    error("bad argument #1 to 'select' (no cases, and neither a timeout nor a default)", 2)
  end
  index, a, b = select_late(cases, timeout)
  return index, a, b
end
