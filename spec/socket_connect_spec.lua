local coev = require "coev"
local helper = require "spec.helper"
local peer = require "spec.support.peer"

local socket = coev.socket

-- A listening socket on ::1, or nil where there is no IPv6.
local function listen6()
  local listener = socket.bind("::1", 0)
  if listener then
    return listener, select(2, listener:getsockname())
  end
end

describe("bind", function()
  it("listens at once, on a free port for port 0", function()
    helper.run(function()
      local listener = assert(socket.bind("127.0.0.1", 0))
      local address, port, family = listener:getsockname()
      assert.equal("127.0.0.1", address)
      assert.equal("string", type(port))
      assert.is_true(tonumber(port) > 0)
      assert.equal("inet", family)
      local near = assert(socket.connect(address, port))
      near:close()
      listener:close()
    end)
  end)

  it("takes * for every address", function()
    local listener = assert(socket.bind("*", 0))
    assert.equal("0.0.0.0", (listener:getsockname()))
    listener:close()
  end)

  it("says when the address is taken", function()
    local listener, address, port = peer.listen()
    assert.same({ nil, "address already in use" }, { socket.bind(address, port) })
    listener:close()
  end)

  it("says when the address is not of this machine", function()
    local listener, err = socket.bind("192.0.2.1", 0)
    assert.is_nil(listener)
    assert.equal("Cannot assign requested address", err)
  end)

  it("works step by step on a tcp object", function()
    helper.run(function()
      local master = socket.tcp()
      assert.truthy(tostring(master):find("tcp{master}", 1, true))
      assert.equal(1, (master:bind("127.0.0.1", 0)))
      assert.truthy(tostring(master):find("tcp{master}", 1, true))
      assert.equal(1, (master:listen(5)))
      assert.truthy(tostring(master):find("tcp{server}", 1, true))
      local near = socket.tcp()
      assert.equal(1, (near:connect(master:getsockname())))
      assert.truthy(tostring(near):find("tcp{client}", 1, true))
      local far = assert(master:accept())
      assert.truthy(tostring(far):find("tcp{client}", 1, true))
      near:close()
      far:close()
      master:close()
    end)
  end)
end)

describe("connect", function()
  it("knows both ends", function()
    helper.run(function()
      local listener, address, port = peer.listen()
      local near = assert(socket.connect(address, tonumber(port)))
      local far = assert(listener:accept())
      local peer_address, peer_port, family = near:getpeername()
      assert.equal("127.0.0.1", peer_address)
      assert.equal("number", type(peer_port))
      assert.equal(tonumber(port), peer_port)
      assert.equal("inet", family)
      local _, own_port = near:getsockname()
      assert.equal(tonumber(own_port), (select(2, far:getpeername())))
      peer.close(near, far, listener)
    end)
  end)

  it("says when nobody listens", function()
    helper.run(function()
      local port = peer.free_port()
      assert.same({ nil, "connection refused" }, { socket.connect("127.0.0.1", port) })
      local master = socket.tcp()
      assert.same({ nil, "connection refused" }, { master:connect("127.0.0.1", port) })
      master:close()
    end)
  end)

  it("says when the name is not known", function()
    helper.run(function()
      local sock, err = socket.connect("no-such-name.invalid", 80)
      assert.is_nil(sock)
      assert.equal("string", type(err))
    end)
  end)

  it("resolves names and lets other tasks run meanwhile", function()
    helper.run(function()
      local listener, _, port = peer.listen()
      local near = assert(socket.connect("localhost", port))
      assert.truthy((near:getpeername()))
      near:close()
      listener:close()
    end)
  end)

  it("can be bound to an address and port of its own", function()
    helper.run(function()
      local listener, address, port = peer.listen()
      local own_port = peer.free_port()
      local near = assert(socket.connect(address, port, "127.0.0.1", own_port))
      assert.equal(own_port, (select(2, near:getsockname())))
      near:close()
      listener:close()
    end)
  end)

  it("reaches many peers at once", function()
    helper.run(function()
      local listener, address, port = peer.listen(128)
      local lines, callers = {}, {}
      for i = 1, 50 do
        callers[i] = coev.spawn(function()
          local near = assert(socket.connect(address, port))
          near:send(i .. "\n")
          lines[i] = near:receive()
          near:close()
        end)
      end
      for _ = 1, 50 do
        local far = assert(listener:accept())
        coev.spawn(function()
          far:send(far:receive() .. " echoed\n")
          far:close()
        end)
      end
      listener:close()
      for i = 1, 50 do
        callers[i]:await()
        assert.equal(i .. " echoed", lines[i])
      end
    end)
  end)

  it("that would wait says 'timeout' and works on", function()
    helper.run(function()
      local listener, address, port = peer.listen()
      local near = socket.tcp()
      near:settimeout(0)
      local ok, err = near:connect(address, port)
      if not ok then
        assert.equal("timeout", err)
      end
      local far = assert(listener:accept())
      near:settimeout(5)
      near:send("connected\n")
      assert.equal("connected", (far:receive()))
      near:close()
      far:close()
      listener:close()
    end)
  end)

  it("gives up after its timeout when nobody answers", function()
    helper.run(function()
      local listener, address, port = peer.listen(0)
      local waiting = {}
      local err
      for i = 1, 8 do
        waiting[i] = socket.tcp()
        waiting[i]:settimeout(0.01)
        local _
        _, err = waiting[i]:connect(address, port)
        if err then
          break
        end
      end
      assert.equal("timeout", err)
      for _, sock in ipairs(waiting) do
        sock:close()
      end
      listener:close()
    end)
  end)

  it("works outside tasks", function()
    local near, far = peer.pair()
    far:send("hello\n")
    assert.equal("hello", (near:receive()))
    near:close()
    far:close()
  end)
end)

describe("a timeout of 0", function()
  it("sees all that has come, also on a socket that has waited before", function()
    helper.run(function()
      local near, far = peer.pair()
      local listener, address, port = peer.listen()
      for _, sock in ipairs({ near, listener }) do
        sock:settimeout(0.001)
      end
      assert.equal("timeout", (select(2, near:receive())))
      assert.equal("timeout", (select(2, listener:accept())))
      far:send("hello\n")
      local client = assert(socket.connect(address, port))
      near:settimeout(0)
      listener:settimeout(0)
      assert.equal("hello", (near:receive()))
      local accepted = assert(listener:accept())
      peer.close(near, far, listener, client, accepted)
    end)
  end)
end)

describe("accept", function()
  it("waits for a client", function()
    helper.run(function()
      local listener, address, port = peer.listen()
      coev.spawn(function()
        coev.sleep(0.003)
        socket.connect(address, port):close()
      end)
      local far = assert(listener:accept())
      assert.same({ nil, "closed", "" }, { far:receive() })
      far:close()
      listener:close()
    end)
  end)

  it("gives up after its timeout", function()
    helper.run(function()
      local listener, address, port = peer.listen()
      listener:settimeout(0.002)
      assert.same({ nil, "timeout" }, { listener:accept() })
      listener:settimeout(0)
      assert.same({ nil, "timeout" }, { listener:accept() })
      local near = socket.connect(address, port)
      listener:settimeout(5)
      local far = assert(listener:accept())
      near:close()
      far:close()
      listener:close()
    end)
  end)

  it("of several tasks serves them in the order in which they came", function()
    helper.run(function()
      local listener, address, port = peer.listen()
      local order = {}
      for i = 1, 3 do
        coev.spawn(function()
          local far = assert(listener:accept())
          order[#order + 1] = i
          far:close()
        end)
      end
      coev.yield()
      for _ = 1, 3 do
        local near = assert(socket.connect(address, port))
        near:receive()
        near:close()
      end
      assert.same({ 1, 2, 3 }, order)
      listener:close()
    end)
  end)

  it("says 'closed' when the socket is closed meanwhile and afterwards", function()
    helper.run(function()
      local listener = peer.listen()
      local acceptor = coev.spawn(listener.accept, listener)
      coev.yield()
      listener:close()
      assert.same({ true, nil, "closed" }, { acceptor:join() })
      assert.same({ nil, "closed" }, { listener:accept() })
    end)
  end)
end)

describe("IPv6", function()
  it("connects, and names its family", function()
    local listener, port = listen6()
    if not listener then
      pending("there is no IPv6 here")
    end
    helper.run(function()
      local near = assert(socket.connect("::1", port))
      local address, _, family = near:getpeername()
      assert.equal("::1", address)
      assert.equal("inet6", family)
      near:close()
      listener:close()
    end)
  end)

  it("is what tcp6 makes, and tcp4 does not", function()
    local six = socket.tcp6()
    if six then
      assert.equal("inet6", (select(3, six:getsockname())))
      six:close()
    end
    local four = assert(socket.tcp4())
    assert.same({ "0.0.0.0", "0", "inet" }, { four:getsockname() })
    four:close()
  end)
end)
