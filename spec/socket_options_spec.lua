local coev = require "coev"
local helper = require "spec.helper"
local peer = require "spec.support.peer"

local socket = coev.socket

describe("setoption", function()
  it("sets what getoption reads, on a client and on a server", function()
    local near, far = peer.pair()
    local listener = peer.listen()
    for _, sock in ipairs({ near, listener }) do
      for _, name in ipairs({ "tcp-nodelay", "keepalive", "reuseaddr" }) do
        for _, value in ipairs({ true, false, true }) do
          assert.equal(1, (sock:setoption(name, value)))
          assert.equal(value, (sock:getoption(name)))
        end
      end
    end
    near:close()
    far:close()
    listener:close()
  end)

  it("works before a socket has an address", function()
    local master = socket.tcp()
    assert.equal(1, (master:setoption("keepalive", true)))
    assert.equal(1, (master:bind("127.0.0.1", 0)))
    assert.is_true(master:getoption("keepalive"))
    master:close()
  end)

  it("takes linger as a table, and tells it as one", function()
    local near, far = peer.pair()
    assert.same({ on = false, timeout = 0 }, near:getoption("linger"))
    assert.equal(1, (near:setoption("linger", { on = true, timeout = 3 })))
    assert.same({ on = true, timeout = 3 }, near:getoption("linger"))
    assert.equal(1, (near:setoption("linger", { on = false, timeout = 0 })))
    assert.has_error(function() near:setoption("linger", {}) end,
      "bad argument #2 to 'setoption' (boolean 'on' field expected)")
    assert.has_error(function() near:setoption("linger", { on = 1, timeout = "x" }) end,
      "bad argument #2 to 'setoption' (boolean 'on' field expected)")
    assert.has_error(function() near:setoption("linger", { on = true, timeout = "x" }) end,
      "bad argument #2 to 'setoption' (number 'timeout' field expected)")
    assert.has_error(function() near:setoption("linger", nil) end,
      "bad argument #2 to 'setoption' (table expected, got nil)")
    local given = setmetatable({}, { __index = function(_, name) return name == "on" or "5" end })
    assert.equal(1, (near:setoption("linger", given)))
    assert.same({ on = true, timeout = 5 }, near:getoption("linger"))
    given = setmetatable({}, { __index = function(_, name) error(name, 0) end })
    assert.has_error(function() near:setoption("linger", given) end, "on")
    near:close()
    far:close()
  end)

  it("holds for the next socket, too, as long as none is connected or bound", function()
    helper.run(function()
      local sock = socket.tcp()
      assert.is_nil((sock:connect("127.0.0.1", peer.free_port())))
      assert.is_false(sock:getoption("keepalive"))
      assert.equal(1, (sock:setoption("keepalive", true)))
      local listener, address, port = peer.listen()
      assert.equal(1, (sock:connect(address, port)))
      assert.is_true(sock:getoption("keepalive"))
      sock:close()
      listener:close()
    end)
  end)

  it("sets numbers, and tells a waiting error once", function()
    local near, far = peer.pair()
    assert.equal(1, (near:setoption("tcp-keepidle", 77)))
    assert.equal(77, (near:getoption("tcp-keepidle")))
    assert.equal(1, (near:setoption("recv-buffer-size", 8192)))
    assert.is_true(near:getoption("recv-buffer-size") >= 8192)
    assert.is_nil(near:getoption("error"))
    assert.has_error(function() near:setoption("broadcast", true) end)
    near:close()
    assert.same({ nil, "closed" }, { near:setoption("linger", { on = true, timeout = 1 }) })
    assert.same({ nil, "closed" }, { near:getoption("linger") })
    far:close()
  end)

  it("is made by bind for reuseaddr", function()
    local listener = peer.listen()
    assert.is_true(listener:getoption("reuseaddr"))
    listener:close()
  end)
end)

describe("a method that all sockets have", function()
  it("takes the sockets of its own kind alone", function()
    local kinds = {
      tcp = socket.tcp(), udp = socket.udp(), unixstream = socket.unix(), unixdgram = socket.unix.dgram(),
    }
    for kind, own in pairs(kinds) do
      for _, name in ipairs({
        "close", "detach", "dirty", "getfamily", "getfd", "getoption", "getsockname", "gettimeout", "setfd",
        "setoption", "settimeout",
      }) do
        for other, sock in pairs(kinds) do
          if other ~= kind then
            assert.has_error(function() own[name](sock) end,
              ("calling '%s' on bad self (%s{any} expected, got userdata)"):format(name, kind))
          end
        end
      end
    end
    for _, sock in pairs(kinds) do
      sock:close()
    end
  end)
end)

describe("settimeout", function()
  it("returns 1 for every form", function()
    local near, far = peer.pair()
    assert.equal(1, (near:settimeout()))
    assert.equal(1, (near:settimeout(nil)))
    assert.equal(1, (near:settimeout(-1)))
    assert.equal(1, (near:settimeout(0)))
    assert.equal(1, (near:settimeout(1.5, "b")))
    assert.equal(1, (near:settimeout(2, "t")))
    near:close()
    assert.equal(1, (near:settimeout(1)))
    far:close()
  end)
end)

describe("gettimeout", function()
  it("tells both bounds, less than 0 for none", function()
    local near, far = peer.pair()
    assert.same({ -1, -1 }, { near:gettimeout() })
    near:settimeout(1.5)
    near:settimeout(2, "t")
    assert.same({ 1.5, 2 }, { near:gettimeout() })
    near:close()
    far:close()
  end)
end)

describe("getfd", function()
  it("is a descriptor of the open socket, and -1 without one", function()
    local near, far = peer.pair()
    assert.is_true(near:getfd() > 2)
    assert.are_not.equal(near:getfd(), far:getfd())
    near:close()
    assert.equal(-1, near:getfd())
    assert.equal(-1, socket.tcp():getfd())
    far:close()
  end)
end)

describe("getstats", function()
  it("counts bytes both ways, and setstats sets them", function()
    helper.run(function()
      local near, far = peer.pair()
      near:send("one\ntwo\n")
      far:receive()
      local received, sent, age = near:getstats()
      assert.same({ 0, 8 }, { received, sent })
      assert.is_true(age >= 0)
      assert.equal(4, (far:getstats()))
      assert.is_true(far:dirty())
      far:receive(4)
      assert.equal(8, (far:getstats()))
      assert.is_false(far:dirty())
      assert.equal(1, (far:setstats(1, 2, 1000)))
      received, sent, age = far:getstats()
      assert.same({ 1, 2 }, { received, sent })
      assert.is_true(age >= 1000)
      near:close()
      far:close()
    end)
  end)
end)

describe("setfd", function()
  it("takes another descriptor, and leaves the old one open", function()
    helper.run(function()
      local near, far = peer.pair()
      local own = near:getfd()
      near:setfd(socket._SOCKETINVALID)
      assert.equal(-1, near:getfd())
      local again = assert(socket.fdopen(own))
      again:send("still open\n")
      assert.equal("still open", (far:receive()))
      near:setfd((again:detach()))
      near:send("back\n")
      assert.equal("back", (far:receive()))
      assert.has_error(function() near:setfd(9999) end,
        "bad argument #1 to 'setfd' (no descriptor of a socket)")
      near:close()
      far:close()
    end)
  end)
end)

describe("getpeername", function()
  it("of a listener knows no peer", function()
    local listener = peer.listen()
    assert.same({ nil, "Transport endpoint is not connected" }, { listener:getpeername() })
    listener:close()
  end)
end)

describe("a socket's metatable", function()
  it("has an __index that pairs walks, for those who wrap sockets", function()
    local near, far = peer.pair()
    local methods = getmetatable(near).__index
    assert.equal("table", type(methods))
    local seen = {}
    for name, method in pairs(methods) do
      seen[name] = type(method)
    end
    assert.equal("function", seen.receive)
    assert.equal("function", seen.send)
    near:close()
    far:close()
  end)
end)
