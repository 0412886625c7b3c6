local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"

-- Not the one of helper.run, which holds the handles.
local spawn = coev.spawn

describe("now", function()
  it("never goes back", function()
    local last = coev.now()
    for _ = 1, 1000 do
      local now = coev.now()
      assert.is_true(now >= last)
      last = now
    end
  end)
end)

describe("sleep", function()
  it("lasts at least as long as asked, and returns nothing", function()
    helper.run(function()
      for _, seconds in ipairs({ 0.0005, 0.003, 0.01 }) do
        local start = coev.now()
        assert.equal(0, select("#", coev.sleep(seconds)))
        assert.is_true(coev.now() - start >= seconds)
      end
    end)
  end)

  it("wakes tasks in the order of their deadlines", function()
    local order = {}
    helper.run(function()
      for _, milliseconds in ipairs({ 9, 1, 5, 3, 7 }) do
        coev.spawn(function()
          coev.sleep(milliseconds / 1000)
          order[#order + 1] = milliseconds
        end)
      end
    end)
    assert.same({ 1, 3, 5, 7, 9 }, order)
  end)

  it("wakes tasks with one deadline in the order in which they slept", function()
    local order = {}
    helper.run(function()
      local deadline = coev.now() + 0.003
      for i = 1, 20 do
        coev.spawn(function()
          coev.sleep_until(deadline)
          order[#order + 1] = i
        end)
      end
    end)
    for i = 1, 20 do
      assert.equal(i, order[i])
    end
  end)

  it("of 0 or less gives the other tasks a turn", function()
    for _, seconds in ipairs({ 0, -1, -math.huge }) do
      local order = {}
      helper.run(function()
        coev.spawn(function()
          order[#order + 1] = "other"
        end)
        coev.sleep(seconds)
        order[#order + 1] = "sleeper"
      end)
      assert.same({ "other", "sleeper" }, order)
    end
  end)

  it("overlaps with the sleep of others", function()
    local awake, most = 0, 0
    helper.run(function()
      for _ = 1, 100 do
        coev.spawn(function()
          awake = awake + 1
          most = math.max(most, awake)
          coev.sleep(0.005)
          awake = awake - 1
        end)
      end
    end)
    assert.equal(100, most)
  end)

  it("works outside tasks and lets tasks run meanwhile", function()
    local ran = false
    coev.spawn(function()
      coev.sleep(0.001)
      ran = true
    end)
    coev.sleep(0.005)
    assert.is_true(ran)
  end)

  it("of ten thousand tasks ends for all of them", function()
    local awake = 0
    helper.run(function()
      for i = 1, 10000 do
        coev.spawn(function()
          coev.sleep((i % 10) / 1000)
          awake = awake + 1
        end)
      end
    end)
    assert.equal(10000, awake)
  end)

  it("can be longer than any clock", function()
    child.assert_writes("main\n", [[
      for _, seconds in ipairs({ 1e9, 1e18, 1e300, math.huge }) do
        coev.spawn(function()
          coev.sleep(seconds)
          print("woke from " .. seconds)
        end)
        coev.spawn(function()
          coev.sleep_until(seconds)
          print("woke at " .. seconds)
        end)
      end
      coev.run(function()
        coev.sleep(0.005)
        print("main")
        coev.stop()
      end)
    ]])
  end)
end)

describe("sleep_until", function()
  it("returns when the clock has got there", function()
    helper.run(function()
      local deadline = coev.now() + 0.004
      coev.sleep_until(deadline)
      assert.is_true(coev.now() >= deadline)
    end)
  end)

  it("gives the other tasks a turn when the time is over", function()
    local order = {}
    helper.run(function()
      coev.spawn(function()
        order[#order + 1] = "other"
      end)
      coev.sleep_until(coev.now() - 1)
      order[#order + 1] = "sleeper"
    end)
    assert.same({ "other", "sleeper" }, order)
  end)

  it("keeps a loop free of drift", function()
    helper.run(function()
      local start = coev.now()
      for i = 1, 5 do
        coev.sleep_until(start + i * 0.002)
        assert.is_true(coev.now() >= start + i * 0.002)
      end
    end)
  end)
end)

describe("a sleep without an end", function()
  local forever = { { "sleep", math.huge }, { "sleep", 1e300 }, { "sleep_until", math.huge } }
  for _, call in ipairs(forever) do
    it(("%s(%g) is a wait for nothing, and no timer"):format(call[1], call[2]), function()
      local task = coev.spawn(coev[call[1]], call[2])
      coev.step()
      assert.equal(0, coev.stats().timers)
      assert.is_nil(coev.due())
      local ok, err = pcall(coev.run)
      assert.is_false(ok)
      assert.truthy(err:find("deadlock: 1 tasks wait for ever\n  " .. task:name() .. ": sleep", 1, true), err)
      task:cancel()
      coev.run()
      assert.equal("cancelled", task:status())
    end)
  end

  it("is garbage with its task", function()
    helper.run(function()
      local probes = setmetatable({}, { __mode = "k" })
      local function forget()
        local probe = {}
        probes[probe] = true
        spawn(function()
          coev.sleep(math.huge)
          return probe
        end)
      end
      for _ = 1, 100 do
        forget()
      end
      for _ = 1, 4 do
        coev.sleep(0.0005)
        collectgarbage()
      end
      assert.is_nil((next(probes)))
    end)
  end)

  it("ends by a deadline, a cancel, and in the main chunk by a report", function()
    helper.run(function()
      assert.same({ nil, "timeout" }, { coev.timeout(0.001, coev.sleep, math.huge) })
      local task = coev.spawn(coev.sleep, math.huge)
      coev.sleep(0.001)
      task:cancel()
      assert.is_false(task:join())
    end)
    local ok, err = pcall(coev.sleep, math.huge)
    assert.is_false(ok)
    assert.truthy(err:find("deadlock: 1 tasks wait for ever\n  the main chunk: sleep", 1, true), err)
  end)

  it("is what a timeout of math.huge is", function()
    local task = coev.spawn(function()
      local channel = coev.channel.new()
      return channel:receive(math.huge)
    end)
    coev.step()
    assert.equal(0, coev.stats().timers)
    local ok, err = pcall(coev.run)
    assert.is_false(ok)
    assert.truthy(err:find("receive on channel", 1, true), err)
    task:cancel()
    coev.run()
  end)

  it("of step returns at once where there are no tasks", function()
    assert.is_false(coev.step(math.huge))
  end)
end)
