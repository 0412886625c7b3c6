-- A supervisor at both of its trades: processes that wait for events by name, and a child that is started again.
--
--   lua examples/supervisor.lua [processes] [events]
--
-- The first half is the test of the lua-users wiki's "Coroutines As Event Handlers": every process gets every event, in
-- order, until none waits any more.

local coev = require "coev"

local processes, events = tonumber(arg[1] or 10), tonumber(arg[2] or 1000)

-- How often the child fails before it does its work.
local FAILURES = 2

local function dispatch()
  local supervisor = coev.supervisor.new()
  local received = 0

  local function process()
    for expected = 1, events do
      local event, value = supervisor:waitfor("tick")
      assert(event == "tick" and value == expected, "an event is missing, or came out of order")
      received = received + 1
    end
  end

  for i = 1, processes do
    supervisor:introduce(("process %04d"):format(i), process)
  end
  for _, entry in ipairs(supervisor:status()) do
    assert(entry[2] == "tick", entry[1] .. " does not wait for its event")
  end

  -- `signal` comes back when all have had their turn, and says whether somebody still waits.
  local signals = 1
  while supervisor:signal("tick", signals) do
    signals = signals + 1
  end
  print(("%d signals brought %d events to %d processes"):format(signals, received, processes))
  print(#supervisor:status() .. " of them still wait")
  supervisor:done()
end

local function restart()
  local supervisor = coev.supervisor.new({
    max_restarts = FAILURES,
    log = function(text)
      print("log: " .. text:match("^[^\n]*")) -- without the tracebacks of failures
    end,
  })
  local starts = 0
  supervisor:child({
    name = "worker",
    restart = "transient", -- again when it fails, not when it is through
    run = function()
      starts = starts + 1
      coev.sleep(0.01)
      if starts <= FAILURES then
        error("out of luck", 0)
      end
      print("the worker has done its work")
    end,
  })
  supervisor:await()
  print("it was started " .. starts .. " times")
end

coev.run(dispatch)
coev.run(restart)
