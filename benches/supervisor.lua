-- The cost of one dispatch: N processes that each wait for the same event, signalled M times.
-- usage: lua supervisor.lua KIND PROCESSES EVENTS   prints: nanoseconds a dispatch (a process that gets an event)

local kind, processes, events = arg[1], tonumber(arg[2]), tonumber(arg[3])
local create, resume, status, yield = coroutine.create, coroutine.resume, coroutine.status, coroutine.yield
local dispatched = 0

-- Looks whether it is the right event.
local function check(i, event, value)
  if event ~= "tick" or value ~= i then
    error("event " .. i .. " came as " .. tostring(event) .. " " .. tostring(value))
  end
  dispatched = dispatched + 1
end

-- Waits for each event by a function of the event.
local function process(wait)
  for i = 1, events do
    check(i, wait("tick"))
  end
end

local kinds = {}

-- All processes of an array, one after the other.
function kinds.bare()
  local cos = {}
  for i = 1, processes do
    cos[i] = create(process)
    assert(resume(cos[i], yield))
  end
  local began = os.clock()
  for event = 1, events do
    for i = 1, processes do
      resume(cos[i], "tick", event)
    end
  end
  return os.clock() - began
end

-- The dispatcher of the lua-users wiki's "Coroutines As Event Handlers": a coroutine that takes requests, and keeps for
-- each event the set of coroutines that wait for it. These say what they wait for when they yield.
local function dispatcher(...)
  local waiting, names, done = {}, {}, false
  local requests = {}

  local function forget(co)
    for _, set in pairs(waiting) do
      set[co] = nil
    end
    names[co] = nil
  end

  -- Puts `co` into the set of the event that it wants, after its turn.
  local function settle(co, ok, wish, ...)
    if status(co) == "dead" then
      local name = names[co]
      forget(co)
      if not ok then
        error(name .. ": " .. tostring(wish))
      end
    elseif wish ~= "waitfor" then
      error(names[co] .. " wants " .. tostring(wish))
    else
      local event = ...
      local set = waiting[event]
      if not set then
        set = {}
        waiting[event] = set
      end
      set[co] = true
    end
  end

  function requests.introduce(name, f, ...)
    local co = create(f)
    names[co] = name
    settle(co, resume(co, ...))
  end

  function requests.signal(event, ...)
    local set = waiting[event]
    if not set then
      return false
    end
    for co in pairs(set) do
      set[co] = nil
      settle(co, resume(co, event, ...))
    end
    return next(set) ~= nil
  end

  function requests.done()
    done = true
  end

  local function answer(request, ...)
    return requests[request](...)
  end

  local reply = answer(...)
  while not done do
    reply = answer(yield(reply))
  end
end

function kinds.wiki()
  local co = create(dispatcher)
  local function send(...)
    local ok, reply = resume(co, ...)
    assert(ok, reply)
    return reply
  end
  local function wait(event)
    return yield("waitfor", event)
  end
  for i = 1, processes do
    send("introduce", "process " .. i, process, wait)
  end
  local began, event = os.clock(), 1
  while send("signal", "tick", event) do
    event = event + 1
  end
  local spent = os.clock() - began
  send("done")
  return spent
end

-- Each process is a task of coev.supervisor.
function kinds.coev()
  local coev = require "coev"
  return coev.run(function()
    local supervisor = coev.supervisor.new()
    for i = 1, processes do
      supervisor:introduce("process " .. i, function()
        for each = 1, events do
          check(each, supervisor:waitfor("tick"))
        end
      end)
    end
    local began, event = os.clock(), 1
    while supervisor:signal("tick", event) do
      event = event + 1
    end
    return os.clock() - began
  end)
end

local spent = kinds[kind]()
assert(dispatched == processes * events, "not every event has come to every process")
print(spent * 1e9 / dispatched)
