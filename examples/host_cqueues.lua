-- Another event loop inside coev: cqueues' runs as a task beside coev's own.
--
--   lua examples/host_cqueues.lua
--
-- Any loop that has a descriptor and says how long it may wait is hosted likewise: luv's by
-- coev.wait(luv.backend_fd(), "r", luv.backend_timeout() / 1000) and luv.run("nowait").

local coev = require "coev"
local has_cqueues, cqueues = pcall(require, "cqueues")
if not has_cqueues then
  io.stderr:write("this example needs cqueues (Debian: lua-cqueues; LuaRocks: cqueues)\n")
  os.exit(1)
end

-- Runs the loop of `queue` as the current task, until all that was put into it has ended.
local function host(queue)
  while not queue:empty() do
    assert(queue:step(0))
    if not queue:empty() then
      coev.wait(queue, "r", queue:timeout())
    end
  end
end

coev.run(function()
  local queue = cqueues.new()
  for i = 1, 3 do
    queue:wrap(function()
      cqueues.sleep(i * 0.01)
      print("cqueues: coroutine " .. i)
    end)
  end
  coev.spawn(function()
    for i = 1, 3 do
      coev.sleep(0.009)
      print("coev:    turn " .. i)
    end
  end)
  host(queue)
end)
print("both have ended")
