-- A web server: HTTP/1.1 with connections that are kept, and pages that are Lua functions.
--
--   lua examples/http_server.lua [port]
--
-- GET / says hello, GET /time tells the time, GET /slow takes half a second without keeping anybody else waiting, and
-- POST /upper answers with the body in capitals. Without a port it takes a free one, and prints it. Ctrl-C ends it.

local coev = require "coev"

-- Seconds until a silent client is let go; the most bytes of a head, and of a body.
local PATIENCE, MOST_HEAD, MOST_BODY = 30, 16 * 1024, 1024 * 1024

-- How an answer begins, by its status, and how its head ends.
local BEGINNINGS = {
  [200] = "OK", [400] = "Bad Request", [404] = "Not Found", [405] = "Method Not Allowed\r\nAllow: GET, HEAD, POST",
  [413] = "Content Too Large", [431] = "Request Header Fields Too Large", [501] = "Not Implemented",
}
for code, why in pairs(BEGINNINGS) do BEGINNINGS[code] = ("HTTP/1.1 %d %s\r\nContent-Length: "):format(code, why) end
local KEEP, CLOSE = "\r\nConnection: keep-alive\r\n\r\n", "\r\nConnection: close\r\n\r\n"

-- By path and method: what makes the body of an answer from that of the request.
local pages = {
  ["/"] = { GET = function() return "hello\n" end },
  ["/time"] = { GET = function() return os.date("!%Y-%m-%d %H:%M:%S\n") end },
  ["/slow"] = { GET = function() coev.sleep(0.5) return "at last\n" end },
  ["/upper"] = { POST = function(body) return body:upper() end },
}
for _, methods in pairs(pages) do methods.HEAD = methods.GET end
local SORRY = { [404] = "there is no such page\n", [405] = "there is no such method here\n" }

-- The fields of a head that matter here, by their names in small letters; nil where there is anything but fields.
local MATTERS = { ["connection"] = true, ["content-length"] = true, ["transfer-encoding"] = true }
local function read_fields(head, at)
  local fields = {}
  while at < #head do
    local name, value = head:match("^\r\n([%w_%-]+):()", at)
    if not name then return nil end
    name, at = name:lower(), head:find("\r\n", value, true) or #head + 1
    if MATTERS[name] then fields[name] = (fields[name] or "") .. head:sub(value, at - 1):lower() .. "," end
  end
  return fields
end

-- A request's method, path, body, and whether the client wants to go on; or nil, and the status of a refusal, if any.
local function read_request(client, next_head)
  local head, err = next_head()
  if not head then return nil, err == "oversized" and 431 end
  local method, path, version, at = head:match("^(%u+) ([^%s?]+)%S* HTTP/1%.([01])()")
  local fields = method and read_fields(head, at)
  if not fields then return nil, 400 end
  if fields["transfer-encoding"] then return nil, 501 end
  local length, body = fields["content-length"], ""
  if length then
    length = tonumber(length:match("^%s*(%d+)%s*,$"))
    if not length or length > MOST_BODY then return nil, length and 413 or 400 end
    body = client:receive(length)
    if not body then return nil end
  end
  local wish = fields["connection"] or version == "0" and "close"
  return method, path, body, not (wish and wish:find("close", 1, true))
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
      local method, path, body, keep = read_request(client, next_head)
      if not method then return path and client:send(BEGINNINGS[path] .. 0 .. CLOSE) end
      local page = pages[path] and pages[path][method]
      local status = page and 200 or pages[path] and 405 or 404
      local text, ending = page and page(body) or SORRY[status], keep and KEEP or CLOSE
    until not client:send(BEGINNINGS[status] .. #text .. ending .. (method == "HEAD" and "" or text)) or not keep
  end)
end)
