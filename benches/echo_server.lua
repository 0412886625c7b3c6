-- An echo server, once in each library's natural style; ends after CONNECTIONS have come and gone.
-- usage: lua echo_server.lua KIND CONNECTIONS [LENGTH [line]]   prints: its port, at the end: messages

local kind, connections, line = arg[1], tonumber(arg[2]), arg[4] == "line"
local BACKLOG = 1024
local SIZE = tonumber(arg[3] or 64)
local messages = 0

local function say(value)
  io.stdout:write(string.format("%d\n", value))
  io.stdout:flush()
end

-- One connection of whatever has LuaSocket's methods.
local function converse(client)
  local count = 0
  if line then
    local text = client:receive("*l")
    while text do
      assert(client:send(text .. "\n"))
      count = count + 1
      text = client:receive("*l")
    end
  else
    local text = client:receive(SIZE)
    while text do
      assert(client:send(text))
      count = count + 1
      text = client:receive(SIZE)
    end
  end
  client:close()
  messages = messages + count
end

-- A listener of whatever has LuaSocket's functions.
local function listen(socket)
  local listener = assert(socket.bind("127.0.0.1", 0, BACKLOG))
  local _, port = listener:getsockname()
  say(tonumber(port))
  return listener
end

local kinds = {}

function kinds.coev()
  local coev = require "coev"
  coev.run(function()
    local listener = listen(coev.socket)
    for _ = 1, connections do
      coev.spawn(converse, assert(listener:accept()))
    end
    listener:close()
  end)
end

function kinds.luv()
  local uv = require "luv"
  local listener, accepted = uv.new_tcp(), 0
  assert(listener:bind("127.0.0.1", 0))
  assert(listener:listen(BACKLOG, function(failure)
    assert(not failure, failure)
    local client = uv.new_tcp()
    assert(listener:accept(client))
    accepted = accepted + 1
    if accepted == connections then
      listener:close()
    end
    local parts, size = {}, 0
    client:read_start(function(err, chunk)
      assert(not err, err)
      if chunk then
        parts[#parts + 1], size = chunk, size + #chunk
        if size == SIZE then -- the client waits for its echo: no more than a message comes
          messages = messages + 1
          client:write(parts)
          parts, size = {}, 0
        end
      else
        client:close()
      end
    end)
  end))
  say(listener:getsockname().port)
  uv.run()
end

function kinds.cqueues()
  local cqueues = require "cqueues"
  local socket = require "cqueues.socket"
  local function talk(client)
    local count = 0
    client:setmode("b", "bn")
    if line then
      for text in client:lines("*l") do
        assert(client:write(text, "\n"))
        count = count + 1
      end
    else
      local text = client:read(SIZE)
      while text do
        assert(client:write(text))
        count = count + 1
        text = client:read(SIZE)
      end
    end
    client:close()
    messages = messages + count
  end
  local queue = cqueues.new()
  queue:wrap(function()
    local listener = assert(socket.listen("127.0.0.1", 0))
    assert(listener:listen())
    local _, _, port = listener:localname()
    say(port)
    for _ = 1, connections do
      queue:wrap(talk, assert(listener:accept()))
    end
    listener:close()
  end)
  assert(queue:loop())
end

function kinds.copas()
  local copas = require "copas"
  local listener = listen(require "socket")
  local accepted = 0
  copas.addserver(listener, function(client)
    accepted = accepted + 1
    if accepted == connections then
      copas.removeserver(listener)
    end
    converse(copas.wrap(client))
  end)
  copas.loop()
end

function kinds.luasocket()
  local socket = require "socket"
  local listener = listen(socket)
  local sockets, index, partial = { listener }, { [listener] = 1 }, {}
  local accepted = 0

  local function forget(gone)
    local last = sockets[#sockets]
    sockets[index[gone]], index[last] = last, index[gone]
    sockets[#sockets], index[gone], partial[gone] = nil, nil, nil
    gone:close()
  end

  while #sockets > 0 do
    for _, ready in ipairs((socket.select(sockets, nil))) do
      if ready == listener then
        local client = assert(listener:accept())
        client:settimeout(0)
        sockets[#sockets + 1] = client
        index[client] = #sockets
        accepted = accepted + 1
        if accepted == connections then
          forget(listener)
        end
      else
        local text, err, rest = ready:receive(line and "*l" or SIZE, partial[ready])
        if text then
          messages = messages + 1
          partial[ready] = nil
          ready:settimeout(nil)
          assert(ready:send(line and text .. "\n" or text))
          ready:settimeout(0)
        elseif err == "timeout" then
          partial[ready] = rest
        else
          forget(ready)
        end
      end
    end
  end
end

kinds[kind]()
say(messages)
