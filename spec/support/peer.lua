-- The other end of a connection, in the same process: coev's own sockets.

local coev = require "coev"

local socket = coev.socket
local peer = {}

-- A listening socket on a free port, its address and its port.
function peer.listen(backlog)
  local listener = assert(socket.bind("127.0.0.1", 0, backlog))
  local address, port = listener:getsockname()
  return listener, address, port
end

-- Two connected sockets: the one that called, the one that was called.
function peer.pair()
  local listener, address, port = peer.listen()
  local near = assert(socket.connect(address, port))
  local far = assert(listener:accept())
  listener:close()
  return near, far
end

-- A socket to a task that runs `script(far)` and then closes its own end.
function peer.scripted(script)
  local near, far = peer.pair()
  coev.spawn(function()
    script(far)
    far:close()
  end)
  return near
end

-- Closes all these sockets.
function peer.close(...)
  for _, each in ipairs({ ... }) do
    each:close()
  end
end

-- A port on which nobody listens.
function peer.free_port()
  local listener, _, port = peer.listen()
  listener:close()
  return port
end

return peer
