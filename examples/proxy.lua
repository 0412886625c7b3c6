-- A TCP proxy: what comes from a client goes to another server, and back.
--
--   lua examples/proxy.lua <host> <port> [own port]
--
-- Without an own port it takes a free one. It prints the port, and ends by Ctrl-C.

local coev = require "coev"
local socket = coev.socket

local host, port = arg[1], arg[2]
if not port then
  io.stderr:write("usage: lua examples/proxy.lua <host> <port> [own port]\n")
  os.exit(1)
end

-- Copies one way; the other way may go on after the end of this one.
local function pass(from, to)
  socket.copy(from, to)
  to:shutdown("send")
end

local function serve(client)
  local server, err = socket.connect(host, port)
  if not server then
    io.stderr:write("proxy: ", host, ":", port, ": ", err, "\n")
    return
  end
  coev.defer(function() server:close() end)
  local back = coev.spawn(pass, server, client)
  pass(client, server)
  back:join()
end

coev.run(function()
  local listener = assert(socket.listen("127.0.0.1", arg[3] or 0))
  print("proxy on 127.0.0.1:" .. select(2, listener:getsockname()))
  io.stdout:flush()
  socket.serve(listener, serve)
end)
