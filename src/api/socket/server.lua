-- Listening, and serving clients.
local socket, coev, natives = ...
local error, next, ipairs, type = error, next, ipairs, type

function socket.listen(host, port, options)
  if type(host) ~= "number" then natives.check(host, "string", 1, "listen") end
  if type(port) ~= "number" then natives.check(port, "string", 2, "listen") end
  options = options or {}
  natives.check(options, "table", 3, "listen")
  local addresses, err = { { family = "inet", addr = "0.0.0.0" } }, nil
  if host ~= "*" then addresses, err = socket.dns.getaddrinfo(host) end
  if not addresses then return nil, err end
  for _, entry in ipairs(addresses) do
    local is_v6 = entry.family == "inet6"
    local listener, problem = (is_v6 and socket.tcp6 or socket.tcp4)()
    if not listener then return nil, problem end
    listener:setoption("reuseaddr", true)
    if options.reuseport then listener:setoption("reuseport", true) end
    if is_v6 and options.v6only == false then listener:setoption("ipv6-v6only", false) end
    local done
    done, err = listener:bind(entry.addr, port)
    if done then done, err = listener:listen(options.backlog) end
    if done then return listener end
    listener:close()
  end
  return nil, err
end

-- Seconds between two lines about the same trouble, and between two tries after it.
local QUIET, PAUSE = 1, 0.02

local function to_stderr(text)
  io.stderr:write("coev: serve: ", text, "\n")
end

-- Accepts until the listener is closed; `begin` gets each client.
local function accept_all(listener, log, wait_for_room, begin)
  local told = -QUIET
  while true do
    wait_for_room()
    local client, err = listener:accept()
    if client then
      begin(client)
    elseif err == "closed" then
      return 1
    elseif err ~= "timeout" then
      if coev.now() - told >= QUIET then
        told = coev.now()
        log(err)
      end
      coev.sleep(PAUSE)
    end
  end
end

function socket.serve(listener, handler, options)
  natives.check(handler, "function", 2, "serve")
  options = options or {}
  natives.check(options, "table", 3, "serve")
  if not coev.current() then return coev.spawn(socket.serve, listener, handler, options):await() end
  local server, most = coev.current(), options.max or math.huge
  local live, count, waiting = {}, 0, false

  local function run(client)
    local task = coev.current()
    coev.defer(function()
      live[task] = nil
      count = count - 1
      if waiting then
        waiting = false
        server:resume()
      end
    end)
    coev.defer(function() client:close() end)
    handler(client)
  end

  local function begin(client)
    count = count + 1
    live[coev.spawn(run, client)] = true
  end

  local function wait_for_room()
    while count >= most do
      waiting = true
      coev.suspend()
    end
  end

  local ok, result = coev.pcall(accept_all, listener, options.log or to_stderr, wait_for_room, begin)
  listener:close()
  coev.shield(function()
    while next(live) do
      local task = next(live)
      task:join()
      live[task] = nil
    end
  end)
  if not ok then error(result, 0) end
  return result
end
