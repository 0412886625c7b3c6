-- Peers that behave badly, and sockets that are closed under those who use them.

local coev = require "coev"
local child = require "spec.support.child"
local helper = require "spec.helper"
local peer = require "spec.support.peer"
local tasks = require "spec.support.tasks"

local socket = coev.socket
local unpack = table.unpack or unpack

-- Ends a connection so that the other side sees a reset.
local function reset(sock)
  sock:setoption("linger", { on = true, timeout = 0 })
  sock:close()
end

-- Sends until there is no room.
local function fill(sock)
  sock:settimeout(0)
  repeat
    local sent = sock:send(("x"):rep(65536))
  until not sent
  sock:settimeout()
end

describe("a peer that", function()
  it("sends one byte at a time is understood by every pattern", function()
    helper.run(function()
      local near = peer.scripted(function(far)
        far:setoption("tcp-nodelay", true)
        local text = "line\r\nlast\nfivesA--rest"
        for i = 1, #text do
          far:send(text:sub(i, i))
          coev.yield()
        end
      end)
      assert.equal("line", (near:receive()))
      assert.equal("last", (near:read()))
      assert.equal("fives", (near:receive(5)))
      assert.equal("A", near:receiveuntil("--")())
      assert.equal("rest", (near:receive("*a")))
      near:close()
    end)
  end)

  it("half-closes still gets all that is sent to it", function()
    helper.run(function()
      local near, far = peer.pair()
      assert.equal(1, far:shutdown("send"))
      assert.same({ nil, "closed", "" }, { near:receive() })
      assert.same({ nil, "closed", "" }, { near:receive() })
      local text = ("x"):rep(300000)
      local reader = coev.spawn(function() return far:receive("*a") end)
      assert.equal(#text, (near:send(text)))
      near:close()
      assert.equal(text, reader:await())
      far:close()
    end)
  end)

  it("resets the connection within a line leaves that part, and 'closed'", function()
    helper.run(function()
      local near, far = peer.pair()
      far:send("whole\npart")
      assert.equal("whole", (near:receive()))
      local reader = tasks.parked(near.receive, near)
      reset(far)
      assert.same({ true, nil, "closed", "part" }, { reader:join() })
      assert.same({ nil, "closed", "" }, { near:receive() })
      local _, err = near:send("x")
      assert.equal("closed", err)
      near:close()
    end)
  end)

  it("resets the connection wakes a writer that waits", function()
    helper.run(function()
      local near, far = peer.pair()
      fill(near)
      local writer = tasks.parked(near.send, near, "more")
      reset(far)
      assert.same({ true, nil, "closed", 0 }, { writer:join() })
      near:close()
    end)
  end)

  it("is gone is no signal for whoever sends a file or copies", function()
    child.assert_writes(("closed\t0\n"):rep(3), [[
      local socket = coev.socket
      coev.run(function()
        local near, far = socket.pair()
        far:close()
        print(select(2, near:sendfile("Makefile")))
        print(select(2, near:sendfile("Makefile")))
        local source, feeder = socket.pair()
        feeder:send("more")
        print(select(2, socket.copy(source, near)))
        -- What could not be passed on is still there.
        feeder:close()
        assert(source:receive("*a") == "more")
      end)]])
  end)

  it("never reads holds up nobody but its writer, whose timeout counts", function()
    helper.run(function()
      local near, far = peer.pair()
      fill(near)
      near:settimeout(0.02)
      local turns = 0
      local other = coev.spawn(function()
        while true do
          turns = turns + 1
          coev.yield()
        end
      end)
      local sent, err, last = near:send(("y"):rep(1000))
      assert.is_nil(sent)
      assert.equal("timeout", err)
      assert.equal(0, last)
      assert.is_true(turns > 1)
      other:cancel()
      peer.close(near, far)
    end)
  end)

  it("comes and goes 10,000 times leaves nothing, and holds up no good one", function()
    helper.run(function()
      local listener, address, port = peer.listen(512)
      local served, spoken = 0, 0
      local server = coev.spawn(socket.serve, listener, function(client)
        served = served + 1
        local line = client:receive()
        if line then
          client:send(line .. "\n")
          spoken = spoken + 1
        end
      end)
      for _ = 1, 100 do
        local batch = {}
        for i = 1, 99 do
          batch[i] = assert(socket.connect(address, port))
        end
        local good = assert(socket.connect(address, port))
        -- A reset leaves no address behind that would have to rest.
        for _, sock in ipairs(batch) do
          reset(sock)
        end
        good:send("hello\n")
        assert.equal("hello", (good:receive()))
        good:close()
      end
      server:cancel()
      server:join()
      assert.equal(100, spoken)
      assert.is_true(served > 100)
    end)
  end)
end)

describe("close, while", function()
  -- What waits for a socket of a pair, and what it says when that is closed.
  local WAITS = {
    receive = { function(sock) return sock:receive() end, nil, "closed", "" },
    ["receive of a number"] = { function(sock) return sock:receive(5) end, nil, "closed", "" },
    ["receive of all"] = { function(sock) return sock:receive("*a") end, nil, "closed", "" },
    receiveany = { function(sock) return sock:receiveany(5) end, nil, "closed", "" },
    receiveuntil = { function(sock) return sock:receiveuntil("x")() end, nil, "closed", "" },
    read = { function(sock) return sock:read("n") end, nil },
    copy = { function(sock, other) return socket.copy(sock, other) end, 0 },
    ["copy to it"] = { function(sock, other) return socket.copy(other, sock) end, nil, "closed", 0, feeds = true },
    send = { function(sock) return sock:send("more") end, nil, "closed", 0, fills = true },
    ["send of a list"] = { function(sock) return sock:send({ "more" }) end, nil, "closed", 0, fills = true },
    sendfile = { function(sock) return sock:sendfile("Makefile") end, nil, "closed", 0, fills = true },
    ["select for reading"] = { function(sock) return #socket.select({ sock }) end, 1 },
    ["select for writing"] = { function(sock) return #select(2, socket.select(nil, { sock }, 5)) end, 1, fills = true },
    ["coev.wait"] = { function(sock) return coev.wait(sock) end, "closed" },
    ["a poll's wait"] = {
      function(sock)
        local poll = coev.poll.new()
        poll:add(sock)
        local events = poll:wait(5)
        poll:close()
        return #events, events[1][2]
      end,
      1, "closed",
    },
  }

  for name, case in pairs(WAITS) do
    it(name .. " waits for the socket, ends that wait", function()
      helper.run(function()
        local near, far = peer.pair()
        local other, feeder = peer.pair()
        if case.fills or case.feeds then
          fill(near)
        end
        if case.feeds then
          feeder:send("more")
        end
        local task = tasks.parked(case[1], near, other)
        coev.yield()
        near:close()
        assert.same({ true, unpack(case, 2, 4) }, { task:join() })
        peer.close(far, other, feeder)
      end)
    end)
  end

  it("select waits for others, leaves that wait alone, also when the number is another's at once", function()
    helper.run(function()
      local near, far = peer.pair()
      local other, feeder = peer.pair()
      local task = tasks.parked(socket.select, { other }, nil, 5)
      near:close()
      local third, fourth = peer.pair()
      coev.yield()
      assert.equal("waiting", task:status())
      feeder:send("x")
      local _, readable = task:join()
      assert.same({ other, [other] = 1 }, readable)
      peer.close(far, other, feeder, third, fourth)
    end)
  end)
end)

describe("a process without descriptors", function()
  -- The most descriptors that the children may have.
  local FEW = 24
  local PRELUDE = [[
local socket = coev.socket
local unpack = table.unpack or unpack
local listener = assert(socket.bind("127.0.0.1", 0))
local address, port = listener:getsockname()

-- Takes all descriptors but so many.
local function hog(left)
  local hogs = {}
  repeat
    local sock, err = socket.udp4()
    hogs[#hogs + 1] = sock
  until not sock
  assert(socket.udp4() == nil)
  for _ = 1, left do table.remove(hogs):close() end
  return function()
    for _, sock in ipairs(hogs) do sock:close() end
  end
end
]]

  local function assert_writes(expected, text)
    child.assert_writes(expected, PRELUDE .. text, { before = "ulimit -n " .. FEW })
  end

  -- What the runtime itself needs is made at the first use.
  local WARM = [[
socket.connect("localhost", 1)
assert(socket.connect(address, port)):close()
listener:accept():close()
]]

  it("says so in every function that needs one, and works again when there is one", function()
    assert_writes(("nil\ttoo many open files\n"):rep(11) .. "fine\n", WARM .. [[
      coev.run(function()
        local tcp, ready = socket.tcp(), assert(socket.connect(address, port))
        listener:accept():close()
        local free = hog(0)
        print(socket.connect(address, port))
        print(tcp:connect(address, port))
        print(socket.tcp():bind(address, 0))
        print(socket.bind(address, 0))
        print(socket.listen(address, 0))
        print(socket.tcp4())
        print(socket.udp4())
        print(socket.udp():setsockname(address, 0))
        print(socket.unix.stream())
        print(socket.pair())
        print((select(1, ready:sendfile("Makefile"))), (select(2, ready:sendfile("Makefile"))))
        free()
        local sock = assert(socket.connect(address, port))
        assert(listener:accept()):close()
        assert(select(2, sock:receive()) == "closed")
        print("fine")
      end)]])
  end)

  it("tells a plain accept, which can be tried again", function()
    assert_writes("nil\ttoo many open files\nfine\n", WARM .. [[
      coev.run(function()
        local free = hog(1)
        local near = assert(socket.connect(address, port))
        print(listener:accept())
        free()
        local far = assert(listener:accept())
        far:send("fine\n")
        print((near:receive()))
      end)]])
  end)

  it("cannot look names up, and says why", function()
    assert_writes("string\nfine\n", WARM .. [[
      coev.run(function()
        local free = hog(0)
        local _, err = socket.connect("localhost", port)
        print(type(err))
        free()
        assert(socket.connect("localhost", port))
        print("fine")
      end)]])
  end)

  it("cannot begin to wait, and says so", function()
    assert_writes("nil\ttoo many open files\nfine\n", [[
      local free = hog(0)
      print(listener:accept())
      free()
      coev.run(function()
        coev.spawn(function() socket.connect(address, port):send("fine\n") end)
        print((assert(listener:accept()):receive()))
      end)]])
  end)

  it("goes on serving, with no more than one warning a second", function()
    assert_writes("1\ttoo many open files\t8\n", WARM .. [[
      coev.run(function()
        local free, near = hog(8), {}
        for i = 1, 8 do near[i] = assert(socket.connect(address, port)) end
        local warnings, last, served = 0, nil, 0
        local server = coev.spawn(socket.serve, listener, function(client)
          client:receive()
          served = served + 1
        end, { log = function(text) warnings, last = warnings + 1, text end })
        coev.sleep(0.1)
        for _, sock in ipairs(near) do sock:close() end
        free()
        while served < 8 do coev.sleep(0.005) end
        print(warnings, last, served)
        server:cancel()
      end)]])
  end)
end)
