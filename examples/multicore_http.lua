-- A web server on all processors: each thread has a Lua, a listener and tasks of its own; the system spreads the
-- clients. They count their hits together, in a map that threads share.
--
--   lua examples/multicore_http.lua [port [threads]]
--
-- GET /      which thread answers
-- GET /fib   a number that takes a while to compute: it keeps one processor busy, not the others
-- GET /hits  how many requests there have been
--
-- Without a port it takes a free one. It prints the port, and ends by Ctrl-C.

local coev = require "coev"

local hits = coev.thread.shared({ total = 0 })

-- Runs in each thread, and returns the function that gets each client there.
local function start()
  local coev = require "coev" -- luacheck: ignore
  local name = coev.thread.self():name()
  local pages = {}

  pages["/"] = function()
    return "hello from " .. name .. "\n"
  end

  pages["/fib"] = function()
    local function fib(n)
      return n < 2 and n or fib(n - 1) + fib(n - 2)
    end
    return fib(24) .. "\n"
  end

  pages["/hits"] = function()
    return ("%d\n"):format(hits:get("total"))
  end

  -- Reads a request; answers its path, or nothing when there is none.
  local function read_request(client)
    local line = client:receive("*l")
    local path = line and line:match("^GET (%S+) HTTP/1%.[01]$")
    while line and line ~= "" do
      line = client:receive("*l")
    end
    return path
  end

  return function(client)
    client:settimeout(30)
    local path = read_request(client)
    while path do
      hits:add("total")
      local page = pages[path]
      local body = page and page() or "not found\n"
      client:send(("HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"):format(
        page and "200 OK" or "404 Not Found",
        #body,
        body
      ))
      path = read_request(client)
    end
  end
end

coev.run(function()
  assert(coev.thread.serve("127.0.0.1", tonumber(arg and arg[1]) or 0, start, {
    threads = tonumber(arg and arg[2]),
    onlisten = function(host, port)
      print(("serving on %s:%d"):format(host, port))
      io.stdout:flush()
    end,
  }))
end)
