-- What every spec leans on: a bound in time, and nothing left behind.
--
-- busted loads this file first (`helper` in .busted). From then on each test
-- fails when it leaves a task or a descriptor, and a test that never ends is
-- interrupted, so a lost wake-up is a failure with a traceback and not a hang.

local busted = require "busted"
local coev = require "coev"
local pack = require "spec.support.pack"

local helper = {}

-- How many times longer all takes than on an idle machine: `make stress` sets it.
local PATIENCE = tonumber(os.getenv("SPEC_PATIENCE") or 1)
-- Seconds that `helper.run` gives to a test.
local RUN_LIMIT = 10 * PATIENCE
-- Seconds without a new test after which the watchdog interrupts the process,
-- and after which it kills it. Longer than RUN_LIMIT, and than a child's.
local INTERRUPT_AFTER, KILL_AFTER = 15 * PATIENCE, 25 * PATIENCE
-- Turns in which the tasks that a test has just ended may still tidy up.
local LAST_TURNS = 8

local unpack = table.unpack or unpack

local function has_ended(task)
  local status = task:status()
  return status == "done" or status == "failed" or status == "cancelled"
end

local function all_ended(tasks)
  for _, task in ipairs(tasks) do
    if not has_ended(task) then
      return false
    end
  end
  return true
end

-- The name, status and traceback of every task of `tasks` that has not ended.
local function describe_tasks(tasks)
  local lines = {}
  for _, task in ipairs(tasks) do
    if not has_ended(task) then
      lines[#lines + 1] = tostring(task) .. " is " .. task:status() .. "\n" .. task:traceback()
    end
  end
  return table.concat(lines, "\n")
end

-- Sleeps so long that what takes no time elsewhere has been done here, too.
function helper.pause(seconds)
  coev.sleep(seconds * PATIENCE)
end

-- So many of a thing, or fewer where each takes longer than elsewhere.
function helper.many(count)
  return math.ceil(count / PATIENCE)
end

-- Adds the traceback of the task that failed, and keeps what kind of error it
-- was: busted tells a failed assertion from an error by its metatable.
local function with_traceback(err, traceback)
  if type(err) == "string" then
    return err .. "\n" .. traceback
  end
  if type(err) == "table" and type(err.message) == "string" then
    err.message = err.message .. "\n" .. traceback
  end
  return err
end

-- What there was when the test began: descriptors, and tasks that an earlier
-- test has left and that this one is not to blame for.
local before = {}

-- Turns the loop until `main` and, when it went well, all others have ended.
local function drive(main, tasks)
  local deadline = coev.now() + RUN_LIMIT
  -- Waits only where nobody is ready: else the last turn would wait for nothing.
  while coev.step(coev.due() == 0 and 0 or 0.05) do
    if main:status() == "failed" or before.more and all_ended(tasks) then
      return
    end
    if coev.now() > deadline then
      error("still waiting after " .. RUN_LIMIT .. " s:\n" .. describe_tasks(tasks), 0)
    end
  end
end

-- Runs `f` as a task, with all the tasks that it spawns, and returns its
-- results. Fails when they have not all ended in time.
function helper.run(f, ...)
  local tasks = {}
  local spawn = coev.spawn
  coev.spawn = function(...)
    local task = spawn(...)
    tasks[#tasks + 1] = task
    return task
  end
  local main = coev.spawn(f, ...)
  local outcome
  spawn(function()
    outcome = pack(main:join())
  end)
  local driven, err = pcall(drive, main, tasks)
  coev.spawn = spawn
  if not driven then
    error(err, 0)
  end
  if not outcome and has_ended(main) then
    outcome = pack(main:join(0))
  end
  if not outcome then
    error("step says that no task is left, and the test's own is " .. main:status(), 0)
  end
  if not outcome[1] then
    error(with_traceback(outcome[2], outcome[3] or "(no traceback)"), 0)
  end
  return unpack(outcome, 2, outcome.n)
end

-- The number of open descriptors, or nil where the system does not tell.
local function count_descriptors()
  local has_lfs, lfs = pcall(require, "lfs")
  if has_lfs and lfs.attributes("/proc/self/fd") then
    local count = 0
    for _ in lfs.dir("/proc/self/fd") do
      count = count + 1
    end
    return count
  end
end

-- Lets go of what nobody holds any more. True when tasks remain.
local function settle()
  local more
  for _ = 1, LAST_TURNS do
    collectgarbage()
    more = coev.step(0)
    if not more then
      break
    end
  end
  collectgarbage()
  return more
end

-- The process that ends this one when a test does not. `beat` tells it that a
-- test starts, `rest` that none runs.
local function start_watchdog()
  local path = os.tmpname()
  local function write(text)
    local file = assert(io.open(path, "w"))
    file:write(text, "\n")
    file:close()
  end
  local pipe = assert(io.popen("echo $PPID"))
  local process = pipe:read("*l")
  pipe:close()
  local script = [[
    last= stuck=0
    while [ -e PATH ] && kill -0 PROCESS; do
      sleep 1
      now=
      read now <PATH
      if [ -n "$now" ] && [ "$now" = "$last" ]; then stuck=$((stuck + 1)); else stuck=0; fi
      last=$now
      if [ $stuck -eq INTERRUPT ]; then kill -INT PROCESS; fi
      if [ $stuck -eq KILL ]; then kill -9 PROCESS; rm -f PATH; fi
    done]]
  script = script:gsub("%u%u%u%u+", {
    PATH = path, PROCESS = process, INTERRUPT = INTERRUPT_AFTER, KILL = KILL_AFTER,
  })
  write("")
  os.execute("(" .. script .. ") </dev/null >/dev/null 2>&1 &")

  local beats = 0
  return {
    beat = function()
      beats = beats + 1
      write(beats)
    end,
    rest = function()
      write("")
    end,
    stop = function()
      os.remove(path)
    end,
  }
end

-- The poller, and what resolves names, are made at their first use and stay.
coev.step(0)
coev.socket.connect("localhost", 1)

-- busted forgets modules between files, and luv does not bear being loaded twice.
pcall(require, "luv")
pcall(require, "spec.support.loops")

local watchdog = start_watchdog()

busted.subscribe({ "test", "start" }, function()
  before.more = settle()
  before.descriptors = count_descriptors()
  watchdog.beat()
  return nil, true
end)

busted.subscribe({ "test", "end" }, function(element, _, status)
  watchdog.rest()
  local left = settle() and not before.more
  if status == "success" then
    if left then
      error("the test left a task behind", 0)
    end
    local descriptors = count_descriptors()
    if descriptors and descriptors > before.descriptors then
      error("the test left " .. descriptors - before.descriptors .. " descriptor(s) open", 0)
    end
  elseif left then
    io.stderr:write("'", element.name, "' left tasks behind: what fails after it may fail because of them\n")
  end
  return nil, true
end)

busted.subscribe({ "exit" }, function()
  watchdog.stop()
  return nil, true
end)

-- Specs ask for this very table, with the state above.
package.loaded["spec.helper"] = helper
return helper
