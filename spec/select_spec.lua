local coev = require "coev"
local helper = require "spec.helper"
local schedule = require "spec.support.schedule"

-- Not the one of helper.run, which holds the handles.
local spawn = coev.spawn

local function refused(message, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(message, 1, true), tostring(err))
end

describe("coev.select", function()
  it("takes what is there, and answers the index of the case and its results", function()
    helper.run(function()
      local a, b = coev.channel.new(1), coev.channel.new(1)
      b:send("from b")
      assert.same({ 2, "from b" }, { coev.select({ { a, "receive" }, { b, "receive" } }) })
      assert.same({ 1, true }, { coev.select({ { a, "send", "to a" }, { b, "receive" } }) })
      assert.equal("to a", a:receive())
      a:close()
      assert.same({ 1, nil, "closed" }, { coev.select({ { a, "receive" }, { b, "receive" } }) })
      assert.same({ 1, nil, "closed" }, { coev.select({ { a, "send", 1 }, { b, "receive" } }) })
    end)
  end)

  it("waits until one of the cases can be, and lets only that one take effect", function()
    helper.run(function()
      local a, b, c = coev.channel.new(), coev.channel.new(), coev.channel.new()
      local task = coev.spawn(function()
        return coev.select({ { a, "receive" }, { b, "send", "to b" }, { c, "receive" } })
      end)
      coev.yield()
      assert.is_true(c:try_send("to it"))
      assert.is_false(a:try_send("too late"))
      assert.is_false(b:try_receive())
      assert.same({ true, 3, "to it" }, { task:join() })
      task = coev.spawn(function()
        return coev.select({ { a, "receive" }, { b, "send", "to b" } })
      end)
      coev.yield()
      assert.same({ true, "to b" }, { b:try_receive() })
      assert.is_false(a:try_send("too late"))
      assert.same({ true, 2, true }, { task:join() })
      task = coev.spawn(coev.select, { { a, "receive" }, { b, "receive" } })
      coev.yield()
      b:close()
      assert.same({ true, 2, nil, "closed" }, { task:join() })
    end)
  end)

  it("meets another one", function()
    helper.run(function()
      local a, b = coev.channel.new(), coev.channel.new()
      local sender = coev.spawn(coev.select, { { a, "send", 1 }, { b, "send", 2 } })
      coev.yield()
      local index, value = coev.select({ { b, "receive" }, { a, "receive" } })
      local _, other = sender:join()
      assert.is_true(index == 1 and value == 2 and other == 2 or index == 2 and value == 1 and other == 1)
    end)
  end)

  it("with a default or a timeout of 0 never waits", function()
    helper.run(function()
      local a = coev.channel.new()
      assert.same({ nil, "default" }, { coev.select({ { a, "receive" }, default = true }) })
      assert.same({ nil, "timeout" }, { coev.select({ { a, "receive" }, timeout = 0 }) })
      assert.same({ nil, "timeout" }, { coev.select({ { a, "receive" }, timeout = 0.0005 }) })
      assert.same({ nil, "default" }, { coev.select({ default = true }) })
      assert.same({ nil, "timeout" }, { coev.select({ timeout = 0.0005 }) })
      assert.is_false(a:try_send(1))
    end)
  end)

  it("is fair among what is ready", function()
    helper.run(function()
      local cases, hits = {}, {}
      for i = 1, 4 do
        cases[i], hits[i] = { coev.channel.new(100), "receive" }, 0
        for j = 1, 100 do
          cases[i][1]:send(j)
        end
      end
      for _ = 1, 200 do
        local index = coev.select(cases)
        hits[index] = hits[index] + 1
      end
      for i = 1, 4 do
        assert.is_true(math.abs(hits[i] - 50) <= 2, "case " .. i .. ": " .. hits[i])
      end
    end)
  end)

  it("is fair among what is ready, also where several take turns", function()
    helper.run(function()
      for ways = 2, 5 do
        local cases, hits = {}, {}
        for way = 1, ways do
          cases[way], hits[way] = {}, {}
          for i = 1, 6 do
            cases[way][i], hits[way][i] = { coev.channel.new(1000), "receive" }, 0
            for j = 1, 300 do
              cases[way][i][1]:send(j)
            end
          end
        end
        for _ = 1, 300 do
          for way = 1, ways do
            local index = coev.select(cases[way])
            hits[way][index] = hits[way][index] + 1
          end
        end
        for way = 1, ways do
          for i = 1, 6 do
            local count = hits[way][i]
            assert.is_true(math.abs(count - 50) <= 6, ("case %d of %d of %d: %d"):format(i, way, ways, count))
          end
        end
      end
    end)
  end)

  it("waits for mutexes, semaphores, events, waitgroups, conditions and tasks", function()
    helper.run(function()
      local mutex, semaphore, event = coev.mutex.new(), coev.semaphore.new(0), coev.event.new()
      local group, condition = coev.waitgroup.new(1), coev.condition.new()
      local task = coev.spawn(function() return coev.suspend() end)
      mutex:lock()
      local function one_of_all()
        return coev.select({ { mutex }, { semaphore }, { event }, { group }, { condition }, { task } })
      end
      local function expect(wake, ...)
        local waiter = coev.spawn(function()
          local results = { one_of_all() }
          if results[1] == 1 then mutex:unlock() end
          return results
        end)
        coev.yield()
        wake()
        assert.same({ ... }, waiter:await())
      end
      expect(function() mutex:unlock() end, 1, true)
      mutex:lock()
      expect(function() semaphore:release() end, 2, true)
      assert.equal(0, semaphore:count())
      expect(function() event:set("value") end, 3, "value")
      event:clear()
      expect(function() group:done() end, 4, true)
      group:add()
      expect(function() condition:signal() end, 5, true)
      local holder = coev.spawn(function()
        mutex:lock()
        coev.suspend()
      end)
      mutex:unlock()
      coev.yield()
      expect(function() task:resume("done") end, 6, true, "done")
      holder:cancel()
      assert.same({ 1, true, "done" }, { coev.select({ { task } }) })
      mutex = coev.mutex.new()
      assert.same({ 1, true }, { coev.select({ { mutex } }) })
      mutex:unlock()
    end)
  end)

  it("gives back what it got when its task is cancelled before its turn", function()
    helper.run(function()
      local a, b = coev.channel.new(), coev.channel.new()
      local task = coev.spawn(function()
        coev.select({ { a, "receive" }, { b, "receive" } })
      end)
      coev.yield()
      assert.is_true(b:try_send("kept"))
      task:cancel()
      task:join()
      assert.same({ true, "kept" }, { b:try_receive() })
      task = coev.spawn(function()
        coev.select({ { a, "receive" }, { b, "receive" } })
      end)
      coev.yield()
      task:cancel()
      assert.is_false(a:try_send(1))
      assert.is_false(b:try_send(1))
    end)
  end)

  it("works outside of tasks", function()
    local a, b = coev.channel.new(), coev.channel.new()
    coev.spawn(function() b:send(1) end)
    assert.same({ 2, 1 }, { coev.select({ { a, "receive" }, { b, "receive" } }) })
    assert.same({ nil, "timeout" }, { coev.select({ { a, "receive" }, timeout = 0.0005 }) })
    coev.spawn(function() a:receive() end)
    assert.same({ 1, true }, { coev.select({ { a, "send", 1 }, { b, "receive" } }) })
    local ok, err = pcall(coev.select, { { a, "receive" }, { b, "send", 1 } })
    assert.is_false(ok)
    assert.truthy(err:find("select of receive on channel %w+, send on channel %w+"), err)
    assert.is_false(a:try_send(1))
    coev.run()
  end)

  it("refuses what makes no sense", function()
    local channel = coev.channel.new()
    refused("bad argument #1 to 'select' (table expected, got no value)", coev.select)
    refused("(no cases, and neither a timeout nor a default)", coev.select, {})
    refused("(field 'timeout' is not a number)", coev.select, { { channel, "receive" }, timeout = "x" })
    refused("(case 1: table expected, got number)", coev.select, { 1 })
    refused("(case 1: nothing that one can wait for in a select)", coev.select, { {} })
    refused("(case 1: nothing that one can wait for in a select)", coev.select, { { "x" } })
    refused("(case 1: nothing that one can wait for in a select)", coev.select, { { coev.barrier.new(2) } })
    refused('(case 1: of a channel: "receive" or "send" expected, got nil)', coev.select, { { channel } })
    refused("(case 1: a value that is not nil is needed to send)", coev.select, { { channel, "send" } })
    refused("(case 1: a condition with a mutex)", coev.select, { { coev.condition.new(coev.mutex.new()) } })
    local mutex = coev.mutex.new()
    mutex:lock()
    refused("(case 1: the mutex is locked by this very task already)", coev.select, { { mutex } })
    mutex:unlock()
  end)

  it("loses nothing and brings nothing twice in random schedules", function()
    helper.run(function()
      for seed = 1, 80 do
        local channels, sent, got = {}, {}, {}
        for i = 1, 3 do
          channels[i] = coev.channel.new(i - 1)
        end
        local function receive(index, value)
          if index and value ~= nil then
            assert.is_nil(got[value])
            got[value] = true
          end
        end
        schedule.run(seed, 6, seed % 3, function(random, i)
          for round = 1, 15 do
            schedule.pause(random)
            local cases, item = { timeout = schedule.timeout(random) or 0.0005 }, i * 100 + round
            for j = 1, 3 do
              cases[j] = i <= 3 and { channels[j], "send", item } or { channels[j], "receive" }
            end
            if i <= 3 then
              sent[item] = "maybe"
              sent[item] = coev.select(cases) and "yes" or "no"
            else
              receive(coev.select(cases))
            end
          end
        end, function() end)
        for i = 1, 3 do
          channels[i]:close()
          for value in channels[i]:iter() do
            receive(i, value)
          end
        end
        for item, how in pairs(sent) do
          if how ~= "maybe" then
            assert.equal(how == "yes", got[item] ~= nil, "item " .. item .. " of seed " .. seed)
          end
        end
      end
    end)
  end)
end)

describe("coev.select of what the system tells of", function()
  -- Runs `f` with a connection and a channel that stays empty.
  local function with_pair(f)
    helper.run(function()
      local near, far = assert(coev.socket.pair())
      f(near, far, coev.channel.new())
      near:close()
      far:close()
    end)
  end

  -- How a connection can be a case, or stand in for one.
  local WAYS = {
    ["a socket"] = function(near) return near end,
    ["a descriptor"] = function(near) return near:getfd() end,
    ["a poll"] = function(near) return coev.poll.new():add(near) end,
    ["an object with getfd"] = function(near)
      return { getfd = function() return near:getfd() end }
    end,
  }
  for name, case_of in pairs(WAYS) do
    it("waits for " .. name .. " beside a channel", function()
      with_pair(function(near, far, channel)
        local case = case_of(near)
        local task = coev.spawn(coev.select, { { case, "r" }, { channel, "receive" } })
        coev.sleep(0.001)
        far:send("x")
        assert.same({ true, 1, "r" }, { task:join() })
        assert.same({ 1, "r" }, { coev.select({ { case }, { channel, "receive" } }) })
        assert.equal("x", near:receive(1))
        assert.same({ nil, "timeout" }, { coev.select({ { case }, { channel, "receive" }, timeout = 0.001 }) })
        assert.same({ nil, "default" }, { coev.select({ { case }, default = true }) })
        task = coev.spawn(coev.select, { { case, "r" }, { channel, "receive" } })
        coev.sleep(0.001)
        assert.is_true(channel:try_send("item"))
        assert.same({ true, 2, "item" }, { task:join() })
      end)
    end)
  end

  it("answers which way it is ready", function()
    with_pair(function(near, far)
      assert.same({ 1, "w" }, { coev.select({ { near, "w" } }) })
      assert.same({ 2, "w" }, { coev.select({ { near, "r" }, { near, "w" } }) })
      far:send("x")
      coev.wait(near)
      assert.same({ 1, "rw" }, { coev.select({ { near, "rw" } }) })
    end)
  end)

  it("tells of a close, before and meanwhile", function()
    with_pair(function(near, _, channel)
      local task = coev.spawn(coev.select, { { near, "r" }, { channel, "receive" } })
      coev.sleep(0.001)
      near:close()
      assert.same({ true, 1, nil, "closed" }, { task:join() })
      assert.same({ 1, nil, "closed" }, { coev.select({ { near, "r" }, { channel, "receive" } }) })
    end)
  end)

  it("is no garbage while the system can wake it", function()
    with_pair(function(near, far)
      local taken
      spawn(function()
        taken = coev.select({ { near, "r" }, { coev.channel.new(), "receive" } })
      end)
      for _ = 1, 4 do
        coev.sleep(0.0005)
        collectgarbage()
      end
      far:send("x")
      coev.sleep(0.005)
      assert.equal(1, taken)
    end)
  end)

  it("works outside of tasks", function()
    local near, far = assert(coev.socket.pair())
    coev.spawn(function()
      coev.sleep(0.001)
      far:send("x")
    end)
    assert.same({ 1, "r" }, { coev.select({ { near, "r" }, { coev.channel.new(), "receive" } }) })
    near:close()
    far:close()
    coev.run()
  end)

  it("refuses other directions, and what has no descriptor", function()
    with_pair(function(near, _, channel)
      local cases = {
        [{ near, "x" }] = "case 1: 'r', 'w' or 'rw' expected, got x",
        [{ near, 1 }] = "case 1: 'r', 'w' or 'rw' expected, got 1",
        [{ coev.timer.new(1, print), "x" }] = "case 1: 'r', 'w' or 'rw' expected, got x",
        [{ -1 }] = "case 1: nothing that one can wait for",
        [{ 1.5 }] = "case 1: nothing that one can wait for",
        [{ coev.barrier.new(1) }] = "case 1: nothing that one can wait for",
        [{ {} }] = "case 1: nothing that one can wait for",
      }
      for case, problem in pairs(cases) do
        refused(problem, coev.select, { case, { channel, "receive" } })
      end
    end)
  end)
end)

describe("coev.select of a timer", function()
  it("waits for its next run, beside a channel and alone", function()
    helper.run(function()
      local runs = 0
      local timer = coev.every(0.002, function()
        runs = runs + 1
        return runs < 9 and 0.002
      end)
      assert.same({ 2, "r" }, { coev.select({ { coev.channel.new(), "receive" }, { timer } }) })
      assert.is_true(runs > 0)
      local before = runs
      assert.same({ 1, "r" }, { coev.select({ { timer, "r" } }) })
      assert.is_true(runs > before)
      timer:join()
      assert.same({ nil, "timeout" }, { coev.select({ { timer }, timeout = 0.001 }) })
    end)
  end)
end)

describe("coev.select of a rwlock", function()
  it("tells when one can read or write, and takes nothing", function()
    helper.run(function()
      local lock, channel = coev.rwlock.new(), coev.channel.new()
      assert.same({ 1, "r" }, { coev.select({ { lock, "r" } }) })
      coev.spawn(function()
        lock:write()
        coev.sleep(0.001)
        lock:unlock()
      end)
      coev.yield()
      assert.same({ nil, "timeout" }, { coev.select({ { lock, "r" }, timeout = 0 }) })
      assert.same({ 2, "w" }, { coev.select({ { channel, "receive" }, { lock, "w" } }) })
      assert.is_true(lock:write(0))
      lock:unlock()
    end)
  end)
end)
