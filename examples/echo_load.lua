-- An echo server and its clients in one process, each of them a task.
--
--   lua examples/echo_load.lua [clients [rounds]]
--
-- Default: 1,000 clients, 20 rounds. Every echo is compared with what was sent.
-- Each client takes two descriptors: `ulimit -n` must allow for them.

local coev = require "coev"
local socket = coev.socket

local CLIENTS = tonumber(arg[1]) or 1000
local ROUNDS = tonumber(arg[2]) or 20
local PROGRESS_SECONDS = 0.1

local echoed, connected, ended = 0, 0, 0

local function serve(client)
  client:setoption("tcp-nodelay", true)
  repeat
    local line = client:receive("*l")
    if line then
      client:send(line .. "\n")
    end
  until not line
  client:close()
end

local function listen()
  local server = assert(socket.bind("127.0.0.1", 0, CLIENTS))
  coev.spawn(function()
    for _ = 1, CLIENTS do
      coev.spawn(serve, assert(server:accept()))
    end
    server:close()
  end)
  return server:getsockname()
end

local function call(number, address, port)
  local client = assert(socket.connect(address, port))
  client:setoption("tcp-nodelay", true)
  client:settimeout(30)
  connected = connected + 1
  for round = 1, ROUNDS do
    local message = ("client %d, round %d"):format(number, round)
    assert(client:send(message .. "\n"))
    local echo = assert(client:receive("*l"))
    assert(echo == message, "sent '" .. message .. "', got '" .. echo .. "'")
    echoed = echoed + 1
  end
  client:close()
  ended = ended + 1
end

-- One line that is rewritten in place on a terminal, and written once elsewhere.
local function show_progress(start)
  local status = os.execute("test -t 2")
  local terminal = status == true or status == 0
  local function write(ending)
    io.stderr:write(("%s%d of %d clients connected, %d of %d echoes, %.1f s%s"):format(
      terminal and "\r" or "", connected, CLIENTS, echoed, CLIENTS * ROUNDS, coev.now() - start, ending
    ))
  end
  while ended < CLIENTS do
    if terminal then
      write("")
    end
    coev.sleep(PROGRESS_SECONDS)
  end
  write("\n")
end

local function check_limit()
  local pipe = io.popen("ulimit -n")
  local limit = tonumber(pipe:read("*l") or "")
  pipe:close()
  local needed = 2 * CLIENTS + 20
  if limit and limit < needed then
    io.stderr:write(("%d clients need %d descriptors, and the limit is %d: ulimit -n %d\n"):format(
      CLIENTS, needed, limit, needed
    ))
    os.exit(1)
  end
end

check_limit()

coev.run(function()
  local start = coev.now()
  local address, port = listen()
  local tasks = {}
  for number = 1, CLIENTS do
    tasks[number] = coev.spawn(call, number, address, port)
  end
  local progress = coev.spawn(show_progress, start)
  for _, task in ipairs(tasks) do
    local ok, err = task:join()
    if not ok then
      io.stderr:write("\n", tostring(err), "\n")
      os.exit(1)
    end
  end
  progress:join()
  local seconds = coev.now() - start
  print(("%d clients, %d echoes, none wrong, in %.2f s: %.0f a second"):format(
    CLIENTS, echoed, seconds, echoed / seconds
  ))
end)
