-- Every method on a socket in every state, and every option with every kind of value: what is wrong raises, what the
-- world refuses is nil and a reason, and nothing else happens.

local coev = require "coev"
local helper = require "spec.helper"
local peer = require "spec.support.peer"

local socket = coev.socket

-- A path that is free.
local function free_path()
  local path = os.tmpname()
  os.remove(path)
  return path
end

-- A listener of paths, its path among those to be removed.
local function unix_server(paths)
  local path = free_path()
  paths[#paths + 1] = path
  local listener = socket.unix()
  assert(listener:bind(path))
  assert(listener:listen())
  return listener, path
end

-- The sockets in each state, by class: each maker answers the socket, and others to be closed with it.
local STATES = {
  ["tcp{master}"] = {
    new = function() return socket.tcp() end,
    ["of a family"] = function() return socket.tcp4() end,
    bound = function()
      local sock = socket.tcp()
      assert(sock:bind("127.0.0.1", 0))
      return sock
    end,
  },
  ["tcp{client}"] = {
    connected = peer.pair,
    ["left by its peer"] = function()
      local near, far = peer.pair()
      far:close()
      return near
    end,
    ["that could not connect"] = function()
      local sock = socket.tcp()
      assert.is_nil((sock:connect("127.0.0.1", peer.free_port())))
      return sock
    end,
  },
  ["tcp{server}"] = { listening = function() return (peer.listen()) end },
  ["udp{unconnected}"] = {
    new = function() return socket.udp() end,
    ["of a family"] = function() return socket.udp4() end,
  },
  ["udp{connected}"] = {
    connected = function()
      local sock = socket.udp()
      assert(sock:setpeername("127.0.0.1", 9))
      return sock
    end,
  },
  ["unixstream{master}"] = { new = function() return socket.unix() end },
  ["unixstream{client}"] = { connected = socket.pair },
  ["unixstream{server}"] = { listening = unix_server },
  ["unixdgram{unconnected}"] = { new = function() return socket.unix.dgram() end },
}

-- The roles that LuaSocket's C source checks, by method; other methods take every socket of their kind.
local ROLES = {
  stream = {
    accept = "server", listen = "master", bind = "master", setsockname = "master",
    receive = "client", receiveany = "client", send = "client", sendfile = "client",
    shutdown = "client", getstats = "client", setstats = "client",
  },
  udp = { sendto = "unconnected", send = "connected", receivefrom = "unconnected", setsockname = "unconnected" },
}
-- Arguments with which a method may be called, so that only the state can be wrong.
local ARGUMENTS = {
  receive = { 1 }, receiveany = { 1 }, receiveuntil = { "x" }, send = { "x" }, sendfile = { "Makefile" },
  sendto = { "x", "127.0.0.1", 9 }, setfd = { -1 }, getoption = { "reuseaddr" }, setoption = { "reuseaddr", true },
  bind = { "127.0.0.1", 0 }, connect = { "127.0.0.1", 9 }, setpeername = { "127.0.0.1", 9 },
  setsockname = { "127.0.0.1", 0 }, setmaxline = { 100 }, write = { "x" }, settimeout = { 0 },
}
-- What a closed socket still answers.
local ALIVE = {
  close = true, dirty = true, getfamily = true, getfd = true, getstats = true, gettimeout = true, setfd = true,
  setmaxline = true, setstats = true, settimeout = true, lines = true, receiveuntil = true,
}
local unpack = table.unpack or unpack

-- The arguments of a method, for a class.
local function arguments(class, method)
  local takes_path = method:find("name$") or method == "bind" or method == "connect" or method == "sendto"
  if class:find("^unix") and takes_path then
    return { method == "sendto" and "x" or "/no/such/path", "/no/such/path" }
  end
  return ARGUMENTS[method] or {}
end

-- Calls `f` with a socket in the state, and closes it and what came with it.
local function with_socket(make, f)
  helper.run(function()
    local paths = {}
    local all = { make(paths) }
    all[1]:settimeout(0)
    f(all[1])
    for _, sock in ipairs(all) do
      if type(sock) == "userdata" then
        sock:close()
      end
    end
    for _, path in ipairs(paths) do
      os.remove(path)
    end
  end)
end

-- Asserts that results are those of a call that has neither raised nor lied.
local function assert_sound(name, ok, first, err)
  assert.is_true(ok, name .. ": " .. tostring(first))
  if first == nil and name ~= "setfd" and name ~= "read" then
    assert.equal("string", type(err), name)
  end
end

for class, makers in pairs(STATES) do
  local kind, role = class:match("^(%a+)%{(%a+)%}$")
  local roles = ROLES[kind:find("stream") and "stream" or kind == "tcp" and "stream" or "udp"]
  for state, make in pairs(makers) do
    describe(("a %s (%s)"):format(class, state), function()
      it("takes every method that is its own, and refuses the others by name", function()
        local methods
        with_socket(make, function(sock) methods = getmetatable(sock).__index end)
        for method in pairs(methods) do
          if type(methods[method]) == "function" then
            with_socket(make, function(sock)
              local needed = roles[method]
              local fd = sock:getfd()
              local results = { pcall(sock[method], sock, unpack(arguments(class, method))) }
              -- What has been let go is nobody else's to close.
              if fd >= 0 and (method == "detach" or method == "setfd") then
                assert(socket.fdopen(fd)):close()
              end
              if needed and needed ~= role then
                local expected = ("calling '%s' on bad self (%s{%s} expected, got "):format(method, kind, needed)
                assert.is_false(results[1], method)
                assert.truthy(results[2]:find(expected, 1, true), results[2])
              else
                local raised = not results[1] and tostring(results[2]) or ""
                -- `read` and its like are Lua over `receive`, which says what it wants.
                if not raised:find("on bad self", 1, true) then
                  assert_sound(method, unpack(results, 1, 3))
                end
              end
            end)
          end
        end
      end)

      it("answers 'closed' once it is closed, and can be closed again", function()
        local methods
        with_socket(make, function(sock) methods = getmetatable(sock).__index end)
        for method in pairs(methods) do
          local needed = roles[method]
          if type(methods[method]) == "function" and not ALIVE[method] and (not needed or needed == role) then
            with_socket(make, function(sock)
              sock:close()
              local results = { pcall(sock[method], sock, unpack(arguments(class, method))) }
              local raised = not results[1] and tostring(results[2]) or ""
              if not raised:find("on bad self", 1, true) and method ~= "read" then
                assert.same({ true, nil, "closed" }, { unpack(results, 1, 3) }, method)
              end
            end)
          end
        end
        with_socket(make, function(sock)
          assert.equal(1, (sock:close()))
          assert.equal(1, (sock:close()))
          assert.equal(-1, sock:getfd())
        end)
      end)

      it("refuses every other object", function()
        with_socket(make, function(sock)
          for name, method in pairs(getmetatable(sock).__index) do
            if type(method) == "function" then
              for _, wrong in ipairs({ 1, "x", {}, coroutine.create(function() end), io.stdout }) do
                local ok, err = pcall(method, wrong)
                assert.is_false(ok, name)
                assert.truthy(tostring(err):find("bad self", 1, true), name .. ": " .. tostring(err))
              end
              assert.is_false(pcall(method), name)
            end
          end
        end)
      end)
    end)
  end
end

-- Options by the kind of their value.
local OPTIONS = {
  boolean = {
    "tcp-nodelay", "keepalive", "reuseaddr", "reuseport", "ipv6-v6only", "dontroute", "broadcast", "ip-multicast-loop",
    "ipv6-multicast-loop",
  },
  number = {
    "recv-buffer-size", "send-buffer-size", "tcp-keepidle", "tcp-keepcnt", "tcp-keepintvl", "tcp-defer-accept",
    "ip-multicast-ttl", "ipv6-multicast-hops", "ipv6-unicast-hops", "tcp-fastopen", "tcp-fastopen-connect",
  },
  string = { "ip-multicast-if", "bindtodevice" },
  table = {
    "linger", "ip-add-membership", "ip-drop-membership", "ipv6-add-membership", "ipv6-drop-membership",
  },
}
local VALUES = {
  true, false, 0, -1, 1e300, 2.5, 0 / 0, "", "x", "255.255.255.255.255", {}, { on = true }, { on = 1, timeout = "x" },
  { multiaddr = 1 }, { multiaddr = "x", interface = "y" }, { multiaddr = "224.0.0.1" }, { on = true, timeout = 1e300 },
  print,
}

describe("an option", function()
  local function each_socket(f)
    for _, class in ipairs({ "tcp{master}", "tcp{client}", "tcp{server}", "udp{unconnected}", "unixstream{client}" }) do
      for _, make in pairs(STATES[class]) do
        with_socket(make, f)
      end
    end
  end

  it("with a value of the wrong type raises, and with others never does", function()
    each_socket(function(sock)
      for kind, names in pairs(OPTIONS) do
        for _, name in ipairs(names) do
          local known = pcall(sock.getoption, sock, name)
          for _, value in ipairs(VALUES) do
            local ok, result, err = pcall(sock.setoption, sock, name, value)
            if ok then
              assert.is_true(result == 1 or result == nil and type(err) == "string", name)
            else
              assert.truthy(tostring(result):find("bad argument #%d to 'setoption'"), tostring(result))
            end
            if known and type(value) ~= kind and not (kind == "number" and tonumber(value)) and
              not (kind == "string" and type(value) == "number") then
              assert.is_false(ok, ("%s takes %s"):format(name, tostring(value)))
            end
          end
          if known then
            assert.is_false(pcall(sock.setoption, sock, name), name)
          end
        end
      end
    end)
  end)

  it("that does not exist raises with its name", function()
    each_socket(function(sock)
      for _, name in ipairs({ "no-such-option", "", "TCP-NODELAY", "linger\0" }) do
        for _, method in ipairs({ "setoption", "getoption" }) do
          local ok, err = pcall(sock[method], sock, name, true)
          assert.is_false(ok)
          assert.truthy(tostring(err):find(("bad argument #1 to '%s'"):format(method), 1, true), err)
        end
      end
      for _, wrong in ipairs({ {}, print, true }) do
        assert.is_false(pcall(sock.setoption, sock, wrong, true))
        assert.is_false(pcall(sock.getoption, sock, wrong))
      end
      assert.is_false(pcall(sock.getoption, sock))
      assert.is_false(pcall(sock.setoption, sock))
    end)
  end)
end)
