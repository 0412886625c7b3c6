-- A crawler: a queue of pages, workers that follow the links, and a limit on open connections.
--
--   lua examples/crawler.lua [pages] [workers] [connections]
--
-- It brings its own web server, whose page N links to the pages 2N and 2N + 1. The work is over when no page is left to
-- be done, which a waitgroup knows; only so many connections are open at a time, which a semaphore sees to.

local coev = require "coev"

local socket = coev.socket
local pages, workers, connections = tonumber(arg[1] or 63), tonumber(arg[2] or 10), tonumber(arg[3] or 4)

local open, most_open = 0, 0

-- Answers one request.
local function serve(client)
  open = open + 1
  most_open = math.max(most_open, open)
  local page = tonumber((client:receive() or ""):match("^GET /(%d+)")) or 0
  coev.sleep(0.001)
  local links = {}
  for link = 2 * page, 2 * page + 1 do
    if link <= pages then
      links[#links + 1] = '<a href="/' .. link .. '">'
    end
  end
  open = open - 1
  client:send(table.concat(links) .. "\n")
  client:close()
end

local function fetch(port, page)
  local client = assert(socket.connect("127.0.0.1", port))
  client:send("GET /" .. page .. "\n")
  local text = assert(client:receive())
  client:close()
  return text
end

coev.run(function()
  local listener = assert(socket.bind("127.0.0.1", 0))
  local _, port = listener:getsockname()
  local server = coev.spawn(function()
    while true do
      coev.spawn(serve, assert(listener:accept()))
    end
  end)

  local queue, left = coev.channel.new(math.huge), coev.waitgroup.new()
  local slots, seen, count = coev.semaphore.new(connections), {}, 0

  local function visit(page)
    if not seen[page] then
      seen[page], count = true, count + 1
      left:add()
      queue:send(page)
    end
  end

  for _ = 1, workers do
    coev.spawn(function()
      -- Not `for page in queue:iter()`: Lua 5.1 cannot wait in an iterator beside others that do.
      local page = queue:receive()
      while page do
        slots:acquire()
        local text = fetch(port, page)
        slots:release()
        for link in text:gmatch('href="/(%d+)"') do
          visit(tonumber(link))
        end
        left:done()
        page = queue:receive()
      end
    end)
  end

  visit(1)
  left:wait()
  queue:close()
  server:cancel()
  pcall(server.join, server)
  listener:close()
  print(("%d pages by %d workers, never more than %d connections at a time"):format(count, workers, most_open))
end)
