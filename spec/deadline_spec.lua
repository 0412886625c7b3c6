local coev = require "coev"
local helper = require "spec.helper"
local pack = require "spec.support.pack"
local peer = require "spec.support.peer"
local support = require "spec.support.tasks"

-- Lets time pass without giving the others a turn.
local function compute_until(time)
  while coev.now() < time do end
end

-- Asserts that the result of a call is `nil, "timeout"` and nothing more.
local function assert_timeout(...)
  assert.equal(2, select("#", ...))
  assert.same({ nil, "timeout" }, { ... })
end

describe("timeout", function()
  it("passes arguments and results, nils too", function()
    helper.run(function()
      assert.same({ n = 3, nil, 2, nil }, pack(coev.timeout(1, function(...)
        coev.yield()
        return ...
      end, nil, 2, nil)))
    end)
  end)

  it("is nil and 'timeout' when a wait lasts longer, and not before its time", function()
    helper.run(function()
      local start = coev.now()
      assert_timeout(coev.timeout(0.003, coev.sleep, 60))
      assert.is_true(coev.now() - start >= 0.003)
    end)
  end)

  it("covers all waits of its function together", function()
    helper.run(function()
      local rounds = 0
      assert_timeout(coev.timeout(0.005, function()
        while true do
          coev.sleep(0.001)
          rounds = rounds + 1
        end
      end))
      assert.is_true(rounds < 6)
    end)
  end)

  it("ends a loop of yields, which never parks for long", function()
    helper.run(function()
      assert_timeout(coev.timeout(0.003, function()
        while true do
          coev.yield()
        end
      end))
    end)
  end)

  it("covers every kind of wait", function()
    helper.run(function()
      local near, far = peer.pair()
      local listener = peer.listen()
      local other = coev.spawn(coev.suspend)
      local waits = {
        coev.suspend,
        function() coev.sleep_until(coev.now() + 60) end,
        function() other:join() end,
        function() other:join(60) end,
        function() other:await() end,
        function() near:receive() end,
        function() near:receive(10) end,
        function() near:receive("*a") end,
        function() listener:accept() end,
        function() coev.retry(error, { wait = 60 }) end,
        function() coev.group(function(group) group:spawn(coev.sleep, 60) end) end,
      }
      for _, wait in ipairs(waits) do
        assert_timeout(coev.timeout(0.001, wait))
      end
      other:cancel()
      peer.close(near, far, listener)
    end)
  end)

  it("raises a cancelled error in the wait, and in every later one up to its end", function()
    helper.run(function()
      local result = coev.timeout(0.001, function()
        local ok, first = coev.pcall(coev.sleep, 60)
        assert.is_false(ok)
        assert.is_true(coev.is_cancelled(first))
        assert.equal("timeout", first.reason)
        for _, wait in ipairs({ coev.yield, coev.suspend, function() coev.sleep(60) end }) do
          local again, err = coev.pcall(wait)
          assert.is_false(again)
          assert.is_true(coev.is_cancelled(err))
          assert.equal("timeout", err.reason)
        end
        return "caught"
      end)
      assert.equal("caught", result)
      coev.yield()
      coev.sleep(0.001)
    end)
  end)

  it("is not swallowed by a stock pcall around one wait", function()
    helper.run(function()
      local swallowed = 0
      assert_timeout(coev.timeout(0.001, function()
        while true do
          pcall(coev.sleep, 60)
          swallowed = swallowed + 1
          coev.sleep(60)
        end
      end))
      assert.equal(1, swallowed)
    end)
  end)

  it("returns what its function returns, however late", function()
    helper.run(function()
      assert.same({ 1, nil, 3 }, { coev.timeout(0.001, function()
        compute_until(coev.now() + 0.003)
        return 1, nil, 3
      end) })
    end)
  end)

  it("of 0 or less has expired at the first wait, and not before", function()
    helper.run(function()
      for _, seconds in ipairs({ 0, -1, -math.huge }) do
        local before = false
        assert_timeout(coev.timeout(seconds, function()
          before = true
          coev.yield()
          error("came back")
        end))
        assert.is_true(before)
        assert_timeout(coev.timeout(seconds, coev.sleep, 0))
        assert.equal("no wait", coev.timeout(seconds, function()
          return "no wait"
        end))
      end
    end)
  end)

  it("of math.huge never expires", function()
    helper.run(function()
      assert.equal("through", coev.timeout(math.huge, function()
        coev.sleep(0.002)
        return "through"
      end))
    end)
  end)

  it("lets other errors pass as they are", function()
    helper.run(function()
      local value = {}
      local ok, err = coev.pcall(coev.timeout, 1, function()
        coev.yield()
        error(value)
      end)
      assert.is_false(ok)
      assert.is_true(rawequal(value, err))
      ok, err = coev.pcall(coev.timeout, 1, error, "timeout", 0)
      assert.is_false(ok)
      assert.equal("timeout", err)
    end)
  end)

  it("lets a cancel pass, with 'timeout' for a reason too", function()
    helper.run(function()
      for _, reason in ipairs({ "enough", "timeout" }) do
        local after = false
        local task = coev.spawn(function()
          coev.timeout(60, coev.sleep, 60)
          after = true
        end)
        coev.yield()
        task:cancel(reason)
        support.assert_cancelled(task, reason)
        assert.is_false(after)
      end
    end)
  end)

  it("that leaves its task uncaught in another's deadline is none of it", function()
    helper.run(function()
      local kept
      assert_timeout(coev.timeout(0.001, function()
        local _, err = coev.pcall(coev.sleep, 60)
        kept = err
        error(err, 0)
      end))
      local ok, err = coev.pcall(coev.timeout, 1, error, kept, 0)
      assert.is_false(ok)
      assert.is_true(rawequal(kept, err))
    end)
  end)

  it("nests: the nearer inner one ends alone", function()
    helper.run(function()
      local result = coev.timeout(5, function()
        assert_timeout(coev.timeout(0.001, coev.sleep, 60))
        coev.sleep(0.001)
        return "outer goes on"
      end)
      assert.equal("outer goes on", result)
    end)
  end)

  it("nests: the nearer outer one passes through the inner ones", function()
    helper.run(function()
      local passed = true
      assert_timeout(coev.timeout(0.002, function()
        coev.timeout(30, function()
          coev.timeout(60, coev.sleep, 60)
          passed = false
        end)
        passed = false
      end))
      assert.is_true(passed)
    end)
  end)

  it("nests: an outer one that expires while the inner one unwinds is not forgotten", function()
    helper.run(function()
      local inner
      assert_timeout(coev.timeout(0.003, function()
        inner = { coev.timeout(0.001, function()
          coev.pcall(coev.sleep, 60)
          compute_until(coev.now() + 0.004)
          coev.sleep(60)
        end) }
        coev.sleep(60)
      end))
      assert.is_true(inner == nil or inner[2] == "timeout")
    end)
  end)

  it("nests fifty deep", function()
    helper.run(function()
      local function nest(depth)
        if depth == 0 then
          coev.sleep(60)
        end
        coev.timeout(30, nest, depth - 1)
        error("an inner one took what is the outer one's")
      end
      assert_timeout(coev.timeout(0.002, nest, 50))
    end)
  end)

  it("does not hold for the tasks that its function spawns", function()
    helper.run(function()
      local task
      assert_timeout(coev.timeout(0.001, function()
        task = coev.spawn(function()
          coev.sleep(0.004)
          return "not mine"
        end)
        coev.sleep(60)
      end))
      assert.same({ true, "not mine" }, { task:join() })
    end)
  end)

  it("is each task's own", function()
    local expired, through = 0, 0
    helper.run(function()
      for i = 1, 200 do
        coev.spawn(function()
          local result = coev.timeout(i % 2 == 0 and 0.001 or 5, function()
            coev.sleep(0.006)
            return "through"
          end)
          if result then
            through = through + 1
          else
            expired = expired + 1
          end
        end)
      end
    end)
    assert.equal(100, expired)
    assert.equal(100, through)
  end)

  it("reaches into the coroutines that its function waits in", function()
    helper.run(function()
      local generator = coev.coroutine.wrap(function()
        coev.coroutine.yield("first")
        coev.sleep(60)
      end)
      assert_timeout(coev.timeout(0.002, function()
        assert.equal("first", generator())
        generator()
        error("came back")
      end))
    end)
  end)

  it("reaches a wait that drives the loop in place", function()
    helper.run(function()
      assert_timeout(coev.timeout(0.002, table.sort, { 2, 1 }, function(a, b)
        coev.sleep(60)
        return a < b
      end))
      coev.sleep(0.001)
    end)
  end)

  it("works where no task runs", function()
    assert_timeout(coev.timeout(0.002, coev.sleep, 60))
    assert.equal("through", coev.timeout(1, function()
      coev.sleep(0.001)
      return "through"
    end))
    assert_timeout(coev.timeout(0.002, function()
      coev.timeout(60, coev.sleep, 60)
      error("came back")
    end))
    assert.is_false(pcall(coev.timeout, 1, error))
    coev.sleep(0.001)
  end)

  it("gives the wait its result when both have come before the turn", function()
    helper.run(function()
      for _, resume_first in ipairs({ true, false }) do
        local deadline, result, raised
        local task = coev.spawn(function()
          deadline = coev.now() + 0.003
          coev.timeout(0.003, function()
            result = coev.suspend()
            raised = select(2, coev.pcall(coev.yield))
          end)
        end)
        coev.yield()
        if resume_first then
          task:resume("in hand")
        end
        compute_until(deadline + 0.001)
        if not resume_first then
          task:resume("in hand")
        end
        assert.is_true(task:join())
        assert.equal("in hand", result)
        assert.is_true(coev.is_cancelled(raised))
        assert.equal("timeout", raised.reason)
      end
    end)
  end)

  it("leaves to the next receive what the one that expired had read", function()
    helper.run(function()
      local near, far = peer.pair()
      far:send("first ")
      assert_timeout(coev.timeout(0.003, near.receive, near))
      far:send("second\n")
      assert.equal("first second", (near:receive()))
      near:close()
      far:close()
    end)
  end)

  it("leaves no timer behind, expired or not", function()
    helper.run(function()
      local before = coev.stats().timers
      for _ = 1, 500 do
        coev.timeout(60, coev.yield)
        coev.timeout(0, coev.yield)
        coev.pcall(coev.timeout, 60, error)
      end
      coev.yield()
      assert.equal(before, coev.stats().timers)
    end)
  end)

  it("runs inside defer and at the end of a shield", function()
    helper.run(function()
      local results
      coev.spawn(function()
        coev.defer(function()
          results = { coev.timeout(0.001, coev.sleep, 60) }
        end)
      end):join()
      assert.same({ nil, "timeout" }, results)
      assert.same({ nil, "timeout" }, { coev.shield(coev.timeout, 0.001, coev.sleep, 60) })
    end)
  end)

  it("refuses what is not a time, or not a function", function()
    local function assert_refused(text, ...)
      local ok, err = pcall(coev.timeout, ...)
      assert.is_false(ok)
      assert.truthy(tostring(err):find(text, 1, true), tostring(err))
    end
    assert_refused("bad argument #1 to 'timeout' (number expected, got no value)")
    assert_refused("bad argument #1 to 'timeout' (number expected, got n", nil, print)
    assert_refused("bad argument #1 to 'timeout' (number expected, got table)", {}, print)
    assert_refused("bad argument #1 to 'timeout' (", 0 / 0, print)
    assert_refused("bad argument #2 to 'timeout' (function expected, got no value)", 1)
    assert_refused("bad argument #2 to 'timeout' (function expected, got n", 1, nil)
    assert_refused("bad argument #2 to 'timeout' (function expected, got number)", 1, 12)
  end)
end)

describe("await", function()
  it("returns the results, nils too, before and after the end", function()
    helper.run(function()
      local task = coev.spawn(function()
        coev.yield()
        return 1, nil, 3, nil
      end)
      for _ = 1, 2 do
        assert.equal(4, select("#", task:await()))
        assert.same({ 1, nil, 3 }, { task:await() })
      end
      assert.equal(0, select("#", coev.spawn(function() end):await()))
    end)
  end)

  it("raises the error of the task, a value as it is", function()
    helper.run(function()
      local value = {}
      local ok, err = coev.pcall(function()
        coev.spawn(error, value):await()
      end)
      assert.is_false(ok)
      assert.is_true(rawequal(value, err))
      ok, err = coev.pcall(function()
        coev.spawn(error, "broken", 0):await()
      end)
      assert.is_false(ok)
      assert.equal("broken", err)
    end)
  end)

  it("raises the cancelled error of a task that was cancelled", function()
    helper.run(function()
      local task = support.parked(coev.sleep, 60)
      task:cancel("theirs")
      local ok, err = coev.pcall(task.await, task)
      assert.is_false(ok)
      assert.is_true(coev.is_cancelled(err))
      assert.equal("theirs", err.reason)
      coev.yield()
    end)
  end)

  it("raises 'timeout' when the task has not ended in time, and the task goes on", function()
    helper.run(function()
      local task = coev.spawn(function()
        coev.sleep(0.008)
        return "late"
      end)
      for _, timeout in ipairs({ 0.001, 0, -1 }) do
        local ok, err = coev.pcall(task.await, task, timeout)
        assert.is_false(ok)
        assert.equal("string", type(err))
        assert.truthy(err:find("timeout", 1, true), err)
      end
      assert.equal("late", task:await(5))
      assert.equal("late", task:await(0))
    end)
  end)

  it("that gives up is no timeout of coev.timeout", function()
    helper.run(function()
      local task = coev.spawn(coev.suspend)
      local ok, err = coev.pcall(coev.timeout, 60, task.await, task, 0.001)
      assert.is_false(ok)
      assert.truthy(tostring(err):find("timeout", 1, true))
      assert_timeout(coev.timeout(0.001, task.await, task, 60))
      task:cancel()
    end)
  end)

  it("counts as a joiner: the error is not reported", function()
    assert.same({}, support.unseen_errors(function()
      helper.run(function()
        assert.is_false(coev.pcall(function()
          coev.spawn(error, "seen"):await()
        end))
      end)
    end))
  end)

  it("works where no task runs", function()
    local task = coev.spawn(function()
      coev.sleep(0.001)
      return "result"
    end)
    assert.equal("result", task:await())
  end)

  it("refuses what is not a time", function()
    local task = coev.spawn(function() end)
    for _, value in ipairs({ "text", {}, true }) do
      local ok, err = pcall(task.await, task, value)
      assert.is_false(ok)
      assert.truthy(err:find("bad argument #1 to 'await' (number expected, got " .. type(value), 1, true), err)
    end
    assert.is_false(pcall(task.await, task, 0 / 0))
    coev.run()
  end)
end)
