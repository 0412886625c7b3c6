-- The CPU cost of one sleep: many tasks that sleep 0 to 0.2 s, three times each.
-- usage: lua sleep.lua KIND TASKS   prints: nanoseconds of CPU a sleep (creation included)

local kind, tasks = arg[1], tonumber(arg[2])
local EACH, LONGEST = 3, 0.2
local slept = 0

math.randomseed(42)
local random = math.random

local function sleeper(sleep)
  for _ = 1, EACH do
    sleep(random() * LONGEST)
    slept = slept + 1
  end
end

local kinds = {}

function kinds.coev()
  local coev = require "coev"
  coev.run(function()
    for _ = 1, tasks do
      coev.spawn(sleeper, coev.sleep)
    end
  end)
end

function kinds.luv()
  local uv = require "luv"
  for _ = 1, tasks do
    local timer, left = uv.new_timer(), EACH
    local function fired()
      slept = slept + 1
      left = left - 1
      if left > 0 then
        timer:start(math.floor(random() * LONGEST * 1000), 0, fired)
      else
        timer:close()
      end
    end
    timer:start(math.floor(random() * LONGEST * 1000), 0, fired)
  end
  uv.run()
end

function kinds.cqueues()
  local cqueues = require "cqueues"
  local queue = cqueues.new()
  for _ = 1, tasks do
    queue:wrap(sleeper, cqueues.sleep)
  end
  assert(queue:loop())
end

function kinds.copas()
  local copas = require "copas"
  for _ = 1, tasks do
    copas.addthread(sleeper, copas.pause)
  end
  copas.loop()
end

local began = os.clock()
kinds[kind]()
local spent = os.clock() - began
assert(slept == tasks * EACH, "not every task has slept")
print(spent * 1e9 / slept)
