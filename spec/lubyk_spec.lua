-- What Lubyk's scheduler and ljuv promise, as their own tests have it.

local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local garbage = require "spec.support.garbage"
local peer = require "spec.support.peer"
local support = require "spec.support.tasks"

-- The one of helper.run keeps the handle of each task.
local spawn = coev.spawn

describe("Lubyk's list:", function()
  it("tasks first run in the order in which they were made", function()
    local order = {}
    helper.run(function()
      for i = 1, 10 do
        spawn(function()
          order[#order + 1] = i
          coev.sleep(0.001 * (10 - i) / 10)
        end)
      end
    end)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, order)
  end)

  it("200 tasks of 10 sleeps each, joined, leave the memory as before", function()
    garbage.assert_steady(function()
      local slept = 0
      helper.run(function()
        local tasks = {}
        for i = 1, 200 do
          tasks[i] = spawn(function()
            for _ = 1, 10 do
              coev.sleep(0.0002)
              slept = slept + 1
            end
          end)
        end
        for i = 1, 200 do
          assert.is_true((tasks[i]:join()))
        end
      end)
      assert.equal(2000, slept)
    end)
  end)

  it("a task that is cancelled before its first turn never runs", function()
    local ran = false
    helper.run(function()
      local task = spawn(function()
        ran = true
      end)
      assert.is_true(task:cancel())
      support.assert_cancelled(task)
    end)
    assert.is_false(ran)
  end)

  it("a weakened task that is dropped before its first turn never runs", function()
    local ran = false
    helper.run(function()
      spawn(function()
        ran = true
      end):weaken()
      collectgarbage()
      collectgarbage()
      coev.sleep(0.002)
    end)
    assert.is_false(ran)
  end)

  it("those who join a weakened task are woken when it is dropped", function()
    helper.run(function()
      local holder = { spawn(coev.sleep, 5):weaken() }
      local joiner = spawn(function()
        return holder[1]:join()
      end)
      coev.yield()
      coev.yield()
      holder[1] = nil
      garbage.collect()
      local _, ok, err = joiner:join(1)
      assert.is_false(ok)
      assert.is_true(coev.is_cancelled(err))
    end)
  end)

  it("a weakened task that is dropped later is ended, also when it waits for a descriptor", function()
    for _, wait in ipairs({ function() coev.sleep(0.01) end, function(near) near:receive() end }) do
      local went_on = false
      helper.run(function()
        local near, far = peer.pair()
        local task = spawn(function()
          wait(near)
          went_on = true
        end):weaken()
        coev.yield()
        coev.yield()
        assert.equal("waiting", task:status())
        task = nil -- luacheck: ignore
        garbage.collect()
        far:send("late\n")
        coev.sleep(0.012)
        near:close()
        far:close()
      end)
      assert.is_false(went_on)
    end
  end)

  it("two sleepers interleave", function()
    local order = {}
    helper.run(function()
      spawn(function()
        for i = 1, 3 do
          coev.sleep(0.004)
          order[#order + 1] = "a" .. i
        end
      end)
      spawn(function()
        coev.sleep(0.002)
        for i = 1, 3 do
          order[#order + 1] = "b" .. i
          coev.sleep(0.004)
        end
      end)
    end)
    assert.equal("b1 a1 b2 a2 b3 a3", table.concat(order, " "))
  end)

  it("an error outside any task ends the program as ever", function()
    local result = child.run([[
      local coev = require "coev"
      coev.spawn(function() print("ran") end)
      coev.step()
      error("outside")
    ]])
    assert.equal("ran\n", result.stdout)
    assert.equal(1, result.status)
    assert.truthy(result.stderr:find("outside", 1, true))
    assert.truthy(result.stderr:find("stack traceback:", 1, true))
  end)

  it("a task that fails does not keep the others from running", function()
    local result = child.run([[
      local coev = require "coev"
      coev.run(function()
        coev.spawn(function() error("broken") end)
        coev.spawn(function() coev.sleep(0.001) print("went on") end)
      end)
    ]])
    assert.equal("went on\n", result.stdout)
    assert.equal(0, result.status)
    assert.truthy(result.stderr:find("broken", 1, true))
  end)

  it("retry calls exactly as often as it is asked", function()
    helper.run(function()
      for tries = 1, 5 do
        local calls = 0
        local result, err = coev.retry(function()
          calls = calls + 1
          return nil, "try " .. calls
        end, { tries = tries, wait = 0.0001 })
        assert.is_nil(result)
        assert.equal("try " .. tries, err)
        assert.equal(tries, calls)
      end
      local calls = 0
      assert.equal("third", coev.retry(function()
        calls = calls + 1
        return calls == 3 and "third"
      end, { tries = 5, wait = 0.0001 }))
      assert.equal(3, calls)
    end)
  end)

  it("at_exit runs after the end, and after errors too", function()
    local result = child.run([[
      local coev = require "coev"
      coev.at_exit(function() print("first in") end)
      coev.at_exit(function() print("last in") end)
      coev.run(function() coev.sleep(0.001) print("runs") end)
      coev.at_exit(function() print("after an error") end)
      print(pcall(coev.run, function() error("broken", 0) end) == false)
    ]])
    assert.equal("runs\nlast in\nfirst in\nafter an error\ntrue\n", result.stdout, result.stderr)
    assert.equal(0, result.status)
  end)
end)

describe("ljuv's list:", function()
  it("errors come out of run one a call, in order, and the loop goes on", function()
    child.assert_writes("false\ttrue\nfalse\ttrue\n1\n", [[
      coev.onerror("raise")
      local e1, e2 = {}, {}
      local steps = 0
      coev.spawn(error, e1)
      coev.spawn(error, e2)
      coev.spawn(function()
        coev.sleep(0.002)
        steps = steps + 1
      end)
      local ok, err = pcall(coev.run)
      print(ok, err == e1)
      ok, err = pcall(coev.run)
      print(ok, err == e2)
      coev.run()
      print(steps)
    ]])
  end)

  it("step raises them too", function()
    child.assert_writes("one\ttwo\ttrue\tfalse\n", [[
      coev.onerror("raise")
      coev.spawn(error, "one", 0)
      coev.spawn(error, "two", 0)
      local _, first = pcall(coev.step)
      local _, second = pcall(coev.step)
      print(first:match("^one"), second:match("^two"), pcall(coev.step))
    ]])
  end)

  it("an error that somebody joins is not raised", function()
    local result = child.run([[
      local coev = require "coev"
      coev.onerror("raise")
      print(coev.run(function()
        return coev.spawn(error, "joined", 0):join()
      end))
    ]])
    assert.equal("", result.stderr)
    assert.truthy(result.stdout:find("^false\tjoined\t"), result.stdout)
  end)
end)
