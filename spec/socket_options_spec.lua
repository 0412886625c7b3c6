local coev = require "coev"
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

  it("is made by bind for reuseaddr", function()
    local listener = peer.listen()
    assert.is_true(listener:getoption("reuseaddr"))
    listener:close()
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
