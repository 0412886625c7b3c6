-- Talks to a redis server: commands in pipelines, on several connections.
--
--   lua examples/redis.lua [host [port]]
--
-- Default: 127.0.0.1 6379. It writes only keys that begin with `coev:`, and
-- deletes them at the end.

local coev = require "coev"
local socket = coev.socket

local CONNECTIONS = 4
local COMMANDS = 1000

-- A command in the server's protocol: the count of its words, each with its size.
local function encode(...)
  local words = { "*" .. select("#", ...) }
  for i = 1, select("#", ...) do
    local word = tostring((select(i, ...)))
    words[#words + 1] = "$" .. #word
    words[#words + 1] = word
  end
  return table.concat(words, "\r\n") .. "\r\n"
end

-- Reads a reply: a string, a number, a list, nil for none, or nil and an error.
local function read_reply(client)
  local line = assert(client:receive("*l"))
  local kind, rest = line:sub(1, 1), line:sub(2)
  if kind == "+" then
    return rest
  elseif kind == "-" then
    return nil, rest
  elseif kind == ":" then
    return tonumber(rest)
  end
  local size = tonumber(rest)
  if size < 0 then
    return nil
  elseif kind == "$" then
    local data = assert(client:receive(size + 2))
    return data:sub(1, size)
  end
  assert(kind == "*", "unknown reply: " .. line)
  local list = {}
  for i = 1, size do
    list[i] = read_reply(client)
  end
  return list
end

local host, port = arg[1] or "127.0.0.1", arg[2] or 6379

local function connect()
  local client = assert(socket.connect(host, port))
  client:setoption("tcp-nodelay", true)
  client:settimeout(10)
  return client
end

-- Sends `commands` at once, and returns their replies in order.
local function pipeline(client, commands)
  assert(client:send(table.concat(commands)))
  local replies = {}
  for i = 1, #commands do
    local reply, err = read_reply(client)
    replies[i] = err and error(err) or reply
  end
  return replies
end

local function expect(what, got, wanted)
  assert(got == wanted, ("%s: %s instead of %s"):format(what, tostring(got), tostring(wanted)))
end

local function try_every_type(client)
  local binary = {}
  for byte = 0, 255 do
    binary[#binary + 1] = string.char(byte)
  end
  binary = table.concat(binary):rep(100)
  local replies = pipeline(client, {
    encode("DEL", "coev:text", "coev:binary", "coev:list", "coev:none"),
    encode("SET", "coev:text", "hello"),
    encode("GET", "coev:text"),
    encode("GET", "coev:none"),
    encode("SET", "coev:binary", binary),
    encode("GET", "coev:binary"),
    encode("LPUSH", "coev:list", "three", "two", "one"),
    encode("LRANGE", "coev:list", 0, -1),
  })
  expect("SET", replies[2], "OK")
  expect("GET", replies[3], "hello")
  expect("GET of nothing", replies[4], nil)
  expect("GET of binary data", replies[6], binary)
  expect("LPUSH", replies[7], 3)
  expect("LRANGE", table.concat(replies[8], " "), "one two three")
  print("SET, GET, LPUSH and LRANGE: ok, " .. #binary .. " binary bytes unchanged")
end

-- Counts up on one connection, `COMMANDS` at a time.
local function count_up()
  local client = connect()
  local commands = {}
  for i = 1, COMMANDS do
    commands[i] = encode("INCR", "coev:counter")
  end
  pipeline(client, commands)
  client:close()
end

local ok, err = pcall(coev.run, function()
  local client = connect()
  try_every_type(client)

  pipeline(client, { encode("SET", "coev:counter", 0) })
  local start = coev.now()
  local tasks = {}
  for i = 1, CONNECTIONS do
    tasks[i] = coev.spawn(count_up)
  end
  for _, task in ipairs(tasks) do
    local ended, failure = task:join()
    assert(ended, failure)
  end
  local seconds = coev.now() - start
  expect("INCR", pipeline(client, { encode("GET", "coev:counter") })[1], tostring(CONNECTIONS * COMMANDS))
  print(("INCR: %d on %d connections in %.3f s"):format(CONNECTIONS * COMMANDS, CONNECTIONS, seconds))

  pipeline(client, { encode("DEL", "coev:text", "coev:binary", "coev:list", "coev:counter") })
  client:close()
end)
if not ok then
  io.stderr:write(("redis on %s:%s: %s\n"):format(host, port, tostring(err)))
  os.exit(1)
end
