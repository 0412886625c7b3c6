-- Timers: functions that run in a task of their own after a while, or again and again. Called with the module's table,
-- coev's and the natives.
--
-- A timer is a table; when it is due, and how it stands, the loop keeps under its number. `coev.after`, `coev.every`,
-- the inner half of `stop` and what ends one run and begins the next are functions of the runtime. No task waits for a
-- timer. It is armed again when its run has ended: so runs never overlap. The runs that are due at the same time are
-- tasks one after the other in the same coroutine, as long as none of them waits.
local timer, coev, natives = ...

local error, getmetatable, next, pairs, select, setmetatable, tostring, type =
  error, getmetatable, next, pairs, select, setmetatable, tostring, type
local floor, huge, max = math.floor, math.huge, math.max
local remove = table.remove
local unpack = table.unpack or unpack
local halt, next_run, standing = natives.halt, natives.next_run, natives.standing
local now, spawn = coev.now, coev.spawn

-- Timers by number. Those that live only as long as their handle are held by nobody here.
local armed, weakly_armed = natives.armed, natives.weakly_armed
setmetatable(weakly_armed, { __mode = "v" })

-- What a timer has, as the runtime knows it: its function at 1; its number while it is armed or runs, or false; seconds
-- between two runs, unless it runs once; the arguments, if there are any, with their count as `n`.
-- What few have: `joiners`, `watchers`, `weak` and then `sentinel`, `failure`.
local NUMBER, INTERVAL, ARGUMENTS = 2, 3, 4

-- Seconds: shorter intervals count for as much.
local SHORTEST = 1e-9

local Timer = {}
local class = natives.timer_class
class.__index, class.__name = Timer, "coev.timer"

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
      natives.poke(joiners[i])
    end
  end
end

-- Lets the loop tell the timer when it is due, and count its interval `from` then.
local function arm(self, at, from)
  local weak = self.weak
  local number = natives.arm(at, from, not weak, self.watchers ~= nil)
  self[NUMBER], self.failure = number, nil
  if weak then
    weakly_armed[number] = self
    self.sentinel = natives.sentinel(number)
  else
    armed[number] = self
  end
end

-- Takes an armed timer from there.
local function disarm(self)
  local number = self[NUMBER]
  natives.disarm(number)
  armed[number], weakly_armed[number] = nil, nil
  self[NUMBER] = false
end

-- When the next run is due, if there is one.
local function due_at(self)
  local number = self[NUMBER]
  if not number then
    return nil
  end
  local at, from, stopping = standing(number)
  if stopping == nil then
    return at
  elseif from then
    return from
  elseif not stopping and self[INTERVAL] then
    -- While it runs, as if the run ended now.
    local interval, moment = max(self[INTERVAL], SHORTEST), now()
    at = at + interval
    if at <= moment then
      at = at + (floor((moment - at) / interval) + 1) * interval
    end
    return at
  end
end

-- Does what the function of the timer that runs here has answered: a number is the new interval; false or 0 stops.
local function heed(answer)
  local number = natives.clock_here()
  local self = armed[number] or weakly_armed[number]
  if answer == false or answer == 0 then
    natives.restart(number)
  elseif type(answer) == "number" then
    if not (answer > 0 and answer < huge) then
      error("a timer's function returned " .. tostring(answer) .. ": neither an interval nor 0", 0)
    elseif self then
      self[INTERVAL] = answer
    end
  end
end

-- Is there a task that has not begun with what is due?
local begun = true

-- Runs what is due, each run as a task of its own; not too many at once, so that others have their turn.
local function run_due()
  begun = true
  local callback, arguments = next_run()
  while callback do
    local answer
    if arguments then
      answer = callback(unpack(arguments, 1, arguments.n))
    else
      answer = callback()
    end
    if answer ~= nil and answer ~= true then
      heed(answer)
    end
    callback, arguments = next_run()
  end
end

-- Something is due.
function natives.fire()
  if begun then
    begun = false
    spawn(run_due)
  end
end

-- A run has ended with its task, or failed: those who poll the timer learn of it, those who join it look again. Answers
-- whether one of these learns of the failure.
function natives.run_ended(number, failed, err, traceback)
  local self = armed[number] or weakly_armed[number]
  if not self then
    return false
  end
  for callback in pairs(self.watchers or {}) do
    self.watchers[callback] = true
    callback()
  end
  if failed then
    self.failure = { err = err, traceback = traceback }
  end
  local joined = self.joiners ~= nil
  wake_joiners(self)
  return joined
end

function timer.new(interval, f, ...)
  check_seconds(interval, 1, "new", true)
  check_type(f, "function", 2, "new")
  local self = setmetatable({ f, false, interval }, class)
  if select("#", ...) > 0 then
    self[ARGUMENTS] = { n = select("#", ...), ... }
  end
  return self
end

function Timer.start(self, delay)
  check_self(self, "start")
  if delay == nil then
    delay = self[INTERVAL] or 0
  else
    check_seconds(delay, 1, "start")
  end
  local number = self[NUMBER]
  local moment = now()
  if number then
    local _, _, stopping = standing(number)
    if stopping ~= nil then
      natives.restart(number, moment + delay)
      return self
    end
    disarm(self)
  end
  arm(self, moment + delay, moment)
  return self
end

function Timer.stop(self)
  local observed = halt(self)
  if observed then
    wake_joiners(self)
  elseif observed == nil then
    check_self(self, "stop")
  end
  return self
end

function Timer.interval(self, seconds)
  check_self(self, "interval")
  local before = self[INTERVAL]
  if seconds == nil then
    return before
  end
  check_seconds(seconds, 1, "interval", true)
  self[INTERVAL] = seconds
  local number = self[NUMBER]
  if number then
    local _, from, stopping = standing(number)
    -- One that was to run once keeps its moment.
    if stopping == nil and from then
      disarm(self)
      local moment = now()
      arm(self, from + seconds > moment and from + seconds or moment, from)
    end
  end
  return before
end

function Timer.due(self)
  check_self(self, "due")
  local at = due_at(self)
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
  natives.observe(self[NUMBER])
  joiners[#joiners + 1] = task
  local ok, err, reason
  if timeout then
    ok, err, reason = natives.pcall(coev.timeout, timeout, natives.await_word)
  else
    ok, err = natives.pcall(natives.await_word)
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
  while self[NUMBER] do
    local left = deadline and deadline - now()
    if left and left <= 0 then
      return false, "timeout"
    end
    await_change(self, left)
  end
  if self.failure then
    return false, self.failure.err, self.failure.traceback
  end
  return true
end

function Timer.weaken(self)
  check_self(self, "weaken")
  if not self.weak then
    self.weak = true
    local number = self[NUMBER]
    if number then
      natives.discount(number)
      weakly_armed[number] = self
      armed[number] = nil
      self.sentinel = natives.sentinel(number)
    end
  end
  return self
end

function class.__tostring(self)
  -- Only a table without a metatable shows its address.
  local address = tostring(setmetatable(self, nil)):match("0x%x+") or "?"
  setmetatable(self, class)
  local what = "stopped"
  if self[NUMBER] then
    local _, _, stopping = standing(self[NUMBER])
    what = stopping ~= nil and "runs" or ("due in %.3g s"):format(self:due())
  end
  if self[INTERVAL] then
    what = ("every %g s, "):format(self[INTERVAL]) .. what
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
    if self[NUMBER] then
      natives.observe(self[NUMBER])
    end
  end,
  unwatch = function(self, _, callback)
    self.watchers[callback] = nil
    if next(self.watchers) == nil then
      self.watchers = nil
    end
  end,
}
