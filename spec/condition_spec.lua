local coev = require "coev"
local helper = require "spec.helper"
local schedule = require "spec.support.schedule"

local function refused(message, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(message, 1, true), tostring(err))
end

describe("a condition", function()
  it("wakes those who wait, in order, one for each signal", function()
    helper.run(function()
      local condition, log = coev.condition.new(), {}
      assert.equal(0, condition:signal())
      for i = 1, 5 do
        coev.spawn(function()
          assert.is_true(condition:wait())
          log[#log + 1] = i
        end)
      end
      coev.yield()
      assert.equal(1, condition:signal())
      coev.yield()
      assert.same({ 1 }, log)
      assert.equal(2, condition:signal(2))
      coev.yield()
      assert.same({ 1, 2, 3 }, log)
      assert.equal(2, condition:broadcast())
      coev.yield()
      assert.same({ 1, 2, 3, 4, 5 }, log)
    end)
  end)

  it("lets go of its mutex while it waits, and has it again afterwards", function()
    helper.run(function()
      local mutex = coev.mutex.new()
      local condition, queue = coev.condition.new(mutex), {}
      local reader = coev.spawn(function()
        return mutex:with(function()
          while not queue[1] do
            assert.is_true(condition:wait())
            assert.equal(coev.current(), mutex:owner())
          end
          return queue[1]
        end)
      end)
      coev.yield()
      mutex:with(function()
        queue[1] = "item"
        condition:signal()
        coev.yield()
      end)
      assert.same({ true, "item" }, { reader:join() })
      assert.is_nil(mutex:owner())
    end)
  end)

  it("lets those who are signalled wait for the mutex, instead of waking them all for it", function()
    helper.run(function()
      local mutex = coev.mutex.new()
      local condition, waiters, inside = coev.condition.new(mutex), {}, 0
      for i = 1, 4 do
        waiters[i] = coev.spawn(function()
          mutex:lock()
          assert.is_true(condition:wait())
          inside = inside + 1
          coev.yield()
          mutex:unlock()
        end)
      end
      coev.yield()
      mutex:lock()
      assert.equal(4, condition:broadcast())
      for i = 1, 4 do
        assert.truthy(waiters[i]:waiting():find("^lock of mutex "))
      end
      waiters[2]:cancel()
      mutex:unlock()
      for i = 1, 4 do
        waiters[i]:join()
      end
      assert.equal(3, inside)
      -- The one that was cancelled had its mutex again, and has left it behind.
      assert.is_true(mutex:lock())
      mutex:unlock()
    end)
  end)

  it("has its mutex again after a timeout and a cancel, too", function()
    helper.run(function()
      local mutex = coev.mutex.new()
      local condition, owned = coev.condition.new(mutex), {}
      mutex:lock()
      assert.same({ nil, "timeout" }, { condition:wait(0.0005) })
      assert.equal(coev.current(), mutex:owner())
      mutex:unlock()
      local task = coev.spawn(function()
        mutex:lock()
        coev.defer(function()
          owned[1] = mutex:owner() == coev.current()
          mutex:unlock()
        end)
        condition:wait()
      end)
      coev.yield()
      mutex:lock()
      task:cancel()
      coev.yield()
      coev.yield()
      assert.equal("waiting", task:status())
      mutex:unlock()
      task:join()
      assert.same({ true }, owned)
    end)
  end)

  it("looks at the predicate before it waits and after each signal", function()
    helper.run(function()
      local condition, looks, level = coev.condition.new(), 0, 0
      assert.equal("at once", condition:wait_for(function() return "at once" end))
      local task = coev.spawn(function()
        return condition:wait_for(function()
          looks = looks + 1
          return level >= 2 and level
        end, 5)
      end)
      coev.yield()
      for i = 1, 2 do
        level = i
        condition:signal()
        coev.yield()
      end
      assert.same({ true, 2 }, { task:join() })
      assert.equal(3, looks)
      local function never() end
      assert.same({ nil, "timeout" }, { condition:wait_for(never, 0) })
      assert.same({ nil, "timeout" }, { condition:wait_for(never, 0.0005) })
    end)
  end)

  it("gives the signal of a task that is cancelled before its turn to the next one", function()
    helper.run(function()
      local condition = coev.condition.new()
      local first = coev.spawn(function() condition:wait() end)
      local second = coev.spawn(function() return condition:wait() end)
      coev.yield()
      condition:signal()
      first:cancel()
      assert.same({ true, true }, { second:join() })
    end)
  end)

  it("works outside of tasks, with the main chunk's mutex", function()
    local mutex = coev.mutex.new()
    local condition = coev.condition.new(mutex)
    mutex:lock()
    coev.spawn(function() mutex:with(condition.signal, condition) end)
    assert.is_true(condition:wait())
    assert.equal("main", mutex:owner())
    assert.same({ nil, "timeout" }, { condition:wait(0.0001) })
    mutex:unlock()
  end)

  it("says what it is, and refuses what makes no sense", function()
    helper.run(function()
      local condition = coev.condition.new(coev.mutex.new())
      refused("'wait': the caller does not own the mutex", condition.wait, condition)
      refused("bad argument #1 to 'new' (coev.mutex expected, got table)", coev.condition.new, {})
      condition = coev.condition.new()
      refused("bad argument #1 to 'wait' (number expected, got string)", condition.wait, condition, "x")
      refused("bad argument #1 to 'wait_for' (function expected, got no value)", condition.wait_for, condition)
      refused("bad argument #2 to 'wait_for' (number expected", condition.wait_for, condition, print, "x")
      refused("bad argument #1 to 'signal' (-1 is less than 0)", condition.signal, condition, -1)
      for _, name in ipairs({ "wait", "wait_for", "signal", "broadcast" }) do
        refused("calling '" .. name .. "' on bad self", condition[name], {})
      end
      local task = coev.spawn(condition.wait, condition)
      coev.yield()
      assert.truthy(task:waiting():find("^wait for condition %w+$"))
      assert.truthy(tostring(condition):find("(without a mutex, 1 task waits)", 1, true))
      condition:signal()
    end)
  end)

  it("loses no signal in random schedules", function()
    helper.run(function()
      for seed = 1, 60 do
        local mutex = coev.mutex.new()
        local condition, queue, taken = coev.condition.new(mutex), 0, 0
        schedule.run(seed, 6, seed % 4, function(random, i)
          for _ = 1, 10 do
            schedule.pause(random)
            mutex:with(function()
              if i % 2 == 0 then
                queue = queue + 1
                condition:signal()
              elseif condition:wait_for(function() return queue > 0 end, 0.0002) then
                assert.is_true(queue > 0)
                queue, taken = queue - 1, taken + 1
              end
            end)
          end
        end, function() end)
        assert.is_nil(mutex:owner())
        -- What is left is there for whoever comes: nobody waits while there is something.
        assert.truthy(tostring(condition):find("(with a mutex)", 1, true))
        assert.is_true(taken > 0 and queue >= 0)
      end
    end)
  end)
end)
