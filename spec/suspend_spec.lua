local coev = require "coev"
local helper = require "spec.helper"
local pack = require "spec.support.pack"
local support = require "spec.support.tasks"

describe("suspend", function()
  it("returns what resume was given, nils too", function()
    helper.run(function()
      local task = support.parked(coev.suspend)
      assert.is_true(task:resume(1, nil, 3, nil))
      assert.same({ n = 5, true, 1, nil, 3, nil }, pack(task:join()))
    end)
  end)

  it("does not return what an earlier resume has brought, when a cancel came before its turn", function()
    helper.run(function()
      local results
      local task = support.parked(function()
        coev.pcall(coev.suspend)
        coev.shield(function()
          results = pack(coev.suspend())
        end)
      end)
      assert.is_true(task:resume("for the first"))
      task:cancel()
      coev.yield()
      coev.yield()
      assert.is_true(task:resume())
      task:join()
      assert.same({ n = 0 }, results)
    end)
  end)

  it("lets the others go on until somebody resumes the task", function()
    local steps = {}
    helper.run(function()
      local task = coev.spawn(function()
        steps[#steps + 1] = "suspends"
        local value = coev.suspend()
        steps[#steps + 1] = value
      end)
      coev.sleep(0.002)
      steps[#steps + 1] = "resumes"
      task:resume("goes on")
      steps[#steps + 1] = "not yet"
    end)
    assert.same({ "suspends", "resumes", "not yet", "goes on" }, steps)
  end)

  it("can be called again and again", function()
    helper.run(function()
      local sum = 0
      local task = coev.spawn(function()
        while true do
          local number = coev.suspend()
          if not number then
            return sum
          end
          sum = sum + number
        end
      end)
      coev.yield()
      for i = 1, 100 do
        assert.is_true(task:resume(i))
        coev.yield()
      end
      task:resume()
      assert.same({ true, 5050 }, { task:join() })
    end)
  end)

  it("is what the task waits for", function()
    helper.run(function()
      local task = support.parked(coev.suspend)
      assert.equal("waiting", task:status())
      assert.truthy(task:waiting():find("suspend", 1, true), task:waiting())
      task:resume()
      assert.equal("ready", task:status())
    end)
  end)

  it("raises a cancel, and is not resumed then", function()
    helper.run(function()
      local task = support.parked(coev.suspend)
      assert.is_true(task:cancel("enough"))
      assert.same({ nil, "not suspended" }, { task:resume("late") })
      support.assert_cancelled(task, "enough")
    end)
  end)

  it("ends at a deadline, and is not resumed then", function()
    helper.run(function()
      local task = coev.spawn(function()
        local value, err = coev.timeout(0.002, coev.suspend)
        coev.sleep(0.003)
        return value, err
      end)
      coev.sleep(0.004)
      assert.same({ nil, "not suspended" }, { task:resume("late") })
      assert.same({ true, nil, "timeout" }, { task:join() })
    end)
  end)

  it("works where the VM cannot yield", function()
    helper.run(function()
      local task = coev.spawn(function()
        return (("ab"):gsub(".", function()
          return coev.suspend()
        end))
      end)
      coev.yield()
      assert.is_true(task:resume("1"))
      coev.yield()
      coev.yield()
      assert.is_true(task:resume("2"))
      assert.same({ true, "12" }, { task:join() })
    end)
  end)

  it("works inside coroutines", function()
    helper.run(function()
      local task = coev.spawn(function()
        return coev.coroutine.wrap(coev.suspend)()
      end)
      coev.yield()
      assert.is_true(task:resume("value"))
      assert.same({ true, "value" }, { task:join() })
    end)
  end)

  it("raises outside tasks, where nobody could resume", function()
    local ok, err = pcall(coev.suspend)
    assert.is_false(ok)
    assert.truthy(err:find("suspend", 1, true) and err:find("outside a task", 1, true), err)
  end)
end)

describe("resume", function()
  it("of a task that is not suspended by suspend is an error value", function()
    helper.run(function()
      local function assert_refused(task)
        assert.same({ nil, "not suspended" }, { task:resume("lost?") })
      end
      local fresh = coev.spawn(function() end)
      assert_refused(fresh)
      fresh:join()
      assert_refused(fresh)

      local failed = coev.spawn(error, "broken")
      failed:join()
      assert_refused(failed)

      local sleeper = coev.spawn(function()
        coev.sleep(0.002)
        return "slept"
      end)
      coev.yield()
      assert_refused(sleeper)
      local joiner = coev.spawn(sleeper.join, sleeper)
      coev.yield()
      assert_refused(joiner)
      assert_refused(coev.current())
      assert.same({ true, true, "slept" }, { joiner:join() })
    end)
  end)

  it("of a task that was resumed already is an error value, and the first counts", function()
    helper.run(function()
      local task = support.parked(coev.suspend)
      assert.is_true(task:resume("first"))
      assert.same({ nil, "not suspended" }, { task:resume("second") })
      assert.same({ true, "first" }, { task:join() })
    end)
  end)

  it("makes tasks ready in the order of the calls", function()
    local order = {}
    helper.run(function()
      local tasks = {}
      for i = 1, 5 do
        tasks[i] = coev.spawn(function()
          coev.suspend()
          order[#order + 1] = i
        end)
      end
      coev.yield()
      for _, i in ipairs({ 3, 1, 5, 2, 4 }) do
        tasks[i]:resume()
      end
    end)
    assert.same({ 3, 1, 5, 2, 4 }, order)
  end)

  it("works outside tasks", function()
    local task = coev.spawn(coev.suspend)
    coev.step()
    assert.is_true(task:resume("from outside"))
    assert.same({ true, "from outside" }, { task:join() })
  end)
end)

describe("OiL's mutex by hand", function()
  -- As OiL's manual builds it from the current task, suspend and resume.
  local function new_mutex()
    local mutex = { waiting = {} }
    function mutex.enter()
      if mutex.owner then
        table.insert(mutex.waiting, coev.current())
        coev.suspend()
      end
      mutex.owner = coev.current()
    end
    function mutex.leave()
      assert(mutex.owner == coev.current(), "not the owner")
      mutex.owner = table.remove(mutex.waiting, 1)
      if mutex.owner then
        mutex.owner:resume()
      end
    end
    return mutex
  end

  it("lets one task at a time in, in the order in which they came", function()
    local mutex = new_mutex()
    local inside, most, order = 0, 0, {}
    helper.run(function()
      for i = 1, 20 do
        coev.spawn(function()
          for _ = 1, 5 do
            mutex.enter()
            inside = inside + 1
            most = math.max(most, inside)
            order[#order + 1] = i
            coev.yield()
            inside = inside - 1
            mutex.leave()
          end
        end)
      end
    end)
    assert.equal(1, most)
    assert.equal(100, #order)
    for place, i in ipairs(order) do
      assert.equal((place - 1) % 20 + 1, i)
    end
  end)

  it("is handed on while its owner sleeps and reads", function()
    local mutex = new_mutex()
    local log = {}
    helper.run(function()
      for i = 1, 3 do
        coev.spawn(function()
          mutex.enter()
          log[#log + 1] = "in " .. i
          coev.sleep(0.001)
          log[#log + 1] = "out " .. i
          mutex.leave()
        end)
      end
    end)
    assert.equal("in 1 out 1 in 2 out 2 in 3 out 3", table.concat(log, " "))
  end)
end)

-- Waits of which coev's own Lua is a part.
local OTHERS = {
  ["a join of a weak task"] = function(stage)
    stage.weak = coev.spawn(coev.sleep, 0.005):weaken()
    return (stage.weak:join())
  end,
  ["a join of a timer"] = function()
    return coev.after(0.005, function() end):join()
  end,
  ["a poll's wait"] = function()
    return coev.poll.new():add(coev.channel.new()):wait(0.005)
  end,
  ["a select"] = function()
    return coev.select({ { coev.channel.new(), "receive" }, { coev.timer.new(9, print) }, timeout = 0.005 })
  end,
}

describe("resume", function()
  for name, wait in pairs(OTHERS) do
    it("does not end " .. name, function()
      helper.run(function()
        local waited
        local task = support.parked(function()
          local start = coev.now()
          wait({})
          waited = coev.now() - start
          return coev.suspend()
        end)
        coev.yield()
        assert.same({ nil, "not suspended" }, { task:resume("not for it") })
        repeat
          coev.sleep(0.001)
        until waited
        assert.is_true(waited >= 0.004)
        assert.is_true(task:resume("for it"))
        assert.same({ true, "for it" }, { task:join() })
      end)
    end)
  end
end)
