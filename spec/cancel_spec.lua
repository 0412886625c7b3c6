local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local pack = require "spec.support.pack"
local peer = require "spec.support.peer"
local support = require "spec.support.tasks"

local parked, assert_cancelled, unseen_errors = support.parked, support.assert_cancelled, support.unseen_errors

describe("cancel", function()
  it("raises in the wait in which the task is parked", function()
    helper.run(function()
      local after = false
      local task = parked(function()
        coev.sleep(60)
        after = true
      end)
      assert.equal("waiting", task:status())
      assert.is_true(task:cancel())
      assert_cancelled(task)
      assert.is_false(after)
    end)
  end)

  it("raises in every later wait too, whatever it would wait for", function()
    helper.run(function()
      local near, far = peer.pair()
      local listener, address, port = peer.listen()
      local other = coev.spawn(coev.suspend)
      local waits = {
        coev.yield,
        coev.suspend,
        function() coev.sleep(0) end,
        function() coev.sleep(60) end,
        function() coev.sleep_until(0) end,
        function() other:join() end,
        function() other:await() end,
        function() near:receive() end,
        function() listener:accept() end,
        function() coev.socket.connect(address, port) end,
        function() coev.timeout(60, coev.sleep, 60) end,
        function() coev.group(function(group) group:spawn(coev.yield) end) end,
        function() coev.retry(error, { wait = 60 }) end,
      }
      local task = parked(function()
        local first = select(2, coev.pcall(coev.sleep, 60))
        for i, wait in ipairs(waits) do
          local ok, err = coev.pcall(wait)
          assert.is_false(ok, "wait " .. i .. " came back")
          assert.is_true(rawequal(first, err), "wait " .. i .. " raised " .. tostring(err))
        end
        return "all"
      end)
      task:cancel()
      assert.same({ true, "all" }, { task:join() })
      other:cancel()
      peer.close(near, far, listener)
    end)
  end)

  it("is not swallowed by a stock pcall around one wait", function()
    helper.run(function()
      local swallowed = 0
      local task = parked(function()
        while swallowed < 1000 do
          pcall(coev.sleep, 60)
          swallowed = swallowed + 1
          coev.sleep(60)
        end
      end)
      task:cancel()
      assert_cancelled(task)
      assert.equal(1, swallowed)
    end)
  end)

  it("ends a loop that a compiler has compiled long since", function()
    helper.run(function()
      local rounds = 0
      local task = parked(function()
        while true do
          coev.yield()
          rounds = rounds + 1
        end
      end)
      while rounds < 1000 do
        coev.yield()
      end
      task:cancel()
      assert_cancelled(task)
    end)
  end)

  it("raises a thousand times in a row, in a compiled loop too", function()
    helper.run(function()
      local raised = 0
      local task = parked(function()
        for _ = 1, 1000 do
          if not coev.pcall(coev.yield) then
            raised = raised + 1
          end
        end
      end)
      task:cancel()
      task:join()
      assert.equal(1000, raised)
    end)
  end)

  it("raises in a task that is ready, at its next turn", function()
    helper.run(function()
      local after = false
      local task = parked(function()
        coev.yield()
        after = true
      end)
      assert.equal("ready", task:status())
      task:cancel()
      assert_cancelled(task)
      assert.is_false(after)
    end)
  end)

  it("before the first turn: the task never runs", function()
    helper.run(function()
      local ran = false
      local task = coev.spawn(function()
        ran = true
      end)
      assert.is_true(task:cancel("too early"))
      assert_cancelled(task, "too early")
      assert.is_false(ran)
    end)
  end)

  it("of the running task raises at its next wait", function()
    helper.run(function()
      local steps = {}
      local task = coev.spawn(function()
        assert.is_true(coev.current():cancel("enough"))
        steps[#steps + 1] = "before"
        coev.yield()
        steps[#steps + 1] = "after"
      end)
      assert_cancelled(task, "enough")
      assert.same({ "before" }, steps)
    end)
  end)

  it("of a task that ends without a further wait changes nothing", function()
    helper.run(function()
      local task = coev.spawn(function()
        coev.current():cancel()
        return "result"
      end)
      assert.same({ true, "result" }, { task:join() })
      assert.equal("done", task:status())
    end)
  end)

  it("of a task that catches the error and ends normally makes it done", function()
    helper.run(function()
      local task = parked(function()
        coev.pcall(coev.sleep, 60)
        return "tidied up"
      end)
      task:cancel()
      assert.same({ true, "tidied up" }, { task:join() })
      assert.equal("done", task:status())
    end)
  end)

  it("of a task that raises another error makes it failed", function()
    local seen = unseen_errors(function()
      helper.run(function()
        local task = parked(function()
          coev.pcall(coev.sleep, 60)
          error("another", 0)
        end)
        task:cancel()
        coev.yield()
        coev.yield()
        assert.equal("failed", task:status())
      end)
    end)
    assert.same({ "another" }, seen)
  end)

  it("is false once the task has ended, however it ended", function()
    helper.run(function()
      local done = coev.spawn(function() end)
      local failed = coev.spawn(error, "broken")
      failed:join()
      local cancelled = parked(coev.sleep, 60)
      cancelled:cancel()
      for _, task in ipairs({ done, failed, cancelled }) do
        task:join()
        local status = task:status()
        assert.is_false(task:cancel())
        assert.equal(status, task:status())
      end
    end)
  end)

  it("a second time is true and keeps the first reason", function()
    helper.run(function()
      local task = parked(coev.sleep, 60)
      assert.is_true(task:cancel("first"))
      assert.is_true(task:cancel("second"))
      assert_cancelled(task, "first")
    end)
  end)

  it("wakes all who join", function()
    helper.run(function()
      local task = parked(coev.sleep, 60)
      local woken = 0
      local joiners = {}
      for i = 1, 5 do
        joiners[i] = coev.spawn(function()
          assert_cancelled(task, "all of you")
          woken = woken + 1
        end)
      end
      coev.yield()
      task:cancel("all of you")
      for _, joiner in ipairs(joiners) do
        joiner:await()
      end
      assert.equal(5, woken)
    end)
  end)

  it("of a joiner leaves the joined task alone", function()
    helper.run(function()
      local task = coev.spawn(function()
        coev.sleep(0.003)
        return "undisturbed"
      end)
      local joiner = parked(task.join, task)
      joiner:cancel()
      assert_cancelled(joiner)
      assert.same({ true, "undisturbed" }, { task:join() })
    end)
  end)

  it("does not reach the tasks that the task has spawned", function()
    helper.run(function()
      local inner
      local outer = parked(function()
        inner = coev.spawn(function()
          coev.sleep(0.003)
          return "went on"
        end)
        coev.sleep(60)
      end)
      outer:cancel()
      assert_cancelled(outer)
      assert.same({ true, "went on" }, { inner:join() })
    end)
  end)

  it("can be called where no task runs", function()
    local task = coev.spawn(coev.sleep, 60)
    coev.step()
    assert.is_true(task:cancel("from outside"))
    assert_cancelled(task, "from outside")
  end)

  it("of run's own function is the error that run raises", function()
    local ok, err = pcall(coev.run, function()
      coev.current():cancel("closing time")
      coev.sleep(60)
    end)
    assert.is_false(ok)
    assert.is_true(coev.is_cancelled(err))
    assert.equal("closing time", err.reason)
  end)

  it("is never reported, joined or not", function()
    child.assert_writes("cancelled\tcancelled\n", [[
      coev.run(function()
        local sleeper = coev.spawn(coev.sleep, 60)
        local newborn = coev.spawn(print, "never")
        newborn:cancel()
        coev.yield()
        sleeper:cancel("enough")
        coev.sleep(0.001)
        print(sleeper:status(), newborn:status())
      end)
    ]])
  end)

  it("does not raise in a stock coroutine.yield, but in the next wait of coev", function()
    helper.run(function()
      local steps = 0
      local stock_yield = coroutine.yield
      local task = parked(function()
        for _ = 1, 3 do
          stock_yield()
          steps = steps + 1
        end
        coev.yield()
        steps = steps + 1
      end)
      task:cancel()
      assert_cancelled(task)
      assert.equal(3, steps)
    end)
  end)

  it("raises through the coroutines that the task waits in", function()
    helper.run(function()
      local unwound = {}
      local task = parked(function()
        local outer = coev.coroutine.wrap(function()
          local inner = coev.coroutine.wrap(function()
            local ok, err = coev.pcall(coev.sleep, 60)
            unwound[#unwound + 1] = "inner"
            assert.is_false(ok)
            error(err, 0)
          end)
          local _, err = coev.pcall(inner)
          unwound[#unwound + 1] = "outer"
          error(err, 0)
        end)
        outer()
      end)
      task:cancel("deep")
      assert_cancelled(task, "deep")
      assert.same({ "inner", "outer" }, unwound)
    end)
  end)

  it("raises in a wait that drives the loop in place", function()
    helper.run(function()
      local task = parked(function()
        table.sort({ 2, 1 }, function(a, b)
          coev.sleep(60)
          return a < b
        end)
      end)
      task:cancel("in place")
      assert_cancelled(task, "in place")
    end)
  end)

  it("raises in the waits after one that drove the loop in place", function()
    helper.run(function()
      local task = parked(function()
        for _ = 1, 2 do
          coev.pcall(table.sort, { 2, 1 }, function(a, b)
            coev.sleep(60)
            return a < b
          end)
        end
        coev.sleep(60)
      end)
      task:cancel("further on")
      assert_cancelled(task, "further on")
    end)
  end)

  -- Holds a variable that is to be closed, and waits when it is; then does `what`. nil before Lua 5.4.
  local closing = (loadstring or load)([[
    local coev, steps, what = ...
    local task = coev.current()
    local guard <close> = setmetatable({}, { __close = function(_, err)
      steps[#steps + 1] = coev.is_cancelled(err) or err
      coev.shield(coev.sleep, 0.001)
      steps[#steps + 1] = coev.current() == task and "closed" or "closed elsewhere"
    end })
    what()
  ]])

  it("closes the variables that are to be closed, in the task, before anybody learns of its end", function()
    if not closing then
      return
    end
    helper.run(function()
      local steps = {}
      local task = parked(closing, coev, steps, coev.suspend)
      task:cancel()
      assert_cancelled(task)
      assert.same({ true, "closed" }, steps)
    end)
  end)

  it("closes such variables no less when the task fails, and their errors take the place of its own", function()
    if not closing then
      return
    end
    helper.run(function()
      local steps = {}
      local task = coev.spawn(closing, coev, steps, function()
        error("broken", 0)
      end)
      local results = { task:join() }
      assert.same({ false, "broken" }, { results[1], results[2] })
      assert.same({ "broken", "closed" }, steps)

      task = coev.spawn((loadstring or load)([[
        local guard <close> = setmetatable({}, { __close = function() error("closed badly", 0) end })
        error("broken", 0)
      ]]))
      results = { task:join() }
      assert.same({ false, "closed badly" }, { results[1], results[2] })
      assert.equal("failed", task:status())
    end)
  end)

  it("of a thousand tasks ends them all", function()
    helper.run(function()
      local tasks = {}
      for i = 1, 1000 do
        tasks[i] = coev.spawn(coev.sleep, 60)
      end
      coev.yield()
      for _, task in ipairs(tasks) do
        task:cancel()
      end
      for _, task in ipairs(tasks) do
        assert_cancelled(task)
      end
    end)
  end)

  it("refuses what is not a task", function()
    helper.run(function()
      local task = coev.spawn(function() end)
      for _, value in ipairs({ 12, "text", {}, print }) do
        assert.is_false(pcall(task.cancel, value))
      end
    end)
  end)
end)

describe("the cancelled error", function()
  -- The error of a task that is cancelled by `cancel(...)`.
  local function error_of(...)
    local task = parked(coev.sleep, 60)
    task:cancel(...)
    local _, err = task:join()
    return err
  end

  it("has the reason, and tells it as text", function()
    helper.run(function()
      local err = error_of("lunch")
      assert.equal("lunch", err.reason)
      assert.equal("cancelled: lunch", tostring(err))
    end)
  end)

  it("without a reason says 'cancelled'", function()
    helper.run(function()
      for _, err in ipairs({ error_of(), error_of(nil) }) do
        assert.equal("cancelled", err.reason)
        assert.equal("cancelled", tostring(err))
      end
    end)
  end)

  it("keeps a reason of any type as it is", function()
    helper.run(function()
      for _, reason in ipairs({ {}, 12, true, print }) do
        local err = error_of(reason)
        assert.is_true(rawequal(reason, err.reason))
        assert.equal("cancelled: " .. tostring(reason), tostring(err))
      end
    end)
  end)

  it("is one object for all waits of a task, and another for each task", function()
    helper.run(function()
      local errors = {}
      local task = parked(function()
        for i = 1, 3 do
          errors[i] = select(2, coev.pcall(coev.sleep, 60))
        end
      end)
      task:cancel()
      task:join()
      assert.is_true(rawequal(errors[1], errors[2]))
      assert.is_true(rawequal(errors[1], errors[3]))
      assert.is_false(rawequal(errors[1], error_of()))
    end)
  end)

  it("is what is_cancelled knows, and nothing else is", function()
    helper.run(function()
      assert.is_true(coev.is_cancelled(error_of("reason")))
      local look_alikes = { "cancelled", "timeout", 12, true, print, {}, { reason = "cancelled" }, coev.current() }
      for _, value in ipairs(look_alikes) do
        assert.is_false(coev.is_cancelled(value))
      end
      assert.is_false(coev.is_cancelled(nil))
      assert.is_false(coev.is_cancelled())
      assert.is_false(coev.is_cancelled(setmetatable({}, { __metatable = "locked" })))
    end)
  end)

  it("of another task, raised again, does not make a task cancelled that is not", function()
    helper.run(function()
      local other = parked(coev.sleep, 60)
      other:cancel("theirs")
      local task = coev.spawn(function()
        other:await()
      end)
      local ok, err = task:join()
      assert.is_false(ok)
      assert.equal("theirs", err.reason)
      assert.equal("failed", task:status())
    end)
  end)
end)

describe("shield", function()
  it("passes arguments and results, nils too", function()
    helper.run(function()
      assert.same({ n = 3, nil, 2, nil }, pack(coev.shield(function(...)
        coev.yield()
        return ...
      end, nil, 2, nil)))
    end)
  end)

  it("holds off a cancel that arrives inside, and raises it at its end", function()
    helper.run(function()
      local steps = {}
      local task = parked(function()
        coev.shield(function()
          coev.sleep(0.002)
          steps[#steps + 1] = "slept"
          coev.yield()
          steps[#steps + 1] = "yielded"
        end)
        steps[#steps + 1] = "behind"
      end)
      assert.is_true(task:cancel("held off"))
      assert_cancelled(task, "held off")
      assert.same({ "slept", "yielded" }, steps)
    end)
  end)

  it("returns the results when the cancel came before it; the next wait raises", function()
    helper.run(function()
      local steps = {}
      local task = parked(function()
        coev.pcall(coev.sleep, 60)
        steps[#steps + 1] = coev.shield(function()
          coev.sleep(0.001)
          return "tidied up"
        end)
        coev.yield()
        steps[#steps + 1] = "never"
      end)
      task:cancel()
      assert_cancelled(task)
      assert.same({ "tidied up" }, steps)
    end)
  end)

  it("inside another raises at the end of the outer one", function()
    helper.run(function()
      local steps = {}
      local task = parked(function()
        coev.shield(function()
          coev.shield(coev.sleep, 0.002)
          steps[#steps + 1] = "inner"
          coev.sleep(0.001)
          steps[#steps + 1] = "outer"
        end)
        steps[#steps + 1] = "behind"
      end)
      task:cancel()
      assert_cancelled(task)
      assert.same({ "inner", "outer" }, steps)
    end)
  end)

  it("lets errors pass, and the cancel waits for the next wait", function()
    helper.run(function()
      local value = {}
      local task = parked(function()
        local ok, err = coev.pcall(coev.shield, function()
          coev.sleep(0.001)
          error(value)
        end)
        assert.is_false(ok)
        assert.is_true(rawequal(value, err))
        coev.yield()
      end)
      task:cancel()
      assert_cancelled(task)
    end)
  end)

  it("holds off a deadline that was set outside", function()
    helper.run(function()
      local complete = false
      local results = { coev.timeout(0.001, function()
        coev.shield(function()
          coev.sleep(0.004)
          coev.sleep(0.001)
          complete = true
        end)
        coev.sleep(60)
      end) }
      assert.same({ nil, "timeout" }, results)
      assert.is_true(complete)
    end)
  end)

  it("lets a deadline count that is set inside, in a cancelled task too", function()
    helper.run(function()
      local inside
      local task = parked(function()
        coev.pcall(coev.sleep, 60)
        inside = { coev.shield(coev.timeout, 0.001, coev.sleep, 60) }
      end)
      task:cancel()
      task:join()
      assert.same({ nil, "timeout" }, inside)
      assert.same({ nil, "timeout" }, { coev.shield(coev.timeout, 0.001, coev.sleep, 60) })
    end)
  end)

  it("is over when it has returned: a later cancel raises at once", function()
    helper.run(function()
      for _, shielded in ipairs({ coev.yield, error }) do
        local task = parked(function()
          coev.pcall(coev.shield, shielded)
          coev.sleep(60)
        end)
        coev.yield()
        coev.yield()
        task:cancel()
        assert_cancelled(task)
      end
    end)
  end)

  it("outside tasks only calls its function", function()
    assert.same({ 1, 2 }, { coev.shield(function(...)
      coev.sleep(0.001)
      return ...
    end, 1, 2) })
    assert.is_false(pcall(coev.shield, error, "passes"))
  end)

  it("refuses what is not a function", function()
    for _, value in ipairs({ 12, "text", {} }) do
      local ok, err = pcall(coev.shield, value)
      assert.is_false(ok)
      assert.truthy(err:find("bad argument #1 to 'shield' (function expected, got " .. type(value), 1, true), err)
    end
  end)
end)

describe("defer", function()
  it("runs when the task has ended and before its joiners wake, last in, first out", function()
    helper.run(function()
      local steps = {}
      local task = coev.spawn(function()
        for i = 1, 3 do
          coev.defer(function()
            steps[#steps + 1] = i
          end)
        end
        coev.yield()
        steps[#steps + 1] = "end"
        return "result"
      end)
      assert.same({ true, "result" }, { task:join() })
      assert.same({ "end", 3, 2, 1 }, steps)
    end)
  end)

  it("runs however the task ends", function()
    local runs = 0
    local function with_defer(f)
      return coev.spawn(function()
        coev.defer(function()
          runs = runs + 1
        end)
        f()
      end)
    end
    helper.run(function()
      local done = with_defer(coev.yield)
      local failed = with_defer(error)
      local cancelled = with_defer(function() coev.sleep(60) end)
      coev.yield()
      cancelled:cancel()
      assert.is_true(done:join())
      assert.is_false(failed:join())
      assert_cancelled(cancelled)
      assert.equal(3, runs)
    end)
  end)

  it("keeps the results and the error of the task", function()
    helper.run(function()
      local function quiet()
        coev.defer(function()
          return "ignored"
        end)
      end
      local count = select("#", coev.spawn(function()
        quiet()
        return nil, 2, nil
      end):join())
      assert.equal(4, count)
      local value = {}
      local ok, err, traceback = coev.spawn(function()
        quiet()
        local function fail_here()
          error(value)
        end
        fail_here()
      end):join()
      assert.is_false(ok)
      assert.is_true(rawequal(value, err))
      assert.truthy(traceback:find("fail_here", 1, true), traceback)
    end)
  end)

  it("may wait, and the task has not ended until then", function()
    helper.run(function()
      local steps, task = {}, nil
      task = coev.spawn(function()
        coev.defer(function()
          assert.is_true(rawequal(task, coev.current()))
          helper.pause(0.002)
          steps[#steps + 1] = "slept"
        end)
        steps[#steps + 1] = "end"
      end)
      coev.yield()
      coev.yield()
      coev.yield()
      assert.same({ "end" }, steps)
      assert.equal("waiting", task:status())
      assert.is_true(task:join())
      assert.same({ "end", "slept" }, steps)
    end)
  end)

  it("of a cancelled task may wait under shield, and only there", function()
    helper.run(function()
      local steps = {}
      local task = parked(function()
        coev.defer(function()
          local ok, err = coev.pcall(coev.sleep, 0.001)
          steps[#steps + 1] = not ok and coev.is_cancelled(err) and "raised" or "waited"
        end)
        coev.defer(function()
          coev.shield(coev.sleep, 0.001)
          steps[#steps + 1] = "shielded"
        end)
        coev.sleep(60)
      end)
      task:cancel()
      assert_cancelled(task)
      assert.same({ "shielded", "raised" }, steps)
    end)
  end)

  it("that waits is raised in when the task is cancelled meanwhile", function()
    helper.run(function()
      local others = 0
      local task = parked(function()
        coev.defer(function()
          others = others + 1
        end)
        coev.defer(function()
          coev.sleep(60)
        end)
      end)
      coev.yield()
      coev.yield()
      assert.equal("waiting", task:status())
      task:cancel("no time")
      local ok, err = task:join()
      assert.is_false(ok)
      assert.is_true(coev.is_cancelled(err))
      assert.equal("no time", err.reason)
      assert.equal(1, others)
    end)
  end)

  it("that fails does not stop the others, and fails a task that had ended well", function()
    helper.run(function()
      local first, ran, seen = {}, 0, {}
      local task = coev.spawn(function()
        coev.defer(function()
          ran = ran + 1
        end)
        coev.defer(function()
          error("the second to fail", 0)
        end)
        coev.defer(function()
          error(first)
        end)
        return "lost"
      end)
      local previous = coev.onerror(function(_, err)
        seen[#seen + 1] = err
      end)
      local ok, err, traceback = task:join()
      coev.onerror(previous)
      assert.is_false(ok)
      assert.is_true(rawequal(first, err))
      assert.equal("string", type(traceback))
      assert.equal("failed", task:status())
      assert.equal(1, ran)
      assert.same({ "the second to fail" }, seen)
    end)
  end)

  it("that fails in a task that had failed is reported, and joiners see the task's error", function()
    local ended = {}
    local seen = unseen_errors(function()
      helper.run(function()
        local task = coev.spawn(function()
          coev.defer(function()
            error("in defer", 0)
          end)
          error("in the task", 0)
        end)
        ended = { task:join() }
      end)
    end)
    assert.equal("in the task", ended[2])
    assert.same({ "in defer" }, seen)
  end)

  it("that fails in a task that was cancelled is reported, and the task stays cancelled", function()
    local seen = unseen_errors(function()
      helper.run(function()
        local task = parked(function()
          coev.defer(function()
            error("in defer", 0)
          end)
          coev.sleep(60)
        end)
        task:cancel()
        assert_cancelled(task)
      end)
    end)
    assert.same({ "in defer" }, seen)
  end)

  it("of a task that never ran does not exist, and another task's does not run", function()
    helper.run(function()
      local runs = 0
      local other = parked(function()
        coev.defer(function()
          runs = runs + 1
        end)
        coev.suspend()
      end)
      local never = coev.spawn(function()
        coev.defer(function()
          runs = runs + 1
        end)
      end)
      never:cancel()
      never:join()
      assert.equal(0, runs)
      other:resume()
      other:join()
      assert.equal(1, runs)
    end)
  end)

  it("called in a deferred function still runs", function()
    helper.run(function()
      local steps = {}
      coev.spawn(function()
        coev.defer(function()
          steps[#steps + 1] = "last"
        end)
        coev.defer(function()
          coev.defer(function()
            steps[#steps + 1] = "inner"
          end)
          steps[#steps + 1] = "first"
        end)
      end):join()
      assert.same({ "first", "inner", "last" }, steps)
    end)
  end)

  it("in a coroutine of a task belongs to the task", function()
    helper.run(function()
      local steps = {}
      coev.spawn(function()
        coev.coroutine.wrap(function()
          coev.defer(function()
            steps[#steps + 1] = "deferred"
          end)
        end)()
        steps[#steps + 1] = "end"
      end):join()
      assert.same({ "end", "deferred" }, steps)
    end)
  end)

  it("counts for run's own function", function()
    local ran = false
    assert.equal("result", coev.run(function()
      coev.defer(function()
        coev.sleep(0.001)
        ran = true
      end)
      return "result"
    end))
    assert.is_true(ran)
  end)

  it("outside tasks raises", function()
    local ok, err = pcall(coev.defer, function() end)
    assert.is_false(ok)
    assert.truthy(tostring(err):find("defer", 1, true), tostring(err))
  end)

  it("refuses what is not a function", function()
    helper.run(function()
      for _, value in ipairs({ 12, "text", {} }) do
        local ok, err = pcall(coev.defer, value)
        assert.is_false(ok)
        assert.truthy(err:find("bad argument #1 to 'defer' (function expected, got " .. type(value), 1, true), err)
      end
    end)
  end)
end)
