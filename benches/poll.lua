-- The cost of an event: many sockets that are ready to read, and stay so.
-- usage: lua poll.lua KIND SOCKETS EVENTS   prints: nanoseconds of CPU an event

local kind, count, events = arg[1], tonumber(arg[2]), tonumber(arg[3])
local coev = require "coev"
local seen, sum = 0, 0

-- Sockets of coev's in either case: luv watches their descriptors.
local function make()
  local listener = assert(coev.socket.bind("127.0.0.1", 0, 128))
  local address, port = listener:getsockname()
  local near, far = {}, {}
  for i = 1, count do
    near[i] = assert(coev.socket.connect(address, port))
    far[i] = assert(listener:accept())
    assert(far[i]:send("x"))
  end
  for i = 1, count do
    assert(coev.wait(near[i], "r", 5))
  end
  return near, far
end

local kinds = {}

function kinds.coev(sockets)
  local began, spent
  coev.run(function()
    local poll = assert(coev.poll.new())
    for i = 1, count do
      poll:add(sockets[i]:getfd(), "r", i)
    end
    began = os.clock()
    while seen < events do
      local batch = poll:wait()
      for i = 1, #batch do
        seen = seen + 1
        sum = sum + batch[i][3]
      end
    end
    spent = os.clock() - began
    poll:close()
  end)
  return spent
end

function kinds.luv(sockets)
  local uv = require "luv"
  for i = 1, count do
    uv.new_poll(sockets[i]:getfd()):start("r", function()
      seen = seen + 1
      sum = sum + i
    end)
  end
  local began = os.clock()
  while seen < events do
    uv.run("nowait")
  end
  return os.clock() - began
end

local near, far = make()
local spent = kinds[kind](near)
assert(#far == count and sum > 0)
print(spent * 1e9 / seen)
