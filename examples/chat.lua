-- A chat: what one writes, all others read. Try it with `nc 127.0.0.1 <port>` from two terminals.
--
--   lua examples/chat.lua [port]
--
-- Without a port it takes a free one. It prints the port, and ends by Ctrl-C.

local coev = require "coev"
local socket = coev.socket

-- Lines that may wait for a guest who does not read; then the guest is shown the door.
local MOST_WAITING = 100

-- Those who are here, by their names.
local guests = {}

local function tell_others(name, line)
  for other, guest in pairs(guests) do
    if other ~= name then
      guest.lines[#guest.lines + 1] = line
      if #guest.lines > MOST_WAITING then
        guest.client:close()
      else
        guest.writer:resume()
      end
    end
  end
end

-- Writes what the others tell; nobody who reads slowly keeps them waiting.
local function write_lines(guest)
  while true do
    while #guest.lines > 0 do
      local lines = guest.lines
      guest.lines = {}
      if not guest.client:send(lines) then return end
    end
    coev.suspend()
  end
end

local function serve(client)
  client:send("your name? ")
  local name = client:receive()
  if not name or name == "" or guests[name] then
    client:send("sorry\n")
    return
  end
  local guest = { client = client, lines = {} }
  guest.writer = coev.spawn(write_lines, guest)
  guests[name] = guest
  coev.defer(function()
    guests[name] = nil
    guest.writer:cancel()
    tell_others(name, name .. " has gone\n")
  end)
  client:send("welcome, " .. name .. "\n")
  tell_others(name, name .. " has come\n")
  -- Not `for line in client:lines()`: Lua 5.1 cannot let others run while an iterator waits.
  local line = client:read()
  while line do
    tell_others(name, name .. ": " .. line .. "\n")
    line = client:read()
  end
end

coev.run(function()
  local listener = assert(socket.listen("127.0.0.1", arg[1] or 0))
  print("chat on 127.0.0.1:" .. select(2, listener:getsockname()))
  io.stdout:flush()
  socket.serve(listener, serve)
end)
