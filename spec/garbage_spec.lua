local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local garbage = require "spec.support.garbage"
local peer = require "spec.support.peer"

-- The one of helper.run keeps the handle of each task.
local spawn = coev.spawn

local assert_writes, collect = child.assert_writes, garbage.collect

-- A table in which values do not count as held.
local function weak()
  return setmetatable({}, { __mode = "v" })
end

describe("tasks that nothing can reach any more", function()
  -- Ways to park a task on what nothing else reaches.
  local WAYS = {
    ["in suspend"] = [[ coev.spawn(coev.suspend) ]],
    ["that join each other"] = [[
      local first, second
      first = coev.spawn(function() second:join() end)
      second = coev.spawn(function() first:join() end)
    ]],
    ["that join one in suspend"] = [[
      local suspended = coev.spawn(coev.suspend)
      coev.spawn(function() suspended:join() end)
    ]],
    ["that know their own handle"] = [[
      local task
      task = coev.spawn(function() coev.suspend() print(task) end)
    ]],
    ["inside coroutines"] = [[
      coev.spawn(function() coev.coroutine.wrap(coev.suspend)() end)
    ]],
    ["inside pcall"] = [[ coev.spawn(coev.pcall, coev.suspend) ]],
    ["that wait for an event of a supervisor"] = [[
      local supervisor = coev.supervisor.new()
      coev.spawn(function() supervisor:waitfor("event") end)
    ]],
  }

  for way, park in pairs(WAYS) do
    it("are collected: those " .. way, function()
      assert_writes("0\tfalse\n", [[
        local function park()
          ]] .. park .. [[
        end
        for _ = 1, 10 do park() end
        coev.step()
        coev.step()
        for _ = 1, 4 do
          collectgarbage()
          coev.step()
        end
        print(#coev.tasks(), (coev.step()))
      ]])
    end)

    it("do not hold up run: those " .. way, function()
      assert_writes("result\n", [[
        local function park()
          ]] .. park .. [[
        end
        park()
        print(coev.run(function()
          coev.sleep(0.001)
          return "result"
        end))
      ]])
    end)
  end

  it("are no deadlock", function()
    assert_writes("ended\tfalse\n", [[
      local function entangle()
        local first, second
        first = coev.spawn(function() second:join() end)
        second = coev.spawn(function() first:join() end)
      end
      entangle()
      coev.run(function() coev.sleep(0.001) end)
      print("ended", coev.step())
    ]])
  end)

  it("give their memory back, a hundred thousand of them", function()
    assert_writes("back\n", [[
      local function round()
        for _ = 1, 100000 do
          coev.spawn(coev.suspend)
        end
        coev.step()
        for _ = 1, 4 do
          collectgarbage()
          coev.step()
        end
        assert(#coev.tasks() == 0, #coev.tasks() .. " tasks are left")
        return collectgarbage("count")
      end
      round()
      local before = round()
      local after = round()
      print(after <= before * 1.05 and "back" or before .. " KiB, then " .. after)
    ]])
  end)

  it("run no more code, but for their finalizers", function()
    assert_writes("0\n", [[
      local ran = 0
      for _ = 1, 100 do
        coev.spawn(function()
          coev.pcall(coev.suspend)
          ran = ran + 1
        end)
      end
      coev.step()
      for _ = 1, 4 do collectgarbage() coev.step() end
      coev.run(function() coev.sleep(0.001) end)
      print(ran)
    ]])
  end)

  it("are told from those that somebody can still wake", function()
    assert_writes("woken\n", [[
      local task = coev.spawn(function() print(coev.suspend()) end)
      coev.step()
      for _ = 1, 4 do collectgarbage() coev.step() end
      coev.run(function()
        coev.sleep(0.001)
        assert(task:resume("woken"))
      end)
    ]])
  end)

  it("take what they alone held with them", function()
    local held = weak()
    helper.run(function()
      spawn(function()
        local value = {}
        held[1] = value
        coev.suspend()
        return value
      end)
      coev.yield()
      assert.truthy(held[1])
      collect()
      assert.is_nil(held[1])
    end)
  end)
end)

describe("a deadlock", function()
  it("can be caught, and what follows is as ever", function()
    assert_writes("true\twaiting\twaiting\nresult\n", [[
      local first, second
      first = coev.spawn(function() second:join() end)
      second = coev.spawn(function() first:join() end)
      print(pcall(coev.run) == false, first:status(), second:status())
      first, second = nil, nil
      print(coev.run(function()
        coev.sleep(0.001)
        return "result"
      end))
    ]])
  end)

  it("counts only the tasks that somebody can reach", function()
    assert_writes("deadlock: 1 tasks wait for ever\n", [[
      coev.spawn(coev.suspend)
      KEPT = coev.spawn(coev.suspend)
      coev.spawn(coev.suspend)
      local _, err = pcall(coev.run)
      print(err:match("deadlock: %d+ tasks wait for ever"))
    ]])
  end)

  it("leaves its tasks parked, for a later resume", function()
    assert_writes("false\nvalue\n", [[
      KEPT = coev.spawn(function() print(coev.suspend()) end)
      print((pcall(coev.run)))
      KEPT:resume("value")
      coev.run()
    ]])
  end)
end)

describe("a task that nobody holds stays as long as something can wake it:", function()
  local function nothing() end
  local WAYS = {
    ["a supervisor, by an event"] = function()
      local supervisor = coev.supervisor.new()
      coev.after(0.01, function() supervisor:signal("event") end)
      return supervisor:waitfor("event")
    end,
    ["a supervisor, by an event, within a time"] = function()
      local supervisor = coev.supervisor.new()
      coev.after(0.01, function() supervisor:signal("event") end)
      return supervisor:waitfor("event", 60)
    end,
    ["a timer, in a select"] = function()
      return coev.select({ { coev.after(0.01, nothing) } })
    end,
    ["a timer, in a select beside a channel"] = function()
      return coev.select({ { coev.channel.new(), "receive" }, { coev.after(0.01, nothing) } })
    end,
    ["a thread, in a select"] = function()
      return coev.select({ { coev.thread.new("require 'coev'.sleep(0.01)") } })
    end,
    ["a thread, in a select beside a channel"] = function()
      return coev.select({ { coev.channel.new(), "receive" }, { coev.thread.new("require 'coev'.sleep(0.01)") } })
    end,
    ["a timer, in a join"] = function()
      return coev.after(0.01, nothing):join()
    end,
    ["a timer, in a poll"] = function()
      return coev.poll.new():add(coev.after(0.01, nothing)):wait()
    end,
    ["a timer, through a condition"] = function()
      local condition = coev.condition.new()
      coev.after(0.01, function() condition:signal() end)
      return condition:wait()
    end,
    ["a timer, through its handle"] = function()
      local task = coev.current()
      coev.after(0.01, function() task:resume(true) end)
      return coev.suspend()
    end,
  }
  for name, wait in pairs(WAYS) do
    it(name, function()
      helper.run(function()
        local woken = coev.event.new()
        spawn(function() woken:set(wait() ~= nil) end)
        for _ = 1, 5 do
          coev.sleep(0.0005)
          collectgarbage()
        end
        assert.is_true(woken:wait(5))
      end)
    end)
  end
end)

describe("an ended task", function()
  it("keeps its results, and nothing else", function()
    local held = weak()
    helper.run(function()
      local task = spawn(function(argument)
        local value = {}
        held.value, held.argument, held.coroutine = value, argument, coroutine.running()
        held.result = {}
        coev.defer(function()
          return value
        end)
        coev.yield()
        return held.result
      end, {})
      task:join()
      collect()
      assert.is_nil(held.value)
      assert.is_nil(held.argument)
      assert.is_nil(held.coroutine)
      assert.truthy(held.result)
      assert.is_true(rawequal(held.result, (select(2, task:join()))))
    end)
  end)

  it("keeps its error after a failure, and nothing else", function()
    local held = weak()
    helper.run(function()
      local task = spawn(function()
        local value = {}
        held.value, held.coroutine = value, coroutine.running()
        held.err = {}
        coev.yield()
        error(held.err)
      end)
      task:join()
      collect()
      assert.is_nil(held.value)
      assert.is_nil(held.coroutine)
      assert.is_true(rawequal(held.err, (select(2, task:join()))))
    end)
  end)

  it("goes with its handle", function()
    local held = weak()
    helper.run(function()
      spawn(function()
        spawn(function()
          held.result = {}
          return held.result
        end):join()
      end)
      coev.sleep(0.001)
      collect()
      assert.is_nil(held.result)
    end)
  end)
end)

describe("weaken", function()
  it("returns the task", function()
    helper.run(function()
      local task = spawn(function() end)
      assert.is_true(rawequal(task, task:weaken()))
      assert.is_true(rawequal(task, task:weaken()))
      task:join()
      assert.is_true(rawequal(task, task:weaken()))
    end)
  end)

  it("changes nothing as long as somebody holds the handle", function()
    helper.run(function()
      local task = spawn(function()
        coev.sleep(0.002)
        return "result"
      end):weaken()
      for _ = 1, 3 do
        collectgarbage()
        coev.sleep(0.001)
      end
      assert.same({ true, "result" }, { task:join() })
    end)
  end)

  it("keeps a task that is dropped before its first turn from running", function()
    local ran = false
    helper.run(function()
      spawn(function()
        ran = true
      end):weaken()
      collectgarbage()
      collectgarbage()
      coev.sleep(0.001)
      collect()
    end)
    assert.is_false(ran)
  end)

  -- What a task can wait for when it is dropped.
  local WAITS = {
    sleep = function()
      coev.sleep(0.004)
    end,
    suspend = function()
      coev.suspend()
    end,
    join = function()
      spawn(coev.sleep, 0.004):join()
    end,
    ["a socket"] = function(near)
      near:receive()
    end,
    ["a turn"] = function()
      while true do
        coev.yield()
      end
    end,
    ["a coroutine"] = function()
      coev.coroutine.wrap(coev.sleep)(0.004)
    end,
  }

  for name, wait in pairs(WAITS) do
    it("ends a task that is dropped while it waits for " .. name .. ", and runs its defers", function()
      local went_on, deferred = false, 0
      helper.run(function()
        local near, far = peer.pair()
        local task = spawn(function()
          coev.defer(function()
            deferred = deferred + 1
          end)
          wait(near)
          went_on = true
        end):weaken()
        coev.yield()
        coev.yield()
        assert.equal("string", type(task:status()))
        task = nil -- luacheck: ignore
        collect()
        collect()
        assert.equal(1, deferred)
        far:send("late\n")
        coev.sleep(0.006)
        near:close()
        far:close()
      end)
      assert.is_false(went_on)
      assert.equal(1, deferred)
    end)
  end

  it("leaves what the dropped task was to receive to the next", function()
    helper.run(function()
      local near, far = peer.pair()
      spawn(function()
        near:receive()
      end):weaken()
      coev.yield()
      collect()
      collect()
      local reader = spawn(function()
        return near:receive()
      end)
      coev.yield()
      far:send("line\n")
      assert.same({ true, "line" }, { reader:join(1) })
      near:close()
      far:close()
    end)
  end)

  for name, method in pairs({ join = "join", await = "await" }) do
    it("is no matter of those who wait for the task by " .. name .. ": they learn of its end", function()
      helper.run(function()
        local by_name = { spawn(coev.sleep, 5):weaken() }
        local other = spawn(coev.pcall, function()
          return by_name[1][method](by_name[1])
        end)
        coev.yield()
        coev.yield()
        by_name[1] = nil
        collect()
        local _, ok, ended, err = other:join()
        err = method == "join" and err or ended
        assert.equal(method == "join", ok)
        assert.is_true(coev.is_cancelled(err))
        assert.equal("collected", err.reason)
      end)
    end)
  end

  it("leaves results, errors and timeouts to those who join the task", function()
    helper.run(function()
      local done = spawn(function()
        coev.yield()
        return 1, nil
      end):weaken()
      local failed = spawn(function()
        coev.yield()
        error("broken", 0)
      end):weaken()
      local slow = spawn(coev.sleep, 5):weaken()
      assert.same({ n = 3, true, 1 }, { n = select("#", done:join()), done:join() })
      local ok, err = failed:join()
      assert.same({ false, "broken" }, { ok, err })
      assert.same({ false, "timeout" }, { slow:join(0.001) })
      assert.same({ false, "timeout" }, { slow:join(0) })
      slow:cancel()
      assert.is_false((slow:join()))
    end)
  end)

  it("lets defers of a dropped task run last in, first out", function()
    local order = {}
    helper.run(function()
      spawn(function()
        for i = 1, 3 do
          coev.defer(function()
            order[#order + 1] = i
          end)
        end
        coev.sleep(0.005)
      end):weaken()
      coev.yield()
      collect()
      collect()
    end)
    assert.same({ 3, 2, 1 }, order)
  end)

  it("takes what only the dropped task held", function()
    local held = weak()
    helper.run(function()
      spawn(function()
        local value = {}
        held.value = value
        coev.sleep(0.005)
        return value
      end):weaken()
      coev.yield()
      assert.truthy(held.value)
      collect()
      collect()
      assert.is_nil(held.value)
    end)
  end)

  it("lets the program end", function()
    assert_writes("end\n", [[
      coev.run(function()
        coev.spawn(coev.sleep, 60):weaken()
        coev.yield()
        for _ = 1, 3 do collectgarbage() coev.yield() end
      end)
      print("end")
    ]])
  end)
end)

describe("a task that somebody waits for", function()
  -- Joins a task that `make` spawns, with no handle of it but the join's own,
  -- collects while it is in suspend, resumes it by `wake`, and returns what the
  -- join returned.
  local function joined(make)
    local results
    helper.run(function()
      local task, go = make()
      spawn(function(joining)
        results = { joining:join() }
      end, task)
      coev.yield()
      collect()
      task = go(task) -- luacheck: ignore
      collect()
      coev.sleep(0.002)
      collect()
    end)
    return results
  end

  it("stays, when it goes on after a suspend and its handle is dropped", function()
    local results = joined(function()
      return spawn(function()
        coev.suspend()
        coev.sleep(0.001)
        return "ended"
      end), function(task)
        task:resume()
      end
    end)
    assert.same({ true, "ended" }, results)
  end)

  it("stays, while what it has deferred waits", function()
    local deferred = 0
    local results = joined(function()
      return spawn(function()
        coev.defer(function()
          collectgarbage()
          coev.sleep(0.001)
          deferred = deferred + 1
        end)
        coev.suspend()
        return "ended"
      end), function(task)
        task:resume()
      end
    end)
    assert.equal(1, deferred)
    assert.same({ true, "ended" }, results)
  end)

  it("stays, when it is weakened and its handle dropped", function()
    local results = joined(function()
      return spawn(function()
        coev.sleep(0.001)
        return "ended"
      end), function(task)
        task:weaken()
      end
    end)
    assert.same({ true, "ended" }, results)
  end)
end)

describe("the error of a task", function()
  -- Fails far down, so that the traceback takes the collector some steps.
  local function fail(depth)
    if depth == 0 then
      error({ "broken" })
    end
    fail(depth - 1)
    return depth
  end

  -- Sets a number that says how busy the collector is; returns the old one.
  local function tune(parameter, value)
    if _VERSION == "Lua 5.5" then
      return collectgarbage("param", parameter, value)
    end
    return collectgarbage("set" .. parameter, value)
  end

  it("and its traceback are whole, however busy the collector", function()
    local pause, step = tune("pause", 1), tune("stepmul", 10000)
    helper.run(function()
      for _ = 1, 100 do
        local ok, err, traceback = spawn(function()
          coev.defer(function() end)
          fail(30)
        end):join()
        assert.is_false(ok)
        assert.same({ "broken" }, err)
        local _, lines = traceback:gsub("\n[^\n]*garbage_spec", "")
        assert.is_true(lines > 15, traceback)
      end
    end)
    tune("pause", pause)
    tune("stepmul", step)
  end)
end)

describe("a finalizer", function()
  -- Leaves garbage whose finalizer is `f`.
  local function leave_garbage(f)
    if newproxy then
      getmetatable(newproxy(true)).__gc = f
    else
      setmetatable({}, { __gc = f })
    end
  end

  it("may spawn tasks, also in the middle of a spawn", function()
    helper.run(function()
      local spawned, ran = 0, 0
      local function life()
        ran = ran + 1
      end
      for _ = 1, 2000 do
        leave_garbage(function()
          spawned = spawned + 1
          coev.spawn(life)
        end)
        spawned = spawned + 1
        coev.spawn(life)
      end
      collectgarbage()
      collectgarbage()
      coev.yield()
      coev.yield()
      assert.is_true(spawned > 3000, spawned)
      assert.equal(spawned, ran)
    end)
  end)

  it("may call coev while another call of coev returns its values", function()
    local listener = assert(coev.socket.bind("127.0.0.1", 0))
    local ip, port = listener:getsockname()
    for _ = 1, 20000 do
      leave_garbage(function()
        tostring(listener)
        listener:getoption("reuseaddr")
        coev.now()
      end)
      local a, b, c = listener:getsockname()
      if a ~= ip or b ~= port or c ~= "inet" then
        assert.same({ ip, port, "inet" }, { a, b, c })
      end
    end
    listener:close()
  end)
end)

describe("the memory", function()
  it("of tasks that were cancelled, timed out or weakened is given back", function()
    garbage.assert_steady(function()
      helper.run(function()
        for _ = 1, 500 do
          spawn(coev.sleep, 5):cancel()
          spawn(coev.timeout, 0, coev.sleep, 5)
          spawn(coev.sleep, 5):weaken()
          local task = spawn(coev.sleep, 5)
          spawn(task.cancel, task)
        end
        coev.yield()
        collect()
        collect()
      end)
    end)
  end)
end)
