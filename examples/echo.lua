-- An echo server: sends each line back to the client that wrote it.
--
--   lua examples/echo.lua [port]
--
-- Without a port it takes a free one. It prints the port, and ends by Ctrl-C.

local coev = require "coev"
local socket = coev.socket

local function serve(client)
  client:setoption("tcp-nodelay", true)
  repeat
    local line = client:receive("*l")
    if line then
      client:send(line .. "\n")
    end
  until not line
  client:close()
end

coev.run(function()
  local server = assert(socket.bind("127.0.0.1", arg[1] or 0))
  local _, port = server:getsockname()
  print("echo server on 127.0.0.1:" .. port)
  io.stdout:flush()
  while true do
    local client, err = server:accept()
    if client then
      coev.spawn(serve, client)
    else
      io.stderr:write("echo: ", err, "\n")
      coev.sleep(0.1)
    end
  end
end)
