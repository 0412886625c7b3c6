-- A web server: HTTP/1.1 with connections that are kept, and pages that are Lua functions.
--
--   lua examples/http_server.lua [port]
--
-- GET /              says hello
-- GET /time          tells the time
-- GET /slow          takes half a second, without keeping anybody else waiting
-- POST /upper        answers with the body in capitals
--
-- Without a port it takes a free one. It prints the port, and ends by Ctrl-C.

local coev = require "coev"
local socket = coev.socket

-- A client that is silent for so many seconds is let go.
local PATIENCE = 30
-- A larger body is refused.
local MOST_BODY = 1024 * 1024

local REASONS = { [200] = "OK", [400] = "Bad Request", [404] = "Not Found", [413] = "Payload Too Large" }

local pages = {}

pages["GET /"] = function()
  return 200, "hello\n"
end

pages["GET /time"] = function()
  return 200, os.date("!%Y-%m-%d %H:%M:%S\n")
end

pages["GET /slow"] = function()
  coev.sleep(0.5)
  return 200, "at last\n"
end

pages["POST /upper"] = function(request)
  return 200, request.body:upper()
end

-- The next request of the client; nil when there is none, and a status where it cannot be answered.
local function read_request(client)
  local line = client:receive("*l")
  if not line then return nil end
  local request = { headers = {}, body = "" }
  request.method, request.path, request.version = line:match("^(%u+) (%S+) HTTP/(1%.[01])$")
  if not request.method then return nil, 400 end
  local header = client:receive("*l")
  while header ~= "" do
    local name, value = (header or ""):match("^([^:%s]+):%s*(.-)%s*$")
    if not name then return nil, 400 end
    request.headers[name:lower()] = value
    header = client:receive("*l")
  end
  local length = tonumber(request.headers["content-length"] or 0)
  if not length or length < 0 or request.headers["transfer-encoding"] then return nil, 400 end
  if length > MOST_BODY then return nil, 413 end
  if length > 0 then request.body = client:receive(length) end
  return request.body and request
end

local function respond(client, status, body, keep)
  return client:send(("HTTP/1.1 %d %s\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n%s"):format(
    status, REASONS[status], #body, keep and "keep-alive" or "close", body))
end

local function serve(client)
  client:settimeout(PATIENCE)
  client:setoption("tcp-nodelay", true)
  while true do
    local request, problem = read_request(client)
    if not request then
      if problem then respond(client, problem, REASONS[problem] .. "\n", false) end
      return
    end
    local wish = (request.headers.connection or ""):lower()
    local keep = request.version == "1.1" and wish ~= "close" or wish == "keep-alive"
    local page = pages[request.method .. " " .. request.path]
    local status, body = 404, "there is no such page\n"
    if page then status, body = page(request) end
    if not respond(client, status, body, keep) or not keep then return end
  end
end

coev.run(function()
  local listener = assert(socket.listen("127.0.0.1", arg[1] or 0, { backlog = 512 }))
  print("web server on 127.0.0.1:" .. select(2, listener:getsockname()))
  io.stdout:flush()
  socket.serve(listener, serve)
end)
