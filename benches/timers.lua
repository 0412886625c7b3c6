-- The cost of a timer: N of them with random delays, all armed at once, then fired or stopped; or what one takes in
-- memory.
-- usage: lua timers.lua KIND fired|stopped|memory TIMERS PAGESIZE
-- prints: nanoseconds of CPU a timer (its making included), or bytes a timer

local kind, what, timers, pagesize = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4])
-- Seconds. Armed timers are stopped, or counted, long before they are due.
local LONGEST, FAR = 1, 3600
local fired = 0

math.randomseed(42)
local random = math.random
local shortest = what == "fired" and 0 or FAR

local function count()
  fired = fired + 1
end

-- For each kind: `arm(seconds)` answers a timer, `stop(timer)` ends it, `run(f)` calls f and goes on until nothing is
-- left, `settle` lets what has been made come to rest.
local kinds = {}

function kinds.coev()
  local coev = require "coev"
  local after = coev.after
  return {
    arm = function(seconds)
      return after(seconds, count)
    end,
    stop = function(timer)
      timer:stop()
    end,
    run = coev.run,
    settle = coev.yield,
  }
end

function kinds.luv()
  local uv = require "luv"
  local floor = math.floor
  return {
    arm = function(seconds)
      local timer = uv.new_timer()
      timer:start(floor(seconds * 1000), 0, function()
        fired = fired + 1
        timer:close()
      end)
      return timer
    end,
    stop = function(timer)
      timer:stop()
      timer:close()
    end,
    run = function(f)
      f()
      uv.run()
    end,
    settle = function()
      uv.run("nowait")
    end,
  }
end

function kinds.luaevent()
  local event = require "luaevent.core"
  local base = event.new()
  local EV_TIMEOUT, LEAVE = event.EV_TIMEOUT, event.LEAVE
  -- One that is collected does not fire.
  local held = {}
  local function fire()
    fired = fired + 1
    return LEAVE
  end
  return {
    arm = function(seconds)
      local timer = base:addevent(nil, EV_TIMEOUT, fire, seconds)
      if what == "fired" then
        held[#held + 1] = timer
      end
      return timer
    end,
    stop = function(timer)
      timer:close()
    end,
    run = function(f)
      f()
      base:loop()
    end,
    settle = function() end,
  }
end

-- A timer of cqueues is a coroutine that waits on a condition.
function kinds.cqueues()
  local cqueues, condition = require "cqueues", require "cqueues.condition"
  local queue = cqueues.new()
  local sleep, poll = cqueues.sleep, cqueues.poll
  local function fire(seconds)
    sleep(seconds)
    fired = fired + 1
  end
  local function stoppable(stop, seconds)
    if poll(stop, seconds) ~= stop then
      fired = fired + 1
    end
  end
  return {
    arm = function(seconds)
      if what == "stopped" then
        local stop = condition.new()
        queue:wrap(stoppable, stop, seconds)
        return stop
      end
      queue:wrap(fire, seconds)
    end,
    stop = function(timer)
      timer:signal()
    end,
    run = function(f)
      f()
      assert(queue:loop())
    end,
    settle = function()
      assert(queue:step(0))
    end,
  }
end

function kinds.copas()
  local copas = require "copas"
  local timer = require "copas.timer"
  return {
    arm = function(seconds)
      return timer.new({ delay = seconds, callback = count })
    end,
    stop = function(each)
      each:cancel()
    end,
    run = function(f)
      f()
      copas.loop()
    end,
    settle = function()
      copas.step(0)
    end,
  }
end

local function resident()
  collectgarbage()
  collectgarbage()
  local file = assert(io.open("/proc/self/statm"))
  local pages = file:read("*a"):match("^%d+ (%d+)")
  file:close()
  return tonumber(pages) * pagesize
end

local loop = kinds[kind]()
local arm, stop = loop.arm, loop.stop
local before = what == "memory" and resident()
local began = os.clock()

loop.run(function()
  local made = {}
  for i = 1, timers do
    local timer = arm(shortest + random() * LONGEST)
    if what ~= "fired" then
      made[i] = timer
    end
  end
  if what == "fired" then
    return
  end
  loop.settle()
  if what == "memory" then
    local kept = #made * 16
    print((resident() - before - kept) / timers)
    io.stdout:flush()
    os.exit(0)
  end
  for i = 1, timers do
    stop(made[i])
  end
  loop.settle()
end)

local spent = os.clock() - began
assert(fired == (what == "fired" and timers or 0), "not every timer has fired, or one has that was stopped")
print(spent * 1e9 / timers)
