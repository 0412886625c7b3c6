local coev = require "coev"
local helper = require "spec.helper"
local peer = require "spec.support.peer"

local socket = coev.socket

describe("select", function()
  it("tells what is ready, by place and by object", function()
    helper.run(function()
      local near, far = peer.pair()
      near:send("x")
      local readable, writable, err = socket.select({ near, far }, { near })
      assert.same({ far, [far] = 1 }, readable)
      assert.same({ near, [near] = 1 }, writable)
      assert.is_nil(err)
      near:close()
      far:close()
    end)
  end)

  it("says that the time is over, and lets the others run", function()
    helper.run(function()
      local near, far = peer.pair()
      local turns = 0
      coev.spawn(function()
        turns = turns + 1
      end)
      assert.same({ {}, {}, "timeout" }, { socket.select({ near, far }, nil, 0) })
      assert.equal(1, turns)
      assert.same({ {}, {}, "timeout" }, { socket.select({ near, far }, {}, 0.002) })
      assert.same({ {}, {}, "timeout" }, { socket.select(nil, nil, 0.002) })
      near:close()
      far:close()
    end)
  end)

  it("waits until one of them is ready", function()
    helper.run(function()
      local near, far = peer.pair()
      local others = { peer.pair() }
      local listener = peer.listen()
      local waiter = coev.spawn(socket.select, { others[1], far, listener, others[2] })
      coev.yield()
      assert.equal("select of 4 descriptors", waiter:waiting())
      coev.yield()
      assert.equal("waiting", waiter:status())
      near:send("x")
      local ok, readable = waiter:join()
      assert.is_true(ok)
      assert.equal(far, readable[1])
      -- The same socket can be read by its task, watched as it was by select.
      assert.equal("x", (far:receive(1)))
      waiter = coev.spawn(socket.select, { far, listener })
      coev.yield()
      local client = socket.connect(listener:getsockname(), (select(2, listener:getsockname())))
      assert.equal(listener, (select(2, waiter:join())[1]))
      for _, sock in ipairs({ near, far, listener, client, others[1], others[2] }) do
        sock:close()
      end
    end)
  end)

  it("takes what has been read and not asked for as ready", function()
    helper.run(function()
      local near, far = peer.pair()
      near:send("one\ntwo\n")
      assert.equal("one", (far:receive()))
      assert.equal(far, socket.select({ near, far })[1])
      near:close()
      far:close()
    end)
  end)

  it("takes tables that have only getfd and dirty, and leaves out what has no descriptor", function()
    helper.run(function()
      local near, far = peer.pair()
      local table_like = {
        getfd = function() return far:getfd() end,
        dirty = function() return far:dirty() end,
      }
      local closed = socket.tcp()
      local waiter = coev.spawn(socket.select, { table_like, closed, {} }, { closed })
      coev.yield()
      near:send("x")
      local _, readable = waiter:join()
      assert.same({ table_like, [table_like] = 1 }, readable)
      near:close()
      far:close()
    end)
  end)

  it("can be cancelled", function()
    helper.run(function()
      local near, far = peer.pair()
      local waiter = coev.spawn(socket.select, { near, far })
      coev.yield()
      waiter:cancel()
      waiter:join()
      assert.equal("cancelled", waiter:status())
      near:close()
      far:close()
    end)
  end)

  it("raises for what it cannot take", function()
    assert.is_true(socket._SETSIZE >= 65536)
    local function of(fd)
      return { { getfd = function() return fd end } }
    end
    assert.has_error(function() socket.select(1) end)
    assert.has_error(function() socket.select(nil, nil, {}) end)
    local ok, err = pcall(socket.select, of(socket._SETSIZE))
    assert.is_false(ok)
    assert.truthy(err:find("bad argument #1 to 'select' (descriptor too large for set size)", 1, true), err)
    ok, err = pcall(socket.select, of(socket._SETSIZE - 1), nil, 0)
    assert.is_false(ok)
    assert.truthy(err:find("select failed", 1, true), err)
  end)
end)
