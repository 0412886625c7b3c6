-- coev inside another event loop: luv's owns the wait, and coev's tasks run on unchanged.
--
--   lua examples/embed_luv.lua
--
-- All that a host needs is coev.pollfd(), coev.due() and coev.step(0). GUIs and other loops are served likewise.

local coev = require "coev"
local has_luv, luv = pcall(require, "luv")
if not has_luv then
  io.stderr:write("this example needs luv (Debian: lua-luv; LuaRocks: luv)\n")
  os.exit(1)
end

-- Lets luv's loop call coev whenever there is work, until there is none left.
local function embed()
  local watcher, timer = luv.new_poll(coev.pollfd()), luv.new_timer()
  local function turn()
    if not coev.step(0) then
      watcher:close()
      timer:close()
      return
    end
    luv.update_time()
    local due = coev.due()
    if due then
      timer:start(math.ceil(due * 1000), 0, turn)
    else
      timer:stop()
    end
  end
  watcher:start("r", turn)
  timer:start(0, 0, turn)
end

-- What coev does: a server and its client.
coev.spawn(function()
  local server = assert(coev.socket.bind("127.0.0.1", 0))
  local address, port = server:getsockname()
  coev.spawn(function()
    local client = assert(server:accept())
    for line in function() return client:receive() end do
      client:send(line:upper() .. "\n")
    end
    client:close()
  end)
  local socket = assert(coev.socket.connect(address, port))
  for _, word in ipairs({ "one", "two", "three" }) do
    socket:send(word .. "\n")
    print("coev: " .. socket:receive())
    coev.sleep(0.01)
  end
  socket:close()
  server:close()
end)

-- What luv does meanwhile.
local ticks = 0
local ticker = luv.new_timer()
ticker:start(5, 5, function()
  ticks = ticks + 1
  if ticks == 4 then
    ticker:close()
  end
end)

embed()
luv.run()
print("luv:  " .. ticks .. " ticks")
