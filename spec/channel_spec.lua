local coev = require "coev"
local helper = require "spec.helper"
local schedule = require "spec.support.schedule"

local function refused(message, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(message, 1, true), tostring(err))
end

describe("a channel", function()
  it("without room hands each value from the sender to the receiver", function()
    helper.run(function()
      local channel, log = coev.channel.new(), {}
      local sender = coev.spawn(function()
        for i = 1, 3 do
          assert.is_true(channel:send(i))
          log[#log + 1] = "sent " .. i
        end
      end)
      coev.yield()
      assert.same({}, log)
      assert.equal(1, channel:receive())
      coev.yield()
      assert.same({ "sent 1" }, log)
      assert.equal(2, channel:receive())
      assert.equal(3, channel:receive())
      sender:join()
      assert.equal(0, #channel)
    end)
  end)

  it("holds as many values as it has room for, in their order", function()
    helper.run(function()
      local channel = coev.channel.new(3)
      for i = 1, 3 do
        assert.is_true(channel:send(i))
      end
      assert.equal(3, #channel)
      assert.equal(3, channel:capacity())
      assert.same({ nil, "timeout" }, { channel:send(4, 0) })
      assert.same({ nil, "timeout" }, { channel:send(4, 0.0005) })
      local sender = coev.spawn(channel.send, channel, 4)
      coev.yield()
      for i = 1, 4 do
        assert.equal(i, channel:receive())
      end
      sender:join()
      assert.same({ nil, "timeout" }, { channel:receive(0) })
      assert.same({ nil, "timeout" }, { channel:receive(0.0005) })
    end)
  end)

  it("without bounds never lets a sender wait", function()
    helper.run(function()
      local channel = coev.channel.new(math.huge)
      for i = 1, 1000 do
        channel:send(i)
        if i % 3 == 0 then
          assert.equal(i / 3, channel:receive())
        end
      end
      assert.equal(667, #channel)
      assert.equal(math.huge, channel:capacity())
      for i = 334, 1000 do
        assert.equal(i, channel:receive())
      end
    end)
  end)

  it("carries every value but nil, by reference", function()
    helper.run(function()
      local channel, value = coev.channel.new(8), {}
      for _, each in ipairs({ value, "x", 0, print }) do
        channel:send(each)
        assert.equal(each, channel:receive())
      end
      channel:send(false)
      assert.same({ true, false }, { channel:try_receive() })
      local task = coev.spawn(channel.receive, channel)
      coev.yield()
      channel:send(false)
      assert.same({ true, false }, { task:join() })
      refused("bad argument #1 to 'send' (value expected, got nil)", channel.send, channel, nil)
      refused("bad argument #1 to 'try_send' (value expected, got nil)", channel.try_send, channel)
    end)
  end)

  it("serves senders and receivers in the order in which they come", function()
    helper.run(function()
      local channel, got = coev.channel.new(), {}
      for i = 1, 3 do
        coev.spawn(function() got[i] = channel:receive() end)
      end
      coev.yield()
      for i = 1, 3 do
        assert.is_true(channel:try_send(i))
      end
      assert.is_false(channel:try_send(4))
      coev.yield()
      assert.same({ 1, 2, 3 }, got)
      for i = 1, 3 do
        coev.spawn(channel.send, channel, i)
      end
      coev.yield()
      for i = 1, 3 do
        assert.same({ true, i }, { channel:try_receive() })
      end
      assert.is_false(channel:try_receive())
    end)
  end)

  it("that is closed gives what is queued, and wakes all who wait", function()
    helper.run(function()
      local channel, results = coev.channel.new(2), {}
      channel:send("a")
      channel:send("b")
      local sender = coev.spawn(channel.send, channel, "c")
      coev.yield()
      channel:close()
      channel:close()
      assert.same({ true, nil, "closed" }, { sender:join() })
      assert.same({ nil, "closed" }, { channel:send("d") })
      assert.same({ false, "closed" }, { channel:try_send("d") })
      for value in channel:iter() do
        results[#results + 1] = value
      end
      assert.same({ "a", "b" }, results)
      assert.same({ nil, "closed" }, { channel:receive() })
      assert.same({ false, "closed" }, { channel:try_receive() })
      assert.equal(2, channel:capacity())
      channel = coev.channel.new()
      local receiver = coev.spawn(channel.receive, channel)
      coev.yield()
      channel:close()
      assert.same({ true, nil, "closed" }, { receiver:join() })
    end)
  end)

  it("gives a value that its receiver does not take to the next one, or keeps it in its place", function()
    helper.run(function()
      for _, capacity in ipairs({ 0, 1, 3, math.huge }) do
        local channel = coev.channel.new(capacity)
        local first = coev.spawn(function() channel:receive() end)
        local second = coev.spawn(channel.receive, channel)
        coev.yield()
        channel:send(1)
        first:cancel()
        assert.same({ true, 1 }, { second:join() })
        -- Nobody else is there: it comes before what was sent later.
        local third = coev.spawn(function() channel:receive() end)
        coev.yield()
        channel:send(1)
        third:cancel()
        for i = 2, 4 do
          coev.spawn(channel.send, channel, i)
        end
        coev.yield()
        coev.yield()
        for i = 1, 4 do
          assert.equal(i, channel:receive())
        end
        assert.equal(0, #channel)
      end
    end)
  end)

  it("forgets the value of a sender that gives up", function()
    helper.run(function()
      local channel = coev.channel.new()
      local sender = coev.spawn(function() channel:send("lost") end)
      coev.yield()
      sender:cancel()
      assert.is_false(channel:try_receive())
      coev.yield()
      assert.is_false(channel:try_receive())
    end)
  end)

  it("works outside of tasks", function()
    local channel = coev.channel.new()
    coev.spawn(function()
      coev.yield()
      channel:send(1)
      assert.equal(2, channel:receive())
    end)
    assert.equal(1, channel:receive())
    assert.is_true(channel:send(2))
    assert.same({ nil, "timeout" }, { channel:receive(0.0001) })
    assert.same({ nil, "timeout" }, { coev.timeout(0.0001, channel.receive, channel) })
    assert.same({ nil, "timeout" }, { channel:send(3, 0.0001) })
    coev.run()
  end)

  it("works in a coroutine and a comparator of a task", function()
    helper.run(function()
      local channel = coev.channel.new()
      coev.spawn(function()
        for i = 1, 3 do
          channel:send(i)
        end
      end)
      assert.equal(1, coev.coroutine.wrap(function() return channel:receive() end)())
      local received
      table.sort({ 2, 1 }, function(a, b)
        received = received or channel:receive()
        return a < b
      end)
      assert.equal(2, received)
      assert.equal(3, channel:receive())
    end)
  end)

  it("says what it is, and refuses what makes no sense", function()
    helper.run(function()
      local channel = coev.channel.new(2)
      channel:send(1)
      assert.truthy(tostring(channel):find("^coev%.channel: %w+ %(1 of 2 queued%)$"))
      assert.equal(1, channel:len())
      channel:receive()
      local task = coev.spawn(channel.receive, channel)
      coev.yield()
      assert.truthy(tostring(channel):find("(0 of 2 queued, 1 task waits)", 1, true))
      assert.equal("receive on channel " .. tostring(channel):match("channel: (%w+)"), task:waiting())
      channel:close()
      assert.truthy(tostring(channel):find("queued, closed)", 1, true))
      local open = coev.channel.new()
      task = coev.spawn(open.send, open, 1)
      coev.yield()
      assert.truthy(task:waiting():find("^send on channel %w+$"))
      task:cancel()
      assert.truthy(tostring(coev.channel.new(math.huge)):find("(0 of any number queued)", 1, true))
    end)
    local channel = coev.channel.new()
    refused("bad argument #1 to 'new' (-1 is less than 0)", coev.channel.new, -1)
    refused("bad argument #1 to 'new' (number expected, got string)", coev.channel.new, "x")
    refused("bad argument #1 to 'new' (number has no integer representation)", coev.channel.new, 0 / 0)
    refused("bad argument #2 to 'send' (number expected, got string)", channel.send, channel, 1, "x")
    refused("bad argument #1 to 'receive' (time is not a number)", channel.receive, channel, 0 / 0)
    for _, name in ipairs({ "send", "receive", "try_send", "try_receive", "close", "iter", "capacity", "len" }) do
      refused("calling '" .. name .. "' on bad self", channel[name], {})
    end
  end)

  -- Not in helper.run, which holds the handles.
  it("that nobody else can reach is garbage with those who wait for it", function()
    local probes = setmetatable({}, { __mode = "k" })
    for i = 1, 10 do
      local channel, mutex = coev.channel.new(), coev.mutex.new()
      probes[channel], probes[mutex] = true, true
      coev.spawn(function()
        mutex:lock()
        if i % 2 == 0 then channel:receive() else channel:send(i) end
      end)
      coev.spawn(function()
        mutex:lock()
        coev.select({ { channel, "receive" }, { channel, "send", 1 } })
      end)
    end
    coev.step()
    for _ = 1, 8 do
      collectgarbage()
      coev.step()
    end
    assert.equal(0, #coev.tasks())
    assert.is_nil(next(probes))
  end)

  it("loses nothing, brings nothing twice and keeps the order in random schedules", function()
    helper.run(function()
      for seed = 1, 80 do
        local capacity = ({ 0, 1, 3, math.huge })[seed % 4 + 1]
        local channel, sent, got, victims = coev.channel.new(capacity), {}, {}, seed % 3
        schedule.run(seed, 6, victims, function(random, i)
          for round = 1, 15 do
            schedule.pause(random)
            if i <= 3 then
              local item = i * 100 + round
              -- Until the call has told how it went, both may be true.
              sent[item] = "maybe"
              local ok
              if random(5) == 1 then
                ok = channel:try_send(item)
              else
                ok = channel:send(item, schedule.timeout(random) or 0.0005)
              end
              sent[item] = ok and "yes" or "no"
            else
              local item
              if random(5) == 1 then
                item = select(2, channel:try_receive())
              else
                item = channel:receive(schedule.timeout(random) or 0.0005)
              end
              if item and item ~= "closed" then
                assert.is_nil(got[item])
                got[item] = true
              end
            end
          end
        end, function()
          assert.is_true(#channel <= math.max(capacity, 0) + victims)
        end)
        channel:close()
        local order = {}
        for item in channel:iter() do
          assert.is_nil(got[item])
          got[item] = true
          local from = math.floor(item / 100)
          assert.is_true((order[from] or 0) < item)
          order[from] = item
        end
        for item, how in pairs(sent) do
          if how ~= "maybe" then
            assert.equal(how == "yes", got[item] ~= nil, "item " .. item .. " of seed " .. seed)
          end
        end
      end
    end)
  end)

  it("brings the values of one sender to one receiver in their order, whoever is cancelled", function()
    helper.run(function()
      for seed = 1, 40 do
        local channel, last, next_item = coev.channel.new(seed % 4), 0, 0
        local random = schedule.random(seed)
        local sender = coev.spawn(function()
          while next_item < 60 do
            next_item = next_item + 1
            channel:send(next_item)
          end
          channel:close()
        end)
        while true do
          local closed
          local receiver = coev.spawn(function()
            local item = channel:receive()
            if not item then
              closed = true
              return
            end
            assert.equal(last + 1, item)
            last = item
          end)
          schedule.pause(random)
          if random(3) == 1 then
            receiver:cancel()
          end
          receiver:join()
          if closed then break end
        end
        sender:join()
        assert.equal(60, last)
      end
    end)
  end)
end)
