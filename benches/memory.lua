-- The memory of one parked task: growth of the resident set over many of them.
-- usage: lua memory.lua KIND TASKS PAGESIZE   prints: bytes a task

local kind, tasks, pagesize = arg[1], tonumber(arg[2]), tonumber(arg[3])
local LONG = 60

local function resident()
  collectgarbage()
  collectgarbage()
  local file = assert(io.open("/proc/self/statm"))
  local pages = file:read("*a"):match("^%d+ (%d+)")
  file:close()
  return tonumber(pages) * pagesize
end

-- All tasks are parked: prints the growth and leaves at once; `check` looks only afterwards.
local function report(before, check)
  local growth = resident() - before
  assert(check(), "some tasks are not parked")
  print(growth / tasks)
  io.stdout:flush()
  os.exit(0)
end

local kinds = {}

function kinds.bare()
  local yield = coroutine.yield
  local body = yield
  if not pcall(coroutine.create, body) then -- Lua 5.1 takes Lua functions only
    body = function()
      yield()
    end
  end
  local before, kept = resident(), {}
  for i = 1, tasks do
    kept[i] = coroutine.create(body)
    coroutine.resume(kept[i])
  end
  report(before, function()
    return coroutine.status(kept[1]) == "suspended" and coroutine.status(kept[tasks]) == "suspended"
  end)
end

local function coev_tasks(kept)
  local coev = require "coev"
  coev.run(function()
    local first, last = coev.spawn(coev.sleep, LONG), nil
    local before = resident()
    for i = 1, tasks do
      local task = coev.spawn(coev.sleep, LONG)
      last = task
      if kept then
        kept[i] = task
      end
    end
    coev.sleep(0.1)
    report(before, function()
      return first:status() == "waiting" and last:status() == "waiting"
    end)
  end)
end

function kinds.dropped()
  coev_tasks(nil)
end

function kinds.kept()
  coev_tasks({})
end

function kinds.cqueues()
  local cqueues = require "cqueues"
  local queue = cqueues.new()
  queue:wrap(function()
    local before = resident()
    for _ = 1, tasks do
      queue:wrap(cqueues.sleep, LONG)
    end
    cqueues.sleep(0.1)
    report(before, function()
      return queue:count() > tasks
    end)
  end)
  assert(queue:loop())
end

function kinds.copas()
  local copas = require "copas"
  copas.addthread(function()
    local before, begun = resident(), 0
    local function sleeper()
      begun = begun + 1
      copas.pause(LONG)
    end
    for _ = 1, tasks do
      copas.addthread(sleeper)
    end
    copas.pause(0.1)
    report(before, function()
      return begun == tasks
    end)
  end)
  copas.loop()
end

kinds[kind]()
