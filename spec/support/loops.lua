-- Other event loops: luv's and cqueues', driving coev and driven by it.

local coev = require "coev"

local loops = {}

-- The modules, or nil where there is none for this Lua.
local has_luv, luv = pcall(require, "luv")
loops.luv = has_luv and luv or nil
local has_cqueues, cqueues = pcall(require, "cqueues")
loops.cqueues = has_cqueues and cqueues or nil

-- Milliseconds that are not shorter than so many seconds.
local function milliseconds(seconds)
  return math.ceil(seconds * 1000)
end

-- Lets luv's loop drive coev until coev has nothing to do; answers in how many turns.
function loops.luv_drives()
  local turns, err = 0, nil
  local watcher, timer = luv.new_poll(coev.pollfd()), luv.new_timer()
  local function turn()
    turns = turns + 1
    local ok, more = pcall(coev.step, 0)
    if not ok then
      err, more = more, false
    end
    if not more then
      watcher:close()
      timer:close()
      luv.stop()
      return
    end
    luv.update_time()
    local due = coev.due()
    if due then
      timer:start(milliseconds(due), 0, turn)
    else
      timer:stop()
    end
  end
  watcher:start("r", turn)
  timer:start(0, 0, turn)
  luv.run()
  -- The handles are closed in the turn after.
  luv.run("nowait")
  if err then
    error(err, 0)
  end
  return turns
end

-- Lets a loop of cqueues drive coev; `others` are functions that run in it beside. Answers in how many turns.
function loops.cqueues_drives(...)
  local turns = 0
  local queue = cqueues.new()
  local scheduler = {
    pollfd = coev.pollfd,
    events = function()
      return "r"
    end,
    timeout = coev.due,
  }
  queue:wrap(function()
    repeat
      turns = turns + 1
      local more = coev.step(0)
      if more then
        cqueues.poll(scheduler)
      end
    until not more
  end)
  for _, other in ipairs({ ... }) do
    queue:wrap(other)
  end
  local ok, err = queue:loop()
  queue:close()
  if not ok then
    error(err, 0)
  end
  return turns
end

-- Runs luv's loop as the task that calls it, until it has nothing to do; answers in how many turns.
function loops.host_luv()
  local turns = 0
  while luv.loop_alive() do
    turns = turns + 1
    luv.run("nowait")
    if luv.loop_alive() then
      luv.update_time()
      local timeout = luv.backend_timeout()
      coev.wait(luv.backend_fd(), "r", timeout >= 0 and timeout / 1000 or nil)
    end
  end
  return turns
end

-- Runs a loop of cqueues as the task that calls it, until it has nothing to do; answers in how many turns.
function loops.host_cqueues(queue)
  local turns = 0
  while not queue:empty() do
    turns = turns + 1
    assert(queue:step(0))
    if not queue:empty() then
      coev.wait(queue, "r", queue:timeout())
    end
  end
  return turns
end

-- A function for coev.poller: luv's loop waits, and does its own work meanwhile. The second result ends it.
function loops.luv_poller()
  local watcher, timer
  local ready
  local function wake()
    ready = true
    luv.stop()
  end
  local function wait(fd, timeout)
    watcher = watcher or luv.new_poll(fd)
    timer = timer or luv.new_timer()
    ready = false
    luv.update_time()
    watcher:start("r", wake)
    if timeout then
      timer:start(milliseconds(timeout), 0, wake)
    end
    while not ready do
      luv.run("once")
    end
    watcher:stop()
    timer:stop()
  end
  local function finish()
    for _, handle in ipairs({ watcher, timer }) do
      handle:close()
    end
    luv.run("nowait")
  end
  return wait, finish
end

-- Their descriptors are made at the first use, and luv's stay.
if loops.luv then
  local server = luv.new_tcp()
  server:bind("127.0.0.1", 0)
  server:listen(1, function() end)
  server:close()
  luv.run("nowait")
end

return loops
