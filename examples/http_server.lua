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
-- A longer head and a larger body are refused.
local MOST_HEAD, MOST_BODY = 16 * 1024, 1024 * 1024

-- How an answer begins, by its status.
local BEGINNINGS = {
  [200] = "HTTP/1.1 200 OK\r\nContent-Length: ",
  [400] = "HTTP/1.1 400 Bad Request\r\nContent-Length: ",
  [404] = "HTTP/1.1 404 Not Found\r\nContent-Length: ",
  [405] = "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD, POST\r\nContent-Length: ",
  [413] = "HTTP/1.1 413 Content Too Large\r\nContent-Length: ",
  [431] = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: ",
  [501] = "HTTP/1.1 501 Not Implemented\r\nContent-Length: ",
}
local KEEP, CLOSE = "\r\nConnection: keep-alive\r\n\r\n", "\r\nConnection: close\r\n\r\n"

-- By path and method: what answers with a status and a body.
local pages = {
  ["/"] = { GET = function() return 200, "hello\n" end },
  ["/time"] = { GET = function() return 200, os.date("!%Y-%m-%d %H:%M:%S\n") end },
  ["/slow"] = {
    GET = function()
      coev.sleep(0.5)
      return 200, "at last\n"
    end,
  },
  ["/upper"] = { POST = function(request) return 200, request.body:upper() end },
}

-- The fields of a head from there on, by their names in small letters; nil where there is anything else.
local function read_fields(head, at)
  local fields = {}
  while at <= #head do
    local name, value, after = head:match("^\r\n([^%s:]+):[ \t]*([^\r\n]*)()", at)
    if not name then return nil end
    name, at = name:lower(), after
    fields[name] = fields[name] and fields[name] .. ", " .. value or value
  end
  return fields
end

-- The next request; nil when there is none, and a status where it cannot be answered.
local function read_request(client, next_head)
  local head, err = next_head()
  if not head then return nil, err == "oversized" and 431 or nil end
  local method, path, version, at = head:match("^(%u+) ([^%s?]+)%S* HTTP/(1%.[01])()")
  local fields = method and read_fields(head, at)
  if not fields then return nil, 400 end
  if fields["transfer-encoding"] then return nil, 501 end
  local length, body = fields["content-length"], ""
  if length then
    length = tonumber(length:match("^(%d+)%s*$"))
    if not length then return nil, 400 end
    if length > MOST_BODY then return nil, 413 end
    if length > 0 then body = client:receive(length) end
    if not body then return nil end
  end
  return { method = method, path = path, version = version, fields = fields, body = body }
end

local function answer(request)
  local methods = pages[request.path]
  if not methods then return 404, "there is no such page\n" end
  local page = methods[request.method == "HEAD" and "GET" or request.method]
  if not page then return 405, "there is no such method here\n" end
  return page(request)
end

-- Does the client want to go on? One of HTTP/1.1 does unless it says otherwise.
local function keeps(request)
  local wish = request.fields.connection
  if request.version == "1.1" then return not (wish and wish:lower():find("close", 1, true)) end
  return wish and wish:lower():find("keep-alive", 1, true)
end

local function serve(client)
  client:settimeout(PATIENCE)
  client:setoption("tcp-nodelay", true)
  client:setmaxline(MOST_HEAD)
  local next_head = client:receiveuntil("\r\n\r\n")
  repeat
    local request, problem = read_request(client, next_head)
    if problem then client:send(BEGINNINGS[problem] .. 0 .. CLOSE) end
    if not request then return end
    local status, body = answer(request)
    local keep = keeps(request)
    local shown = request.method == "HEAD" and "" or body
  until not client:send(BEGINNINGS[status] .. #body .. (keep and KEEP or CLOSE) .. shown) or not keep
end

coev.run(function()
  local listener = assert(socket.listen("127.0.0.1", arg[1] or 0, { backlog = 512 }))
  print("web server on 127.0.0.1:" .. select(2, listener:getsockname()))
  io.stdout:flush()
  socket.serve(listener, serve)
end)
