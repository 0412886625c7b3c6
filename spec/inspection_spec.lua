local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local peer = require "spec.support.peer"
local support = require "spec.support.tasks"

-- While a test runs, helper.run has its own function in this place.
local spawn = coev.spawn

local parked = support.parked

local function is_among(task, tasks)
  for _, each in ipairs(tasks) do
    if rawequal(each, task) then
      return true
    end
  end
  return false
end

describe("tasks", function()
  it("is empty where there are none", function()
    assert.same({}, coev.tasks())
  end)

  it("has the handles of all that have not ended", function()
    helper.run(function()
      local mine = {}
      for i = 1, 5 do
        mine[i] = coev.spawn(coev.suspend)
      end
      coev.yield()
      mine[6] = coev.spawn(coev.suspend)
      mine[2]:resume()
      mine[2]:join()
      mine[4]:cancel()
      mine[4]:join()

      local found = {}
      for _, task in ipairs(coev.tasks()) do
        if is_among(task, mine) then
          found[#found + 1] = task
        end
      end
      assert.equal(4, #found)
      for _, number in ipairs({ 1, 3, 5, 6 }) do
        assert.is_true(is_among(mine[number], found))
      end
      assert.is_true(is_among(coev.current(), coev.tasks()))
      for _, task in ipairs(found) do
        task:cancel()
      end
    end)
  end)

  it("has a task whose handle nobody else holds", function()
    helper.run(function()
      coev.spawn(coev.sleep, 0.005)
      coev.yield()
      collectgarbage()
      local count = 0
      for _, task in ipairs(coev.tasks()) do
        if task:waiting() == "sleep" then
          count = count + 1
        end
      end
      assert.equal(1, count)
    end)
  end)

  it("has no entry for a wait outside tasks", function()
    local tasks
    local task = coev.spawn(function()
      tasks = coev.tasks()
    end)
    assert.is_true(task:join())
    assert.equal(1, #tasks)
    assert.is_true(rawequal(task, tasks[1]))
  end)

  it("is a table of its own each time", function()
    helper.run(function()
      local tasks = coev.tasks()
      local count = #tasks
      tasks[1] = nil
      assert.equal(count, #coev.tasks())
    end)
  end)
end)

describe("waiting", function()
  -- Asserts that a task in `wait` tells `text`, and ends the task.
  local function assert_waits(text, wait)
    local task = parked(wait)
    coev.sleep(0.001)
    local line = task:waiting()
    task:cancel()
    coev.pcall(task.join, task)
    assert.equal("string", type(line), text)
    assert.truthy(line:find(text, 1, true), line)
    assert.is_nil(line:find("\n", 1, true))
  end

  it("tells what a task waits for, as one line", function()
    helper.run(function()
      local near, far = peer.pair()
      local listener, address, port = peer.listen()
      local other = parked(coev.suspend)
      other:name("egg")
      assert_waits("sleep", function() coev.sleep(60) end)
      assert_waits("sleep", function() coev.sleep_until(coev.now() + 60) end)
      assert_waits("suspend", coev.suspend)
      assert_waits("join of egg", function() other:join() end)
      assert_waits("egg", function() other:await() end)
      assert_waits("accept on tcp " .. address .. ":" .. port, function() listener:accept() end)
      local there, there_port = near:getpeername()
      assert_waits("receive on tcp " .. there .. ":" .. there_port, function() near:receive() end)
      assert_waits("send on tcp " .. there .. ":" .. there_port, function()
        near:send(("x"):rep(16 * 1024 * 1024))
      end)
      other:cancel()
      peer.close(near, far, listener)
    end)
  end)

  it("looks through what only surrounds the wait", function()
    helper.run(function()
      assert_waits("sleep", function() coev.timeout(60, coev.sleep, 60) end)
      assert_waits("sleep", function() coev.pcall(coev.sleep, 60) end)
      assert_waits("suspend", function() coev.coroutine.wrap(coev.suspend)() end)
      assert_waits("sleep", function() coev.retry(error, { wait = 60 }) end)
      local task = parked(coev.shield, coev.sleep, 0.003)
      assert.equal("sleep", task:waiting())
    end)
  end)

  it("is a line for a group that waits for its children", function()
    helper.run(function()
      assert_waits("", function()
        coev.group(function(group)
          group:spawn(coev.sleep, 60)
        end)
      end)
    end)
  end)

  it("is 'its turn' for a task that is ready, 'nothing' for one that has ended", function()
    helper.run(function()
      local task = coev.spawn(coev.yield)
      assert.equal("its turn", task:waiting())
      coev.yield()
      assert.equal("ready", task:status())
      assert.equal("its turn", task:waiting())
      task:join()
      assert.equal("nothing", task:waiting())
      assert.equal("string", type(coev.current():waiting()))
    end)
  end)
end)

describe("stats", function()
  local FIELDS = { "tasks", "switches", "polls", "timers", "fds", "idle", "busy" }

  it("is a table of numbers, none of them negative", function()
    helper.run(function()
      local stats = coev.stats()
      for _, field in ipairs(FIELDS) do
        assert.equal("number", type(stats[field]), field)
        assert.is_true(stats[field] >= 0, field)
      end
    end)
  end)

  it("counts the tasks that have not ended", function()
    helper.run(function()
      local before = coev.stats().tasks
      assert.equal(#coev.tasks(), before)
      local tasks = {}
      for i = 1, 10 do
        tasks[i] = coev.spawn(coev.suspend)
      end
      assert.equal(before + 10, coev.stats().tasks)
      coev.yield()
      for _, task in ipairs(tasks) do
        task:cancel()
        task:join()
      end
      assert.equal(before, coev.stats().tasks)
    end)
  end)

  it("counts the timers that run", function()
    helper.run(function()
      local before = coev.stats().timers
      local tasks = {}
      for i = 1, 10 do
        tasks[i] = coev.spawn(coev.sleep, 60)
      end
      coev.yield()
      assert.equal(before + 10, coev.stats().timers)
      for _, task in ipairs(tasks) do
        task:cancel()
        task:join()
      end
      assert.equal(before, coev.stats().timers)
    end)
  end)

  it("counts the descriptors that are watched", function()
    helper.run(function()
      local before = coev.stats().fds
      local near, far = peer.pair()
      local task = parked(near.receive, near)
      assert.is_true(coev.stats().fds > before)
      near:close()
      far:close()
      task:join()
      coev.yield()
      assert.equal(before, coev.stats().fds)
    end)
  end)

  it("counts switches and polls", function()
    helper.run(function()
      local before = coev.stats()
      for _ = 1, 100 do
        coev.yield()
      end
      coev.sleep(0.001)
      local after = coev.stats()
      assert.is_true(after.switches - before.switches >= 100)
      assert.is_true(after.polls > before.polls)
    end)
  end)

  it("adds up the seconds idle and busy", function()
    helper.run(function()
      local start = coev.stats()
      coev.sleep(0.01)
      local slept = coev.stats()
      assert.is_true(slept.idle - start.idle >= 0.005)
      local deadline = coev.now() + 0.01
      while coev.now() < deadline do end
      coev.yield()
      coev.sleep(0.001)
      local worked = coev.stats()
      assert.is_true(worked.busy - slept.busy >= 0.005)
    end)
  end)

  it("is a table of its own each time", function()
    helper.run(function()
      coev.stats().tasks = -1
      assert.is_true(coev.stats().tasks > 0)
    end)
  end)
end)

describe("debug", function()
  after_each(function()
    coev.debug(false)
  end)

  it("is off, can be set, and returns what it was", function()
    assert.is_false(coev.debug())
    assert.is_false(coev.debug(true))
    assert.is_true(coev.debug())
    assert.is_true(coev.debug(nil))
    assert.is_false(coev.debug())
    coev.debug(true)
    assert.is_true(coev.debug(false))
    assert.is_false(coev.debug())
  end)

  it("lets tracebacks end with the place where the task was spawned", function()
    coev.debug(true)
    helper.run(function()
      local task = spawn(coev.sleep, 60)
      for _ = 1, 2 do
        local line = task:traceback():match("[^\n]*$")
        assert.truthy(line:find("spawned[^\n]*inspection_spec.lua:%d+"), task:traceback())
        coev.yield()
      end
      task:cancel()
      task = spawn(error, "broken")
      local _, _, traceback = task:join()
      assert.truthy(traceback:find("spawned[^\n]*inspection_spec.lua:%d+"), traceback)
      assert.truthy(task:traceback():find("spawned", 1, true), task:traceback())
    end)
  end)

  it("lets mutexes, channels and their friends remember where they were made", function()
    coev.debug(true)
    local mutex, event = coev.mutex.new(), coev.event.new(true)
    coev.debug(false)
    assert.truthy(tostring(mutex):find("^coev%.mutex: %w+ %(free, made at [^\n]*inspection_spec.lua:%d+%)$"))
    assert.truthy(tostring(event):find("made at [^\n]*inspection_spec.lua:%d+"), tostring(event))
    assert.is_nil(tostring(coev.mutex.new()):find("made at", 1, true))
    mutex:lock()
    local waiter = spawn(mutex.lock, mutex)
    local ok, err = pcall(coev.run)
    assert.is_false(ok)
    assert.truthy(err:find("lock of mutex %w+ made at [^\n]*inspection_spec.lua:%d+"), err)
    waiter:cancel()
    coev.run()
    mutex:unlock()
  end)

  it("adds that place to what is reported", function()
    local result = child.run([[
      local coev = require "coev"
      coev.debug(true)
      coev.run(function()
        coev.spawn(function() error("out of tea") end)
      end)
    ]])
    assert.truthy(result.stderr:find("out of tea", 1, true), result.stderr)
    assert.truthy(result.stderr:find("spawned[^\n]*:4"), result.stderr)
  end)

  it("names the line that spawned into a group", function()
    coev.debug(true)
    helper.run(function()
      local traceback
      coev.group(function(group)
        traceback = group:spawn(coev.yield):traceback()
      end)
      assert.truthy(traceback:find("spawned[^\n]*inspection_spec.lua:%d+"), traceback)
    end)
  end)

  it("says nothing of it for tasks that were spawned while it was off", function()
    helper.run(function()
      local task = parked(coev.sleep, 60)
      assert.is_nil(task:traceback():find("spawned", 1, true))
      coev.debug(true)
      assert.equal("string", type(task:traceback()))
      coev.debug(false)
      task:cancel()
    end)
  end)
end)

describe("locals", function()
  it("is one table for each task", function()
    helper.run(function()
      local mine = coev.locals()
      assert.equal("table", type(mine))
      assert.is_true(rawequal(mine, coev.locals()))
      coev.yield()
      assert.is_true(rawequal(mine, coev.locals()))
      local theirs = coev.spawn(coev.locals):await()
      assert.is_false(rawequal(mine, theirs))
      assert.same({}, theirs)
    end)
  end)

  it("begins as a shallow copy of the spawner's, taken at the spawn", function()
    helper.run(function()
      local shared = { count = 0 }
      local mine = coev.locals()
      mine.request = "r1"
      mine.shared = shared
      local task = coev.spawn(function()
        local theirs = coev.locals()
        local request = theirs.request
        theirs.request = "r2"
        theirs.shared.count = 1
        theirs.own = true
        coev.yield()
        return request, coev.locals().request
      end)
      mine.request = "changed since"
      assert.same({ true, "r1", "r2" }, { task:join() })
      assert.equal("changed since", mine.request)
      assert.equal(1, shared.count)
      assert.is_nil(mine.own)
    end)
  end)

  it("hands on what the spawner had, also when the task never looked itself", function()
    helper.run(function()
      coev.locals().request = "r1"
      local found = coev.spawn(function()
        return coev.spawn(function()
          return coev.locals().request
        end):await()
      end):await()
      assert.equal("r1", found)
    end)
  end)

  it("holds in the coroutines of a task, in groups and in defer", function()
    helper.run(function()
      coev.locals().request = "r1"
      local found = {}
      coev.spawn(function()
        coev.defer(function()
          found[#found + 1] = coev.locals().request
        end)
        coev.coroutine.wrap(function()
          found[#found + 1] = coev.locals().request
        end)()
        coev.group(function(group)
          group:spawn(function()
            found[#found + 1] = coev.locals().request
          end)
        end)
      end):join()
      assert.same({ "r1", "r1", "r1" }, found)
    end)
  end)

  it("outside tasks is a table of the main chunk, which its tasks begin with", function()
    local mine = coev.locals()
    assert.is_true(rawequal(mine, coev.locals()))
    mine.from_main = "yes"
    local task = coev.spawn(function()
      local theirs = coev.locals()
      return rawequal(theirs, mine), theirs.from_main
    end)
    assert.same({ true, false, "yes" }, { task:join() })
    mine.from_main = nil
  end)

  it("goes with its task", function()
    local probes = setmetatable({}, { __mode = "k" })
    helper.run(function()
      for _ = 1, 10 do
        coev.spawn(function()
          local probe = {}
          probes[probe] = true
          coev.locals().probe = probe
        end)
      end
    end)
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(probes))
  end)
end)
