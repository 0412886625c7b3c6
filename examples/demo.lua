-- The other examples at work, one after the other; what `make demo` runs.
--
--   lua examples/demo.lua
--
-- It starts the servers that they need, on free ports, and ends them with itself.

local coev = require "coev"
local socket = coev.socket

-- Seconds that a server gets to be ready.
local PATIENCE = 5
-- Ends a process and gives it a second to be gone.
local STOP = [[
  kill PROCESS 2>/dev/null
  for try in 1 2 3 4 5 6 7 8 9 10; do kill -0 PROCESS 2>/dev/null || break; sleep 0.1; done]]
local DELAYS = { 0.2, 0.5, 1, 0.8, 0.3, 1, 0.1, 0.6 }

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local lua = quote(arg[-1] or "lua")
local directory = arg[0]:match("^(.*)/[^/]*$") or "."

local function example(name)
  return lua .. " " .. quote(directory .. "/" .. name .. ".lua")
end

-- True when the shell command ended well.
local function shell(command)
  local status = os.execute(command)
  return status == true or status == 0
end

local function run(command)
  print("$ " .. command:gsub("'", ""))
  assert(shell(command), "it failed")
end

local function first_line(path)
  local file = io.open(path)
  local line = file and file:read("*l")
  if file then
    file:close()
  end
  return line
end

-- Waits for what `ready` returns to be true, and returns it.
local function await(what, ready)
  local deadline = coev.now() + PATIENCE
  repeat
    local value = ready()
    if value then
      return value
    end
    coev.sleep(0.01)
  until coev.now() > deadline
  error(what .. " is not ready after " .. PATIENCE .. " s", 0)
end

-- Starts `command` with its output in a file, calls `f` with the name of that
-- file, and ends the process, however `f` ends.
local function with_server(command, f)
  local output = os.tmpname()
  local pipe = assert(io.popen(("%s >%s 2>&1 </dev/null & echo $!"):format(command, output)))
  local process = pipe:read("*l")
  pipe:close()
  local ok, err = pcall(f, output)
  os.execute((STOP:gsub("PROCESS", process)))
  os.remove(output)
  if not ok then
    error(err, 0)
  end
end

local function free_port()
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  server:close()
  return port
end

local function show_echo()
  print("1,000 clients and their echo server, in one process:")
  run("ulimit -n 4096 2>/dev/null; " .. example("echo_load") .. " 1000")
end

local function show_fetch()
  with_server(example("slow_server"), function(output)
    local port = await("the slow server", function()
      return (first_line(output) or ""):match(":(%d+)$")
    end)
    local kinds = { "size", "chunked", "close" }
    local urls, sum = {}, 0
    for i, delay in ipairs(DELAYS) do
      sum = sum + delay
      urls[i] = quote(("http://127.0.0.1:%s/delay/%g/%s/%d"):format(
        port, delay, kinds[i % #kinds + 1], i * 20000
      ))
    end
    print(("\n%d pages that take 0.1 to 1 s, %.1f s one after the other, side by side:"):format(#DELAYS, sum))
    run(example("fetch") .. " " .. table.concat(urls, " "))
  end)
end

local function show_redis()
  print("\nPipelines on four connections to a redis server:")
  if not shell("command -v redis-server >/dev/null") then
    print("redis-server is not installed, so this part is left out")
    return
  end
  local home = os.tmpname()
  os.remove(home)
  assert(shell("mkdir " .. home))
  local port = free_port()
  local command = ("redis-server --port %s --bind 127.0.0.1 --save '' --appendonly no --dir %s"):format(port, home)
  local ok, err = pcall(with_server, command, function()
    await("the redis server", function()
      local client = socket.connect("127.0.0.1", port)
      return client and client:close()
    end)
    run(example("redis") .. " 127.0.0.1 " .. port)
  end)
  os.execute("rm -rf " .. home)
  if not ok then
    error(err, 0)
  end
end

show_echo()
show_fetch()
show_redis()
