-- What a deadline costs that does not expire: K tasks that only yield, in lockstep, plainly or each time within
-- coev.timeout.
-- usage: lua timeout.lua KIND TASKS YIELDS   prints: nanoseconds a yield

local coev = require "coev"

local kind, tasks, yields = arg[1], tonumber(arg[2]), tonumber(arg[3])
local clock = os.clock
local SECONDS = 5
local waits, started, ended = 0, nil, nil

local kinds = { plain = coev.yield }

local timeout, yield = coev.timeout, coev.yield

function kinds.timed()
  timeout(SECONDS, yield)
end

-- Round-robin order makes the clock exact, as in switch.lua.
local function worker(wait)
  wait()
  started = started or clock()
  for _ = 1, yields do
    wait()
  end
  ended = ended or clock()
  waits = waits + yields
end

coev.run(function()
  for _ = 1, tasks do
    coev.spawn(worker, kinds[kind])
  end
end)
assert(waits == tasks * yields, "not every task has waited")
print((ended - started) * 1e9 / waits)
