local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local pack = require "spec.support.pack"

-- A supervisor whose log is kept: a list of texts.
local function new_logged(options)
  local lines = {}
  options = options or {}
  options.log = function(...)
    lines[#lines + 1] = table.concat({ ... }, " ")
  end
  return coev.supervisor.new(options), lines
end

local function contains(lines, ...)
  for _, line in ipairs(lines) do
    local all = true
    for _, word in ipairs({ ... }) do
      all = all and line:find(word, 1, true) ~= nil
    end
    if all then
      return true
    end
  end
  return false
end

-- Waits, for no longer than a second, until `predicate` holds.
local function await(predicate)
  local deadline = coev.now() + 1
  while not predicate() do
    assert(coev.now() < deadline, "it has not come true")
    coev.sleep(0.0005)
  end
end

describe("introduce", function()
  it("runs the function at once, until it first waits", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local steps = {}
      supervisor:introduce("a", function(...)
        steps[1] = select("#", ...)
        supervisor:waitfor("event")
        steps[2] = "woken"
      end, 1, nil, 3, nil)
      assert.same({ 4 }, steps)
      supervisor:signal("event")
      assert.same({ 4, "woken" }, steps)
    end)
  end)

  it("does not hold up who introduces, whatever the function waits for", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local began, ended = coev.now(), false
      supervisor:introduce("sleeper", function()
        coev.sleep(0.02)
        ended = true
      end)
      assert.is_true(coev.now() - began < 0.015)
      assert.is_false(ended)
      supervisor:done()
      assert.is_false(ended)
    end)
  end)

  it("works outside tasks", function()
    local supervisor = coev.supervisor.new()
    local seen
    supervisor:introduce("a", function()
      seen = { supervisor:waitfor("event") }
    end)
    assert.is_false(supervisor:signal("event", 1))
    assert.same({ "event", 1 }, seen)
  end)
end)

describe("waitfor", function()
  it("returns the event and the values of its signal, nils too", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local values
      supervisor:introduce("a", function()
        values = pack(supervisor:waitfor("event"))
      end)
      supervisor:signal("event", nil, 2, nil)
      assert.same({ n = 4, "event", nil, 2, nil }, values)
    end)
  end)

  it("takes any value for an event", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      for _, event in ipairs({ "text", 12, true, {}, print }) do
        local seen
        supervisor:introduce("a", function()
          seen = supervisor:waitfor(event)
        end)
        supervisor:signal(event)
        assert.equal(event, seen)
      end
    end)
  end)

  it("gives up after its timeout, and is not woken any more", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local seen = {}
      supervisor:introduce("a", function()
        seen[1] = { supervisor:waitfor("event", 0.002) }
        seen[2] = { supervisor:waitfor("other") }
      end)
      coev.sleep(0.005)
      assert.same({ { nil, "timeout" } }, seen)
      assert.is_false(supervisor:signal("event"))
      assert.same({ { nil, "timeout" } }, seen)
      supervisor:signal("other")
      assert.same({ "other" }, seen[2])
    end)
  end)

  it("returns in time when the signal comes before the timeout", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local seen
      supervisor:introduce("a", function()
        seen = { supervisor:waitfor("event", 0.02) }
        coev.sleep(0.001)
        seen[3] = "undisturbed"
      end)
      supervisor:signal("event", "value")
      coev.sleep(0.003)
      assert.same({ "event", "value", "undisturbed" }, seen)
    end)
  end)

  it("is for any task", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local task = coev.spawn(function()
        return supervisor:waitfor("event")
      end)
      coev.yield()
      assert.is_false(supervisor:signal("event", 1))
      assert.same({ true, "event", 1 }, { task:join() })
    end)
  end)

  it("drives the scheduler outside tasks", function()
    local supervisor = coev.supervisor.new()
    coev.spawn(function()
      coev.sleep(0.002)
      supervisor:signal("event", "value")
    end)
    assert.same({ "event", "value" }, { supervisor:waitfor("event") })
    assert.same({ nil, "timeout" }, { supervisor:waitfor("event", 0.001) })
  end)

  it("works inside coroutines and pcall", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local seen = {}
      supervisor:introduce("a", function()
        local events = coev.coroutine.wrap(function()
          for _ = 1, 3 do
            coev.pcall(function()
              coev.coroutine.yield(supervisor:waitfor("event"))
            end)
          end
        end)
        for i = 1, 3 do
          local event, value = events()
          seen[i] = event .. value
        end
      end)
      for i = 1, 3 do
        supervisor:signal("event", i)
      end
      assert.same({ "event1", "event2", "event3" }, seen)
    end)
  end)

  it("that was left by a deadline or a cancel is not woken any more", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local seen = {}
      local task = supervisor:introduce("a", function()
        coev.timeout(0.002, function()
          supervisor:waitfor("event")
        end)
        local value = coev.suspend()
        seen[#seen + 1] = value
      end)
      supervisor:introduce("b", function()
        supervisor:waitfor("event")
        seen[#seen + 1] = "b"
      end)
      coev.sleep(0.005)
      supervisor:signal("event", "not for a")
      assert.same({ "b" }, seen)
      task:resume("resumed")
      coev.yield()
      assert.same({ "b", "resumed" }, seen)
    end)
  end)
end)

describe("signal", function()
  it("wakes all that wait, in the order in which they came, and comes back after their turn", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local order = {}
      for i = 1, 10 do
        supervisor:introduce("handler " .. i, function()
          while true do
            supervisor:waitfor("event")
            order[#order + 1] = i
          end
        end)
      end
      for round = 1, 5 do
        assert.is_true(supervisor:signal("event"))
        assert.equal(10 * round, #order)
      end
      for place, i in ipairs(order) do
        assert.equal((place - 1) % 10 + 1, i)
      end
      supervisor:done()
    end)
  end)

  it("says whether anybody waits for the event then", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      assert.is_false(supervisor:signal("event"))
      supervisor:introduce("twice", function()
        supervisor:waitfor("event")
        supervisor:waitfor("event")
      end)
      assert.is_true(supervisor:signal("event"))
      assert.is_false(supervisor:signal("event"))
      assert.is_false(supervisor:signal("event"))
    end)
  end)

  it("is only for those that wait already", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local count = 0
      supervisor:signal("event")
      supervisor:introduce("a", function()
        supervisor:waitfor("event")
        count = count + 1
        supervisor:introduce("b", function()
          supervisor:waitfor("event")
          count = count + 1
        end)
      end)
      supervisor:signal("event")
      assert.equal(1, count)
      supervisor:signal("event")
      assert.equal(2, count)
    end)
  end)

  it("does not wait for a handler that waits for something else", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local finished = false
      supervisor:introduce("slow", function()
        while true do
          supervisor:waitfor("event")
          coev.sleep(0.005)
          finished = true
        end
      end)
      assert.is_false(supervisor:signal("event"))
      assert.is_false(finished)
      coev.sleep(0.008)
      assert.is_true(finished)
      assert.is_false(supervisor:signal("event"))
      supervisor:done()
    end)
  end)

  it("can be called by handlers", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local count = 0
      for i = 1, 5 do
        supervisor:introduce("link " .. i, function()
          supervisor:waitfor("link" .. i)
          count = count + 1
          supervisor:signal("link" .. i + 1)
        end)
      end
      supervisor:signal("link1")
      await(function()
        return count == 5
      end)
    end)
  end)

  it("reaches handlers that signal in turn, to any depth, before it comes back", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local count, links = 0, 40
      for i = 1, links do
        supervisor:introduce("link " .. i, function()
          while true do
            supervisor:waitfor(i)
            count = count + 1
            supervisor:signal(i + 1)
          end
        end)
      end
      for round = 1, 3 do
        assert.is_true(supervisor:signal(1))
        assert.equal(round * links, count)
      end
      supervisor:done()
    end)
  end)

  it("gives way after some turns, so that the others go on", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      supervisor:introduce("handler", function()
        while true do
          supervisor:waitfor("event")
        end
      end)
      local others = 0
      local other = coev.spawn(function()
        while true do
          others = others + 1
          coev.yield()
        end
      end)
      for _ = 1, 1000 do
        supervisor:signal("event")
      end
      assert.is_true(others >= 10, others)
      other:cancel()
      other:join()
      supervisor:done()
    end)
  end)

  it("does not reach who has stopped waiting meanwhile, nor again who has begun to", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local seen, second = {}, nil
      supervisor:introduce("first", function()
        supervisor:waitfor("event")
        second:cancel()
        seen[#seen + 1] = "first"
        supervisor:waitfor("event")
        seen[#seen + 1] = "first again"
      end)
      second = supervisor:introduce("second", function()
        pcall(function()
          supervisor:waitfor("event")
          seen[#seen + 1] = "second"
        end)
      end)
      supervisor:introduce("third", function()
        supervisor:waitfor("event")
        seen[#seen + 1] = "third"
      end)
      assert.is_true(supervisor:signal("event"))
      assert.same({ "first", "third" }, seen)
      assert.is_false(supervisor:signal("event"))
      assert.same({ "first", "third", "first again" }, seen)
    end)
  end)

  it("keeps apart what tasks and who signals have: current task, deadlines, locals", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local inner
      local task = supervisor:introduce("handler", function()
        coev.locals().name = "handler"
        supervisor:waitfor("event")
        inner = { coev.current(), coev.locals().name }
        coev.sleep(0.002)
      end)
      coev.locals().name = "main"
      local signaller = coev.current()
      assert.equal("done", coev.timeout(5, function()
        supervisor:signal("event")
        assert.equal(signaller, coev.current())
        return "done"
      end))
      assert.same({ task, "handler" }, inner)
      assert.equal("main", coev.locals().name)
      assert.is_true(task:join())
    end)
  end)

  it("forgets events for which nobody waits any more", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      for i = 1, 1000 do
        supervisor:waitfor("event " .. i, 0)
      end
      local left = 0
      for _ in pairs(supervisor[1]) do
        left = left + 1
      end
      assert.is_true(left <= 65, left)
    end)
  end)

  it("reports an event that nobody waits for", function()
    helper.run(function()
      local supervisor, lines = new_logged()
      assert.is_false(supervisor:signal("forgotten"))
      assert.is_true(contains(lines, "forgotten"))
    end)
  end)

  it("does not hand a handler's failure to who signals", function()
    helper.run(function()
      local supervisor, lines = new_logged()
      local woken = false
      supervisor:introduce("bad", function()
        supervisor:waitfor("event")
        error("broken handler")
      end)
      supervisor:introduce("good", function()
        supervisor:waitfor("event")
        woken = true
      end)
      assert.is_false(supervisor:signal("event"))
      assert.is_true(woken)
      await(function()
        return contains(lines, "bad", "broken handler", "supervisor_spec.lua", "traceback")
      end)
    end)
  end)
end)

describe("a handler", function()
  it("is a task of its own", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local own, deferred
      local task = supervisor:introduce("own", function()
        own = coev.current()
        coev.defer(function()
          deferred = true
        end)
        supervisor:waitfor("event")
      end)
      assert.is_true(rawequal(task, own))
      assert.are_not.equal(coev.current(), own)
      assert.equal("own", own:name())
      supervisor:signal("event")
      task:join()
      assert.is_true(deferred)
    end)
  end)

  it("lives on when who signals is cancelled", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local finished = false
      supervisor:introduce("a", function()
        supervisor:waitfor("event")
        coev.sleep(0.004)
        finished = true
      end)
      local signaller = coev.spawn(function()
        supervisor:signal("event")
        coev.sleep(5)
      end)
      coev.sleep(0.002)
      signaller:cancel()
      coev.sleep(0.005)
      assert.is_true(finished)
    end)
  end)
end)

describe("status", function()
  it("lists who waits for what, sorted by name", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      for _, name in ipairs({ "carol", "alice", "bob" }) do
        supervisor:introduce(name, function()
          supervisor:waitfor("event of " .. name)
        end)
      end
      assert.same({
        { "alice", "event of alice" },
        { "bob", "event of bob" },
        { "carol", "event of carol" },
      }, supervisor:status())
      supervisor:signal("event of bob")
      assert.same({ { "alice", "event of alice" }, { "carol", "event of carol" } }, supervisor:status())
      supervisor:done()
      assert.same({}, supervisor:status())
    end)
  end)

  it("says what the scheduler knows of one that waits for something else", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      supervisor:introduce("sleeper", function()
        coev.sleep(0.02)
      end)
      supervisor:child({ name = "child", run = function()
        supervisor:waitfor("event")
      end })
      coev.yield()
      local status = supervisor:status()
      assert.same({ "child", "event" }, status[1])
      assert.equal("sleeper", status[2][1])
      assert.truthy(status[2][2]:find("sleep", 1, true))
      supervisor:done()
    end)
  end)
end)

describe("done", function()
  it("cancels what was introduced and all children, and waits for their end", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local ended = {}
      local function wait_in(name, wait)
        return function()
          coev.defer(function()
            coev.shield(coev.sleep, 0.001)
            ended[#ended + 1] = name
          end)
          wait()
        end
      end
      supervisor:introduce("handler", wait_in("handler", function()
        supervisor:waitfor("event")
      end))
      supervisor:introduce("sleeper", wait_in("sleeper", function()
        coev.sleep(5)
      end))
      supervisor:child({ name = "child", run = wait_in("child", function()
        coev.sleep(5)
      end) })
      coev.yield()
      supervisor:done()
      table.sort(ended)
      assert.same({ "child", "handler", "sleeper" }, ended)
      supervisor:done()
    end)
  end)

  it("ends the youngest child first", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local order = {}
      for i = 1, 3 do
        supervisor:child({ name = "child " .. i, run = function()
          coev.defer(function()
            order[#order + 1] = i
          end)
          coev.sleep(5)
        end })
      end
      coev.yield()
      supervisor:done()
      assert.same({ 3, 2, 1 }, order)
    end)
  end)

  it("can be called by a handler and by a child", function()
    for _, how in ipairs({ "handler", "child" }) do
      helper.run(function()
        local supervisor = coev.supervisor.new()
        supervisor:introduce("another", function()
          supervisor:waitfor("nothing")
        end)
        local ended = false
        local function finish()
          coev.sleep(0.001)
          supervisor:done()
          ended = true
          coev.sleep(5)
        end
        if how == "handler" then
          supervisor:introduce("a", finish)
        else
          supervisor:child({ name = "a", run = finish })
        end
        await(function()
          return #supervisor:status() == 0
        end)
        assert.is_true(ended)
      end)
    end
  end)

  it("tells other tasks that the event cannot come", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local task = coev.spawn(supervisor.waitfor, supervisor, "event")
      coev.yield()
      supervisor:done()
      assert.same({ true, nil, "closed" }, { task:join() })
      assert.same({ nil, "closed" }, { supervisor:waitfor("event") })
      assert.is_false(supervisor:signal("event"))
    end)
  end)

  it("is for good", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      supervisor:done()
      assert.has_error(function()
        supervisor:introduce("late", function() end)
      end)
      assert.has_error(function()
        supervisor:child({ run = function() end })
      end)
    end)
  end)
end)

describe("a child", function()
  it("starts at the next turn, and is a task with its name", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local name
      supervisor:child({ name = "worker", restart = "temporary", run = function()
        name = coev.current():name()
      end })
      assert.is_nil(name)
      coev.yield()
      assert.equal("worker", name)
      assert.is_true((supervisor:join()))
    end)
  end)

  -- How often a child runs, by how it is to be restarted and how it ends.
  local RUNS = {
    { "permanent", "fails", 3 },
    { "permanent", "returns", 3 },
    { "transient", "fails", 3 },
    { "transient", "returns", 1 },
    { "temporary", "fails", 1 },
    { "temporary", "returns", 1 },
    { nil, "returns", 3 },
  }
  for _, row in ipairs(RUNS) do
    local restart, ending, expected = row[1], row[2], row[3]
    it("that is " .. tostring(restart) .. " and " .. ending .. " runs " .. expected .. " time(s)", function()
      helper.run(function()
        local supervisor, lines = new_logged()
        local runs = 0
        supervisor:child({ name = "worker", restart = restart, run = function()
          runs = runs + 1
          if runs == 3 then
            coev.sleep(5)
          end
          coev.yield()
          if ending == "fails" then
            error("broken child")
          end
        end })
        helper.pause(0.005)
        assert.equal(expected, runs)
        assert.equal(ending == "fails", contains(lines, "worker", "broken child", "supervisor_spec.lua"))
        supervisor:done()
        assert.equal(expected, runs)
      end)
    end)
  end

  it("that somebody cancels is started again when it is permanent only", function()
    helper.run(function()
      for restart, expected in pairs({ permanent = 2, transient = 1, temporary = 1 }) do
        local supervisor = coev.supervisor.new()
        local runs = 0
        local task = supervisor:child({ restart = restart, run = function()
          runs = runs + 1
          coev.sleep(5)
        end })
        coev.yield()
        task:cancel()
        helper.pause(0.002)
        assert.equal(expected, runs)
        supervisor:done()
      end
    end)
  end)

  it("that fails without a log is told of on stderr", function()
    local result = child.run([[
      local coev = require "coev"
      coev.run(function()
        local supervisor = coev.supervisor.new()
        supervisor:child { name = "worker", restart = "temporary", run = function() error("broken child") end }
        supervisor:join()
        print("end")
      end)
    ]])
    assert.equal("end\n", result.stdout)
    assert.equal(0, result.status)
    assert.truthy(result.stderr:find("broken child", 1, true), result.stderr)
    assert.truthy(result.stderr:find("worker", 1, true), result.stderr)
    assert.is_nil(result.stderr:find("broken child.*broken child"), result.stderr)
  end)

  it("can wait for events, and signal them", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local seen = {}
      supervisor:child({ name = "consumer", restart = "temporary", run = function()
        for i = 1, 3 do
          seen[i] = select(2, supervisor:waitfor("item"))
        end
      end })
      supervisor:child({ name = "producer", restart = "temporary", run = function()
        for i = 1, 3 do
          supervisor:signal("item", i)
        end
      end })
      supervisor:join()
      assert.same({ 1, 2, 3 }, seen)
    end)
  end)
end)

describe("a strategy", function()
  -- The starts of three children, of which the second fails once.
  local function starts_of(strategy)
    local starts = {}
    helper.run(function()
      local supervisor = new_logged({ strategy = strategy })
      local failed = false
      for i, name in ipairs({ "a", "b", "c" }) do
        supervisor:child({ name = name, run = function()
          starts[#starts + 1] = name
          coev.defer(function()
            starts[#starts + 1] = "-" .. name
          end)
          coev.sleep(0.002)
          if i == 2 and not failed then
            failed = true
            error("broken")
          end
          coev.sleep(5)
        end })
      end
      await(function()
        return failed
      end)
      helper.pause(0.002)
      supervisor:done()
    end)
    return table.concat(starts, " ")
  end

  it("one_for_one starts the failed child alone", function()
    assert.equal("a b c -b b -c -b -a", starts_of("one_for_one"))
    assert.equal("a b c -b b -c -b -a", starts_of(nil))
  end)

  it("one_for_all ends the others, the youngest first, and starts all", function()
    assert.equal("a b c -b -c -a a b c -c -b -a", starts_of("one_for_all"))
  end)

  it("rest_for_one ends and starts those that were started after it", function()
    assert.equal("a b c -b -c b c -c -b -a", starts_of("rest_for_one"))
  end)

  it("does not start temporary children again", function()
    helper.run(function()
      local supervisor = new_logged({ strategy = "one_for_all" })
      local starts = {}
      supervisor:child({ name = "temporary", restart = "temporary", run = function()
        starts[#starts + 1] = "temporary"
        coev.sleep(5)
      end })
      supervisor:child({ name = "permanent", run = function()
        starts[#starts + 1] = "permanent"
        if #starts == 2 then
          error("broken")
        end
        coev.sleep(5)
      end })
      helper.pause(0.003)
      assert.same({ "temporary", "permanent", "permanent" }, starts)
      assert.equal(1, #supervisor:status())
      supervisor:done()
    end)
  end)
end)

describe("past its limit", function()
  -- A supervisor with a child that always fails, and one that sleeps.
  local function new_failing(options)
    local supervisor, lines = new_logged(options)
    local counts = { runs = 0, ended = 0 }
    supervisor:child({ name = "sleeper", run = function()
      coev.defer(function()
        counts.ended = counts.ended + 1
      end)
      coev.sleep(5)
    end })
    supervisor:child({ name = "culprit", run = function()
      counts.runs = counts.runs + 1
      coev.yield()
      error("broken again")
    end })
    return supervisor, counts, lines
  end

  it("a supervisor ends its children, and fails with an error that names child and limit", function()
    helper.run(function()
      for limit = 0, 3 do
        local supervisor, counts, lines = new_failing({ max_restarts = limit, within = 5 })
        local ok, err = supervisor:join()
        assert.is_false(ok)
        for _, word in ipairs({ "culprit", limit .. " times within 5 s", "broken again" }) do
          assert.truthy(err:find(word, 1, true), err)
        end
        assert.equal(limit + 1, counts.runs)
        assert.equal(1, counts.ended)
        assert.same({}, supervisor:status())
        assert.is_true(contains(lines, "culprit", "more than " .. limit))
      end
    end)
  end)

  it("await raises its error", function()
    helper.run(function()
      local supervisor = new_failing({ max_restarts = 1 })
      local ok, err = coev.pcall(supervisor.await, supervisor)
      assert.is_false(ok)
      assert.truthy(tostring(err):find("culprit", 1, true))
    end)
  end)

  it("only restarts within the span count", function()
    helper.run(function()
      local supervisor = new_logged({ max_restarts = 1, within = 0.002 })
      local runs = 0
      supervisor:child({ restart = "transient", run = function()
        runs = runs + 1
        coev.sleep(0.004)
        if runs < 4 then
          error("broken")
        end
      end })
      assert.is_true((supervisor:join()))
      assert.equal(4, runs)
    end)
  end)

  it("it is a task that fails: with nobody to join, onerror has it", function()
    child.assert_writes("false\tchild 'culprit' ended more than 0 times within 5 s\n", [[
      coev.onerror("raise")
      local ok, err = pcall(coev.run, function()
        local supervisor = coev.supervisor.new { max_restarts = 0, log = function() end }
        supervisor:child { name = "culprit", run = function() error("broken") end }
      end)
      print(ok, err:match("child 'culprit' ended more than 0 times within %d s"))
    ]])
  end)

  it("it fails the group that it was given", function()
    helper.run(function()
      local sibling_ended = false
      local ok, err = coev.pcall(coev.group, function(group)
        group:spawn(function()
          coev.defer(function()
            sibling_ended = true
          end)
          coev.sleep(5)
        end)
        coev.yield()
        local supervisor = new_logged({ group = group, max_restarts = 0 })
        supervisor:child({ name = "culprit", run = function()
          error("broken")
        end })
      end)
      assert.is_false(ok)
      assert.truthy(tostring(err):find("culprit", 1, true))
      assert.is_true(sibling_ended)
    end)
  end)

  it("a cancelled group ends its children", function()
    helper.run(function()
      local ended = false
      assert.same({ nil, "enough" }, { coev.group(function(group)
        local supervisor = coev.supervisor.new({ group = group })
        supervisor:child({ run = function()
          coev.defer(function()
            ended = true
          end)
          coev.sleep(5)
        end })
        coev.sleep(0.001)
        group:cancel("enough")
      end) })
      assert.is_true(ended)
    end)
  end)
end)

describe("a supervisor inside a child of another", function()
  it("fails its child, which is started again", function()
    helper.run(function()
      local outer, lines = new_logged({ max_restarts = 2 })
      local made = 0
      outer:child({ name = "inner", run = function()
        made = made + 1
        local inner = new_logged({ max_restarts = 1 })
        inner:child({ name = "culprit", run = function()
          coev.yield()
          error("broken")
        end })
        coev.sleep(5)
      end })
      local ok, err = outer:join()
      assert.is_false(ok)
      assert.equal(3, made)
      assert.truthy(err:find("'inner'", 1, true), err)
      assert.truthy(err:find("'culprit'", 1, true), err)
      assert.is_true(contains(lines, "inner", "culprit"))
    end)
  end)

  it("keeps its child from ending before it", function()
    helper.run(function()
      local outer = new_logged()
      local ended = {}
      outer:child({ name = "inner", restart = "temporary", run = function()
        coev.supervisor.new():child({ restart = "temporary", run = function()
          coev.sleep(0.003)
          ended[#ended + 1] = "inner"
        end })
      end })
      assert.is_true((outer:join()))
      assert.same({ "inner" }, ended)
    end)
  end)

  it("ends with its child", function()
    helper.run(function()
      local outer = coev.supervisor.new()
      local ended = 0
      outer:child({ run = function()
        local inner = coev.supervisor.new()
        for _ = 1, 2 do
          inner:child({ run = function()
            coev.defer(function()
              ended = ended + 1
            end)
            coev.sleep(5)
          end })
        end
        inner:introduce("handler", function()
          coev.defer(function()
            ended = ended + 1
          end)
          inner:waitfor("event")
        end)
        coev.sleep(5)
      end })
      coev.sleep(0.003)
      outer:done()
      assert.equal(3, ended)
    end)
  end)
end)

describe("bad input to coev.supervisor", function()
  local function nothing() end

  -- What is called, with a supervisor, and words of the error that it raises.
  local CASES = {
    { function() coev.supervisor.new(1) end, "#1 to 'new'", "table expected" },
    { function() coev.supervisor.new({ strategy = "one_by_one" }) end, "#1 to 'new'", "'strategy'", "one_by_one" },
    { function() coev.supervisor.new({ max_restarts = "x" }) end, "#1 to 'new'", "'max_restarts'", "number" },
    { function() coev.supervisor.new({ max_restarts = -1 }) end, "#1 to 'new'", "'max_restarts'" },
    { function() coev.supervisor.new({ within = 0 / 0 }) end, "#1 to 'new'", "'within'" },
    { function() coev.supervisor.new({ log = "x" }) end, "#1 to 'new'", "'log'", "function" },
    { function() coev.supervisor.new({ max_restart = 1 }) end, "#1 to 'new'", "unknown field 'max_restart'" },
    { function(s) s:introduce(nil, nothing) end, "#1 to 'introduce'", "string expected" },
    { function(s) s:introduce("a", 1) end, "#2 to 'introduce'", "function expected" },
    { function(s) s.introduce(1, "a", nothing) end, "'introduce'", "coev.supervisor expected" },
    { function(s) s:waitfor() end, "#1 to 'waitfor'" },
    { function(s) s:waitfor("event", "x") end, "#2 to 'waitfor'", "number expected" },
    { function(s) s:signal() end, "#1 to 'signal'" },
    { function(s) s.status("x") end, "'status'", "coev.supervisor expected" },
    { function(s) s:child() end, "#1 to 'child'", "table expected" },
    { function(s) s:child({}) end, "#1 to 'child'", "'run'", "function expected" },
    { function(s) s:child({ run = 1 }) end, "#1 to 'child'", "'run'", "function expected" },
    { function(s) s:child({ run = nothing, name = 1 }) end, "#1 to 'child'", "'name'", "string expected" },
    { function(s) s:child({ run = nothing, restart = "often" }) end, "#1 to 'child'", "'restart'", "often" },
    { function(s) s:child({ run = nothing, ran = 1 }) end, "#1 to 'child'", "unknown field 'ran'" },
  }

  it("raises an error that names function, argument and field, where it was called", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      for _, case in ipairs(CASES) do
        local ok, err = pcall(case[1], supervisor)
        assert.is_false(ok, case[2])
        for i = 2, #case do
          assert.truthy(err:find(case[i], 1, true), err)
        end
        assert.truthy(err:find("supervisor_spec.lua:%d+: "), err)
      end
    end)
  end)

  it("raises for two children of one name", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      supervisor:child({ name = "twin", run = coev.suspend })
      local ok, err = pcall(supervisor.child, supervisor, { name = "twin", run = coev.suspend })
      assert.is_false(ok)
      assert.truthy(err:find("twin", 1, true), err)
      supervisor:done()
    end)
  end)
end)

describe("the wiki page's own test", function()
  it("brings every event to every process", function()
    helper.run(function()
      local supervisor = coev.supervisor.new()
      local processes, events, count = 50, 100, 0
      for i = 1, processes do
        supervisor:introduce("process " .. i, function()
          for _ = 1, events do
            supervisor:waitfor("event")
            count = count + 1
          end
        end)
      end
      local signals = 1
      while supervisor:signal("event") do
        signals = signals + 1
      end
      assert.equal(events, signals)
      assert.equal(processes * events, count)
      assert.same({}, supervisor:status())
    end)
  end)
end)
