-- coev.select: waits for one of several things, and lets exactly one take effect. Called with coev's table and the
-- natives, when the objects are there.
--
-- A task that waits for several has a place in the list of each, and a *choice* behind them all. Whoever serves one of
-- the places settles the choice: in the same step the others leave their lists.
local coev, natives = ...
local error, getmetatable, setmetatable, type = error, getmetatable, setmetatable, type
local concat = table.concat
local waiters, here, wake, enrol, current = natives.waiters, natives.here, natives.wake, natives.enrol, natives.current
local wait, wait_for, spawn = natives.wait, natives.wait_for, coev.spawn
local enlist, unlink, abandon, new_place = waiters.enlist, waiters.unlink, waiters.abandon, waiters.new_place
local places, describe = waiters.places, waiters.describe

-- The choice of each task, under its key: weak, as places are.
local choices = setmetatable({}, { __mode = "v" })

local Choice = {}
Choice.__index = Choice

-- What a choice has for a list.
local selection = setmetatable({}, {
  verb = function(choice)
    local parts = {}
    for i = 1, choice.count do
      local place = choice[i]
      if place.list then parts[#parts + 1] = describe(place) end
    end
    return "select of " .. concat(parts, ", ")
  end,
})

-- One of its places has been served: the others leave. Those behind them are looked at when the task has its turn.
function Choice.settle(choice, served)
  choice.outcome = served
  for i = 1, choice.count do
    local place = choice[i]
    if place.linked then unlink(place) end
  end
end

-- Something else than a list has told that it is ready.
function Choice.fire(choice, index)
  if not choice.outcome and choice.list and (wake(choice.slot) or choice.early) then
    Choice.settle(choice, choice[index])
  end
end

-- Leaves all lists, but the place that was served.
local function leave(choice)
  local served = choice.outcome
  for i = 1, choice.count do
    local place = choice[i]
    if place.unwatch then
      place.unwatch()
      place.unwatch, place.list = nil, false
    elseif place ~= served and place.list then
      local list, left = place.list, getmetatable(place.list).left
      if place.linked then unlink(place) end
      place.list, place.outcome, place.value, place.payload = false, false, false, false
      if left then left(list, place) end
    end
  end
end

-- Ends a choice that its task does not take.
function Choice.abandon(choice)
  leave(choice)
  local served = choice.outcome
  choice.list, choice.outcome = false, false
  if served and served.list then abandon(served) end
end

local function new_choice(slot, task)
  return setmetatable({ slot = slot, task = task, list = false, outcome = false, early = false, count = 0 }, Choice)
end

-- The choice of the running task, with a place for each of `count` cases.
local function choice_of(slot, count)
  local choice = choices[slot]
  if slot == 0 then
    choice = new_choice(0)
  elseif not choice or choice.task ~= current() then
    choice = new_choice(slot, current())
    choices[slot] = choice
    enrol()
  end
  for i = #choice + 1, count do
    choice[i] = new_place()
    choice[i].choice = choice
  end
  choice.count = count
  return choice
end

-- Things that have no list of waiters, but a readiness ---------------------

local ENDED = { done = true, failed = true, cancelled = true }
local task_methods = natives.task_methods

-- Who joins a task for those who watch it, by their callback.
local joiners = {}

-- A task is ready when it has ended. Whoever watches it joins it: its failure is told to nobody else.
natives.readiness[task_methods] = {
  ready = function(task, events)
    if ENDED[task:status()] then return events or "r" end
  end,
  watch = function(task, _, callback)
    joiners[callback] = spawn(function()
      task:join()
      callback()
    end)
    joiners[callback]:name("watch of " .. task:name())
  end,
  unwatch = function(_, _, callback)
    joiners[callback]:cancel()
    joiners[callback] = nil
  end,
  results = function(task)
    return task:join(0)
  end,
}

-- The answer of a case with a readiness.
local function results(readiness, index, case, ready)
  if readiness.results then return index, readiness.results(case[1], case[2]) end
  return index, ready
end

-- Cases --------------------------------------------------------------------

local function bad_case(index, problem)
  error(("bad argument #1 to 'select' (case %d: %s)"):format(index, problem), 4)
end

-- What each object has for select, by object: saves three calls a case.
local known = setmetatable({}, { __mode = "k" })

-- How a case is tried and waited for: what its class has for select, or its readiness.
local function kind_of(what, index)
  local class = getmetatable(what)
  local kind = type(class) == "table" and class.case or what ~= nil and natives.readiness_of(what)
  if not kind or type(class) == "table" and class.kind and not class.case then
    bad_case(index, "nothing that one can wait for in a select")
  end
  known[what] = kind
  return kind
end

-- What the cases have for select; raises for what cannot be waited for.
local function kinds_of(cases)
  local kinds = {}
  for index = 1, #cases do
    local case = cases[index]
    local what = case[1]
    local kind = known[what] or kind_of(what, index)
    local problem = kind.check and kind.check(what, case[2], case[3])
    if problem then bad_case(index, problem) end
    kinds[index] = kind
  end
  return kinds
end

-- Waits for any of the cases, from the place `choice` in all their lists. Answers the index of the one that has taken
-- effect and its place; or nothing, and the error to be raised, if any.
local function wait_for_any(choice, slot, timeout)
  local problem
  if slot == 0 then
    problem = waiters.wait_outside(choice, timeout)
  else
    local sign
    if timeout then
      sign = wait_for(timeout)
    else
      sign = wait()
    end
    if sign ~= nil or not choice.outcome then problem = waiters.wait_on(choice, sign, timeout) end
  end
  local served = choice.outcome
  if served then
    leave(choice)
    choice.list, choice.outcome = false, false
  end
  return served, problem
end

-- Puts a choice into the lists of all cases.
local function line_up(choice, cases, kinds, slot)
  for index = 1, choice.count do
    local case, kind, place = cases[index], kinds[index], choice[index]
    place.index, place.early = index, choice.early
    place.slot, place.task = choice.slot, choice.task
    if kind.list then
      local list, payload = kind.list(case[1], case[2], case[3], slot)
      place.payload = payload
      enlist(place, list)
    else
      local callback = function()
        choice:fire(index)
      end
      kind.watch(case[1], case[2], callback)
      place.unwatch = function()
        kind.unwatch(case[1], case[2], callback)
      end
    end
  end
end

-- Waits until one of the cases takes effect.
local function wait_for_case(cases, slot, timeout)
  local kinds = kinds_of(cases)
  while true do
    local choice = choice_of(slot, #cases)
    if slot == 0 then
      waiters.hire(choice, timeout)
    else
      -- The places of a task are where its end is told.
      local before = places[slot]
      if before and before ~= choice and before.list then before:abandon() end
      places[slot] = choice
    end
    choice.list = selection
    line_up(choice, cases, kinds, slot)
    local served, problem = wait_for_any(choice, slot, timeout)
    if not served then
      if problem ~= nil then error(problem, 0) end
      return nil, "timeout"
    end
    local index = served.index
    local case, kind = cases[index], kinds[index]
    if kind.list then
      local outcome, value = served.outcome, served.value
      served.list, served.outcome, served.value, served.payload = false, false, false, false
      return index, kind.result(case[1], outcome, value, slot, case[2])
    end
    if kind.try then
      local done, a, b = kind.try(case[1], case[2], case[3], slot)
      if done then return index, a, b end
    else
      local ready = kind.ready(case[1], case[2])
      if ready then return results(kind, index, case, ready) end
    end
    -- What was ready is no more: the next turn may be another's.
  end
end

-- Where the last one began to look: each time at another place, so that none of those ready is left behind for ever.
local last = 0

function coev.select(cases)
  if type(cases) ~= "table" then
    local got = cases == nil and "no value" or type(cases)
    error(("bad argument #1 to 'select' (table expected, got %s)"):format(got), 2)
  end
  local count, timeout, slot = #cases, cases.timeout, here()
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout) then
    error("bad argument #1 to 'select' (field 'timeout' is not a number)", 2)
  end
  if count == 0 and timeout == nil and not cases.default then
    error("bad argument #1 to 'select' (no cases, and neither a timeout nor a default)", 2)
  end
  last = last + 1
  for offset = 1, count do
    local index = (last + offset) % count + 1
    local case = cases[index]
    if type(case) ~= "table" then bad_case(index, "table expected, got " .. type(case)) end
    local what = case[1]
    local kind = known[what] or kind_of(what, index)
    if kind.try then
      local done, a, b = kind.try(what, case[2], case[3], slot)
      if done then return index, a, b end
    else
      local ready = kind.ready(what, case[2])
      if ready then return results(kind, index, case, ready) end
    end
  end
  if cases.default then return nil, "default" end
  if timeout and timeout <= 0 then return nil, "timeout" end
  return wait_for_case(cases, slot, timeout)
end
