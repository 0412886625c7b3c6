local coev = require "coev"
local helper = require "spec.helper"
local peer = require "spec.support.peer"

-- More than the buffers of a loopback connection hold.
local FLOOD = ("0123456789abcdef"):rep(1024 * 1024)

describe("send", function()
  it("returns the index of the last byte sent, and two nils", function()
    helper.run(function()
      local near, far = peer.pair()
      assert.equal(3, select("#", near:send("abc")))
      assert.equal(5, (near:send("abcde")))
      assert.equal(0, (near:send("")))
      assert.equal(2, (near:send(12)))
      near:close()
      assert.equal("abcabcde12", (far:receive("*a")))
      far:close()
    end)
  end)

  it("sends a part of the string, as string.sub would cut it", function()
    local cases = {
      { "bcd", 4, 2, 4 },
      { "cde", 5, 3 },
      { "de", 5, -2 },
      { "ab", 2, 1, -4 },
      { "abc", 3, 0, 3 },
      { "abcde", 5, -9, 99 },
      { "", 3, 4, 3 },
      { "", 5, 6 },
    }
    helper.run(function()
      for _, case in ipairs(cases) do
        local near, far = peer.pair()
        local last = near:send("abcde", case[3], case[4])
        assert.equal(case[2], last)
        near:close()
        assert.equal(case[1], far:receive("*a") or "")
        far:close()
      end
    end)
  end)

  it("waits until a slow reader has taken everything", function()
    helper.run(function()
      local near, far = peer.pair()
      local sender = coev.spawn(function()
        local last = near:send(FLOOD)
        near:close()
        return last
      end)
      local total = 0
      repeat
        local data, err, part = far:receive(1000000)
        total = total + #(data or part)
      until err
      assert.equal(#FLOOD, total)
      assert.same({ true, #FLOOD }, { sender:join() })
      far:close()
    end)
  end)

  it("that times out tells how far it got, and can go on from there", function()
    helper.run(function()
      local near, far = peer.pair()
      near:settimeout(0.005)
      local result, err, last = near:send(FLOOD)
      assert.is_nil(result)
      assert.equal("timeout", err)
      assert.is_true(last > 0 and last < #FLOOD)
      local reader = coev.spawn(function()
        return far:receive(#FLOOD)
      end)
      near:settimeout(5)
      assert.equal(#FLOOD, (near:send(FLOOD, last + 1)))
      local _, data = reader:join()
      assert.is_true(FLOOD == data)
      near:close()
      far:close()
    end)
  end)

  it("tells nil, 'closed' and the last index when the peer is gone", function()
    helper.run(function()
      local near, far = peer.pair()
      far:close()
      local result, err, last
      repeat
        result, err, last = near:send("abc", 2)
      until not result
      assert.equal("closed", err)
      assert.equal(1, last)
      near:close()
    end)
  end)

  it("after close tells nil, 'closed' and where it would have begun", function()
    local near, far = peer.pair()
    near:close()
    assert.same({ nil, "closed", 0 }, { near:send("abc") })
    assert.same({ nil, "closed", 1 }, { near:send("abc", 2) })
    far:close()
  end)

  it("goes both ways at once", function()
    helper.run(function()
      local near, far = peer.pair()
      local echo = coev.spawn(function()
        repeat
          local line = far:receive("*l")
          if line then
            far:send(line .. "\n")
          end
        until not line
      end)
      local lines = 200
      local writer = coev.spawn(function()
        for i = 1, lines do
          near:send(i .. "\n")
        end
      end)
      for i = 1, lines do
        assert.equal(tostring(i), (near:receive()))
      end
      assert.is_true(writer:join())
      near:close()
      assert.is_true(echo:join())
      far:close()
    end)
  end)

  it("of two tasks does not mix their bytes", function()
    helper.run(function()
      local near, far = peer.pair()
      local size = 1000000
      for _, byte in ipairs({ "a", "b" }) do
        coev.spawn(function()
          assert(near:send(byte:rep(size)))
        end)
      end
      assert.is_true(("a"):rep(size) == far:receive(size))
      assert.is_true(("b"):rep(size) == far:receive(size))
      near:close()
      far:close()
    end)
  end)
end)

describe("shutdown", function()
  it("of sending ends what the peer reads and keeps the other direction", function()
    helper.run(function()
      local near, far = peer.pair()
      near:send("question")
      assert.equal(1, (near:shutdown("send")))
      assert.equal("question", (far:receive("*a")))
      far:send("answer\n")
      assert.equal("answer", (near:receive()))
      assert.same({ nil, "closed", 0 }, { near:send("x") })
      near:close()
      far:close()
    end)
  end)

  it("of receiving ends the reads", function()
    helper.run(function()
      local near, far = peer.pair()
      assert.equal(1, (near:shutdown("receive")))
      assert.same({ nil, "closed", "" }, { near:receive() })
      near:close()
      far:close()
    end)
  end)

  it("of both is the default", function()
    helper.run(function()
      local near, far = peer.pair()
      assert.equal(1, (near:shutdown()))
      assert.same({ nil, "closed", "" }, { near:receive() })
      assert.same({ nil, "closed", 0 }, { near:send("x") })
      assert.same({ nil, "closed", "" }, { far:receive() })
      near:close()
      far:close()
    end)
  end)

  it("wakes a reader that waits", function()
    helper.run(function()
      local near, far = peer.pair()
      local reader = coev.spawn(near.receive, near)
      coev.yield()
      near:shutdown("receive")
      assert.same({ true, nil, "closed", "" }, { reader:join() })
      near:close()
      far:close()
    end)
  end)
end)

describe("close", function()
  it("wakes a writer that waits", function()
    helper.run(function()
      local near, far = peer.pair()
      local writer = coev.spawn(near.send, near, FLOOD)
      coev.sleep(0.002)
      near:close()
      local ok, result, err, last = writer:join()
      assert.is_true(ok)
      assert.is_nil(result)
      assert.equal("closed", err)
      assert.is_true(last < #FLOOD)
      far:close()
    end)
  end)

  it("returns 1, as often as it is called", function()
    local near, far = peer.pair()
    assert.equal(1, (near:close()))
    assert.equal(1, (near:close()))
    far:close()
  end)
end)

describe("a connection that the peer resets", function()
  it("is closed for the reader", function()
    helper.run(function()
      local near, far = peer.pair()
      near:send("never read")
      coev.sleep(0.002)
      far:close()
      assert.same({ nil, "closed", "" }, { near:receive() })
      near:close()
    end)
  end)

  it("is closed for a reader that already waits", function()
    helper.run(function()
      local near, far = peer.pair()
      near:send("never read")
      local reader = coev.spawn(near.receive, near, "*a")
      coev.sleep(0.002)
      far:close()
      assert.same({ true, nil, "closed", "" }, { reader:join() })
      near:close()
    end)
  end)

  it("is closed for a writer that waits", function()
    helper.run(function()
      local near, far = peer.pair()
      local writer = coev.spawn(near.send, near, FLOOD)
      coev.sleep(0.002)
      far:close()
      local _, result, err = writer:join()
      assert.is_nil(result)
      assert.equal("closed", err)
      near:close()
    end)
  end)
end)

describe("send of a list", function()
  it("sends the strings as if they were one", function()
    helper.run(function()
      local near, far = peer.pair()
      assert.equal(7, (near:send({ "ab", "", "cdefg" })))
      assert.equal(4, (near:send({ "ab", "cd" }, 3)))
      assert.equal(0, (near:send({})))
      local large = {}
      for i = 1, 64 do
        large[i] = ("x"):rep(50000)
      end
      local sender = coev.spawn(function()
        assert.equal(64 * 50000, (near:send(large)))
        near:close()
      end)
      local data = far:receive("*a")
      assert.equal("abcdefgcd", data:sub(1, 9))
      assert.equal(9 + 64 * 50000, #data)
      sender:join()
      far:close()
      assert.has_error(function() near:send({ "a", 2 }) end,
        "bad argument #1 to 'send' (item 2 of the list is no string)")
    end)
  end)
end)
