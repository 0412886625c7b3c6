local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local pack = require "spec.support.pack"

describe("run", function()
  it("returns the results of its function, nils and all", function()
    assert.same({ n = 3, nil, "two", nil }, pack(coev.run(function()
      return nil, "two", nil
    end)))
  end)

  it("passes its other arguments on", function()
    local sum = coev.run(function(a, b, c)
      return a + b + select("#", c)
    end, 1, 2, nil)
    assert.equal(4, sum)
  end)

  it("returns what its function returned after a wait", function()
    assert.same({ 1, 2 }, { coev.run(function()
      coev.sleep(0.001)
      return 1, 2
    end) })
  end)

  it("without a function runs the tasks that were spawned", function()
    local ran = 0
    for _ = 1, 3 do
      coev.spawn(function()
        coev.yield()
        ran = ran + 1
      end)
    end
    assert.equal(0, select("#", coev.run()))
    assert.equal(3, ran)
  end)

  it("returns at once when there is nothing to run", function()
    assert.equal(0, select("#", coev.run()))
  end)

  it("ends when the last task has ended, not when its function has", function()
    local late = false
    local result = coev.run(function()
      coev.spawn(function()
        coev.sleep(0.005)
        late = true
      end)
      return "early"
    end)
    assert.equal("early", result)
    assert.is_true(late)
  end)

  it("raises the error of its function with the task's traceback", function()
    local function fail_here()
      error("broken")
    end
    local ok, err = pcall(coev.run, function()
      coev.yield()
      fail_here()
    end)
    assert.is_false(ok)
    assert.truthy(err:find("scheduler_spec.lua:%d+: broken\n"))
    assert.truthy(err:find("stack traceback:", 1, true))
    assert.truthy(err:find("fail_here", 1, true))
  end)

  it("raises an error value that is a table as it is", function()
    local value = {}
    local ok, err = pcall(coev.run, function()
      error(value)
    end)
    assert.is_false(ok)
    assert.is_true(rawequal(value, err))
  end)

  it("leaves the other tasks to a later run when its function fails", function()
    local finished = false
    coev.spawn(function()
      coev.sleep(0.002)
      finished = true
    end)
    assert.is_false(pcall(coev.run, function()
      error("early")
    end))
    assert.is_false(finished)
    coev.run()
    assert.is_true(finished)
  end)

  it("raises when it is called inside a task", function()
    helper.run(function()
      local ok, err = pcall(coev.run, function() end)
      assert.is_false(ok)
      assert.equal("string", type(err))
      assert.truthy(err:find("run", 1, true))
    end)
  end)

  it("can be called again and again", function()
    for i = 1, 100 do
      assert.equal(i, coev.run(function()
        coev.yield()
        return i
      end))
    end
  end)
end)

describe("stop", function()
  it("makes run return nil and 'stopped', and a later run go on", function()
    local steps = {}
    local result, err = coev.run(function()
      steps[#steps + 1] = "before"
      coev.stop()
      coev.sleep(0.001)
      steps[#steps + 1] = "after"
    end)
    assert.is_nil(result)
    assert.equal("stopped", err)
    assert.same({ "before" }, steps)
    coev.run()
    assert.same({ "before", "after" }, steps)
  end)

  it("keeps the results of a function that had ended", function()
    local finished = false
    local result = coev.run(function()
      coev.spawn(function()
        coev.sleep(0.001)
        coev.stop()
        coev.sleep(0.001)
        finished = true
      end)
      return "done"
    end)
    assert.equal("done", result)
    assert.is_false(finished)
    coev.run()
    assert.is_true(finished)
  end)

  it("lets the tasks that are ready have their turn", function()
    local ran = {}
    for i = 1, 3 do
      coev.spawn(function()
        ran[#ran + 1] = i
        coev.stop()
      end)
    end
    coev.run()
    assert.same({ 1, 2, 3 }, ran)
  end)
end)

describe("step", function()
  it("is false when there are no tasks", function()
    assert.is_false(coev.step())
    assert.is_false(coev.step(0.001))
  end)

  it("runs each ready task once and says whether tasks are left", function()
    local ran = 0
    coev.spawn(function()
      ran = ran + 1
      coev.yield()
      ran = ran + 1
    end)
    assert.is_true(coev.step())
    assert.equal(1, ran)
    assert.is_false(coev.step())
    assert.equal(2, ran)
  end)

  it("waits no longer than its timeout", function()
    coev.spawn(function()
      coev.sleep(0.02)
    end)
    coev.step()
    assert.is_true(coev.step(0))
    repeat
      local more = coev.step(1)
    until not more
  end)

  it("raises when it is called inside a task", function()
    helper.run(function()
      local ok, err = pcall(coev.step)
      assert.is_false(ok)
      assert.truthy(err:find("step", 1, true))
    end)
  end)
end)

describe("spawn", function()
  it("starts tasks in the order in which they were spawned", function()
    local order = {}
    helper.run(function()
      for i = 1, 50 do
        coev.spawn(function()
          order[#order + 1] = i
        end)
      end
      assert.equal(0, #order)
    end)
    for i = 1, 50 do
      assert.equal(i, order[i])
    end
  end)

  it("passes arguments, nils too", function()
    local count
    helper.run(function()
      coev.spawn(function(...)
        count = select("#", ...)
      end, nil, 2, nil)
    end)
    assert.equal(3, count)
  end)

  it("works inside tasks inside tasks", function()
    local deepest = 0
    local function nest(depth)
      deepest = depth
      if depth < 100 then
        coev.spawn(nest, depth + 1)
      end
    end
    helper.run(nest, 1)
    assert.equal(100, deepest)
  end)

  it("carries ten thousand tasks", function()
    local ended, count = 0, helper.many(10000)
    helper.run(function()
      for _ = 1, count do
        coev.spawn(function()
          coev.yield()
          ended = ended + 1
        end)
      end
    end)
    assert.equal(count, ended)
  end)
end)

describe("yield", function()
  -- What three tasks write that call `pause` between their steps.
  local function interleave(pause)
    local order = {}
    helper.run(function()
      for _, name in ipairs({ "a", "b", "c" }) do
        coev.spawn(function()
          for step = 1, 3 do
            order[#order + 1] = name .. step
            pause()
          end
        end)
      end
    end)
    return table.concat(order, " ")
  end

  it("goes round all ready tasks in turn", function()
    assert.equal("a1 b1 c1 a2 b2 c2 a3 b3 c3", interleave(coev.yield))
  end)

  it("can be a plain coroutine.yield", function()
    assert.equal("a1 b1 c1 a2 b2 c2 a3 b3 c3", interleave(coroutine.yield))
  end)

  it("returns nothing, whatever a plain coroutine.yield was given", function()
    helper.run(function()
      assert.equal(0, select("#", coev.yield()))
      assert.equal(0, select("#", coroutine.yield(1, 2, 3)))
    end)
  end)

  it("leaves room for timers while tasks are always ready", function()
    helper.run(function()
      local rung = false
      coev.spawn(function()
        coev.sleep(0.002)
        rung = true
      end)
      while not rung do
        coev.yield()
      end
    end)
  end)

  it("leaves room for sockets while tasks are always ready", function()
    local peer = require "spec.support.peer"
    helper.run(function()
      local near, far = peer.pair()
      local line
      coev.spawn(function()
        line = near:receive("*l")
      end)
      coev.yield()
      far:send("hello\n")
      while not line do
        coev.yield()
      end
      assert.equal("hello", line)
      near:close()
      far:close()
    end)
  end)

  it("outside tasks gives the tasks a turn", function()
    local ran = false
    coev.spawn(function()
      ran = true
    end)
    coev.yield()
    coev.yield()
    assert.is_true(ran)
  end)
end)

describe("current", function()
  it("is nil where no task runs", function()
    assert.is_nil(coev.current())
  end)

  it("is the handle that spawn returned", function()
    helper.run(function()
      local inside
      local task = coev.spawn(function()
        inside = coev.current()
      end)
      task:join()
      assert.is_true(rawequal(task, inside))
      assert.are_not.equal(task, coev.current())
    end)
  end)
end)

describe("a deadlock", function()
  -- The error of a program in which a chicken waits for an egg, and back, and
  -- which then does `wait`.
  local function deadlock(wait)
    local result = child.run([[
      local coev = require "coev"
      local chicken, egg
      chicken = coev.spawn(function() egg:join() end)
      egg = coev.spawn(function() chicken:join() end)
      chicken:name("chicken")
      egg:name("egg")
      ]] .. wait)
    assert.equal("", result.stdout)
    assert.equal(1, result.status)
    return result.stderr
  end

  it("is an error that names who waits, for what and where", function()
    local message = deadlock("coev.run(function() chicken:join() end)")
    assert.truthy(message:find("deadlock: 3 tasks wait for ever\n", 1, true), message)
    assert.truthy(message:find("\n[^\n]*chicken: join of egg[^\n]*:3\n"), message)
    assert.truthy(message:find("\n[^\n]*egg: join of chicken[^\n]*:4\n"), message)
  end)

  it("is found where a wait outside tasks drives the loop", function()
    local message = deadlock("chicken:join()")
    assert.truthy(message:find("deadlock: %d tasks wait for ever\n"), message)
    assert.truthy(message:find("egg: join of chicken", 1, true), message)
  end)
end)

describe("waits outside tasks", function()
  it("let the other tasks go on", function()
    local ticks = 0
    local task = coev.spawn(function()
      for _ = 1, 5 do
        coev.sleep(0.001)
        ticks = ticks + 1
      end
      return "five"
    end)
    assert.same({ true, "five" }, { task:join() })
    assert.equal(5, ticks)
  end)

  it("report tasks that fail meanwhile on stderr and go on", function()
    local result = child.run([[
      local coev = require "coev"
      coev.spawn(function() error("first") end)
      coev.sleep(0.002)
      print("went on")
    ]])
    assert.equal("went on\n", result.stdout)
    assert.equal(0, result.status)
    assert.truthy(result.stderr:find("first", 1, true))
  end)
end)
