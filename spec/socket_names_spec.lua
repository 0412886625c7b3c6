-- Names that resolve slowly, to several addresses or not at all: in a child whose resolver is spec/support/names.c.

local child = require "spec.support.child"

-- What every child begins with.
local PRELUDE = [[
local socket = coev.socket
-- What looks names up is made at its first use and stays.
socket.connect("none.stub", 1)

-- Listens on the address, at the port of another listener where one is given.
local function listen(address, port, backlog)
  local listener = assert(socket.bind(address, port or 0, backlog))
  return listener, select(2, listener:getsockname())
end

-- A listener at whose address nobody answers any more, and those who wait there.
local function silent(address, port)
  local listener, waiting = listen(address, port, 0), {}
  for i = 1, 8 do
    waiting[i] = socket.tcp()
    waiting[i]:settimeout(0.05)
    if not waiting[i]:connect(address, port) then break end
  end
  waiting[#waiting + 1] = listener
  return waiting
end

local function close(list)
  for _, sock in ipairs(list) do sock:close() end
end

-- Turns that another task has while `f` runs, and what `f` returns.
local function turns_during(f, ...)
  local turns = 0
  local ticker = coev.spawn(function()
    while true do
      coev.sleep(0.005)
      turns = turns + 1
    end
  end)
  local results = { f(...) }
  ticker:cancel()
  return turns, results
end

-- The descriptors that are open.
local function descriptors()
  local path = os.tmpname()
  os.execute("ls /proc/$PPID/fd | wc -l >" .. path)
  local file = io.open(path)
  local count = file:read("*n")
  file:close()
  os.remove(path)
  return count
end
]]

local library

-- Runs `text` in such a child, and asserts what it writes; a command of the shell may come before.
local function assert_writes(expected, text, before)
  if not library then
    pending("there is no C compiler, or no preloading here")
  end
  child.assert_writes(expected, PRELUDE .. "coev.run(function()\n" .. text .. "\nend)", {
    before = (before and before .. "; " or "") .. "LD_PRELOAD=" .. library .. "; export LD_PRELOAD",
  })
end

describe("a name", function()
  setup(function()
    local path = os.tmpname()
    local built = os.execute("cc -shared -fPIC -o " .. path .. " spec/support/names.c -ldl 2>/dev/null && " ..
      "[ \"$(uname)\" = Linux ]")
    if built == true or built == 0 then
      library = path
    else
      os.remove(path)
    end
  end)

  teardown(function()
    if library then
      os.remove(library)
    end
  end)

  it("that nobody knows is said to be unknown, by every function", function()
    assert_writes(("host or service not provided, or not known\n"):rep(8), [[
      local function say(_, err) print(err) end
      say(socket.connect("none.stub", 1))
      say(socket.tcp():connect("none.stub", 1))
      say(socket.bind("none.stub", 0))
      say(socket.tcp():bind("none.stub", 0))
      say(socket.udp():setsockname("none.stub", 0))
      say(socket.udp():setpeername("none.stub", 1))
      say(socket.listen("none.stub", 0))
      say(socket.connect("127.0.0.1", 1, "none.stub"))]])
  end)

  it("holds up no other task, whoever asks for it", function()
    assert_writes("", [[
      local name = "wait60+127.0.0.1.stub"
      local listener, port = listen("127.0.0.1")
      for what, f in pairs({
        connect = function() return socket.connect(name, port) end,
        ["connect of tcp"] = function() local sock = socket.tcp() return sock:connect(name, port) and sock end,
        ["local address"] = function() return socket.connect("127.0.0.1", port, name) end,
        bind = function() return socket.bind(name, 0) end,
        ["bind of tcp"] = function() local sock = socket.tcp() return sock:bind(name, 0) and sock end,
        setsockname = function() local sock = socket.udp() return sock:setsockname(name, 0) and sock end,
        setpeername = function() local sock = socket.udp() return sock:setpeername(name, port) and sock end,
        listen = function() return socket.listen(name, 0) end,
      }) do
        local turns, results = turns_during(f)
        assert(results[1], what .. ": " .. tostring(results[2])):close()
        assert(turns >= 2, what .. ": " .. turns)
      end
      listener:close()]])
  end)

  it("is asked for by many at once, on threads whose number is bounded", function()
    assert_writes("40\ttrue\n", [[
      local listener, port = listen("127.0.0.1", 0, 64)
      local answers, most = 0, 0
      for i = 1, 40 do
        coev.spawn(function()
          local sock = assert(socket.connect(("wait%d+127.0.0.1.stub"):format(20 + i % 20), port))
          answers = answers + 1
          sock:close()
        end)
      end
      while answers < 40 do
        coev.sleep(0.005)
        local names = 0
        local pipe = io.popen("cat /proc/$PPID/task/*/comm 2>/dev/null")
        for line in pipe:lines() do
          if line == "coev names" then names = names + 1 end
        end
        pipe:close()
        most = math.max(most, names)
      end
      print(answers, most >= 2 and most <= 8)
      listener:close()]])
  end)

  it("and the attempts share the deadline of the call", function()
    assert_writes("timeout\ntimeout\n1\n", [[
      local listener, port = listen("127.0.0.1")
      local sock = socket.tcp()
      sock:settimeout(0.03)
      print(select(2, sock:connect("wait150+127.0.0.1.stub", port)))
      local waiting = silent("127.0.0.2", port)
      sock:settimeout(0.1)
      local started = coev.now()
      print(select(2, sock:connect("wait60+127.0.0.2.stub", port)))
      assert(coev.now() - started < 0.16, "two deadlines")
      sock:close()
      sock = socket.tcp()
      sock:settimeout(5)
      print((sock:connect("wait20+127.0.0.1.stub", port)))
      sock:close()
      close(waiting)
      listener:close()]])
  end)

  it("is waited for also with a timeout of 0, the connection is not", function()
    assert_writes("timeout\nhello\n", [[
      local listener, port = listen("127.0.0.1")
      local sock = socket.tcp()
      sock:settimeout(0)
      local turns, results = turns_during(sock.connect, sock, "wait40+127.0.0.1.stub", port)
      assert(turns >= 2, turns)
      print(results[1] and "timeout" or results[2])
      local far = assert(listener:accept())
      assert(#select(2, socket.select(nil, { sock }, 5)) == 1)
      assert(sock:send("hello\n") == 6)
      print((far:receive()))
      close({ sock, far, listener })]])
  end)

  describe("with several addresses", function()
    it("is tried at the next one as soon as one refuses", function()
      assert_writes("127.0.0.1\n", [[
        local listener, port = listen("127.0.0.1")
        local sock = assert(socket.connect("127.0.0.2+127.0.0.3+127.0.0.1.stub", port))
        print((sock:getpeername()))
        close({ sock, listener })]])
    end)

    it("takes one descriptor at a time where they refuse, and keeps the last one's", function()
      assert_writes("127.0.0.1\nconnection refused\ttrue\n1\t127.0.0.1\n", [[
        local listener, port = listen("127.0.0.1")
        local sock, other, hogs = socket.tcp(), socket.tcp(), {}
        assert(socket.connect("127.0.0.1.stub", port)):close()
        repeat
          local hog = socket.udp4()
          hogs[#hogs + 1] = hog
        until not hog
        table.remove(hogs):close()
        assert(sock:connect("127.0.0.2+127.0.0.3+127.0.0.1.stub", port))
        print((sock:getpeername()))
        sock:close()
        print(select(2, other:connect("127.0.0.2+127.0.0.3.stub", port)), other:getfd() > 2)
        print(other:connect("127.0.0.3+127.0.0.1.stub", port), (other:getpeername()))
        close({ other, listener })
        close(hogs)]], "ulimit -n 30")
    end)

    it("is tried at the next one when the first is silent, and the loser is closed", function()
      assert_writes("127.0.0.1\ttrue\t0\n", [[
        local listener, port = listen("127.0.0.1")
        local waiting = silent("127.0.0.2", port)
        local before, started = descriptors(), coev.now()
        local sock = assert(socket.connect("127.0.0.2+127.0.0.1.stub", port))
        local spent = coev.now() - started
        local address = sock:getpeername()
        sock:close()
        print(address, spent > 0.24 and spent < 2, descriptors() - before)
        close(waiting)
        listener:close()]])
    end)

    it("is tried in both families by turns", function()
      local socket = require("coev").socket
      local has_six = socket.bind("::1", 0)
      if not has_six then
        pending("there is no IPv6 here")
      end
      has_six:close()
      assert_writes("127.0.0.1\n", [[
        local listener, port = listen("127.0.0.1")
        local waiting = silent("::1", port)
        -- In plain order the fourth would come 750 ms later, after the deadline.
        local sock = socket.tcp()
        sock:settimeout(0.6)
        local ok, err = sock:connect("::1+::1+::1+127.0.0.1.stub", port)
        print(ok and sock:getpeername() or err)
        sock:close()
        close(waiting)
        listener:close()]])
    end)

    it("gives the answer of the last one when all fail", function()
      assert_writes("connection refused\n", [[
        local listener, port = listen("127.0.0.1")
        listener:close()
        print(select(2, socket.connect("127.0.0.2+127.0.0.3.stub", port)))]])
    end)

    it("leaves no attempt behind when the task is cancelled, the socket closed, or the time over", function()
      assert_writes("cancelled\nclosed\ntimeout\n0\n", [[
        local listener, port = listen("127.0.0.1")
        local all = { silent("127.0.0.2", port), silent("127.0.0.3", port) }
        local before = descriptors()
        local function connect(sock)
          return sock:connect("127.0.0.2+127.0.0.3.stub", port)
        end
        local sock = socket.tcp()
        local task = coev.spawn(connect, sock)
        coev.sleep(0.27)
        assert(descriptors() - before == 2, "there are not two attempts")
        task:cancel()
        print(select(2, task:join()).reason)
        assert(sock:getfd() == -1)
        local other = socket.tcp()
        task = coev.spawn(connect, other)
        coev.sleep(0.02)
        other:close()
        print(select(3, task:join()))
        sock:settimeout(0.27)
        print(select(2, connect(sock)))
        assert(sock:getfd() >= 0)
        sock:close()
        print(descriptors() - before)
        for _, waiting in ipairs(all) do close(waiting) end
        listener:close()]])
    end)

    it("keeps options that were set before", function()
      assert_writes("true\n", [[
        local listener, port = listen("127.0.0.1")
        local sock = socket.tcp()
        sock:setoption("keepalive", true)
        assert(sock:connect("127.0.0.2+127.0.0.1.stub", port))
        print((sock:getoption("keepalive")))
        close({ sock, listener })]])
    end)

    it("ends with the deadline of a scope, too", function()
      assert_writes("timeout\n0\n", [[
        local listener, port = listen("127.0.0.1")
        local waiting = silent("127.0.0.2", port)
        local before = descriptors()
        print(select(2, coev.timeout(0.3, function()
          return socket.connect("127.0.0.2+127.0.0.2.stub", port)
        end)))
        print(descriptors() - before)
        close(waiting)
        listener:close()]])
    end)
  end)
end)
