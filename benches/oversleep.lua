-- How much longer a short sleep takes than asked.
-- usage: lua oversleep.lua KIND SECONDS TIMES   prints: the median and the 99th percentile, in microseconds

local kind, seconds, times = arg[1], tonumber(arg[2]), tonumber(arg[3])
local coev = require "coev"
local now = coev.now
local over = {}

local function measure(sleep)
  for i = 1, times do
    local began = now()
    sleep(seconds)
    over[i] = now() - began - seconds
  end
end

local kinds = {}

function kinds.coev()
  coev.run(measure, coev.sleep)
end

-- A timer instead of a sleep.
function kinds.after()
  coev.run(measure, function(delay)
    coev.after(delay, math.abs, 0):join()
  end)
end

function kinds.luv()
  local uv = require "luv"
  local timer = uv.new_timer()
  local left = times
  local began
  local function fired()
    if began then
      over[#over + 1] = now() - began - seconds
      left = left - 1
    end
    if left > 0 then
      uv.update_time()
      began = now()
      timer:start(math.ceil(seconds * 1000), 0, fired)
    else
      timer:close()
    end
  end
  timer:start(0, 0, fired)
  uv.run()
end

function kinds.cqueues()
  local cqueues = require "cqueues"
  local queue = cqueues.new()
  queue:wrap(measure, cqueues.sleep)
  assert(queue:loop())
end

function kinds.copas()
  local copas = require "copas"
  copas.addthread(measure, copas.pause)
  copas.loop()
end

kinds[kind]()
assert(#over == times, "not every sleep has ended")
table.sort(over)
print(("%f %f"):format(over[math.floor(times / 2) + 1] * 1e6, over[math.floor(times * 0.99) + 1] * 1e6))
