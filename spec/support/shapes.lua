-- What a socket library answers to one list of calls, as lines of text, so
-- that two libraries can be compared. Nothing here waits for another task.

-- Numbers are compared by value, objects by their class, and a port, which is
-- another one each time, as a string of digits.
local function describe(value)
  if type(value) == "number" then
    return value ~= value and "nan" or ("%.14g"):format(value)
  elseif type(value) == "string" then
    return value:find("^%d%d%d%d+$") and "digits" or ("%q"):format(value)
  elseif type(value) == "userdata" then
    return tostring(value):match("^[^:]*")
  end
  return type(value) == "table" and "{}" or tostring(value)
end

-- A raised error is compared by what it says is wrong: the text in brackets,
-- without the quotes in use, and without what an object was instead.
local function outcome(ok, ...)
  if not ok then
    local err = tostring((...))
    err = (err:match("%b()$") or err):gsub("`", "'")
    return "raises " .. err:gsub("({%a+} expected), got [^)]*", "%1")
  end
  local words = {}
  for i = 1, select("#", ...) do
    words[i] = describe((select(i, ...)))
  end
  return table.concat(words, ", ")
end

-- Calls `observe(label, function, ...)` for everything worth comparing.
local function survey(socket, observe)
  local function call(label, sock, method, ...)
    observe(label .. ":" .. method, sock[method], sock, ...)
  end

  local listener = assert(socket.bind("127.0.0.1", 0))
  local address, port = listener:getsockname()
  local near = assert(socket.connect(address, port))
  local far = assert(listener:accept())
  near:settimeout(0.005)
  far:settimeout(5)

  -- What receive takes for a pattern and a prefix.
  for _, pattern in ipairs({ "*x", "*", "", "x", -1, 0 / 0, true, {}, "*line", "*all" }) do
    call("open", near, "receive", pattern)
  end
  for _, arguments in ipairs({ { 0 }, { 0, "abc" }, { 2, "abc" }, { 5, "abc" }, { "3" }, { 1.5 } }) do
    call("open", near, "receive", arguments[1], arguments[2])
  end
  call("open", near, "receive", "*l", {})
  call("open", near, "receive", "x", {})
  call("open", near, "receive", "*a", 12)
  call("open", near, "receive", nil, nil)

  -- What it returns of what has come.
  assert(far:send("one\r\ntwo\nthree four five"))
  near:settimeout(5)
  call("data", near, "receive")
  call("data", near, "receive", 1)
  call("data", near, "receive", "*l", "prefix")
  call("data", near, "receive", 5)
  call("data", near, "receive", 8, "pre")
  call("data", near, "receive", "2")
  near:settimeout(0.005)
  call("data", near, "receive", 100)
  call("data", near, "receive", "*a", "prefix")

  -- What send takes and returns.
  for _, range in ipairs({
    {}, { 2 }, { 5 }, { -1 }, { -2, -2 }, { 0, 2 }, { 3, 1 }, { 1, 0 }, { 0, 99 }, { 4 }, { -9 },
    { 2, -9 }, { 1.5 }, { "2" }, { "x" }, { {} }, { 2, {} }, { nil, 2 },
  }) do
    call("open", near, "send", "abc", range[1], range[2])
  end
  call("open", near, "send")
  call("open", near, "send", {})
  call("open", near, "send", 12)
  call("open", near, "send", "")

  -- Timeouts and options.
  for _, arguments in ipairs({
    {}, { nil }, { -1 }, { 0 }, { "1" }, { "x" }, { {} }, { 1, "b" }, { 1, "t" }, { 1, "r" },
    { 1, "total" }, { 1, "z" }, { 1, "" }, { 1, 5 }, { 1, {} },
  }) do
    call("open", near, "settimeout", arguments[1], arguments[2])
  end
  near:settimeout(1, "b")
  near:settimeout(-1, "t")
  for _, sock in ipairs({ near, listener }) do
    for _, name in ipairs({ "tcp-nodelay", "keepalive", "reuseaddr" }) do
      call(name, sock, "getoption", name)
      call(name, sock, "setoption", name, true)
      call(name, sock, "getoption", name)
      call(name, sock, "setoption", name)
      call(name, sock, "setoption", name, 1)
    end
  end
  for _, name in ipairs({ "no-such-option", {} }) do
    call("unknown", near, "setoption", name, true)
    call("unknown", near, "getoption", name)
  end
  call("none", near, "setoption")
  call("none", near, "getoption")

  -- What a class does not do.
  for _, method in ipairs({ "accept", "listen", "bind" }) do
    call("client", near, method, address, port)
  end
  near:connect(address, port)
  call("connected", near, "connect", address, port)
  for _, method in ipairs({ "receive", "send", "shutdown", "listen", "bind" }) do
    call("server", listener, method, address, port)
  end
  local master = socket.tcp()
  for _, method in ipairs({ "receive", "send", "shutdown", "accept" }) do
    call("master", master, method, "x")
  end
  observe("receive of a number", near.receive, 5)
  observe("receive of nothing", near.receive)
  observe("receive of a table", near.receive, {})

  -- A tcp object before it has an address, and on its way to one.
  for _, method in ipairs({ "getsockname", "getpeername", "getfd", "listen", "close" }) do
    call("fresh", socket.tcp(), method)
  end
  call("fresh", socket.tcp(), "getoption", "reuseaddr")
  call("fresh", socket.tcp(), "setoption", "reuseaddr", true)
  call("fresh", master, "connect")
  call("fresh", master, "connect", "127.0.0.1")
  call("fresh", master, "bind", "127.0.0.1")
  call("fresh", master, "bind", "127.0.0.1", 0)
  call("bound", master, "bind", "127.0.0.1", 0)
  call("bound", master, "listen", "x")
  call("bound", master, "listen", -1)
  call("bound", master, "listen", 5)
  observe("the class", describe, master)
  master:close()
  observe("the class when closed", describe, master)
  local refused = socket.tcp()
  call("refused", refused, "connect", "127.0.0.1", 1)
  observe("the class when refused", describe, refused)
  refused:close()

  -- The functions.
  for _, arguments in ipairs({
    {}, { "127.0.0.1" }, { "127.0.0.1", {} }, { {}, 1 }, { "127.0.0.1", 1 }, { "127.0.0.1", "1" },
    { "127.0.0.1", "no service" }, { "127.0.0.1", -1 }, { "127.0.0.1", 1.5 }, { "127.0.0.1", 0 },
    { "", 1 }, { address, port, "127.0.0.1", 0 }, { address, port, "192.0.2.1" },
    { address, port, nil, nil, "inet" }, { address, port, nil, nil, "none" },
  }) do
    observe("connect", socket.connect, arguments[1], arguments[2], arguments[3], arguments[4], arguments[5])
  end
  observe("bind in use", socket.bind, address, port)
  observe("bind elsewhere", socket.bind, "192.0.2.1", 0)
  observe("bind -1", socket.bind, "127.0.0.1", -1)
  observe("tcp4", function()
    return socket.tcp4():getsockname()
  end)
  observe("tcp4 to ::1", function()
    return socket.tcp4():connect("::1", 1)
  end)
  observe("peer's name", function()
    local host, number, family = near:getpeername()
    return host, type(number), family
  end)
  observe("own name", function()
    local host, number, family = near:getsockname()
    return host, type(number), family
  end)

  -- The end of a connection, seen from both sides.
  for _, how in ipairs({ "none", "send" }) do
    call("open", near, "shutdown", how)
  end
  call("half closed", near, "send", "x")
  call("half closed", far, "receive", "*a")
  call("half closed", far, "receive", "*a", "prefix")
  call("half closed", far, "receive", 0)
  far:send("last")
  far:close()
  call("peer closed", near, "receive", "*l")
  call("peer closed", near, "receive", "*l")
  call("peer closed", near, "receive", "*a")
  call("peer closed", near, "shutdown")
  call("peer closed", near, "receive", 5, "prefix")
  for _, sock in ipairs({ near, listener }) do
    call("open", sock, "close")
    call("closed", sock, "close")
    for _, method in ipairs({ "getsockname", "getpeername", "getfd", "settimeout" }) do
      call("closed", sock, method)
    end
    call("closed", sock, "setoption", "keepalive", true)
    call("closed", sock, "getoption", "keepalive")
  end
  call("closed", near, "receive")
  call("closed", near, "receive", 0)
  call("closed", near, "receive", "*a")
  call("closed", near, "receive", 5, "prefix")
  call("closed", near, "send", "abc")
  call("closed", near, "send", "abc", 2)
  call("closed", near, "send", "")
  call("closed", near, "shutdown")
  call("closed", listener, "accept")

  -- A reset: closed with data that was not read.
  listener = assert(socket.bind("127.0.0.1", 0))
  near = assert(socket.connect(listener:getsockname(), (select(2, listener:getsockname()))))
  far = assert(listener:accept())
  near:send("never read")
  far:close()
  near:settimeout(5)
  call("reset", near, "receive")
  call("reset", near, "send", "x")
  near:close()
  listener:close()
end

-- The same for what UDP and the rest of the options answer.
local function survey_more(socket, observe)
  local function call(label, sock, method, ...)
    observe(label .. ":" .. method, sock[method], sock, ...)
  end

  local listener = assert(socket.bind("127.0.0.1", 0))
  local near = assert(socket.connect(listener:getsockname(), (select(2, listener:getsockname()))))
  for _, name in ipairs({
    "linger", "error", "recv-buffer-size", "send-buffer-size", "tcp-keepidle", "tcp-keepcnt", "tcp-keepintvl",
    "reuseport", "broadcast", "ip-multicast-if",
  }) do
    call(name, near, "getoption", name)
  end
  call("linger", near, "setoption", "linger", { on = true, timeout = 3 })
  call("linger", near, "setoption", "linger", { on = true })
  call("linger", near, "setoption", "linger", { timeout = 3 })
  call("linger", near, "setoption", "linger", true)
  call("keepidle", near, "setoption", "tcp-keepidle", 33)
  call("keepidle", near, "getoption", "tcp-keepidle")
  call("reuseport", near, "setoption", "reuseport", true)
  call("reuseport", near, "setoption", "reuseport", 1)
  call("error", near, "setoption", "error", 1)
  for _, method in ipairs({ "getfamily", "dirty" }) do
    call("client", near, method)
  end
  call("server", listener, "getstats")
  observe("stats", function()
    near:send("abc")
    local received, sent, age = near:getstats()
    return received, sent, type(age)
  end)
  call("client", near, "setstats", 5, 6, 7)
  observe("stats", function()
    local received, sent, age = near:getstats()
    return received, sent, age >= 7
  end)
  local fd = near:getfd()
  call("detached", near, "setfd", -1)
  call("detached", near, "getfd")
  near:setfd(fd)
  near:close()
  listener:close()

  local udp = socket.udp()
  observe("class", describe, udp)
  call("fresh", udp, "getsockname")
  call("fresh", udp, "getfd")
  call("fresh", udp, "getfamily")
  udp:close()
  udp = socket.udp4()
  udp:settimeout(0)
  call("udp", udp, "dirty")
  call("udp", udp, "getsockname")
  call("udp", udp, "getpeername")
  call("udp", udp, "receive")
  call("udp", udp, "receivefrom")
  call("udp", udp, "send", "x")
  call("udp", udp, "receivefrom", {})
  for _, arguments in ipairs({
    {}, { "x" }, { "x", "127.0.0.1" }, { "x", "no name", 1 }, { "x", "127.0.0.1", "no service" }, { "x", "::1", 9 },
    { {}, "127.0.0.1", 9 }, { "x", {}, 9 },
  }) do
    call("udp", udp, "sendto", arguments[1], arguments[2], arguments[3])
  end
  for _, name in ipairs({
    "dontroute", "broadcast", "reuseaddr", "ip-multicast-if", "ip-multicast-loop", "error", "keepalive",
  }) do
    call(name, udp, "getoption", name)
  end
  call("broadcast", udp, "setoption", "broadcast", true)
  call("ttl", udp, "setoption", "ip-multicast-ttl", 3)
  call("if", udp, "setoption", "ip-multicast-if", "127.0.0.1")
  call("if", udp, "getoption", "ip-multicast-if")
  call("if", udp, "setoption", "ip-multicast-if", "*")
  call("member", udp, "setoption", "ip-add-membership", true)
  call("member", udp, "setoption", "ip-add-membership", { interface = "*" })
  call("member", udp, "setoption", "ip-add-membership", { multiaddr = "x", interface = "*" })
  call("member", udp, "setoption", "ip-drop-membership", { multiaddr = "224.0.0.251", interface = "x" })
  call("member", udp, "setoption", "ipv6-add-membership", { multiaddr = "x" })
  call("setsockname", udp, "setsockname")
  call("setsockname", udp, "setsockname", "127.0.0.1")
  call("setsockname", udp, "setsockname", "127.0.0.1", 0)
  call("setpeername", udp, "setpeername")
  call("setpeername", udp, "setpeername", "127.0.0.1")
  call("setpeername", udp, "setpeername", "localhost", {})
  call("setpeername", udp, "setpeername", "256.1.1.1", 9)
  call("setpeername", udp, "setpeername", "127.1", 9)
  call("setpeername", udp, "setpeername", "*", 0)
  local other = socket.udp()
  other:setsockname("127.0.0.1", 0)
  call("setpeername", udp, "setpeername", "127.0.0.1", (select(2, other:getsockname())))
  observe("class", describe, udp)
  for _, method in ipairs({ "sendto", "receivefrom", "setsockname" }) do
    call("connected", udp, method, "x", "127.0.0.1", 9)
  end
  call("connected", udp, "send", "abc")
  call("connected", udp, "send", "")
  call("connected", udp, "send", {})
  observe("sender", function()
    local data, ip, port = other:receivefrom()
    return data, ip, type(port)
  end)
  observe("empty", other.receive, other)
  call("connected", udp, "setpeername", "*")
  observe("class", describe, udp)
  udp:close()
  other:close()
  call("closed", udp, "close")
end

-- The lines for `socket`, in the order of the calls.
return function(socket)
  local lines = {}
  local function observe(label, f, ...)
    local arguments = {}
    for i = 1, select("#", ...) do
      arguments[i] = describe((select(i, ...)))
    end
    lines[#lines + 1] = ("%s(%s) -> %s"):format(
      label,
      table.concat(arguments, ", "),
      outcome(pcall(f, ...))
    )
  end
  survey(socket, observe)
  survey_more(socket, observe)
  return lines
end
