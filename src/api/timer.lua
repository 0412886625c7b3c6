-- Timers: functions that run in a task of their own after a while, or again and again. Called with the module's table,
-- coev's and the natives.
--
-- An armed timer is a table with four fields, and a place among the loop's own timers under its number; no task
-- waits for it. It is armed again when its run has ended: so runs never overlap. The runs that are due at the same
-- time are tasks one after the other in the same coroutine, as long as none of them waits.
local timer, coev, natives = ...

local error, getmetatable, next, pairs, select, setmetatable, tostring, type =
  error, getmetatable, next, pairs, select, setmetatable, tostring, type
local floor, huge = math.floor, math.huge
local remove = table.remove
local unpack = table.unpack or unpack
local arm, disarm, discount, next_fired = natives.arm, natives.disarm, natives.discount, natives.next_fired
local now, spawn = coev.now, coev.spawn

-- Runs in one turn, before the others have theirs.
local RUNS_AT_ONCE = 256

-- Timers by number. Those that live only as long as their handle are held by nobody here.
local armed, weakly_armed = {}, setmetatable({}, { __mode = "v" })

-- What every timer has: `callback`, `every` (seconds; false for one run), `at` (when the next run is due, or the one
-- that runs was), and `state`: its number while armed, RUNNING, or false when it has stopped.
-- What few have: `args`, `joiners`, `watchers`, `weak`, `failure`, `stopping` and `restart`, both while it runs.
local RUNNING = {}
local Timer = {}
local class = { __index = Timer, __name = "coev.timer" }

local function bad_argument(position, name, problem)
  error(("bad argument #%d to '%s' (%s)"):format(position, name, problem), 4)
end

local function check_type(value, expected, position, name)
  if type(value) ~= expected then
    bad_argument(position, name, expected .. " expected, got " .. (value == nil and "no value" or type(value)))
  end
end

-- Raises unless `seconds` is a finite number of at least 0, or above 0 where it is an `interval`.
local function check_seconds(seconds, position, name, interval)
  check_type(seconds, "number", position, name)
  if seconds ~= seconds or seconds == huge or seconds < 0 or interval and seconds == 0 then
    bad_argument(position, name, ("finite number %s expected, got %s"):format(
      interval and "above 0" or "not below 0",
      tostring(seconds)
    ))
  end
end

local function check_self(self, name)
  if getmetatable(self) ~= class then
    error(("calling '%s' on bad self (coev.timer expected, got %s)"):format(name, type(self)), 3)
  end
end

-- Whoever waits for a change of the timer looks again.
local function wake_joiners(self)
  local joiners = self.joiners
  if joiners then
    self.joiners = nil
    for i = 1, #joiners do
      natives.resume(joiners[i])
    end
  end
end

-- Puts the timer among those of the loop.
local function put(self, at)
  local number = arm(at, not self.weak)
  self.at, self.state = at, number
  if self.failure then
    self.failure = nil
  end
  if self.weak then
    weakly_armed[number] = self
  else
    armed[number] = self
  end
end

-- Takes an armed timer from there.
local function take(self)
  local number = self.state
  disarm(number)
  armed[number], weakly_armed[number] = nil, nil
  self.state = false
end

-- When the run after one that began at `started` is due. What has passed while it ran is skipped. What had passed
-- before it began is only late, because the loop was: the last of it runs at once.
local function next_due(self, started, moment)
  local every = self.every
  local at = self.at + every
  if at <= started then
    return self.at + floor((started - self.at) / every) * every
  elseif at <= moment then
    return at + (floor((moment - at) / every) + 1) * every
  end
  return at
end

-- Those who poll the timer learn that a run has ended.
local function tell_watchers(self)
  local watchers = self.watchers
  if watchers then
    for callback in pairs(watchers) do
      watchers[callback] = true
      callback()
    end
  end
end

-- A run has ended, with `answer`.
local function finish(self, started, answer)
  tell_watchers(self)
  if answer ~= nil and answer ~= true then
    if type(answer) == "number" and answer > 0 and answer < huge then
      self.every = answer
    elseif answer == false or answer == 0 then
      self.stopping = true
    end
  end
  local restart = self.restart
  self.restart = nil
  if restart then
    self.stopping = nil
    put(self, restart)
  elseif self.stopping or not self.every then
    self.stopping, self.state = nil, false
    wake_joiners(self)
  else
    put(self, next_due(self, started, now()))
  end
end

-- A run has failed: the timer has stopped. Whoever waits for it learns why, or else the task's error tells.
local function fail(self, failure)
  local err, traceback = natives.failure(failure)
  self.state, self.stopping, self.restart, self.failure = false, nil, nil, failure
  tell_watchers(self)
  if self.joiners then
    wake_joiners(self)
    natives.adopt(coev.current())
  end
  natives.note_inner(err, traceback)
  error(err, 0)
end

local function conclude(self, started, ok, answer)
  if not ok then
    fail(self, answer)
  elseif type(answer) == "number" and not (answer >= 0 and answer < huge) then
    local err = "a timer's function returned " .. tostring(answer) .. ": neither an interval nor 0"
    fail(self, { err = err, traceback = "stack traceback:" })
  else
    finish(self, started, answer)
  end
end

-- Is there a task that has not begun with what is due?
local begun = true

-- Runs what is due, each run as a task of its own; not too many at once, so that others have their turn.
local function run_due()
  begun = true
  for _ = 1, RUNS_AT_ONCE do
    local number, moment = next_fired()
    if not number then
      return
    end
    local self = armed[number] or weakly_armed[number]
    if self then
      armed[number], weakly_armed[number] = nil, nil
      self.state = RUNNING
      if self.began then
        self.began = nil
      end
      local args = self.args
      if args then
        conclude(self, moment, natives.traced(self.callback, unpack(args, 1, args.n)))
      else
        conclude(self, moment, natives.traced(self.callback))
      end
      if not natives.turn_over() then
        return
      end
    end
  end
end

-- Something is due.
function natives.fire()
  if begun then
    begun = false
    spawn(run_due)
  end
end

local function new(every, f, ...)
  local self = setmetatable({ callback = f, every = every, at = 0, state = false }, class)
  if select("#", ...) > 0 then
    self.args = { n = select("#", ...), ... }
  end
  return self
end

function timer.new(interval, f, ...)
  check_seconds(interval, 1, "new", true)
  check_type(f, "function", 2, "new")
  return new(interval, f, ...)
end

function coev.after(seconds, f, ...)
  check_seconds(seconds, 1, "after")
  check_type(f, "function", 2, "after")
  local self = new(false, f, ...)
  put(self, now() + seconds)
  return self
end

function coev.every(interval, f, ...)
  check_seconds(interval, 1, "every", true)
  check_type(f, "function", 2, "every")
  local self = new(interval, f, ...)
  put(self, now() + interval)
  return self
end

function Timer.start(self, delay)
  check_self(self, "start")
  if delay == nil then
    delay = self.every or 0
  else
    check_seconds(delay, 1, "start")
  end
  if self.state == RUNNING then
    self.restart = now() + delay
  else
    if self.state then
      take(self)
    end
    self.began = now()
    put(self, self.began + delay)
  end
  return self
end

function Timer.stop(self)
  check_self(self, "stop")
  if self.state == RUNNING then
    self.stopping, self.restart = true, nil
  elseif self.state then
    take(self)
    wake_joiners(self)
  end
  return self
end

function Timer.interval(self, seconds)
  check_self(self, "interval")
  local before = self.every or nil
  if seconds == nil then
    return before
  end
  check_seconds(seconds, 1, "interval", true)
  local last = self.began or self.every and self.at - self.every
  self.every = seconds
  -- One that was to run once keeps its moment.
  if type(self.state) == "number" and last then
    take(self)
    local moment = now()
    put(self, last + seconds > moment and last + seconds or moment)
  end
  return before
end

function Timer.due(self)
  check_self(self, "due")
  local at
  if type(self.state) == "number" then
    at = self.at
  elseif self.state == RUNNING then
    at = self.restart or not self.stopping and self.every and next_due(self, self.at, now())
  end
  if at then
    local left = at - now()
    return left > 0 and left or 0
  end
end

-- Waits until an armed timer changes; answers nothing, or nil and "timeout".
local function await_change(self, timeout)
  local task = coev.current()
  local joiners = self.joiners or {}
  self.joiners = joiners
  joiners[#joiners + 1] = task
  local ok, err, reason
  if timeout then
    ok, err, reason = natives.pcall(coev.timeout, timeout, natives.suspend)
  else
    ok, err = natives.pcall(natives.suspend)
  end
  joiners = self.joiners
  for i = joiners and #joiners or 0, 1, -1 do
    if joiners[i] == task then
      remove(joiners, i)
    end
  end
  if not ok then
    error(err, 0)
  end
  return err, reason
end

function Timer.join(self, timeout)
  check_self(self, "join")
  if timeout ~= nil then
    check_type(timeout, "number", 1, "join")
  end
  if not coev.current() then
    -- A task waits in the place of the main chunk.
    return spawn(Timer.join, self, timeout):await()
  end
  local deadline = timeout and now() + timeout
  while self.state do
    local left = deadline and deadline - now()
    if left and left <= 0 then
      return false, "timeout"
    end
    await_change(self, left)
  end
  if self.failure then
    return false, natives.failure(self.failure)
  end
  return true
end

function Timer.weaken(self)
  check_self(self, "weaken")
  if not self.weak then
    self.weak = true
    local number = self.state
    if type(number) == "number" then
      discount(number)
      armed[number] = nil
      weakly_armed[number] = self
    end
  end
  return self
end

function class.__tostring(self)
  -- Only a table without a metatable shows its address.
  local address = tostring(setmetatable(self, nil)):match("0x%x+") or "?"
  setmetatable(self, class)
  local what = self.state == RUNNING and "runs" or self.state and ("due in %.3g s"):format(self:due()) or "stopped"
  if self.every then
    what = ("every %g s, "):format(self.every) .. what
  end
  return ("coev.timer: %s (%s)"):format(address, what)
end

-- What a poll object asks: a timer is ready once after each run.
class.readiness = {
  ready = function(self, _, callback, peek)
    local watchers = self.watchers
    if watchers and watchers[callback] then
      watchers[callback] = peek or false
      return "r"
    end
  end,
  watch = function(self, _, callback)
    self.watchers = self.watchers or {}
    self.watchers[callback] = false
  end,
  unwatch = function(self, _, callback)
    self.watchers[callback] = nil
    if next(self.watchers) == nil then
      self.watchers = nil
    end
  end,
}
