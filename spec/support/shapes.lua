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
  call("refused", refused, "getsockname")
  call("refused", refused, "getpeername")
  call("refused", refused, "getoption", "keepalive")
  observe("a descriptor when refused", function()
    return refused:getfd() > 2
  end)
  call("refused", refused, "connect", address, port)
  observe("the class when connected after all", describe, refused)
  observe("its peer", function()
    local host, _, family = refused:getpeername()
    return host, family
  end)
  refused:close()

  -- A name or an address that will not do leaves the family open.
  local unbound = socket.tcp()
  call("fresh", unbound, "bind", "192.0.2.1", 0)
  call("not bound", unbound, "getsockname")
  call("not bound", unbound, "bind", "::1", 0)
  call("bound", unbound, "getfamily")
  unbound:close()
  local four = socket.tcp4()
  call("tcp4", four, "connect", "127.0.0.1", "no service")
  call("tcp4", four, "bind", "::ffff:127.0.0.1", 0)
  call("tcp4", four, "bind", "fe80::1%lo", 0)
  four:close()
  local six = socket.tcp6()
  call("tcp6", six, "bind", "fe80::1%lo", 0)
  call("tcp6", six, "bind", "fe80::1", 0)
  call("tcp6", six, "bind", "fe80::1%no-such", 0)
  six:close()

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
  call("linger", near, "setoption", "linger", nil)
  call("linger", near, "setoption", "linger")
  call("linger", near, "setoption", "linger", { on = 1, timeout = "x" })
  call("linger", near, "setoption", "linger", { on = true, timeout = "x" })
  call("linger", near, "setoption", "linger", { on = true, timeout = "4" })
  call("linger", near, "getoption", "linger")
  call("linger", near, "setoption", "linger", setmetatable({}, {
    __index = function(_, name)
      return name == "on" or 5.9
    end,
  }))
  call("linger", near, "getoption", "linger")
  for _, name in ipairs({ "ip-add-membership", "ipv6-drop-membership", "ip-multicast-if", "broadcast" }) do
    call("of another kind", near, "setoption", name, {})
    call("of another kind", near, "setoption", name, "x")
  end
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
    { {}, "127.0.0.1", 9 }, { "x", {}, 9 }, { "x", "127.1", 9 }, { "x", "0x7f.1", "9" }, { "x", "2130706433", 9 },
    { "x", "::ffff:127.0.0.1", 9 }, { "x", "*", 9 }, { "x", "localhost", 9 }, { "x", "", 9 }, { "x", "127.0.0.1", "" },
    { "x", "127.0.0.1", "domain" }, { "x", 1, 0 }, { "x", "fe80::1%lo", 9 }, { "x", "127.0.0.1", " 9" },
  }) do
    call("udp", udp, "sendto", arguments[1], arguments[2], arguments[3])
  end
  for _, address in ipairs({ "127.1", "*", "::1", "fe80::1%lo", "fe80::1%no-such" }) do
    local fresh = socket.udp()
    call("fresh", fresh, "sendto", "x", address, 9)
    call("sent to " .. address, fresh, "getfamily")
    fresh:close()
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
  call("member", udp, "setoption", "ip-add-membership", { multiaddr = "x", interface = "x" })
  call("member", udp, "setoption", "ip-add-membership", { multiaddr = "x", interface = {} })
  call("member", udp, "setoption", "ip-add-membership", { multiaddr = 1, interface = "*" })
  call("member", udp, "setoption", "ip-add-membership", { multiaddr = {}, interface = "*" })
  call("member", udp, "setoption", "ip-add-membership", { multiaddr = "224.1", interface = "127.1" })
  call("member", udp, "setoption", "ip-drop-membership", { multiaddr = "224.1", interface = "127.1" })
  call("member", udp, "setoption", "ip-drop-membership", { multiaddr = "224.1", interface = 1 })
  call("member", udp, "setoption", "ipv6-add-membership", { multiaddr = "x", interface = {} })
  call("member", udp, "setoption", "ipv6-add-membership", { multiaddr = "ff02::fb", interface = {} })
  call("member", udp, "setoption", "ipv6-add-membership", { multiaddr = "ff02::fb", interface = "1" })
  call("member", udp, "setoption", "ipv6-add-membership", { multiaddr = 1 })
  call("if", udp, "setoption", "ip-multicast-if", "127.1")
  call("if", udp, "getoption", "ip-multicast-if")
  call("linger", udp, "setoption", "linger", "x")
  call("linger", udp, "getoption", "linger")
  call("setsockname", udp, "setsockname")
  call("setsockname", udp, "setsockname", "127.0.0.1")
  call("setsockname", udp, "setsockname", "127.0.0.1", 0)
  call("setpeername", udp, "setpeername")
  call("setpeername", udp, "setpeername", "127.0.0.1")
  call("setpeername", udp, "setpeername", "localhost", {})
  call("setpeername", udp, "setpeername", "256.1.1.1", 9)
  call("setpeername", udp, "setpeername", "127.1", 9)
  call("setpeername", udp, "setpeername", 1, 9)
  call("setpeername", udp, "setpeername", "127.0.0.1", "domain")
  call("setpeername", udp, "setpeername", "127.0.0.1", "smtp")
  call("setpeername", udp, "setpeername", "::ffff:127.0.0.1", 9)
  call("setpeername", udp, "setpeername", "fe80::1%lo", 9)
  call("setpeername", udp, "setpeername", "*", 0)
  for _, arguments in ipairs({ { "192.0.2.1", 0 }, { "127.0.0.1", "smtp" }, { "127.1", 0 }, { "fe80::1%lo", 0 } }) do
    local fresh = socket.udp()
    call("fresh", fresh, "setsockname", arguments[1], arguments[2])
    call("then", fresh, "setsockname", "::1", 0)
    call("then", fresh, "getfamily")
    fresh:close()
  end
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

-- Methods that every kind of socket has, called for one of another kind.
local function survey_kinds(socket, unix, observe)
  local kinds = { tcp = socket.tcp(), udp = socket.udp(), unixstream = unix.stream(), unixdgram = unix.dgram() }
  for _, kind in ipairs({ "tcp", "udp", "unixstream", "unixdgram" }) do
    -- LuaSocket's sockets of paths have no more.
    local methods = { "getfd", "dirty", "settimeout", "getsockname", "setoption", "setfd" }
    if not kind:find("^unix") then
      for _, method in ipairs({ "gettimeout", "getoption", "getfamily" }) do
        methods[#methods + 1] = method
      end
    end
    for _, other in ipairs({ "tcp", "udp", "unixstream", "unixdgram" }) do
      for _, method in ipairs(methods) do
        if kind ~= other then
          observe(("%s.%s of %s"):format(kind, method, other), kinds[kind][method], kinds[other], "reuseaddr", true)
        end
      end
    end
  end
  for _, kind in ipairs({ "tcp", "udp", "unixstream", "unixdgram" }) do
    local close = kinds[kind].close
    for _, other in ipairs({ "tcp", "udp", "unixstream", "unixdgram" }) do
      if kind ~= other then
        observe(("%s.close of %s"):format(kind, other), close, kinds[other])
      end
    end
  end
  for _, sock in pairs(kinds) do
    sock:close()
  end
end

-- What sockets of paths answer.
local function survey_paths(unix, observe)
  for _, kind in ipairs({ "stream", "dgram" }) do
    local sock = unix[kind]()
    for _, name in ipairs({
      "tcp-nodelay", "tcp-keepidle", "tcp-defer-accept", "tcp-fastopen", "ipv6-v6only", "bindtodevice", "broadcast",
      "dontroute", "ip-multicast-if", "ip-multicast-ttl", "ip-multicast-loop", "ip-add-membership",
      "ipv6-unicast-hops", "ipv6-multicast-hops", "ipv6-multicast-loop", "ipv6-drop-membership", "no-such-option",
    }) do
      for _, value in ipairs({ true, 1, "lo", {} }) do
        observe(kind .. ":setoption", sock.setoption, sock, name, value)
      end
      observe(kind .. ":setoption", sock.setoption, sock, name)
    end
    for _, value in ipairs({ true, 1, "x", {}, { on = true }, { on = false, timeout = 3 } }) do
      observe(kind .. ":setoption", sock.setoption, sock, "linger", value)
      observe(kind .. ":setoption", sock.setoption, sock, "reuseaddr", value)
      observe(kind .. ":setoption", sock.setoption, sock, "keepalive", value)
    end
    for _, method in ipairs({ "bind", "connect", "setsockname", "setpeername" }) do
      for _, path in ipairs({ {}, true, ("p"):rep(108), ("p"):rep(300) }) do
        observe(kind .. ":" .. method, sock[method], sock, path)
      end
      observe(kind .. ":" .. method, sock[method], sock)
    end
    sock:close()
    for _, method in ipairs({ "bind", "connect" }) do
      for _, path in ipairs({ "/no/such/path", "/", "" }) do
        sock = unix[kind]()
        if method == "connect" or path ~= "" then
          observe(kind .. ":" .. method, sock[method], sock, path)
        end
        sock:close()
      end
    end
  end
end

-- The lines for `socket` and its `socket.unix`, in the order of the calls.
return function(socket, unix)
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
  survey_kinds(socket, unix, observe)
  survey_paths(unix, observe)
  return lines
end
