-- The cost of threads and of what passes between them.
-- usage: lua threads.lua KIND COUNT   prints: nanoseconds for one of what the kind says

local coev = require "coev"
local thread = coev.thread
local kind, count = arg[1], tonumber(arg[2])
local kinds = {}

-- A thread that is started and joined.
function kinds.start()
  for _ = 1, count do
    assert(thread.new("return 1"):join())
  end
end

-- A message there and one back, between two threads that sleep meanwhile.
function kinds.ping_pong()
  local there, back = thread.channel(), thread.channel()
  local t = thread.new([[
    local there, back = ...
    local value = there:receive()
    while value do
      back:send(value)
      value = there:receive()
    end
  ]], there, back)
  coev.run(function()
    for i = 1, count do
      there:send(i)
      back:receive()
    end
    there:close()
  end)
  t:join()
end

-- Values one way, through a channel that holds 1024.
local function one_way(value)
  local channel = thread.channel(1024)
  local t = thread.new([[
    local channel = ...
    local n = 0
    while channel:receive() do n = n + 1 end
    return n
  ]], channel)
  coev.run(function()
    for _ = 1, count do
      channel:send(value)
    end
    channel:close()
  end)
  assert(select(2, t:join()) == count)
end

function kinds.strings()
  one_way(("x"):rep(100))
end

function kinds.tables()
  one_way({ a = 1, b = 2, c = "three", d = 4.5, e = true, f = 6, g = "seven", h = 8, i = 9, j = "ten" })
end

-- The same work, in one thread and in two.
local WORK = [[
  local n = ...
  local x = 0
  for i = 1, 20000 do x = (x + i * n) % 1000003 end
  return x
]]

local function map(threads)
  local items = {}
  for i = 1, count do
    items[i] = i
  end
  local pool = thread.pool(threads)
  local work = (loadstring or load)(WORK)
  pool:map({ 1, 2 }, work)
  local start = coev.now()
  pool:map(items, work)
  local seconds = coev.now() - start
  pool:close()
  pool:join()
  return seconds
end

function kinds.map_one()
  return map(1)
end

function kinds.map_two()
  return map(2)
end

local start = coev.now()
local seconds = kinds[kind]() or coev.now() - start
print(("%.1f"):format(seconds / count * 1e9))
