-- The memory of a connection on which a reader waits: growth of the resident set over many of them.
-- usage: lua idle.lua KIND CONNECTIONS PAGESIZE   prints: its port; when all have come: bytes a connection

local kind, connections, pagesize = arg[1], tonumber(arg[2]), tonumber(arg[3])
local BACKLOG = 1024

local function resident()
  collectgarbage()
  collectgarbage()
  local file = assert(io.open("/proc/self/statm"))
  local pages = file:read("*a"):match("^%d+ (%d+)")
  file:close()
  return tonumber(pages) * pagesize
end

local before

-- Says the port, and begins to measure.
local function begin(port)
  io.stdout:write(("%d\n"):format(port))
  io.stdout:flush()
  before = resident()
end

-- All are there: prints the growth and leaves at once.
local function report()
  print((resident() - before) / connections)
  io.stdout:flush()
  os.exit(0)
end

local function listen(socket)
  local listener = assert(socket.bind("127.0.0.1", 0, BACKLOG))
  begin(tonumber((select(2, listener:getsockname()))))
  return listener
end

local kinds = {}

function kinds.coev()
  local coev = require "coev"
  coev.run(function()
    local listener = listen(coev.socket)
    for _ = 1, connections do
      local client = assert(listener:accept())
      coev.spawn(client.receive, client)
    end
    coev.sleep(0.1)
    report()
  end)
end

function kinds.luv()
  local uv = require "luv"
  local listener, accepted = uv.new_tcp(), 0
  assert(listener:bind("127.0.0.1", 0))
  assert(listener:listen(BACKLOG, function()
    local client = uv.new_tcp()
    assert(listener:accept(client))
    client:read_start(function() return client end)
    accepted = accepted + 1
    if accepted == connections then report() end
  end))
  begin(listener:getsockname().port)
  uv.run()
end

function kinds.cqueues()
  local cqueues = require "cqueues"
  local socket = require "cqueues.socket"
  local queue = cqueues.new()
  queue:wrap(function()
    local listener = assert(socket.listen("127.0.0.1", 0))
    assert(listener:listen())
    begin((select(3, listener:localname())))
    for _ = 1, connections do
      local client = assert(listener:accept())
      queue:wrap(function() client:read("*l") end)
    end
    cqueues.sleep(0.1)
    report()
  end)
  assert(queue:loop())
end

kinds[kind]()
