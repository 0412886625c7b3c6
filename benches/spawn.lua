-- The cost of a task's life: create, run once, end. Batches of 1,000 keep memory small.
-- usage: lua spawn.lua KIND TASKS   prints: nanoseconds a task

local kind, tasks = arg[1], tonumber(arg[2])
local BATCH = 1000
local ran = 0

local function life()
  ran = ran + 1
end

-- Starts `tasks` lives through `start`; `turn` lets a batch of them run.
local function batches(start, turn)
  local began = os.clock()
  for batch = BATCH, tasks, BATCH do
    for _ = 1, BATCH do
      start(life)
    end
    while ran < batch do
      turn()
    end
  end
  return os.clock() - began
end

local kinds = {}

function kinds.bare()
  local create, resume = coroutine.create, coroutine.resume
  local cos, n = {}, 0
  return batches(function(f)
    n = n + 1
    cos[n] = create(f)
  end, function()
    for i = 1, n do
      resume(cos[i])
      cos[i] = nil
    end
    n = 0
  end)
end

function kinds.coev()
  local coev = require "coev"
  return coev.run(function()
    return batches(coev.spawn, coev.yield)
  end)
end

function kinds.cqueues()
  local cqueues = require "cqueues"
  local queue, spent = cqueues.new(), nil
  queue:wrap(function()
    spent = batches(function(f)
      queue:wrap(f)
    end, cqueues.poll)
  end)
  assert(queue:loop())
  return spent
end

function kinds.copas()
  local copas = require "copas"
  local spent
  copas.addthread(function()
    spent = batches(copas.addthread, function()
      copas.pause(0)
    end)
  end)
  copas.loop()
  return spent
end

local spent = kinds[kind]()
assert(ran == tasks, "not every task has run")
print(spent * 1e9 / tasks)
