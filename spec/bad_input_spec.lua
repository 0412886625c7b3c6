local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local peer = require "spec.support.peer"

local socket = coev.socket
local NAN = 0 / 0

-- Asserts that `f(...)` raises `bad argument #<number> to '<name>' (…)`, with
-- `detail`, when given, in the brackets.
local function assert_bad_argument(number, name, detail, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok, name .. " took it")
  local head = ("bad argument #%d to '%s' ("):format(number, name)
  assert.truthy(tostring(err):find(head, 1, true), tostring(err) .. " is not " .. head)
  if detail then
    assert.truthy(err:find(detail, 1, true), tostring(err) .. " lacks " .. detail)
  end
end

-- The name and an example of every type but those named in `but`. A userdata
-- is not among them: some Luas name it by its metatable.
local function values(but)
  local all = {
    boolean = true,
    number = 12.5,
    string = "text",
    table = {},
    ["function"] = print,
    thread = coroutine.create(function() end),
  }
  for _, name in ipairs(but) do
    all[name] = nil
  end
  return pairs(all)
end

describe("the scheduler's calls", function()
  it("refuse what is not a function", function()
    for kind, value in values({ "function" }) do
      assert_bad_argument(1, "spawn", "function expected, got " .. kind, coev.spawn, value)
      assert_bad_argument(1, "run", "function expected, got " .. kind, coev.run, value)
    end
    assert_bad_argument(1, "spawn", "function expected", coev.spawn)
  end)

  it("refuse what is not a time", function()
    for kind, value in values({ "number" }) do
      assert_bad_argument(1, "sleep", "number expected, got " .. kind, coev.sleep, value)
      assert_bad_argument(1, "sleep_until", "number expected, got " .. kind, coev.sleep_until, value)
      assert_bad_argument(1, "step", "number expected, got " .. kind, coev.step, value)
    end
    assert_bad_argument(1, "sleep", "number expected", coev.sleep)
    assert_bad_argument(1, "sleep_until", "number expected", coev.sleep_until)
    assert_bad_argument(1, "sleep", nil, coev.sleep, NAN)
    assert_bad_argument(1, "sleep_until", nil, coev.sleep_until, NAN)
    assert_bad_argument(1, "step", nil, coev.step, NAN)
  end)

  it("take numerals for times, as Lua does", function()
    helper.run(function()
      coev.sleep("0.001")
    end)
  end)

  it("take a negative time for none at all", function()
    assert.is_false(coev.step(-1))
    assert.is_false(coev.step(-math.huge))
  end)
end)

describe("a task's methods", function()
  local function task()
    return coev.spawn(function() end)
  end

  it("refuse what is not a task", function()
    local methods = getmetatable(task()).__index
    local near, far = peer.pair()
    for _, name in ipairs({
      "await", "cancel", "join", "name", "resume", "status", "traceback", "waiting", "weaken",
    }) do
      for _, value in values({}) do
        local ok, err = pcall(methods[name], value)
        assert.is_false(ok)
        assert.truthy(err:find("task expected", 1, true) and err:find("'" .. name .. "'", 1, true), err)
      end
      assert.is_false(pcall(methods[name]))
      assert.is_false(pcall(methods[name], near))
    end
    near:close()
    far:close()
    coev.run()
  end)

  it("keep a number as the text that it is, where it is a name", function()
    local subject = task()
    subject:name(12)
    assert.equal("12", subject:name())
    coev.run()
    assert.equal("12", subject:name())
  end)

  it("refuse wrong arguments", function()
    local subject = task()
    for kind, value in values({ "number" }) do
      assert_bad_argument(1, "join", "number expected, got " .. kind, subject.join, subject, value)
    end
    for kind, value in values({ "string", "number" }) do
      assert_bad_argument(1, "name", "string expected, got " .. kind, subject.name, subject, value)
    end
    for _, name in ipairs({ "join", "await" }) do
      assert_bad_argument(1, name, "time is not a number", subject[name], subject, NAN)
      assert_bad_argument(1, name, "time is not a number", subject[name], subject:weaken(), NAN)
    end
    coev.run()
  end)

  it("do not let a task wait for itself for ever", function()
    for _, name in ipairs({ "join", "await" }) do
      for _, weak in ipairs({ false, true }) do
        local ok, err = pcall(coev.run, function()
          local self = coev.current()
          if weak then
            self:weaken()
          end
          return self[name](self)
        end)
        assert.is_false(ok)
        assert.truthy(err:find("a task cannot join itself", 1, true), err)
      end
    end
  end)
end)

describe("a socket's methods", function()
  local near, far, listener, master

  local function with_sockets(f)
    near, far = peer.pair()
    listener = peer.listen()
    master = socket.tcp()
    local ok, err = pcall(f)
    peer.close(near, far, listener, master)
    if not ok then
      error(err, 0)
    end
  end

  it("refuse what is not a socket", function()
    with_sockets(function()
      local task = coev.spawn(function() end)
      for name, method in pairs(getmetatable(near).__index) do
        if type(method) == "function" then
          for _, value in values({}) do
            assert.is_false(pcall(method, value), name)
          end
          assert.is_false(pcall(method), name)
          assert.is_false(pcall(method, task), name)
        end
      end
      coev.run()
    end)
  end)

  it("refuse a socket of another class", function()
    with_sockets(function()
      for _, sock in ipairs({ listener, master }) do
        for _, name in ipairs({ "receive", "send", "shutdown" }) do
          local ok, err = pcall(sock[name], sock, "x")
          assert.is_false(ok)
          assert.truthy(err:find("tcp{client} expected", 1, true), err)
        end
      end
      for _, sock in ipairs({ near, master }) do
        local ok, err = pcall(sock.accept, sock)
        assert.is_false(ok)
        assert.truthy(err:find("tcp{server} expected", 1, true), err)
      end
      for _, name in ipairs({ "listen", "bind" }) do
        local ok, err = pcall(near[name], near, "127.0.0.1", 0)
        assert.is_false(ok)
        assert.truthy(err:find("tcp{master} expected", 1, true), err)
      end
    end)
  end)

  it("refuse a wrong pattern or prefix", function()
    with_sockets(function()
      for kind, value in values({ "number", "string" }) do
        assert_bad_argument(1, "receive", "string expected, got " .. kind, near.receive, near, value)
        assert_bad_argument(2, "receive", "string expected, got " .. kind, near.receive, near, "*l", value)
      end
      for _, pattern in ipairs({ "", "*", "*x", "x", -1, NAN, -math.huge }) do
        assert_bad_argument(1, "receive", "invalid receive pattern", near.receive, near, pattern)
      end
    end)
  end)

  it("refuse wrong data or a wrong range", function()
    with_sockets(function()
      for kind, value in values({ "number", "string", "table" }) do
        assert_bad_argument(1, "send", "string expected, got " .. kind, near.send, near, value)
      end
      assert_bad_argument(1, "send", "string expected", near.send, near)
      for kind, value in values({ "number" }) do
        assert_bad_argument(2, "send", "number expected, got " .. kind, near.send, near, "x", value)
        assert_bad_argument(3, "send", "number expected, got " .. kind, near.send, near, "x", 1, value)
      end
      for _, index in ipairs({ NAN, math.huge, -math.huge, 1e300, -1e300 }) do
        pcall(near.send, near, "x", index)
        pcall(near.send, near, "x", 1, index)
      end
    end)
  end)

  it("refuse a wrong timeout or mode", function()
    with_sockets(function()
      for _, sock in ipairs({ near, listener, master }) do
        for kind, value in values({ "number" }) do
          assert_bad_argument(1, "settimeout", "number expected, got " .. kind, sock.settimeout, sock, value)
        end
        for kind, value in values({ "number", "string" }) do
          assert_bad_argument(2, "settimeout", "string expected, got " .. kind, sock.settimeout, sock, 1, value)
        end
        assert_bad_argument(2, "settimeout", "invalid timeout mode", sock.settimeout, sock, 1, "x")
        assert_bad_argument(1, "settimeout", nil, sock.settimeout, sock, NAN)
      end
    end)
  end)

  it("refuse an unknown option or a wrong value", function()
    with_sockets(function()
      for kind, value in values({ "number", "string" }) do
        assert_bad_argument(1, "setoption", "string expected, got " .. kind, near.setoption, near, value, true)
        assert_bad_argument(1, "getoption", "string expected, got " .. kind, near.getoption, near, value)
      end
      assert_bad_argument(1, "setoption", "unsupported option", near.setoption, near, "x", true)
      assert_bad_argument(1, "getoption", "unsupported option", near.getoption, near, "x")
      for _, name in ipairs({ "tcp-nodelay", "keepalive", "reuseaddr" }) do
        for kind, value in values({ "boolean" }) do
          assert_bad_argument(2, "setoption", "boolean expected, got " .. kind, near.setoption, near, name, value)
        end
        assert_bad_argument(2, "setoption", "boolean expected", near.setoption, near, name)
      end
    end)
  end)

  it("refuse a wrong way to shut down", function()
    with_sockets(function()
      assert_bad_argument(1, "shutdown", "invalid option 'x'", near.shutdown, near, "x")
      for kind, value in values({ "number", "string" }) do
        assert_bad_argument(1, "shutdown", "string expected, got " .. kind, near.shutdown, near, value)
      end
    end)
  end)

  it("refuse wrong addresses, ports and backlogs", function()
    with_sockets(function()
      for kind, value in values({ "number", "string" }) do
        local text = "string expected, got " .. kind
        for name, subject in pairs({ connect = near, bind = master }) do
          assert_bad_argument(1, name, text, subject[name], subject, value, 1)
          assert_bad_argument(2, name, text, subject[name], subject, "127.0.0.1", value)
        end
      end
      for kind, value in values({ "number" }) do
        assert_bad_argument(1, "listen", "number expected, got " .. kind, master.listen, master, value)
      end
      assert_bad_argument(2, "connect", "string expected", master.connect, master, "127.0.0.1")
      assert_bad_argument(2, "bind", "string expected", master.bind, master, "127.0.0.1")
    end)
  end)
end)

describe("the socket functions", function()
  it("refuse wrong addresses and ports", function()
    for kind, value in values({ "number", "string" }) do
      local text = "string expected, got " .. kind
      for _, name in ipairs({ "connect", "bind", "listen" }) do
        assert_bad_argument(1, name, text, socket[name], value, 1)
        assert_bad_argument(2, name, text, socket[name], "127.0.0.1", value)
      end
      assert_bad_argument(3, "connect", text, socket.connect, "127.0.0.1", 1, value)
      assert_bad_argument(4, "connect", text, socket.connect, "127.0.0.1", 1, "127.0.0.1", value)
    end
    for kind, value in values({ "number" }) do
      local text = "number expected, got " .. kind
      assert_bad_argument(3, "bind", text, socket.bind, "127.0.0.1", 0, value)
    end
  end)

  it("refuse to copy between what is no stream, before they wait", function()
    local near, far = peer.pair()
    local udp = assert(socket.udp())
    for kind, value in values({}) do
      assert_bad_argument(1, "copy", "stream expected, got " .. kind, socket.copy, value, near)
      assert_bad_argument(2, "copy", "stream expected, got " .. kind, socket.copy, near, value)
    end
    assert_bad_argument(2, "copy", "stream expected, got userdata", socket.copy, near, udp)
    peer.close(near, far, udp)
  end)

  it("refuse what is no time in select", function()
    assert_bad_argument(3, "select", "time is not a number", socket.select, {}, {}, NAN)
  end)

  it("say that there is no such port", function()
    helper.run(function()
      for _, port in ipairs({ -1, 65536, 99999, 1.5, NAN, math.huge, 1e300, "no service", "1x" }) do
        for _, name in ipairs({ "connect", "bind" }) do
          local ok, sock, err = pcall(socket[name], "127.0.0.1", port)
          if ok then
            assert.is_nil(sock, name .. " took port " .. tostring(port))
            assert.equal("string", type(err))
          else
            assert.truthy(sock:find("bad argument #2 to '" .. name .. "'", 1, true), sock)
          end
        end
      end
    end)
  end)

  it("say that there is no such host", function()
    helper.run(function()
      for _, host in ipairs({ "", "no-such.invalid", "a b", "256.256.256.256", ("x"):rep(5000), "::1\0" }) do
        local ok, sock, err = pcall(socket.connect, host, 1)
        if ok then
          assert.is_nil(sock)
          assert.equal("string", type(err))
        end
      end
    end)
  end)
end)

describe("use after close", function()
  it("is an error value, 'closed' where there is one", function()
    helper.run(function()
      local near, far = peer.pair()
      local listener = peer.listen()
      peer.close(near, far, listener)
      assert.same({ nil, "closed", "" }, { near:receive() })
      assert.same({ nil, "closed", "" }, { near:receive(0) })
      assert.same({ nil, "closed", "x" }, { near:receive(5, "x") })
      assert.same({ nil, "closed", 0 }, { near:send("x") })
      assert.same({ nil, "closed" }, { listener:accept() })
      assert.same({ nil, "closed" }, { near:shutdown() })
      assert.same({ nil, "closed" }, { near:getsockname() })
      assert.same({ nil, "closed" }, { near:getpeername() })
      assert.same({ nil, "closed" }, { near:setoption("keepalive", true) })
      assert.same({ nil, "closed" }, { near:getoption("keepalive") })
      assert.equal(1, (near:settimeout(1)))
    end)
  end)
end)

describe("an error value", function()
  it("of any kind reaches the one who joins", function()
    local values_raised = { true, 12, {}, print, io.stdout, coroutine.create(function() end), n = 6 }
    helper.run(function()
      for i = 1, values_raised.n do
        local ok, err = coev.spawn(error, values_raised[i], 0):join()
        assert.is_false(ok)
        assert.is_true(rawequal(values_raised[i], err))
      end
      local ok, err, traceback = coev.spawn(error):join()
      assert.is_false(ok)
      assert.is_true(err == nil or type(err) == "string")
      assert.equal("string", type(traceback))
    end)
  end)

  it("of any kind, unseen, is reported and the loop goes on", function()
    local result = child.run([[
      local coev = require "coev"
      local function raising(value)
        coev.spawn(function() error(value, 0) end)
      end
      raising("a string")
      raising(nil)
      raising(true)
      raising({})
      raising(setmetatable({}, { __tostring = function() return "own text" end }))
      raising(setmetatable({}, { __tostring = function() error("in tostring") end }))
      raising(setmetatable({}, { __tostring = function() return nil end }))
      raising(setmetatable({}, { __tostring = function() coev.sleep(0.001) return "slow" end }))
      raising(setmetatable({}, { __metatable = "locked" }))
      raising("line\nbreak\0and more")
      coev.run(function()
        coev.sleep(0.005)
        print("went on")
      end)
    ]])
    assert.equal("went on\n", result.stdout, result.stderr)
    assert.equal(0, result.status)
    assert.truthy(result.stderr:find("a string", 1, true))
    assert.truthy(result.stderr:find("own text", 1, true))
  end)

  it("of any kind is raised by run", function()
    for _, value in ipairs({ true, 12, {}, print }) do
      local ok, err = pcall(coev.run, function()
        error(value, 0)
      end)
      assert.is_false(ok)
      assert.is_true(rawequal(value, err))
    end
    assert.is_false(pcall(coev.run, error))
    local angry = setmetatable({}, { __tostring = function() error("again") end })
    assert.is_false(pcall(coev.run, error, angry))
  end)

  it("in a chain of a thousand callers keeps its traceback readable", function()
    helper.run(function()
      local function dive(depth)
        if depth == 0 then
          error("at the bottom")
        end
        dive(depth - 1)
        return depth
      end
      local ok, err, traceback = coev.spawn(dive, 1000):join()
      assert.is_false(ok)
      assert.truthy(err:find("at the bottom", 1, true))
      assert.is_true(#traceback < 10000)
    end)
  end)

  it("can be a stack overflow", function()
    helper.run(function()
      local function endless()
        return 1 + endless()
      end
      local ok, err = coev.spawn(endless):join()
      assert.is_false(ok)
      assert.truthy(tostring(err):find("overflow", 1, true))
    end)
  end)
end)

describe("a server without descriptors", function()
  it("survives ten thousand clients, each served once there is room", function()
    child.assert_writes("true\ttrue\n", [[
      local socket = coev.socket
      local server = assert(socket.bind("127.0.0.1", 0, 256))
      local address, port = server:getsockname()
      local refused, served = 0, 0

      -- As many clients as the process has descriptors for.
      local function connect_all()
        local clients = {}
        while true do
          local client, err = socket.connect(address, port)
          if not client then
            assert(err:lower() == "too many open files", err)
            return clients
          end
          clients[#clients + 1] = client
        end
      end

      coev.run(function()
        while served < 10000 do
          local clients = connect_all()
          local accepted, err = server:accept()
          assert(not accepted)
          assert(err == "too many open files", err)
          refused = refused + 1
          for i, client in ipairs(clients) do
            client:send("client " .. i .. "\n")
            client:close()
          end
          for i = 1, #clients do
            local far = assert(server:accept())
            assert(far:receive() == "client " .. i)
            far:close()
            served = served + 1
          end
        end
        server:close()
      end)
      print(served >= 10000, refused > 0)
    ]], { before = "ulimit -n 256" })
  end)

  it("hears of it in a task that already waits in accept", function()
    local result = child.run([[
      local coev = require "coev"
      local socket = coev.socket
      coev.run(function()
        local server = assert(socket.bind("127.0.0.1", 0))
        local address, port = server:getsockname()
        local first
        local acceptor = coev.spawn(function()
          local far, err = server:accept()
          print(far, err)
          first:close()
          coev.yield()
          far = assert(server:accept())
          print(far:receive())
          far:close()
        end)
        coev.yield()
        local client = assert(socket.tcp4())
        local hoard = {}
        repeat
          local sock = socket.tcp4()
          hoard[#hoard + 1] = sock
        until not sock
        first = hoard[1]
        assert(client:connect(address, port))
        client:send("hello\n")
        acceptor:join()
      end)
    ]], { before = "ulimit -n 64" })
    assert.same({
      stdout = "nil\ttoo many open files\nhello\tnil\tnil\n",
      stderr = "",
      status = 0,
    }, result)
  end)
end)
