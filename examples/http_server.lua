-- A web server: HTTP/1.1 with connections that are kept, and pages that are Lua functions.
--
--   lua examples/http_server.lua [port]
--
-- GET / says hello, GET /time tells the time, GET /slow takes half a second without keeping anybody else waiting, and
-- POST /upper answers with the body in capitals. Without a port it takes a free one, and prints it. Ctrl-C ends it.

local coev = require "coev"
local find, match = string.find, string.match

-- A client that is silent for so many seconds is let go; a longer head and a larger body are refused.
local PATIENCE, MOST_HEAD, MOST_BODY = 30, 16 * 1024, 1024 * 1024

local pages = {
  ["GET /"] = function() return "hello\n" end,
  ["GET /time"] = function() return os.date("!%Y-%m-%d %H:%M:%S\n") end,
  ["GET /slow"] = function() coev.sleep(0.5) return "at last\n" end,
  ["POST /upper"] = function(body) return body:upper() end,
}

-- How an answer begins, by its status; and how its head ends.
local BEGIN = { [200] = "OK", [400] = "Bad Request", [404] = "Not Found", [413] = "Content Too Large",
  [431] = "Request Header Fields Too Large", [501] = "Not Implemented" }
for status, reason in pairs(BEGIN) do
  BEGIN[status] = "HTTP/1.1 " .. status .. " " .. reason .. "\r\nContent-Length: "
end
local KEEP, CLOSE = "\r\nConnection: keep-alive\r\n\r\n", "\r\nConnection: close\r\n\r\n"

-- What a head in small letters says in a field, whose name comes as "\nname:"; nil where it has none.
local function field(head, name)
  local _, at = find(head, name, 1, true)
  return at and match(head, "^[ \t]*([^\r\n]*%S)", at + 1), at
end

-- The body of a request; nil and a status where there is none, if it can be answered at all.
local function read_body(client, head)
  if field(head, "\ntransfer-encoding:") then return nil, 501 end
  local length, at = field(head, "\ncontent-length:")
  if not length then return "" end
  length = tonumber(match(length, "^%d+$"))
  if not length or find(head, "\ncontent-length:", at, true) then return nil, 400 end
  if length > MOST_BODY then return nil, 413 end
  return length == 0 and "" or client:receive(length)
end

-- Answers a request: with a status, a body, and whether the connection goes on.
local function answer(client, head)
  local at = find(head, " HTTP/1.", 1, true)
  if not at then return 400, "" end
  local route, fields = head:sub(1, at - 1), head:lower()
  local body, problem = read_body(client, fields)
  if not body then return problem, "" end
  local wish = field(fields, "\nconnection:")
  local keep = wish ~= "close" and (wish == "keep-alive" or head:sub(at + 8, at + 8) == "1")
  local page = pages[route] or pages[match(route, "^[^?]*")]
  if not page and find(route, "^HEAD ") then return 501, "" end
  if not page then return 404, "there is no such page\n", keep end
  return 200, page(body), keep
end

coev.run(function()
  local listener = assert(coev.socket.listen("127.0.0.1", arg[1] or 0, { backlog = 512 }))
  print("web server on 127.0.0.1:" .. select(2, listener:getsockname()))
  io.stdout:flush()
  coev.socket.serve(listener, function(client)
    client:settimeout(PATIENCE)
    client:setoption("tcp-nodelay", true)
    client:setmaxline(MOST_HEAD)
    local next_head = client:receiveuntil("\r\n\r\n")
    repeat
      local head, err = next_head()
      local status, body, keep = err == "oversized" and 431, "", false
      if head then status, body, keep = answer(client, head) end
      if not status then return end
    until not client:send(BEGIN[status] .. #body .. (keep and KEEP or CLOSE) .. body) or not keep
  end)
end)
