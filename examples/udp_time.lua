-- The time by UDP: a server that answers each message with the time, and a client that asks until it hears.
--
--   lua examples/udp_time.lua                 asks a server of its own, in the same process
--   lua examples/udp_time.lua <port>          serves on that port until Ctrl-C
--   lua examples/udp_time.lua <host> <port>   asks a server

local coev = require "coev"
local socket = coev.socket

-- Seconds until the question is asked again, and how often.
local PATIENCE, TRIES = 0.5, 4

local function serve(sock)
  while true do
    local _, ip, port = sock:receivefrom()
    if not port then return end
    sock:sendto(os.date("!%Y-%m-%d %H:%M:%S"), ip, port)
  end
end

local function ask(host, port)
  local sock = socket.udp()
  assert(sock:setpeername(host, port))
  sock:settimeout(PATIENCE)
  for _ = 1, TRIES do
    sock:send("time?")
    local answer = sock:receive()
    if answer then
      sock:close()
      return answer
    end
  end
  sock:close()
  return nil, "no answer"
end

local function listen(port)
  local sock = socket.udp()
  assert(sock:setsockname("127.0.0.1", port))
  return sock, select(2, sock:getsockname())
end

coev.run(function()
  local host, port = arg[1], arg[2]
  if host and not port then
    local sock, own = listen(host)
    print("time server on 127.0.0.1:" .. own)
    io.stdout:flush()
    return serve(sock)
  end
  local sock
  if not host then
    sock, port = listen(0)
    host = "127.0.0.1"
    coev.spawn(serve, sock)
  end
  print(assert(ask(host, port)))
  if sock then sock:close() end
end)
