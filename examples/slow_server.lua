-- A web server that is as slow as it is asked to be.
--
--   lua examples/slow_server.lua [port]
--
-- GET /delay/0.3/size/1000   waits 0.3 seconds, then answers with 1,000 bytes
-- GET /delay/0.3/chunked/1000   the same, in chunks
-- GET /delay/0.3/close/1000     the same, up to the end of the connection
--
-- Without a port it takes a free one. It prints the port, and ends by Ctrl-C.

local coev = require "coev"
local socket = coev.socket

local CHUNK_BYTES = 4096
-- More would only test the patience of the memory.
local MOST_BYTES = 100 * 1024 * 1024

local function head(status, ...)
  local lines = { "HTTP/1.1 " .. status, "Content-Type: text/plain", "Connection: close", ... }
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

local send_body = {}

function send_body.size(client, body)
  client:send(head("200 OK", "Content-Length: " .. #body) .. body)
end

function send_body.close(client, body)
  client:send(head("200 OK") .. body)
end

function send_body.chunked(client, body)
  client:send(head("200 OK", "Transfer-Encoding: chunked"))
  for first = 1, #body, CHUNK_BYTES do
    local chunk = body:sub(first, first + CHUNK_BYTES - 1)
    client:send(("%x\r\n%s\r\n"):format(#chunk, chunk))
  end
  client:send("0\r\n\r\n")
end

local function answer(client, request)
  local delay, kind, size = request:match("^GET /delay/([%d.]+)/(%l+)/(%d+) ")
  delay, size = tonumber(delay), tonumber(size)
  if not (delay and send_body[kind]) or size > MOST_BYTES then
    client:send(head("404 Not Found", "Content-Length: 0"))
    return
  end
  coev.sleep(delay)
  send_body[kind](client, ("x"):rep(size))
end

local function serve(client)
  client:settimeout(10)
  local request = client:receive("*l")
  local line = request
  while line and line ~= "" do
    line = client:receive("*l")
  end
  if line then
    answer(client, request)
  end
  client:close()
end

coev.run(function()
  local server = assert(socket.bind("127.0.0.1", arg[1] or 0))
  local _, port = server:getsockname()
  print("slow server on 127.0.0.1:" .. port)
  io.stdout:flush()
  while true do
    local client, err = server:accept()
    if client then
      coev.spawn(serve, client)
    else
      io.stderr:write("slow_server: ", err, "\n")
      coev.sleep(0.1)
    end
  end
end)
