-- The cost of locks and channels.
-- usage: lua sync.lua KIND COUNT   prints: nanoseconds for one of what the kind says

local kind, count = arg[1], tonumber(arg[2])
local clock = os.clock
local kinds = {}

-- Runs `f` in a task of coev's.
local function in_coev(f)
  local coev = require "coev"
  local result
  coev.run(function()
    result = f(coev)
  end)
  return result
end

-- A plain call of a C function that LuaJIT does not compile: three are the limit of a lock and its unlock.
function kinds.c_call()
  local call = coroutine.running
  local start = clock()
  for i = 1, count do
    call(i)
  end
  return clock() - start
end

-- The same without the call.
function kinds.nothing()
  local start = clock()
  for i = 1, count do
    local _ = i
  end
  return clock() - start
end

-- A lock and its unlock, with nobody else around.
function kinds.lock()
  return in_coev(function(coev)
    local mutex = coev.mutex.new()
    local start = clock()
    for _ = 1, count do
      mutex:lock()
      mutex:unlock()
    end
    return clock() - start
  end)
end

-- Two tasks side by side: seconds for `count` rounds of both.
local function pair(coev, first, second)
  local started, ended
  local a = coev.spawn(function()
    coev.yield()
    started = clock()
    first()
    ended = ended or clock()
  end)
  local b = coev.spawn(function()
    coev.yield()
    second()
    ended = ended or clock()
  end)
  a:join()
  b:join()
  return ended - started
end

-- Two switches between two tasks.
function kinds.switches()
  return in_coev(function(coev)
    local yield = coev.yield
    local function loop()
      for _ = 1, count do
        yield()
      end
    end
    return pair(coev, loop, loop)
  end)
end

-- A mutex that goes to the other task and comes back: both are always in line.
function kinds.hand_over()
  return in_coev(function(coev)
    local mutex = coev.mutex.new()
    local function loop()
      mutex:lock()
      coev.yield()
      for _ = 1, count do
        mutex:unlock()
        mutex:lock()
      end
      mutex:unlock()
    end
    return pair(coev, loop, loop)
  end)
end

-- A value to another task, and one back.
function kinds.ping_pong()
  return in_coev(function(coev)
    local there, back = coev.channel.new(), coev.channel.new()
    return pair(coev, function()
      for i = 1, count do
        there:send(i)
        assert(back:receive() == i)
      end
    end, function()
      for _ = 1, count do
        back:send(there:receive())
      end
    end)
  end)
end

-- Items through a bounded queue of 100.
function kinds.items()
  return in_coev(function(coev)
    local channel = coev.channel.new(100)
    local start = clock()
    coev.spawn(function()
      for i = 1, count do
        channel:send(i)
      end
      channel:close()
    end)
    local sum = 0
    for item in channel:iter() do
      sum = sum + item
    end
    assert(sum == count * (count + 1) / 2)
    return clock() - start
  end)
end

function kinds.items_copas()
  local copas = require "copas"
  local queue = require("copas.queue").new()
  local seconds
  copas.loop(function()
    local start, sum, left = clock(), 0, count
    copas.addthread(function()
      for i = 1, count do
        -- It has no bound of its own: whoever fills it gives way.
        while queue:get_size() >= 100 do
          copas.pause(0)
        end
        queue:push(i)
      end
    end)
    while left > 0 do
      sum, left = sum + queue:pop(math.huge), left - 1
    end
    assert(sum == count * (count + 1) / 2)
    seconds = clock() - start
    queue:stop()
  end)
  return seconds
end

function kinds.items_cqueues()
  local cqueues, condition = require "cqueues", require "cqueues.condition"
  local queue, items, first, last = cqueues.new(), {}, 1, 0
  local has_items, has_room = condition.new(), condition.new()
  local start, sum = clock(), 0
  queue:wrap(function()
    for i = 1, count do
      while last - first + 1 >= 100 do
        has_room:wait()
      end
      last = last + 1
      items[last] = i
      has_items:signal()
    end
  end)
  queue:wrap(function()
    for _ = 1, count do
      while first > last do
        has_items:wait()
      end
      local item = items[first]
      items[first] = nil
      first = first + 1
      sum = sum + item
      has_room:signal()
    end
  end)
  assert(queue:loop())
  assert(sum == count * (count + 1) / 2)
  return clock() - start
end

-- A receive of what is there, alone and as one case of eight.
local function receives(receive)
  return in_coev(function(coev)
    local channels = {}
    for i = 1, 8 do
      channels[i] = coev.channel.new(1)
    end
    local wanted = channels[5]
    local cases = {}
    for i = 1, 8 do
      cases[i] = { channels[i], "receive" }
    end
    local start = clock()
    for i = 1, count do
      wanted:send(i)
      receive(coev, wanted, cases)
    end
    return clock() - start
  end)
end

function kinds.receive()
  return receives(function(_, wanted)
    return wanted:receive()
  end)
end

function kinds.select()
  return receives(function(coev, _, cases)
    return coev.select(cases)
  end)
end

-- The same where each receive has to wait.
local function waiting_receives(receive)
  return in_coev(function(coev)
    local channels, cases = {}, {}
    for i = 1, 8 do
      channels[i] = coev.channel.new()
      cases[i] = { channels[i], "receive" }
    end
    local wanted = channels[5]
    return pair(coev, function()
      for _ = 1, count do
        receive(coev, wanted, cases)
      end
    end, function()
      for i = 1, count do
        wanted:send(i)
        coev.yield()
      end
    end)
  end)
end

function kinds.receive_waiting()
  return waiting_receives(function(_, wanted)
    return wanted:receive()
  end)
end

function kinds.select_waiting()
  return waiting_receives(function(coev, _, cases)
    return coev.select(cases)
  end)
end

print(kinds[kind]() * 1e9 / count)
