-- The cost of one switch: K tasks that do nothing but yield, in lockstep.
-- usage: lua switch.lua KIND TASKS YIELDS   prints: nanoseconds a switch

local kind, tasks, yields = arg[1], tonumber(arg[2]), tonumber(arg[3])
local clock = os.clock
local switches, started, ended = 0, nil, nil

-- Round-robin order makes the clock exact without any bookkeeping a switch: the first task back
-- from its first yield starts it, with all tasks created; the first one done stops it, `yields`
-- rounds later, before any task has ended.
local function worker(yield)
  yield()
  started = started or clock()
  for _ = 1, yields do
    yield()
  end
  ended = ended or clock()
  switches = switches + yields
end

local kinds = {}

function kinds.bare()
  local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
  local cos = {}
  for i = 1, tasks do
    cos[i] = create(worker)
    resume(cos[i], yield)
  end
  for _ = 1, yields + 1 do
    for i = 1, tasks do
      resume(cos[i])
    end
  end
end

function kinds.coev()
  local coev = require "coev"
  coev.run(function()
    for _ = 1, tasks do
      coev.spawn(worker, coev.yield)
    end
  end)
end

local function cqueues_tasks(yield)
  local queue = require("cqueues").new()
  for _ = 1, tasks do
    queue:wrap(worker, yield)
  end
  assert(queue:loop())
end

-- poll() without arguments is cqueues' cheapest yield, sleep(0) the one most programs use.
function kinds.cqueues()
  cqueues_tasks(require("cqueues").poll)
end

function kinds.cqueues_sleep()
  local sleep = require("cqueues").sleep
  cqueues_tasks(function()
    sleep(0)
  end)
end

function kinds.copas()
  local copas = require "copas"
  local pause = copas.pause
  local function yield()
    pause(0)
  end
  for _ = 1, tasks do
    copas.addthread(worker, yield)
  end
  copas.loop()
end

kinds[kind]()
assert(switches == tasks * yields, "not every task has made its switches")
print((ended - started) * 1e9 / switches)
