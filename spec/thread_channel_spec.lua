local coev = require "coev"
local helper = require "spec.helper"
local pack = require "spec.support.pack"

local thread, run, socket = coev.thread, helper.run, coev.socket

-- Sends back what it receives, until the first channel is closed; then it closes the second.
local ECHO = [[
  local input, output = ...
  for value in input:iter() do output:send(value) end
  output:close()
]]

describe("a channel between threads", function()
  it("copies values from thread to thread, in order", function()
    local input, output = thread.channel(8), thread.channel(8)
    local t = thread.new(ECHO, input, output)
    run(function()
      coev.spawn(function()
        for i = 1, 500 do
          assert.is_true(input:send({ i }))
        end
        input:close()
      end)
      local expected = 1
      for value in output:iter() do
        assert.equal(expected, value[1])
        expected = expected + 1
      end
      assert.equal(501, expected)
    end)
    assert.is_true((t:join()))
  end)

  it("works within one state as well, also outside of tasks", function()
    local channel = thread.channel(2)
    assert.is_true(channel:send("a"))
    assert.is_true(channel:try_send({ "b" }))
    assert.is_false(channel:try_send("c"))
    assert.equal(2, #channel)
    assert.equal(2, channel:len())
    assert.equal(2, channel:capacity())
    assert.equal("a", channel:receive())
    assert.same({ true, { "b" } }, { channel:try_receive() })
    assert.same(pack(false), pack(channel:try_receive()))
    assert.same(pack(nil, "timeout"), pack(channel:receive(0.001)))
    assert.same(pack(nil, "timeout"), pack(channel:receive(0)))
  end)

  it("carries false, and no nil", function()
    local channel = thread.channel(1)
    assert.is_true(channel:send(false))
    assert.equal(false, (channel:receive()))
    for _, name in ipairs({ "send", "try_send" }) do
      assert.error_matches(function()
        channel[name](channel, nil)
      end, "bad argument #1 to '" .. name .. "' (value expected, got nil)", nil, true)
    end
  end)

  it("is a rendezvous without a capacity", function()
    local channel = thread.channel()
    assert.equal(0, channel:capacity())
    assert.is_false(channel:try_send(1))
    assert.same(pack(nil, "timeout"), pack(channel:send(1, 0.001)))
    run(function()
      local sender = coev.spawn(channel.send, channel, 1)
      coev.yield()
      assert.equal("waiting", sender:status())
      assert.equal("send on a channel between threads", sender:waiting())
      assert.same(pack(true, 1), pack(channel:try_receive()))
      assert.same(pack(true, true), pack(sender:join()))
      local receiver = coev.spawn(channel.receive, channel)
      coev.yield()
      assert.is_true(channel:try_send(2))
      assert.same(pack(true, 2), pack(receiver:join()))
    end)
  end)

  it("may be without a bound", function()
    local channel = thread.channel(math.huge)
    assert.equal(math.huge, channel:capacity())
    for i = 1, 5000 do
      assert(channel:send(i, 0))
    end
    assert.equal(5000, #channel)
    for i = 1, 5000 do
      assert(channel:receive(0) == i)
    end
  end)

  it("refuses capacities that are none", function()
    for _, bad in ipairs({ -1, 1.5, "x", {} }) do
      assert.error_matches(function()
        thread.channel(bad)
      end, "bad argument #1 to 'channel'", nil, true)
    end
  end)

  it("says what cannot be sent, and loses nothing", function()
    local channel = thread.channel(4)
    local co = coroutine.create(function() end)
    for _, name in ipairs({ "send", "try_send" }) do
      assert.error_matches(function()
        channel[name](channel, { deep = { co } })
      end, "value.deep[1]: a coroutine cannot be sent", nil, true)
    end
    assert.equal(0, #channel)
  end)

  it("gives what is queued after its close, and then says so", function()
    local channel = thread.channel(4)
    channel:send(1)
    channel:send(2)
    channel:close()
    channel:close()
    assert.same(pack(nil, "closed"), pack(channel:send(3)))
    assert.same(pack(false, "closed"), pack(channel:try_send(3)))
    local got = {}
    for value in channel:iter() do
      got[#got + 1] = value
    end
    assert.same({ 1, 2 }, got)
    assert.same(pack(nil, "closed"), pack(channel:receive()))
    assert.same(pack(false, "closed"), pack(channel:try_receive()))
  end)

  it("wakes all who wait when it is closed, in every thread", function()
    local channel, ready = thread.channel(), thread.channel()
    local t = thread.new([[
      local channel, ready = ...
      local coev = require "coev"
      local task = coev.spawn(channel.receive, channel)
      coev.yield()
      ready:send(true)
      return select(3, task:join())
    ]], channel, ready)
    run(function()
      local receiver = coev.spawn(channel.receive, channel)
      ready:receive()
      channel:close()
      assert.same(pack(true, nil, "closed"), pack(receiver:join()))
      assert.same(pack(true, "closed"), pack(t:join()))
      local full = thread.channel()
      local sender = coev.spawn(full.send, full, 1)
      coev.yield()
      full:close()
      assert.same(pack(true, nil, "closed"), pack(sender:join()))
    end)
  end)

  it("serves those who wait in the order they came", function()
    run(function()
      local channel, order = thread.channel(), {}
      for i = 1, 5 do
        coev.spawn(function()
          local value = channel:receive()
          order[#order + 1] = i .. value
        end)
      end
      coev.yield()
      for _, value in ipairs({ "a", "b", "c", "d", "e" }) do
        channel:send(value)
      end
      helper.pause(0.005)
      assert.same({ "1a", "2b", "3c", "4d", "5e" }, order)
      for i = 1, 5 do
        coev.spawn(channel.send, channel, i)
      end
      coev.yield()
      for i = 1, 5 do
        assert.equal(i, channel:receive())
      end
    end)
  end)

  it("passes on what a cancelled receiver has been handed", function()
    run(function()
      local channel, got = thread.channel(), {}
      local first = coev.spawn(channel.receive, channel)
      local second = coev.spawn(function()
        got[1] = channel:receive()
      end)
      coev.yield()
      assert.is_true(channel:try_send("item"))
      first:cancel()
      assert.is_false((first:join()))
      second:join()
      assert.same({ "item" }, got)
      -- And where nobody else waits, it is the next one's.
      local third = coev.spawn(channel.receive, channel)
      coev.yield()
      assert.is_true(channel:try_send("again"))
      third:cancel()
      assert.is_false((third:join()))
      assert.same(pack(true, "again"), pack(channel:try_receive()))
    end)
  end)

  it("takes back what a cancelled sender still offers", function()
    run(function()
      local channel = thread.channel()
      local first, second = coev.spawn(channel.send, channel, 1), coev.spawn(channel.send, channel, 2)
      coev.yield()
      first:cancel()
      assert.is_false((first:join()))
      assert.equal(2, channel:receive())
      assert.is_true((second:join()))
      assert.same(pack(false), pack(channel:try_receive()))
      assert.same(pack(nil, "timeout"), pack(coev.timeout(0.002, channel.send, channel, 3)))
      assert.same(pack(false), pack(channel:try_receive()))
    end)
  end)

  it("is sent through itself, in arguments, tables and upvalues", function()
    local channel = thread.channel(2)
    channel:send({ inner = channel })
    local same = channel:receive().inner
    same:send("through")
    assert.equal("through", channel:receive())
    local t = thread.new(function(list)
      channel:send("upvalue")
      list[1].channel:send("argument")
      return channel
    end, { { channel = channel } })
    local _, back = t:join()
    assert.equal("upvalue", back:receive())
    assert.equal("argument", back:receive())
  end)

  it("lets thousands of tasks in several threads share it", function()
    local THREADS, TASKS, ITEMS = 3, 500, 4
    local work, results = thread.channel(16), thread.channel(16)
    local threads = {}
    for i = 1, THREADS do
      threads[i] = thread.new([[
        local work, results, tasks = ...
        local coev = require "coev"
        for _ = 1, tasks do
          coev.spawn(function()
            local n = work:receive()
            while n do
              results:send(n)
              n = work:receive()
            end
          end)
        end
      ]], work, results, TASKS)
    end
    run(function()
      local total = TASKS * ITEMS
      for part = 0, ITEMS - 1 do
        coev.spawn(function()
          for i = part * TASKS + 1, (part + 1) * TASKS do
            work:send(i)
          end
        end)
      end
      local seen, count = {}, 0
      while count < total do
        local n = results:receive()
        assert(not seen[n], "twice")
        seen[n], count = true, count + 1
      end
      work:close()
      for _, t in ipairs(threads) do
        assert(t:join())
      end
      assert.same(pack(false), pack(results:try_receive()))
    end)
  end)

  it("loses nothing and doubles nothing while receivers are cancelled and time out", function()
    local channel, done = thread.channel(3), thread.channel(math.huge)
    local N = 600
    local receivers = {}
    for i = 1, 2 do
      receivers[i] = thread.new([[
        local coev, channel, done, seed = require "coev", ...
        math.randomseed(seed)
        local finished
        for _ = 1, 20 do
          coev.spawn(function()
            while not finished do
              local task = coev.spawn(function()
                local value, err = channel:receive(math.random() * 0.002)
                if value then done:try_send(value) elseif err == "closed" then finished = true end
              end)
              if math.random(2) == 1 then
                coev.yield()
                task:cancel()
              end
              task:join()
            end
          end)
        end
      ]], channel, done, i)
    end
    run(function()
      for i = 1, N do
        channel:send(i)
      end
      channel:close()
      for i = 1, 2 do
        assert(receivers[i]:join())
      end
      local seen = {}
      while true do
        local ok, value = done:try_receive()
        if not ok then break end
        assert(not seen[value], "twice")
        seen[value] = true
      end
      assert.equal(N, #seen)
    end)
  end)

  it("hands nothing to a thread that has ended while its tasks waited", function()
    local channel = thread.channel()
    -- Its error leaves the loop with the task parked.
    local t = thread.new([[
      local coev, channel = require "coev", ...
      coev.onerror("raise")
      coev.spawn(channel.receive, channel)
      coev.spawn(function() coev.yield() error("oops", 0) end)
      coev.sleep(60)
    ]], channel)
    assert.same({ false, "oops" }, { t:join() })
    assert.is_false(channel:try_send(1))
    assert.matches("%(0 of 0 queued%)$", tostring(channel))
  end)

  it("is not a deadlock to wait for", function()
    local channel = thread.channel()
    local t = thread.new("require 'coev'.sleep(0.02); (...):send('late')", channel)
    assert.equal("late", channel:receive())
    t:join()
  end)

  it("tells what it is", function()
    local channel = thread.channel(2)
    channel:send(1)
    assert.matches("^coev.thread.channel: 0x%x+ %(1 of 2 queued%)$", tostring(channel))
    run(function()
      local sender = coev.spawn(function()
        channel:send(2)
        channel:send(3)
      end)
      coev.yield()
      assert.matches("%(2 of 2 queued, 1 task waits%)$", tostring(channel))
      channel:receive()
      sender:join()
    end)
    channel:close()
    assert.matches("%(2 of 2 queued, closed%)$", tostring(channel))
    assert.matches("%(0 of any number queued%)$", tostring(thread.channel(math.huge)))
    assert.error_matches(function()
      channel.send({}, 1)
    end, "calling 'send' on bad self (coev.thread.channel expected, got table)", nil, true)
  end)
end)

describe("waiting for a channel between threads with others", function()
  it("takes part in a select, which lets exactly one take effect", function()
    run(function()
      local near, far = coev.channel.new(), thread.channel()
      local t = thread.new("require 'coev'.sleep(0.005); (...):send('far')", far)
      assert.same({ 2, "far" }, { coev.select({ { near, "receive" }, { far, "receive" } }) })
      t:join()
      assert.same({ nil, "timeout" }, { coev.select({ { near, "receive" }, { far, "receive" }, timeout = 0.003 }) })
      assert.same({ nil, "default" }, { coev.select({ { far, "send", 1 }, default = true }) })
      coev.spawn(near.send, near, "near")
      assert.same({ 1, "near" }, { coev.select({ { near, "receive" }, { far, "send", 1 } }) })
      assert.same(pack(false), pack(far:try_receive()))
      local receiver = coev.spawn(far.receive, far)
      assert.same({ 2, true }, { coev.select({ { near, "receive" }, { far, "send", "sent" } }) })
      assert.same(pack(true, "sent"), pack(receiver:join()))
      far:close()
      assert.same({ 1, nil, "closed" }, { coev.select({ { far, "receive" }, { near, "receive" } }) })
    end)
  end)

  it("loses nothing when several threads select on it", function()
    local channel, results = thread.channel(), thread.channel(math.huge)
    local threads = {}
    for i = 1, 2 do
      threads[i] = thread.new([[
        local coev, channel, results = require "coev", ...
        local never = coev.channel.new()
        while true do
          local index, value, err = coev.select({ { never, "receive" }, { channel, "receive" } })
          if err == "closed" then break end
          assert(index == 2)
          results:send(value)
        end
      ]], channel, results)
    end
    run(function()
      for i = 1, 200 do
        channel:send(i)
      end
      channel:close()
      for i = 1, 2 do
        assert(threads[i]:join())
      end
      assert.equal(200, #results)
    end)
  end)

  it("takes part in a poll, beside sockets and local channels", function()
    run(function()
      local far, near = thread.channel(1), coev.channel.new(1)
      local a, b = assert(socket.pair())
      local poll = coev.poll.new()
      poll:add(far, "r", "far")
      poll:add(near, "r", "near")
      poll:add(a, "r", "socket")
      assert.same(pack(nil, "timeout"), pack(poll:wait(0.003)))
      local t = thread.new("require 'coev'.sleep(0.005); (...):send('hi')", far)
      local batch = poll:wait(5)
      assert.same({ "far", "r" }, { batch[1][3], batch[1][2] })
      assert.equal(1, #batch)
      -- It is reported as long as it is ready.
      assert.equal("far", poll:wait(5)[1][3])
      assert.equal("hi", far:receive())
      b:send("x")
      assert.equal("socket", poll:wait(5)[1][3])
      poll:modify(far, "w")
      a:receive(1)
      assert.same({ "far", "w" }, { poll:wait(5)[1][3], "w" })
      poll:close()
      a:close()
      b:close()
      t:join()
    end)
  end)

  it("is what coev.wait does", function()
    run(function()
      local channel = thread.channel(1)
      assert.equal("w", coev.wait(channel, "w", 1))
      assert.same(pack(nil, "timeout"), pack(coev.wait(channel, "r", 0.002)))
      local t = thread.new("require 'coev'.sleep(0.005); (...):close()", channel)
      assert.equal("r", coev.wait(channel, "r", 5))
      t:join()
    end)
  end)
end)

describe("sockets in channels", function()
  it("move, with what had been read, and are closed where they were", function()
    local a, b = assert(socket.pair())
    assert(b:send("line\nrest"))
    assert.equal("line", a:receive())
    local channel = thread.channel(1)
    assert.is_true(channel:send({ a }))
    assert.equal(-1, a:getfd())
    assert.same(pack(nil, "closed", 0), pack(a:send("x")))
    local t = thread.new([[
      local s = (...):receive()[1]
      s:send(s:receive(4) .. "!")
      s:close()
    ]], channel)
    assert.equal("rest!", b:receive("*a"))
    b:close()
    assert.is_true((t:join()))
  end)

  it("stay where they are when they are not sent", function()
    local a, b = assert(socket.pair())
    local channel = thread.channel()
    assert.is_false(channel:try_send(a))
    assert.same(pack(nil, "timeout"), pack(channel:send(a, 0.002)))
    assert.error_matches(function()
      channel:send({ a, coroutine.create(function() end) })
    end, "a coroutine cannot be sent", nil, true)
    channel:close()
    assert.same(pack(nil, "closed"), pack(channel:send(a)))
    assert.equal(2, (a:send("ok")))
    assert.equal("ok", b:receive(2))
    a:close()
    b:close()
  end)

  it("keep their class, timeouts and who listens", function()
    local listener = assert(socket.bind("127.0.0.1", 0))
    local _, port = listener:getsockname()
    listener:settimeout(5)
    local udp = assert(socket.udp())
    assert(udp:setsockname("127.0.0.1", 0))
    local t = thread.new([[
      local listener, udp = ...
      local client = assert(listener:accept())
      client:send(tostring(listener):match("^[^:]+") .. " " .. listener:gettimeout() .. " "
        .. tostring(udp):match("^[^:]+") .. "\n")
      client:close()
      listener:close()
      udp:close()
    ]], listener, udp)
    local client = assert(socket.connect("127.0.0.1", port))
    assert.matches("^tcp{server} 5%.?0? udp{unconnected}$", client:receive())
    client:close()
    assert.is_true((t:join()))
  end)

  it("are closed with a channel that nobody holds", function()
    local a, b = assert(socket.pair())
    do
      local channel = thread.channel(1)
      channel:send(a)
    end
    collectgarbage()
    collectgarbage()
    assert.same(pack(nil, "closed", ""), pack(b:receive()))
    b:close()
  end)

  it("serve clients in other threads that one has accepted", function()
    local channel, threads = thread.channel(4), {}
    for i = 1, 2 do
      threads[i] = thread.new([[
        local coev, channel = require "coev", ...
        local function serve(client)
          local line = client:receive()
          while line do
            client:send(line:upper() .. "\n")
            line = client:receive()
          end
          client:close()
        end
        local client = channel:receive()
        while client do
          coev.spawn(serve, client)
          client = channel:receive()
        end
      ]], channel)
    end
    run(function()
      local listener = assert(socket.bind("127.0.0.1", 0))
      local _, port = listener:getsockname()
      local acceptor = coev.spawn(function()
        for _ = 1, 20 do
          channel:send(assert(listener:accept()))
        end
        channel:close()
      end)
      local clients = {}
      for i = 1, 20 do
        clients[i] = coev.spawn(function()
          local client = assert(socket.connect("127.0.0.1", port))
          for n = 1, 5 do
            client:send("line " .. n .. "\n")
            assert.equal("LINE " .. n, client:receive())
          end
          client:close()
        end)
      end
      for i = 1, 20 do
        clients[i]:await()
      end
      acceptor:await()
      listener:close()
      for i = 1, 2 do
        assert(threads[i]:join())
      end
    end)
  end)
end)
