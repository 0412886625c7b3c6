local coev = require "coev"
local helper = require "spec.helper"

local socket = coev.socket

-- A UDP socket on a free port of the loopback address, and that port.
local function bound()
  local sock = assert(socket.udp())
  assert.equal(1, (sock:setsockname("127.0.0.1", 0)))
  return sock, select(2, sock:getsockname())
end

describe("a UDP socket", function()
  it("is unconnected first, and tells its class", function()
    local sock = socket.udp()
    assert.truthy(tostring(sock):find("^udp{unconnected}: 0x"))
    assert.equal("udp{unconnected}", sock.class)
    assert.equal(-1, sock:getfd())
    sock:close()
    for _, make in ipairs({ socket.udp4, socket.udp6 }) do
      sock = make()
      if sock then
        assert.is_true(sock:getfd() > 2)
        sock:close()
      end
    end
  end)

  it("sends and receives messages one by one, empty ones too", function()
    helper.run(function()
      local near, far, port = socket.udp(), bound()
      for _, text in ipairs({ "one", "", "three" }) do
        assert.equal(#text, (near:sendto(text, "127.0.0.1", port)))
      end
      assert.equal("one", (far:receive()))
      assert.equal("", (far:receive()))
      local data, ip, from = far:receivefrom()
      assert.same({ "three", "127.0.0.1" }, { data, ip })
      assert.equal(tonumber((select(2, near:getsockname()))), from)
      near:close()
      far:close()
    end)
  end)

  it("speaks IPv6, too", function()
    local far = socket.udp6()
    if not far or not far:setsockname("::1", 0) then
      pending("there is no IPv6 here")
    end
    helper.run(function()
      local near, port = socket.udp(), select(2, far:getsockname())
      assert.equal(1, (near:sendto("x", "::1", port)))
      assert.equal("inet6", near:getfamily())
      local data, ip, from = far:receivefrom()
      assert.same({ "x", "::1" }, { data, ip })
      assert.equal(1, (far:sendto("y", ip, from)))
      assert.equal("y", (near:receive()))
      assert.same({ nil, "Address family for hostname not supported" }, { near:sendto("x", "127.0.0.1", port) })
      near:close()
      far:close()
    end)
  end)

  it("waits for a message while others run", function()
    helper.run(function()
      local near, far, port = socket.udp(), bound()
      local order = {}
      local reader = coev.spawn(function()
        local message = far:receive()
        order[#order + 1] = message
      end)
      coev.yield()
      assert.truthy(reader:waiting():find("receive on udp", 1, true), reader:waiting())
      order[#order + 1] = "first"
      near:sendto("second", "127.0.0.1", port)
      reader:join()
      assert.same({ "first", "second" }, order)
      near:close()
      far:close()
    end)
  end)

  it("cuts a message to the size", function()
    helper.run(function()
      local near, far, port = socket.udp(), bound()
      near:sendto("abcdef", "127.0.0.1", port)
      near:sendto(("x"):rep(60000), "127.0.0.1", port)
      near:sendto(("y"):rep(60000), "127.0.0.1", port)
      assert.equal("abc", (far:receive(3)))
      assert.equal(8192, #far:receive())
      assert.equal(60000, #far:receive(100000))
      near:close()
      far:close()
    end)
  end)

  it("talks to its peer alone once it is connected, and is let go by *", function()
    helper.run(function()
      local near, port = bound()
      local far, far_port = bound()
      local stranger = socket.udp()
      assert.equal(1, (near:setpeername("localhost", far_port)))
      assert.equal("udp{connected}", near.class)
      local ip, peer_port = near:getpeername()
      assert.same({ "127.0.0.1", tonumber(far_port) }, { ip, peer_port })
      stranger:sendto("stranger", "127.0.0.1", port)
      far:sendto("peer", "127.0.0.1", port)
      assert.equal("peer", (near:receive()))
      assert.has_error(function() near:sendto("x", "127.0.0.1", port) end)
      assert.equal(1, (near:setpeername("*")))
      assert.equal("udp{unconnected}", near.class)
      assert.has_error(function() near:send("x") end)
      near:close()
      far:close()
      stranger:close()
    end)
  end)

  it("takes a peer's address in each form that the system knows, and a port or a service alone", function()
    helper.run(function()
      local near = bound()
      local far, port = bound()
      assert.equal(1, (near:setpeername("127.1", port)))
      assert.equal("127.0.0.1", (near:getpeername()))
      for _, host in ipairs { "127.0.0.1", "localhost" } do
        local ok, err = pcall(function() near:setpeername(host, {}) end)
        assert.is_false(ok)
        assert.truthy(err:find("bad argument #2 to 'setpeername' %(string expected, got table%)$"), err)
      end
      near:close()
      far:close()
    end)
  end)

  it("sends to an address in each form that the system knows, and to no name", function()
    helper.run(function()
      local near, far, port = socket.udp(), bound()
      for _, host in ipairs({ "127.1", "0x7f.0.0.1", "2130706433", "::ffff:127.0.0.1" }) do
        assert.equal(1, (near:sendto("x", host, port)), host)
        local message, from = far:receivefrom()
        assert.same({ "x", "127.0.0.1" }, { message, from }, host)
      end
      assert.equal("inet4", near:getfamily())
      for _, arguments in ipairs({
        { "localhost", port }, { "", port }, { "127.0.0.1", "domain" }, { "1.2.3.4.5", port },
      }) do
        local sent, err = near:sendto("x", arguments[1], arguments[2])
        assert.is_nil(sent)
        assert.equal("Name or service not known", err)
      end
      assert.same({ nil, "Address family for hostname not supported" }, { near:sendto("x", "::1", port) })
      near:close()
      far:close()
    end)
  end)

  it("sends to this host as *, of the first family that there is", function()
    helper.run(function()
      local near = socket.udp()
      local far = near:sendto("x", "*", 9) and socket[near:getfamily() == "inet6" and "udp6" or "udp4"]()
      assert(far:setsockname(near:getfamily() == "inet6" and "::1" or "127.0.0.1", 0))
      assert.equal(1, (near:sendto("y", "*", (select(2, far:getsockname())))))
      assert.equal("y", (far:receive()))
      near:close()
      far:close()
    end)
  end)

  it("leaves its family open while no address will do, and then knows it", function()
    helper.run(function()
      local sock = socket.udp()
      assert.is_nil((sock:setsockname("192.0.2.1", 0)))
      assert.same({ "0.0.0.0", "0", "unspec" }, { sock:getsockname() })
      local reader = coev.spawn(sock.receive, sock)
      coev.yield()
      assert.equal(1, (sock:setsockname("127.0.0.1", 0)))
      local address, port, family = sock:getsockname()
      assert.same({ "127.0.0.1", "inet" }, { address, family })
      assert.same({ nil, "Address family for hostname not supported" }, { sock:sendto("x", "::1", 9) })
      -- Who has waited all the time waits at the new socket.
      assert.equal(5, (sock:sendto("to me", address, port)))
      assert.same({ true, "to me" }, { reader:join() })
      sock:close()
    end)
  end)

  it("knows the services of messages alone", function()
    helper.run(function()
      local sock = socket.udp()
      assert.equal(1, (sock:setpeername("127.0.0.1", "domain")))
      assert.equal(53, (select(2, sock:getpeername())))
      local unknown = { nil, "service not supported for socket type" }
      assert.same(unknown, { sock:setpeername("127.0.0.1", "smtp") })
      assert.same(unknown, { sock:setpeername("localhost", "smtp") })
      sock:close()
      sock = socket.udp()
      assert.same(unknown, { sock:setsockname("127.0.0.1", "smtp") })
      sock:close()
    end)
  end)

  it("says when the peer refuses", function()
    helper.run(function()
      local near, far, port = socket.udp(), bound()
      far:close()
      near:setpeername("127.0.0.1", port)
      near:send("x")
      assert.same({ nil, "connection refused" }, { near:receive() })
      near:close()
    end)
  end)

  it("obeys timeouts, and gives the others a turn under 0", function()
    helper.run(function()
      local sock = bound()
      sock:settimeout(0)
      local other = false
      coev.spawn(function()
        other = true
      end)
      assert.same({ nil, "timeout" }, { sock:receive() })
      assert.is_true(other)
      sock:settimeout(0.002)
      assert.same({ nil, "timeout" }, { sock:receivefrom() })
      sock:close()
    end)
  end)

  it("wakes its reader when it is closed", function()
    helper.run(function()
      local sock = bound()
      local reader = coev.spawn(sock.receive, sock)
      coev.yield()
      sock:close()
      assert.same({ true, nil, "closed" }, { reader:join() })
      assert.same({ nil, "closed" }, { sock:receive() })
      assert.same({ nil, "closed" }, { sock:sendto("x", "127.0.0.1", 1) })
    end)
  end)

  it("has the options of multicast", function()
    local sock = assert(socket.udp4())
    assert.equal(1, (sock:setoption("ip-multicast-loop", false)))
    assert.is_false(sock:getoption("ip-multicast-loop"))
    assert.equal(1, (sock:setoption("ip-multicast-if", "127.0.0.1")))
    assert.equal("127.0.0.1", (sock:getoption("ip-multicast-if")))
    assert.equal(1, (sock:setoption("broadcast", true)))
    assert.is_true(sock:getoption("broadcast"))
    assert.equal(1, (sock:setoption("ip-add-membership", { multiaddr = "239.1.2.3", interface = "127.0.0.1" })))
    assert.equal(1, (sock:setoption("ip-drop-membership", { multiaddr = "239.1.2.3", interface = "127.0.0.1" })))
    assert.has_error(function() sock:setoption("ip-add-membership", { interface = "*" }) end,
      "bad argument #2 to 'setoption' (string 'multiaddr' field expected)")
    assert.equal(1, (sock:setoption("ip-multicast-if", "127.1")))
    assert.equal("127.0.0.1", (sock:getoption("ip-multicast-if")))
    assert.has_error(function() sock:setoption("keepalive", true) end)
    for _, value in ipairs({ "x", { on = true, timeout = 1 } }) do
      assert.has_error(function() sock:setoption("linger", value) end,
        "bad argument #1 to 'setoption' (unsupported option 'linger')")
    end
    for problem, value in pairs({
      ["table expected, got string"] = "x",
      ["string 'multiaddr' field expected"] = { multiaddr = {}, interface = {} },
      ["invalid 'multiaddr' ip address"] = { multiaddr = "x", interface = {} },
      ["string 'interface' field expected"] = { multiaddr = "239.1.2.3", interface = {} },
      ["invalid 'interface' ip address"] = { multiaddr = "239.1.2.3", interface = "x" },
    }) do
      assert.has_error(function() sock:setoption("ip-add-membership", value) end,
        ("bad argument #2 to 'setoption' (%s)"):format(problem))
    end
    sock:close()
  end)
end)
