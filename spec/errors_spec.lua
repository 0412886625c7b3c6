local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local support = require "spec.support.tasks"

local with_handler = support.with_handler

-- Runs `f` in a task, and returns the values that were reported meanwhile.
local function reported(f)
  return support.unseen_errors(function()
    helper.run(f)
  end)
end

-- How often `text` is in `whole`.
local function count(whole, text)
  local found, position = 0, 1
  while true do
    position = whole:find(text, position, true)
    if not position then
      return found
    end
    found, position = found + 1, position + #text
  end
end

describe("onerror", function()
  it("sets a handler and returns the one before; asks; restores with nil", function()
    local default = coev.onerror()
    local function first() end
    local function second() end
    assert.equal(default, coev.onerror(first))
    assert.equal(first, coev.onerror())
    assert.equal(first, coev.onerror(second))
    assert.equal(second, coev.onerror("raise"))
    assert.equal("raise", coev.onerror())
    assert.equal("raise", coev.onerror(nil))
    assert.equal(default, coev.onerror())
  end)

  it("gets the task, its error and the traceback", function()
    local calls = {}
    local value, task = {}, nil
    with_handler(function(...)
      calls[#calls + 1] = { n = select("#", ...), ... }
    end, function()
      helper.run(function()
        local function fail_here()
          error(value)
        end
        task = coev.spawn(function()
          coev.yield()
          fail_here()
        end)
      end)
    end)
    assert.equal(1, #calls)
    assert.equal(3, calls[1].n)
    assert.is_true(rawequal(task, calls[1][1]))
    assert.is_true(rawequal(value, calls[1][2]))
    assert.truthy(calls[1][3]:find("fail_here", 1, true), calls[1][3])
    assert.equal("failed", task:status())
  end)

  it("gets each error once, in the order in which the tasks failed", function()
    local values = reported(function()
      for i = 1, 5 do
        coev.spawn(function()
          coev.sleep((6 - i) / 1000)
          error(i, 0)
        end)
      end
    end)
    assert.same({ 5, 4, 3, 2, 1 }, values)
  end)

  it("lets the loop go on", function()
    local went_on = false
    local values = reported(function()
      coev.spawn(error, "first", 0)
      coev.yield()
      coev.sleep(0.001)
      went_on = true
    end)
    assert.same({ "first" }, values)
    assert.is_true(went_on)
  end)

  it("may spawn tasks and may fail: that goes to stderr with the task's own error", function()
    local result = child.run([[
      local coev = require "coev"
      coev.onerror(function(task, err)
        coev.spawn(print, "spawned for " .. err)
        error("broken handler")
      end)
      coev.run(function()
        coev.spawn(error, "tea", 0)
        coev.spawn(error, "milk", 0)
        coev.sleep(0.002)
        print("went on")
      end)
    ]])
    assert.equal("spawned for tea\nspawned for milk\nwent on\n", result.stdout, result.stderr)
    assert.equal(0, result.status)
    assert.equal(2, count(result.stderr, "broken handler"), result.stderr)
  end)

  it("by default is one block on stderr for each", function()
    local result = child.run([[
      local coev = require "coev"
      coev.onerror(print)
      coev.onerror(nil)
      coev.run(function()
        coev.spawn(error, "out of tea", 0)
        coev.spawn(error, "out of milk", 0)
      end)
      print("end")
    ]])
    assert.equal("end\n", result.stdout)
    assert.equal(0, result.status)
    assert.equal(1, count(result.stderr, "out of tea"), result.stderr)
    assert.equal(1, count(result.stderr, "out of milk"), result.stderr)
    assert.equal(2, count(result.stderr, "stack traceback:"), result.stderr)
  end)

  it("refuses what is neither a function nor 'raise'", function()
    for _, value in ipairs({ 12, "other", {}, true }) do
      local ok, err = pcall(coev.onerror, value)
      assert.is_false(ok)
      assert.truthy(tostring(err):find("bad argument #1 to 'onerror' (function or 'raise' expected", 1, true), err)
    end
  end)
end)

describe("onerror 'raise'", function()
  it("makes run raise the oldest error, one a call, identity kept", function()
    with_handler("raise", function()
      local first, second = {}, {}
      local finished = false
      coev.spawn(error, first)
      coev.spawn(error, second)
      coev.spawn(function()
        coev.sleep(0.002)
        finished = true
      end)
      for _, value in ipairs({ first, second }) do
        local ok, err = pcall(coev.run)
        assert.is_false(ok)
        assert.is_true(rawequal(value, err))
      end
      coev.run()
      assert.is_true(finished)
    end)
  end)

  it("makes step raise them too, and the loop goes on", function()
    with_handler("raise", function()
      local values, raised = { {}, {}, {} }, {}
      for _, value in ipairs(values) do
        coev.spawn(error, value)
      end
      local ran = false
      coev.spawn(function()
        ran = true
        coev.yield()
      end)
      for _ = 1, 10 do
        local ok, err = pcall(coev.step)
        if not ok then
          raised[#raised + 1] = err
        elseif not err then
          break
        end
      end
      assert.equal(3, #raised)
      for i, value in ipairs(values) do
        assert.is_true(rawequal(value, raised[i]))
      end
      assert.is_true(ran)
      assert.is_false(coev.step())
    end)
  end)

  it("keeps the text of an error that is a string", function()
    with_handler("raise", function()
      coev.spawn(function()
        error("out of tea")
      end)
      local ok, err = pcall(coev.run)
      assert.is_false(ok)
      assert.truthy(err:find("errors_spec.lua:%d+: out of tea"), err)
      coev.run()
    end)
  end)

  it("raises what failed after run's own function had ended", function()
    with_handler("raise", function()
      local value = {}
      local ok, err = pcall(coev.run, function()
        coev.spawn(function()
          coev.sleep(0.002)
          error(value)
        end)
        return "result"
      end)
      assert.is_false(ok)
      assert.is_true(rawequal(value, err))
      coev.run()
    end)
  end)

  it("leaves errors alone that are joined", function()
    with_handler("raise", function()
      helper.run(function()
        local ok, err = coev.spawn(error, "seen", 0):join()
        assert.is_false(ok)
        assert.equal("seen", err)
      end)
      coev.run()
    end)
  end)

  it("raises no cancelled error", function()
    with_handler("raise", function()
      coev.run(function()
        support.parked(coev.sleep, 60):cancel()
      end)
    end)
  end)
end)

describe("an error of a task", function()
  it("goes to every joiner, and is not reported", function()
    local joined = 0
    local values = reported(function()
      local task = coev.spawn(function()
        coev.sleep(0.002)
        error("broken", 0)
      end)
      for _ = 1, 3 do
        coev.spawn(function()
          local ok, err = task:join()
          assert.is_false(ok)
          assert.equal("broken", err)
          joined = joined + 1
        end)
      end
    end)
    assert.equal(3, joined)
    assert.same({}, values)
  end)

  it("is reported when the joiners have given up before it", function()
    local values = reported(function()
      local task = coev.spawn(function()
        coev.suspend()
        error("broken", 0)
      end)
      assert.same({ false, "timeout" }, { task:join(0.001) })
      assert.same({ false, "timeout" }, { task:join(0) })
      assert.same({ nil, "timeout" }, { coev.timeout(0.001, task.join, task) })
      assert.is_true(task:resume())
      coev.yield()
    end)
    assert.same({ "broken" }, values)
  end)

  it("is reported when the only joiner was cancelled while it waited", function()
    local values = reported(function()
      local task = coev.spawn(function()
        coev.suspend()
        error("broken", 0)
      end)
      local joiner = coev.spawn(task.join, task)
      coev.yield()
      joiner:cancel()
      coev.yield()
      assert.is_true(task:resume())
    end)
    assert.same({ "broken" }, values)
  end)

  it("is reported when the only joiner is cancelled between its wake-up and its turn", function()
    local values = reported(function()
      local task = coev.spawn(function()
        coev.suspend()
        error("broken", 0)
      end)
      local joiner = coev.spawn(task.join, task)
      coev.yield()
      task:resume()
      repeat
        coev.yield()
      until task:status() == "failed"
      assert.equal("ready", joiner:status())
      joiner:cancel()
      joiner:join()
    end)
    assert.same({ "broken" }, values)
  end)

  it("that was reported is still there for a join, and is not reported again", function()
    local joined
    local values = reported(function()
      local task = coev.spawn(error, "broken", 0)
      coev.yield()
      coev.yield()
      joined = { task:join() }
      joined = { task:join() }
    end)
    assert.is_false(joined[1])
    assert.equal("broken", joined[2])
    assert.same({ "broken" }, values)
  end)

  it("that run raises is not reported as well", function()
    local values = {}
    with_handler(function(_, err)
      values[#values + 1] = err
    end, function()
      assert.is_false(pcall(coev.run, error, "broken", 0))
    end)
    assert.same({}, values)
  end)

  it("that was raised again by await in another is that one's error, reported once", function()
    local value = {}
    local values = reported(function()
      local inner = coev.spawn(function()
        coev.sleep(0.001)
        error(value)
      end)
      coev.spawn(function()
        inner:await()
      end)
    end)
    assert.equal(1, #values)
    assert.is_true(rawequal(value, values[1]))
  end)

  it("that pcall has caught is no error of the task", function()
    local values = reported(function()
      coev.spawn(function()
        coev.pcall(function()
          coev.yield()
          error("caught")
        end)
      end)
    end)
    assert.same({}, values)
  end)

  it("has the traceback of the coroutine that failed, and of those around it", function()
    helper.run(function()
      local function inner_part()
        coev.yield()
        error("broken")
      end
      local function outer_part()
        local generator = coev.coroutine.wrap(function()
          inner_part()
        end)
        generator()
        return "not a tail call"
      end
      local ok, err, traceback = coev.spawn(function()
        outer_part()
      end):join()
      assert.is_false(ok)
      assert.truthy(err:find("broken", 1, true))
      local inner = traceback:find("inner_part", 1, true)
      local outer = traceback:find("outer_part", 1, true)
      assert.truthy(inner and outer and inner < outer, traceback)
    end)
  end)

  it("in a thousand tasks is reported a thousand times", function()
    local values = reported(function()
      for i = 1, 1000 do
        coev.spawn(error, i, 0)
      end
    end)
    assert.equal(1000, #values)
    for i, value in ipairs(values) do
      assert.equal(i, value)
    end
  end)
end)

describe("retry", function()
  it("refuses less than nothing", function()
    for _, name in ipairs({ "tries", "wait", "factor", "max", "jitter" }) do
      local ok, err = pcall(coev.retry, print, { [name] = -1 })
      assert.is_false(ok)
      assert.truthy(err:find("bad argument #2 to 'retry' (field '" .. name .. "' is less than 0)", 1, true), err)
    end
  end)

  -- A function that fails in its first `failures` calls, by `fail`, and the
  -- table that counts its calls.
  local function flaky(failures, fail)
    local calls = { count = 0, times = {} }
    return function()
      calls.count = calls.count + 1
      calls.times[calls.count] = coev.now()
      if calls.count <= failures then
        return fail(calls.count)
      end
      return "result", nil, calls.count
    end, calls
  end

  local function raise(number)
    error("try " .. number, 0)
  end

  it("returns the results of the first try that succeeds", function()
    helper.run(function()
      local f, calls = flaky(2, raise)
      assert.same({ "result", nil, 3 }, { coev.retry(f, { wait = 0.001 }) })
      assert.equal(3, calls.count)
    end)
  end)

  it("tries once when that is well, without a wait", function()
    helper.run(function()
      local f, calls = flaky(0)
      assert.same({ "result", nil, 1 }, { coev.retry(f) })
      assert.equal(1, calls.count)
    end)
  end)

  it("tries four times, or exactly as often as asked", function()
    helper.run(function()
      for _, tries in ipairs({ 0, 1, 2, 7 }) do
        local f, calls = flaky(math.huge, raise)
        local options = { tries = tries > 0 and tries or nil, wait = 0.0001 }
        local expected = tries > 0 and tries or 4
        local result, err = coev.retry(f, options)
        assert.is_nil(result)
        assert.equal("try " .. expected, err)
        assert.equal(expected, calls.count)
      end
    end)
  end)

  it("takes nil and false for a failure, with the second value for its error", function()
    helper.run(function()
      for _, failure in ipairs({ { nil, "no route" }, { false, "no route" } }) do
        local f, calls = flaky(math.huge, function()
          return failure[1], failure[2]
        end)
        local result, err = coev.retry(f, { tries = 2, wait = 0.0001 })
        assert.is_nil(result)
        assert.equal("no route", err)
        assert.equal(2, calls.count)
      end
      local result, err = coev.retry(function() end, { tries = 2, wait = 0.0001 })
      assert.is_nil(result)
      assert.is_nil(err)
    end)
  end)

  it("keeps the identity of an error value", function()
    helper.run(function()
      local value = {}
      local result, err = coev.retry(function()
        error(value)
      end, { tries = 2, wait = 0.0001 })
      assert.is_nil(result)
      assert.is_true(rawequal(value, err))
    end)
  end)

  it("waits between tries, longer each time", function()
    helper.run(function()
      local f, calls = flaky(3, raise)
      coev.retry(f, { wait = 0.001, factor = 3 })
      assert.equal(4, calls.count)
      for i, seconds in ipairs({ 0.001, 0.003, 0.009 }) do
        assert.is_true(calls.times[i + 1] - calls.times[i] >= seconds)
      end
    end)
  end)

  it("waits no longer than max", function()
    helper.run(function()
      local f, calls = flaky(3, raise)
      coev.retry(f, { wait = 0.001, factor = 1e6, max = 0.002 })
      assert.equal(4, calls.count)
    end)
  end)

  it("takes a jitter", function()
    helper.run(function()
      for _, jitter in ipairs({ 0, 0.5, 1 }) do
        local f, calls = flaky(math.huge, raise)
        coev.retry(f, { tries = 3, wait = 0.001, jitter = jitter })
        assert.equal(3, calls.count)
      end
    end)
  end)

  it("lets the others go on, in its tries and between them", function()
    helper.run(function()
      local ticks = 0
      local ticker = coev.spawn(function()
        while true do
          ticks = ticks + 1
          coev.sleep(0.0005)
        end
      end)
      local result = coev.retry(function()
        coev.yield()
        return ticks > 5
      end, { tries = math.huge, wait = 0.001, factor = 1 })
      assert.is_true(result)
      ticker:cancel()
    end)
  end)

  it("lets a cancel pass, in a try and between two", function()
    helper.run(function()
      for _, try in ipairs({ error, coev.suspend }) do
        local calls = 0
        local task = coev.spawn(coev.retry, function()
          calls = calls + 1
          try("broken")
        end, { wait = 60 })
        coev.yield()
        coev.yield()
        task:cancel("enough")
        support.assert_cancelled(task, "enough")
        assert.equal(1, calls)
      end
    end)
  end)

  it("lets a deadline around it pass, and counts one inside a try as a failure", function()
    helper.run(function()
      local f, calls = flaky(math.huge, raise)
      assert.same({ nil, "timeout" }, { coev.timeout(0.002, coev.retry, f, { wait = 60 }) })
      assert.equal(1, calls.count)
      local tries = 0
      local result, err = coev.retry(function()
        tries = tries + 1
        return coev.timeout(0.001, coev.sleep, 60)
      end, { tries = 3, wait = 0.0001 })
      assert.is_nil(result)
      assert.equal("timeout", err)
      assert.equal(3, tries)
    end)
  end)

  it("works where no task runs", function()
    local f, calls = flaky(2, raise)
    assert.equal("result", (coev.retry(f, { wait = 0.001 })))
    assert.equal(3, calls.count)
  end)

  it("refuses wrong arguments", function()
    local function assert_refused(number, ...)
      local ok, err = pcall(coev.retry, ...)
      assert.is_false(ok)
      assert.truthy(tostring(err):find("bad argument #" .. number .. " to 'retry' (", 1, true), tostring(err))
    end
    assert_refused(1)
    assert_refused(1, 12)
    assert_refused(2, print, 12)
    assert_refused(2, print, { tries = "many" })
    assert_refused(2, print, { wait = {} })
    assert_refused(2, print, { wait = 0 / 0 })
  end)
end)

describe("at_exit", function()
  it("runs after run has ended, last in, first out, and run's results stay", function()
    local result = child.run([[
      local coev = require "coev"
      coev.at_exit(function() print("first in") end)
      print(coev.run(function()
        coev.at_exit(function() print("last in", coev.current()) end)
        coev.spawn(function()
          coev.sleep(0.001)
          print("last task")
        end)
        return "result", nil, 3
      end))
    ]])
    assert.same({
      stdout = "last task\nlast in\tnil\nfirst in\nresult\tnil\t3\n",
      stderr = "",
      status = 0,
    }, result)
  end)

  it("runs after an error of run's function too, which run then raises", function()
    child.assert_writes("tidied up\nfalse\ttrue\n", [[
      coev.at_exit(function() print("tidied up") end)
      local value = {}
      local ok, err = pcall(coev.run, error, value)
      print(ok, rawequal(value, err))
    ]])
  end)

  it("runs after stop, and after an error that 'raise' lets out", function()
    local result = child.run([[
      local coev = require "coev"
      coev.at_exit(function() print("after stop") end)
      print(coev.run(function()
        coev.stop()
        coev.yield()
      end))
      coev.run()
      coev.onerror("raise")
      coev.at_exit(function() print("after an error") end)
      coev.spawn(error, "broken", 0)
      print((pcall(coev.run)))
    ]])
    assert.same({
      stdout = "after stop\nnil\tstopped\nafter an error\nfalse\n",
      stderr = "",
      status = 0,
    }, result)
  end)

  it("runs once, unless it is called again", function()
    local runs = 0
    local function once()
      runs = runs + 1
    end
    coev.at_exit(once)
    assert.equal(0, runs)
    coev.run()
    assert.equal(1, runs)
    coev.run()
    assert.equal(1, runs)
    coev.at_exit(once)
    coev.at_exit(once)
    coev.run(function() end)
    assert.equal(3, runs)
  end)

  it("reports one that fails, and the others run", function()
    local result = child.run([[
      local coev = require "coev"
      coev.at_exit(function() print("still run") end)
      coev.at_exit(function() error("broken", 0) end)
      coev.at_exit(function() print("run before") end)
      print(coev.run(function() return "result" end))
    ]])
    assert.equal("run before\nstill run\nresult\n", result.stdout)
    assert.equal(0, result.status)
    assert.equal(1, count(result.stderr, "broken"), result.stderr)
  end)

  it("may wait", function()
    local slept = false
    coev.at_exit(function()
      coev.sleep(0.001)
      slept = true
    end)
    coev.run()
    assert.is_true(slept)
  end)

  it("refuses what is not a function", function()
    for _, value in ipairs({ 12, "text", {} }) do
      local ok, err = pcall(coev.at_exit, value)
      assert.is_false(ok)
      assert.truthy(err:find("bad argument #1 to 'at_exit' (function expected, got " .. type(value), 1, true), err)
    end
  end)
end)
