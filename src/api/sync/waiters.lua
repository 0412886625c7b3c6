-- Who waits, in the order they came: the one list under mutex, channel and all their friends. Called with coev's table
-- and the natives.
--
-- A *place* stands for a task in a list: { slot, task, list, linked, before, after, outcome, value, payload, mode }. A
-- task leaves its list before it ends, so its slot names it, and `task` only holds it. The one who wakes a task takes
-- its place out of the list and notes in it what it is given (`outcome`, `value`); so what is handed over cannot be
-- taken by anybody else before the task has its turn. How a wait can end:
--
--   served      `await` answers the outcome and the value
--   timed out   it answers nil; who has been served by then is served all the same
--   cancelled   it raises. Who has been served passes it on (`pass_on` of the list's metatable); who has not leaves
--               (`left`, where those behind may be affected)
--
-- A task that is dropped, or that ends without having taken what it was given, goes the way of a cancelled one.
--
-- A list is any table with `first` and `last` and a metatable with `verb`, `kind` and, where needed, `pass_on(list,
-- place)` and `left(list, place)`. Lists hold the handles of tasks, and those hold the tasks: an object that nothing
-- else can reach is garbage together with all who wait for it.
local coev, natives = ...
local error, getmetatable, pairs, setmetatable = error, getmetatable, pairs, setmetatable
local tostring, type = tostring, type
local stock_pcall, floor, huge = pcall, math.floor, math.huge
local concat, select, next = table.concat, select, next
local here, enrol, wake = natives.here, natives.enrol, natives.wake
local wait, wait_for, wait_in_place = natives.wait, natives.wait_for, natives.wait_in_place
local alarm, current, spawn, task_methods = natives.alarm, natives.current, coev.spawn, natives.task_methods
local await_end, cancel, resume_suspended = task_methods.await, task_methods.cancel, task_methods.resume

local waiters = {}
natives.waiters = waiters

-- The place of each task, under its key, made at its first wait: weak, since it holds the task. What waits in several
-- lists at once (select) stands here, too: it has a `list`, an `outcome` and `abandon` like a place.
local places = setmetatable({}, { __mode = "v" })

-- What each task holds, under its key: a weak set, so that a lock that nothing else can reach does not live on for it.
-- Its end lets go of all that.
local holds = {}
-- Sets that are empty, for the next task.
local spare = {}
waiters.holds, waiters.places = holds, places

-- Arguments ----------------------------------------------------------------

-- Raises for an argument; the message points to the caller of the method.
local function bad_argument(position, name, problem)
  error(("bad argument #%d to '%s' (%s)"):format(position, name, problem), 4)
end

local function expected(value, what, position, name)
  bad_argument(position, name, what .. " expected, got " .. (value == nil and "no value" or type(value)))
end

-- Raises unless `timeout` is absent or a number of seconds.
function waiters.check_timeout(timeout, position, name)
  if timeout == nil then return end
  if type(timeout) ~= "number" then expected(timeout, "number", position, name) end
  if timeout ~= timeout then bad_argument(position, name, "time is not a number") end
end

-- Raises unless `value` is a number without a fraction, and not below `least`.
function waiters.check_count(value, least, position, name)
  if type(value) ~= "number" then expected(value, "number", position, name) end
  if value ~= floor(value) or value == huge or value == -huge then
    bad_argument(position, name, "number has no integer representation")
  end
  if value < least then bad_argument(position, name, ("%d is less than %d"):format(value, least)) end
end

function waiters.check_function(value, position, name)
  if type(value) ~= "function" then expected(value, "function", position, name) end
end

-- The method `name` was called on something else than an object of the kind.
function waiters.bad_self(self, kind, name)
  error(("calling '%s' on bad self (coev.%s expected, got %s)"):format(name, kind, type(self)), 3)
end

-- Words --------------------------------------------------------------------

-- The address of an object as Lua writes it.
local function address(object)
  local class = getmetatable(object)
  setmetatable(object, nil)
  local text = tostring(object)
  setmetatable(object, class)
  return text:match("0x%x+") or text:match(": (.*)") or text
end

waiters.address = address

-- What an object is called where a task waits for it: `mutex 0x…`.
local function name_of(list)
  local class = getmetatable(list)
  return class.kind .. " " .. address(list.object or list)
end

local function describe(entry)
  local list = entry.list
  local verb = getmetatable(list).verb
  if type(verb) == "function" then return verb(entry) end
  return verb .. " " .. name_of(list)
end
waiters.describe = describe

-- How many wait in a list.
local function length(list)
  local count, place = 0, list.first
  while place do
    count, place = count + 1, place.after
  end
  return count
end
waiters.length = length

-- The handle of the live task with this key; "main" is the code outside of tasks.
function waiters.task_at(slot)
  if slot == 0 then return "main" end
  return (natives.task_from(slot - 1))
end

-- What `tostring` says of an object: its class, address and state, and who waits.
function waiters.text(object, state, ...)
  local parts, waiting = { state }, 0
  for i = 1, select("#", ...) do
    waiting = waiting + length((select(i, ...)))
  end
  if waiting > 0 then parts[#parts + 1] = waiting == 1 and "1 task waits" or waiting .. " tasks wait" end
  local class = getmetatable(object)
  return ("coev.%s: %s (%s)"):format(class.kind, address(object), concat(parts, ", "))
end

-- How a task is called in such a text.
function waiters.label(slot)
  if slot == 0 then return "the main chunk" end
  local task = waiters.task_at(slot)
  return task and task:name() or "nobody"
end

-- Lists --------------------------------------------------------------------

-- Puts a place at the end of a list.
local function enlist(place, list)
  local last = list.last
  place.list, place.linked, place.outcome, place.before, place.after = list, true, false, last, false
  if last then
    last.after = place
  else
    list.first = place
  end
  list.last = place
end
waiters.enlist = enlist

-- Takes a place out of the list that it is in.
local function unlink(place)
  local list, before, after = place.list, place.before, place.after
  if before then
    before.after = after
  else
    list.first = after
  end
  if after then
    after.before = before
  else
    list.last = before
  end
  place.linked, place.before, place.after = false, false, false
end
waiters.unlink = unlink

-- Takes the first place out of a list and gives it `outcome` and `value`. Answers the place, or false when its task is
-- being ended: that one takes nothing any more.
local function serve_first(list, outcome, value)
  local place = list.first
  local after = place.after
  list.first = after
  if after then
    after.before = false
  else
    list.last = false
  end
  place.linked, place.after = false, false
  if not wake(place.slot) and not place.early then return false end
  place.outcome, place.value = outcome, value
  if place.choice then place.choice:settle(place) end
  return place
end
waiters.serve_first = serve_first

-- Serves the first whose task takes it; answers its place, or nothing.
local function serve(list, outcome, value)
  local first = list.first
  if first and not first.choice and not first.early then
    -- As `serve_first`, for the most frequent case.
    local after = first.after
    list.first = after
    if after then
      after.before, first.after = false, false
    else
      list.last = false
    end
    first.linked = false
    if wake(first.slot) then
      first.outcome, first.value = outcome, value
      return first
    end
  end
  while list.first do
    local place = serve_first(list, outcome, value)
    if place then return place end
  end
end
waiters.serve = serve

-- Serves all; answers how many.
function waiters.serve_all(list, outcome, value)
  local count = 0
  while list.first do
    if serve_first(list, outcome, value) then count = count + 1 end
  end
  return count
end

-- Ends a wait whose task does not take the answer.
local function abandon(place)
  local list, outcome = place.list, place.outcome
  local class = getmetatable(list)
  local linked = place.linked
  if linked then unlink(place) end
  place.list, place.outcome = false, false
  if outcome then
    if class.pass_on then class.pass_on(list, place, outcome) end
  elseif linked and class.left then
    class.left(list, place)
  end
  place.value, place.payload = false, false
end
waiters.abandon = abandon

-- Waits --------------------------------------------------------------------

-- A place, which knows neither its task nor its list yet.
local function new_place(slot, task)
  return { slot = slot, task = task, list = false, linked = false, before = false, after = false, outcome = false,
    value = false, payload = false, mode = false, early = false, choice = false, abandon = abandon }
end
waiters.new_place = new_place

-- The running task's place, made now.
local function make_place(slot)
  local place = new_place(slot, current())
  places[slot] = place
  enrol()
  return place
end

-- Waits on until `entry` has its outcome, is to be cancelled or its time is over; `sign` is what the first wait has
-- answered. Answers the error to be raised.
local function wait_on(entry, sign, timeout)
  while true do
    if sign == false then
      -- No task can be parked here: the loop is driven in place, and may fail.
      local ok, answer = stock_pcall(wait_in_place, timeout)
      if not ok then
        entry:abandon()
        return answer
      end
      sign = answer
    end
    if sign ~= nil then
      entry:abandon()
      return alarm()
    end
    if entry.outcome then return nil end
    if timeout then
      entry:abandon()
      return nil
    end
    -- Woken by nobody who knows of the list.
    if entry.linked == false and entry.list then enlist(entry, entry.list) end
    sign = wait()
  end
end

-- The function of the task that waits in the place of the main chunk.
local function stand_in(entry, timeout)
  local slot = here()
  entry.early, entry.slot = false, slot
  for i = 1, entry.count or 0 do
    entry[i].slot = slot
  end
  places[slot] = entry
  enrol()
  while not entry.outcome do
    local sign
    if timeout then
      sign = wait_for(timeout)
    else
      sign = wait()
    end
    if sign ~= nil or timeout then break end
  end
  -- What it was given is the main chunk's.
  places[slot] = nil
end

-- Waits outside of tasks: a task does so in the caller's place. Answers as `wait_on`.
local function wait_outside(entry, timeout)
  local ok, err = stock_pcall(await_end, entry.task)
  if not ok then
    cancel(entry.task)
    entry:abandon()
    return err
  end
  if not entry.outcome then
    if not timeout then err = "the wait of the main chunk was ended" end
    entry:abandon()
    return err
  end
end

-- Makes the task that shall wait for the main chunk.
local function hire(entry, timeout)
  entry.early, entry.slot = true, 0
  entry.task = spawn(stand_in, entry, timeout)
end
waiters.hire, waiters.wait_outside, waiters.wait_on = hire, wait_outside, wait_on

-- Takes from a place what it was given.
local function take(place)
  local outcome, value = place.outcome, place.value
  place.list, place.outcome, place.value, place.payload = false, false, false, false
  return outcome or nil, value
end

-- Waits in `list` outside of tasks.
local function await_outside(list, timeout, payload, mode, quiet)
  local place = new_place()
  place.payload, place.mode = payload, mode
  hire(place, timeout)
  enlist(place, list)
  local problem = wait_outside(place, timeout)
  if problem == nil then return take(place) end
  if quiet then return nil, nil, problem end
  error(problem, 0)
end

-- Lets the running task wait in `list`, with `payload` and `mode` for those who look at it there. Answers the outcome
-- and the value that it was served with, or nothing when `timeout` is over; raises what ends the wait before its time,
-- or answers it as the third value when `quiet`.
function waiters.await(list, timeout, payload, mode, quiet)
  local slot = here()
  if slot == 0 then return await_outside(list, timeout, payload, mode, quiet) end
  local place = places[slot]
  if not place or place.settle then
    if place and place.list then place:abandon() end
    place = make_place(slot)
  elseif place.list then
    -- An earlier wait was cut off: its coroutine was closed under it.
    place:abandon()
  end
  if payload then
    place.payload, place.mode = payload, mode
  end
  local last = list.last
  place.list, place.linked, place.before = list, true, last
  if last then
    last.after = place
  else
    list.first = place
  end
  list.last = place
  local sign
  if timeout then
    sign = wait_for(timeout)
  else
    sign = wait()
  end
  local outcome = place.outcome
  if outcome and sign == nil then
    local value = place.value
    place.list, place.outcome, place.value = false, false, false
    if payload then place.payload = false end
    return outcome, value
  end
  local problem = wait_on(place, sign, timeout)
  if problem == nil then return take(place) end
  if quiet then return nil, nil, problem end
  error(problem, 0)
end

-- Locks --------------------------------------------------------------------

-- Makes the set of what a task holds. The metatables of these have `desert(held, slot)` for the end of the task.
function waiters.make_holds(slot)
  local own = spare[#spare]
  if own then
    spare[#spare] = nil
  else
    own = setmetatable({}, { __mode = "k" })
  end
  holds[slot] = own
  if slot ~= 0 then enrol() end
  return own
end

-- Notes that the task holds something.
function waiters.hold(slot, held)
  (holds[slot] or waiters.make_holds(slot))[held] = true
end

-- Notes that it holds it no more.
function waiters.unhold(slot, held)
  local own = holds[slot]
  if own then own[held] = nil end
end

-- The life of tasks --------------------------------------------------------

-- As `attend` in helpers.lua says.
function natives.attend(slot, what)
  local entry = places[slot]
  if what == 2 then
    if entry and entry.list and not entry.outcome then return describe(entry) end
    return nil
  end
  if entry and entry.list then entry:abandon() end
  if what ~= 0 then return end
  places[slot] = nil
  local own = holds[slot]
  if not own then return end
  holds[slot] = nil
  local held = next(own)
  while held do
    own[held] = nil
    getmetatable(held).desert(held, slot)
    held = next(own)
  end
  spare[#spare + 1] = own
end

-- Who waits in a list is not suspended by coev.suspend: nobody but the list may resume it.
function task_methods.resume(task, ...)
  local slot = next(places) and natives.slot(task)
  local entry = slot and places[slot]
  if entry and entry.list then return nil, "not suspended" end
  return resume_suspended(task, ...)
end

-- Readiness ----------------------------------------------------------------

-- For those who wait for many things at once (poll objects, coev.wait, coev.select). A class of objects puts a table
-- under `readiness` into its metatable, or here under the table of its methods:
--
--   ready(object, events)               those of `events` ("r", "w", "rw") that would not wait now, or nil
--   watch(object, events, callback)     from now on `callback()` is called whenever that may have changed: it must only
--                                       take note, and wake somebody; that it is called says nothing yet
--   unwatch(object, events, callback)   no longer
--   results(object, events)             what coev.select answers then; without it, what `ready` has answered
natives.readiness = {}

function natives.readiness_of(object)
  local class = getmetatable(object)
  if type(class) ~= "table" then return nil end
  return class.readiness or natives.readiness[class.__index]
end

-- Calls those who watch an object.
local function notify(object)
  for callback in pairs(object.watchers) do
    callback()
  end
end
waiters.notify = notify

function waiters.watch(object, callback)
  object.watchers = object.watchers or {}
  object.watchers[callback] = true
end

function waiters.unwatch(object, callback)
  local watchers = object.watchers
  if watchers then
    watchers[callback] = nil
    if not next(watchers) then object.watchers = false end
  end
end

-- The readiness of objects that are ready as a whole, when `is_ready(object)`.
function waiters.simple_readiness(is_ready)
  return {
    ready = function(object, events)
      if is_ready(object) then return events or "r" end
    end,
    watch = function(object, _, callback)
      waiters.watch(object, callback)
    end,
    unwatch = function(object, _, callback)
      waiters.unwatch(object, callback)
    end,
  }
end

