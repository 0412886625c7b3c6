-- One task that watches many things: a poll object over connections, a timer and another task.
--
--   lua examples/poll_fd.lua [CLIENTS]
--
-- The server is a hub: each line that a client sends goes to all others. It is the loop that one writes around
-- poll(2), and waits for anything that has a descriptor, such as that of a foreign library.

local coev = require "coev"
local socket = coev.socket

local clients = tonumber(arg[1]) or 5

-- Serves until `last`, a task, has ended; answers how many lines have come.
local function serve(listener, last)
  local lines = 0
  local poll = assert(coev.poll.new())
  local members = {}
  local heartbeat = coev.every(0.02, function()
    io.stderr:write("hub: ", lines, " lines so far\n")
  end)
  -- The tag says what to do. The listener is added by its descriptor, as one would with a foreign library's.
  poll:add(listener:getfd(), "r", "newcomer"):add(heartbeat, "r", "heartbeat"):add(last, "r", "end")
  local going = true
  while going do
    for what, _, tag in poll:events() do
      if tag == "newcomer" then
        local client = assert(listener:accept())
        members[client] = true
        poll:add(client)
      elseif tag == "end" then
        going = false
      elseif tag ~= "heartbeat" then
        local line = what:receive()
        if line then
          lines = lines + 1
          for member in pairs(members) do
            if member ~= what then
              member:send(line .. "\n")
            end
          end
        else
          poll:remove(what)
          members[what] = nil
          what:close()
        end
      end
    end
  end
  heartbeat:stop()
  poll:close()
  return lines
end

coev.run(function()
  local listener = assert(socket.bind("127.0.0.1", 0))
  local address, port = listener:getsockname()
  local heard, connected = 0, 0

  local all = coev.spawn(function()
    coev.group(function(group)
      for i = 1, clients do
        group:spawn(function()
          local client = assert(socket.connect(address, port))
          connected = connected + 1
          while connected < clients do
            coev.yield()
          end
          coev.sleep(0.005)
          client:send("hello from " .. i .. "\n")
          for _ = 1, clients - 1 do
            assert(client:receive())
            heard = heard + 1
          end
          client:close()
        end)
      end
    end)
  end)

  local lines = serve(listener, all)
  listener:close()
  print(("%d clients sent %d lines, and heard %d"):format(clients, lines, heard))
end)
