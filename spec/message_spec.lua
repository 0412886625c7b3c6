local coev = require "coev"
local helper = require "spec.helper"
local pack = require "spec.support.pack"
local peer = require "spec.support.peer"

-- A message as it goes over a stream.
local function framed(...)
  local bytes = coev.pack(...)
  assert(#bytes < 65536)
  return string.char(#bytes % 256, math.floor(#bytes / 256), 0, 0) .. bytes
end

-- Runs `f` with both ends of a connection, and closes them.
local function with_pair(f)
  helper.run(function()
    local near, far = peer.pair()
    f(near, far)
    near:close()
    far:close()
  end)
end

describe("sendmessage and receivemessage", function()
  it("carry values over a stream", function()
    with_pair(function(near, far)
      assert.is_true(near:sendmessage(1, { x = { 2.5 } }, nil, "text", nil))
      assert.is_true(near:sendmessage())
      assert.is_true(near:sendmessage(false))
      assert.same({ 1, { x = { 2.5 } }, nil, "text", nil, n = 5 }, pack(far:receivemessage()))
      assert.equal(0, pack(far:receivemessage()).n)
      assert.same({ false, n = 1 }, pack(far:receivemessage()))
    end)
  end)

  it("work on sockets with paths", function()
    helper.run(function()
      local near, far = coev.socket.pair()
      near:sendmessage({ "path" })
      assert.same({ "path" }, (far:receivemessage()))
      near:close()
      far:close()
    end)
  end)

  it("mix with lines and counted reads", function()
    with_pair(function(near, far)
      near:send("a line\n")
      near:sendmessage("one")
      near:send("12345")
      near:sendmessage("two")
      near:send("the rest")
      near:close()
      assert.equal("a line", (far:receive()))
      assert.equal("one", (far:receivemessage()))
      assert.equal("12345", (far:receive(5)))
      assert.equal("two", (far:receivemessage()))
      assert.equal("the rest", (far:receive("*a")))
      assert.same({ nil, "closed" }, { far:receivemessage() })
    end)
  end)

  it("lose nothing of a message that comes in pieces, whatever the timeout", function()
    with_pair(function(near, far)
      local bytes = framed({ 1, 2, "three" }, "four")
      far:settimeout(0)
      for i = 1, #bytes - 1 do
        near:send(bytes:sub(i, i))
        coev.sleep(0)
        assert.same({ nil, "timeout", n = 2 }, pack(far:receivemessage()))
      end
      near:send(bytes:sub(-1) .. "tail\n")
      far:settimeout(1)
      assert.same({ { 1, 2, "three" }, "four" }, { far:receivemessage() })
      assert.equal("tail", (far:receive()))
    end)
  end)

  it("lose nothing when the reader is cancelled", function()
    with_pair(function(near, far)
      local bytes = framed("whole")
      near:send(bytes:sub(1, 7))
      local reader = coev.spawn(function() return far:receivemessage() end)
      coev.sleep(0.002)
      reader:cancel()
      reader:join()
      near:send(bytes:sub(8))
      assert.equal("whole", (far:receivemessage()))
    end)
  end)

  it("go both ways at once on one socket", function()
    with_pair(function(near, far)
      local big = ("x"):rep(300000)
      local function converse(sock)
        local writer = coev.spawn(function()
          for i = 1, 20 do assert(sock:sendmessage(i, big)) end
        end)
        for i = 1, 20 do
          local number, text = sock:receivemessage()
          assert.equal(i, number)
          assert.equal(#big, #text)
        end
        writer:await()
      end
      local other = coev.spawn(converse, far)
      converse(near)
      other:await()
    end)
  end)

  it("keep whole messages when many tasks send and receive", function()
    with_pair(function(near, far)
      local seen = {}
      coev.group(function(group)
        for i = 1, 10 do
          group:spawn(function()
            for j = 1, 10 do near:sendmessage(i, j, ("y"):rep(i * 1000)) end
          end)
        end
        for _ = 1, 4 do
          group:spawn(function()
            for _ = 1, 25 do
              local i, j, text = far:receivemessage()
              assert.equal(i * 1000, #text)
              seen[i * 100 + j] = true
            end
          end)
        end
      end)
      for i = 1, 10 do
        for j = 1, 10 do assert.is_true(seen[i * 100 + j]) end
      end
    end)
  end)

  it("leave one that is too long where it is", function()
    with_pair(function(near, far)
      local long = ("x"):rep(1000)
      near:sendmessage(long)
      near:sendmessage("short")
      assert.same({ nil, "oversized", #coev.pack(long) }, { far:receivemessage(100) })
      assert.equal(long, (far:receivemessage(2000)))
      assert.equal("short", (far:receivemessage(100)))
      near:send("\255\255\255\255")
      local values = pack(far:receivemessage())
      assert.same({ nil, "oversized", 4294967295, n = 3 }, values)
      assert.has_error(function() far:receivemessage(0) end)
    end)
  end)

  it("step over one that is malformed", function()
    with_pair(function(near, far)
      near:send("\5\0\0\0hello\0\0\0\0")
      near:sendmessage("well")
      assert.same({ nil, "malformed message" }, { far:receivemessage() })
      assert.same({ nil, "malformed message" }, { far:receivemessage() })
      assert.equal("well", (far:receivemessage()))
    end)
  end)

  it("carry no functions, neither sent nor received", function()
    with_pair(function(near, far)
      for _, f in ipairs({ print, function() end }) do
        local ok, err = pcall(near.sendmessage, near, 1, { f = f })
        assert.is_false(ok)
        assert.truthy(err:find("bad argument #2 to 'sendmessage' (arg 2.f: a function cannot be sent)", 1, true), err)
        near:send(framed(f))
        assert.same({ nil, "functions are not allowed" }, { far:receivemessage() })
      end
      near:sendmessage("all is well")
      assert.equal("all is well", (far:receivemessage()))
    end)
  end)

  it("tell that the connection has ended", function()
    with_pair(function(near, far)
      near:send(framed("half"):sub(1, 6))
      near:close()
      assert.same({ nil, "closed", n = 2 }, pack(far:receivemessage()))
      assert.same({ nil, "closed", false }, { near:sendmessage(1) })
      assert.equal(6, #far:receive("*a"))
    end)
  end)
end)

describe("a message whose sending is cut short", function()
  local big = ("z"):rep(8 * 1024 * 1024)

  it("has begun: the rest goes out before anything else", function()
    with_pair(function(near, far)
      near:settimeout(0.002)
      assert.same({ nil, "timeout", true }, { near:sendmessage(big, 1) })
      local reader = coev.spawn(function()
        local text, one = far:receivemessage()
        return text == big, one, (far:receive())
      end)
      near:settimeout(nil)
      near:send("next\n")
      assert.same({ true, true, 1, "next" }, { reader:join() })
    end)
  end)

  it("has not begun: nothing of it goes out", function()
    with_pair(function(near, far)
      near:settimeout(0.002)
      assert.same({ nil, "timeout", true }, { near:sendmessage(big) })
      assert.same({ nil, "timeout", false }, { near:sendmessage("never") })
      local cancelled = coev.spawn(function() near:sendmessage("nor this") end)
      coev.yield()
      cancelled:cancel()
      cancelled:join()
      local reader = coev.spawn(function()
        return #far:receivemessage(), (far:receivemessage())
      end)
      near:settimeout(nil)
      near:sendmessage("at last")
      assert.same({ true, #big, "at last" }, { reader:join() })
    end)
  end)

  it("stays whole when its socket moves on", function()
    with_pair(function(near, far)
      near:settimeout(0.002)
      assert.same({ nil, "timeout", true }, { near:sendmessage(big) })
      local channel = coev.thread.channel(1)
      channel:send(near)
      local moved = channel:receive()
      local reader = coev.spawn(function() return far:receivemessage() == big, (far:receivemessage()) end)
      moved:settimeout(nil)
      moved:sendmessage("after")
      assert.same({ true, true, "after" }, { reader:join() })
      moved:close()
    end)
  end)

  it("stays whole when its task is cancelled", function()
    with_pair(function(near, far)
      local writer = coev.spawn(function() near:sendmessage(big) end)
      coev.sleep(0.002)
      writer:cancel()
      writer:join()
      local reader = coev.spawn(function() return far:receivemessage() == big, (far:receivemessage()) end)
      near:sendmessage("after")
      assert.same({ true, true, "after" }, { reader:join() })
    end)
  end)
end)

describe("receivemessage", function()
  it("does no harm to its reader, whatever comes", function()
    with_pair(function(near, far)
      local state = 7
      local function random(most)
        state = (state * 16807) % 2147483647
        return state % most + 1
      end
      local seed = coev.pack({ 1, "two", { three = 3.5 } }, ("four"):rep(20))
      for _ = 1, 500 do
        local at = random(#seed)
        local bytes = seed:sub(1, at - 1) .. string.char(random(256) - 1) .. seed:sub(at + random(3))
        near:send(string.char(#bytes, 0, 0, 0) .. bytes)
        local ok, err = far:receivemessage()
        assert.is_true(ok ~= nil or err == nil or type(err) == "string" or type(err) == "table")
      end
      near:sendmessage("still here")
      assert.equal("still here", (far:receivemessage()))
    end)
  end)
end)
