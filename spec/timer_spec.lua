local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local support = require "spec.support.tasks"

local timer = coev.timer

-- Seconds: an interval, and one that no test lives to see.
local INTERVAL, NEVER = 0.004, 3600

local function nothing() end

local function compute_until(time)
  while coev.now() < time do end
end

-- What is said when a busy machine has kept a run from coming in its time.
local MISSED = "a run came too late"

-- Runs `f(punctual)`, and again when something came so late that counts of runs say nothing. `punctual(due)` is called
-- in each run, and after each sleep, with the moment at which it was due, `punctual()` at the end.
local function in_time(f)
  for attempt = 1, 21 do
    local late = false
    local function punctual(due)
      if due then
        late = late or coev.now() > due + INTERVAL / 3
      elseif late and attempt <= 20 then
        error(MISSED, 0)
      end
    end
    local ok, err = pcall(helper.run, f, punctual)
    if ok then
      return
    elseif not tostring(err):find(MISSED, 1, true) then
      error(err, 0)
    end
  end
end

-- Says, from within a run, whether the next one is due on the grid of `interval` that began between `from` and `to`.
local function is_on_grid(t, from, to, interval)
  local before = coev.now()
  local due = t:due()
  local after = coev.now()
  local steps = math.floor((after + due - from) / interval + 1e-6)
  return steps * interval + to + 1e-9 >= before + due and steps >= 1
end

-- Turns the loop until `condition()`.
local function await(condition)
  local deadline = coev.now() + 5
  while not condition() do
    assert(coev.now() < deadline, "it does not come")
    coev.sleep(0.0005)
  end
end

describe("Lubyk's timers:", function()
  it("5 ticks in 4 intervals when started at once, and 10 after 5 more", function()
    in_time(function(punctual)
      local ticks, start = 0, coev.now()
      local t = timer.new(INTERVAL, function()
        punctual(start + ticks * INTERVAL)
        ticks = ticks + 1
      end)
      assert.equal(t, t:start(0))
      coev.sleep_until(start + 4.5 * INTERVAL)
      punctual(start + 4.5 * INTERVAL)
      local first = ticks
      coev.sleep_until(start + 9.5 * INTERVAL)
      punctual(start + 9.5 * INTERVAL)
      t:stop()
      punctual()
      assert.equal(5, first)
      assert.equal(10, ticks)
    end)
  end)

  it("4 ticks in 4 intervals when started with one before", function()
    in_time(function(punctual)
      local ticks, start = 0, coev.now()
      local t = coev.every(INTERVAL, function()
        ticks = ticks + 1
        punctual(start + ticks * INTERVAL)
      end)
      coev.sleep_until(start + 4.5 * INTERVAL)
      punctual(start + 4.5 * INTERVAL)
      t:stop()
      punctual()
      assert.equal(4, ticks)
    end)
  end)

  it("a changed interval on a running timer gives exactly the expected ticks", function()
    in_time(function(punctual)
      local ticks, start = 0, coev.now()
      local t = timer.new(INTERVAL, function()
        punctual(start + (ticks < 3 and ticks or 2 + 2 * (ticks - 2)) * INTERVAL)
        ticks = ticks + 1
      end):start(0)
      -- Due at 0, 1 and 2; then at 4, 6 and 8.
      coev.sleep_until(start + 2.5 * INTERVAL)
      punctual(start + 2.5 * INTERVAL)
      t:interval(2 * INTERVAL)
      coev.sleep_until(start + 3.5 * INTERVAL)
      punctual(start + 3.5 * INTERVAL)
      local between = ticks
      coev.sleep_until(start + 8.5 * INTERVAL)
      punctual(start + 8.5 * INTERVAL)
      t:stop()
      punctual()
      assert.equal(3, between)
      assert.equal(6, ticks)
    end)
  end)

  it("a callback whose fifth run returns 0 stops it, and join returns", function()
    helper.run(function()
      local ticks = 0
      local t = timer.new(0.001, function()
        ticks = ticks + 1
        return ticks < 5 and 0.001 or 0
      end):start()
      assert.is_true(t:join())
      assert.equal(5, ticks)
      assert.is_nil(t:due())
      coev.sleep(0.004)
      assert.equal(5, ticks)
    end)
  end)
end)

describe("a timer", function()
  it("does not run before it is started", function()
    helper.run(function()
      local runs = 0
      local t = timer.new(0.0005, function()
        runs = runs + 1
      end)
      coev.sleep(0.003)
      assert.equal(0, runs)
      assert.is_nil(t:due())
      assert.is_true(t:join())
    end)
  end)

  it("runs in a task of its own, with its arguments each time", function()
    local seen = {}
    helper.run(function()
      timer.new(0.001, function(...)
        seen[#seen + 1] = { coev.current(), select("#", ...), ... }
        return #seen < 3
      end, "a", nil, "c", nil):start(0):join()
      assert.equal(3, #seen)
      for i = 1, 3 do
        assert.not_equal(coev.current(), seen[i][1])
        assert.same({ 4, "a", nil, "c" }, { seen[i][2], seen[i][3], seen[i][4], seen[i][5] })
      end
      assert.not_equal(seen[1][1], seen[2][1])
    end)
  end)

  it("gives each run locals, a name and defers of its own", function()
    helper.run(function()
      local seen, deferred, tasks = {}, 0, {}
      local timers = {}
      for i = 1, 5 do
        timers[i] = coev.after(0, function()
          tasks[i] = coev.current()
          seen[i] = { coev.locals().mark, tasks[i]:name() }
          coev.locals().mark = i
          tasks[i]:name("run " .. i)
          coev.defer(function()
            deferred = deferred + 1
          end)
          if i == 3 then
            coev.sleep(0.001)
          elseif i == 4 then
            coev.current():cancel()
            coev.yield()
          end
        end)
      end
      for i = 1, 5 do
        timers[i]:join()
        tasks[i]:join(1)
        assert.equal(i == 4 and "cancelled" or "done", tasks[i]:status())
        assert.is_nil(seen[i][1])
        assert.not_equal("run " .. i - 1, seen[i][2])
      end
      assert.equal(5, deferred)
    end)
  end)

  it("lets a deadline in one run alone", function()
    helper.run(function()
      local results = {}
      local timers = {}
      for i = 1, 4 do
        timers[i] = coev.after(0, function()
          results[i] = i % 2 == 0 and select(2, coev.timeout(0, coev.yield)) or select("#", coev.sleep(0.001))
        end)
      end
      for i = 1, 4 do
        assert.is_true(timers[i]:join())
      end
      assert.same({ 0, "timeout", 0, "timeout" }, results)
    end)
  end)

  it("started with 0 runs at the next turn", function()
    local order = {}
    helper.run(function()
      local t = timer.new(NEVER, function()
        order[#order + 1] = "run"
      end):start(0)
      order[#order + 1] = "started"
      coev.sleep(0)
      await(function()
        return #order == 2
      end)
      t:stop()
    end)
    assert.same({ "started", "run" }, order)
  end)

  it("never runs before it is due", function()
    helper.run(function()
      local start = coev.now()
      local early = 0
      local t
      local runs = 0
      t = coev.every(0.0007, function()
        runs = runs + 1
        if coev.now() < start + runs * 0.0007 then
          early = early + 1
        end
        return runs < 10
      end)
      t:join()
      assert.equal(10, runs)
      assert.equal(0, early)
    end)
  end)

  it("does not drift, however long its runs take", function()
    helper.run(function()
      local from = coev.now()
      local on_grid, runs = 0, 0
      local t, to
      t = timer.new(0.002, function()
        runs = runs + 1
        coev.sleep(0.0007)
        compute_until(coev.now() + 0.0003)
        on_grid = on_grid + (is_on_grid(t, from, to, 0.002) and 1 or 0)
        return runs < 8
      end):start()
      to = coev.now()
      t:join()
      assert.equal(8, on_grid)
    end)
  end)

  it("never overlaps itself, and skips what it has missed", function()
    helper.run(function()
      local inside, most, runs, on_grid = 0, 0, 0, 0
      local from = coev.now()
      local t, to
      t = timer.new(0.001, function()
        inside = inside + 1
        most = math.max(most, inside)
        runs = runs + 1
        coev.sleep(0.0025)
        on_grid = on_grid + (is_on_grid(t, from, to, 0.001) and t:due() <= 0.001 and 1 or 0)
        inside = inside - 1
        return runs < 5
      end):start()
      to = coev.now()
      local start = coev.now()
      t:join()
      assert.equal(1, most)
      assert.equal(5, runs)
      assert.equal(5, on_grid)
      -- Nothing is made up for: each run has taken its time.
      assert.is_true(coev.now() - start >= 5 * 0.0025)
    end)
  end)

  it("takes the number that its function returns for its interval", function()
    helper.run(function()
      local intervals, t = {}, nil
      t = timer.new(0.001, function()
        intervals[#intervals + 1] = t:interval()
        return ({ 0.002, true, 0.0005, false })[#intervals]
      end):start()
      assert.is_true(t:join())
      assert.same({ 0.001, 0.002, 0.002, 0.0005 }, intervals)
      assert.equal(0.0005, t:interval())
    end)
  end)

  it("is stopped by false as by 0, and by nothing else that is returned", function()
    helper.run(function()
      for _, last in ipairs({ 0, false }) do
        local runs, answers = 0, { nil, true, "text", {}, n = 4 }
        local t = coev.every(0.0005, function()
          runs = runs + 1
          if runs > answers.n then
            return last
          end
          return answers[runs]
        end)
        assert.is_true(t:join())
        assert.equal(5, runs)
      end
    end)
  end)

  it("fails when its function returns what is no interval", function()
    helper.run(function()
      for _, answer in ipairs({ -1, 0 / 0, math.huge, -math.huge }) do
        local ok, err = coev.every(0.0005, function()
          return answer
        end):join()
        assert.is_false(ok)
        assert.truthy(tostring(err):find("returned", 1, true), err)
      end
    end)
  end)

  it("keeps the order of what is due, thousands of times", function()
    local order = {}
    helper.run(function()
      for i = 1, 5000 do
        local delay = 0.005 + (i * 7919 % 5000) * 2e-6
        local due = { earliest = coev.now() + delay }
        coev.after(delay, function()
          order[#order + 1] = due
        end)
        due.latest = coev.now() + delay
      end
    end)
    assert.equal(5000, #order)
    local latest_so_far = 0
    for i = 1, #order do
      assert.is_true(order[i].latest + 1e-9 >= latest_so_far)
      latest_so_far = math.max(latest_so_far, order[i].earliest)
    end
  end)

  it("is one of many due at once, in the order of their starts", function()
    local order = {}
    helper.run(function()
      for i = 1, 1000 do
        coev.after(0, function()
          order[#order + 1] = i
        end)
      end
    end)
    assert.equal(1000, #order)
    for i = 1, 1000 do
      assert.equal(i, order[i])
    end
  end)

  it("may be started while another one is made, from a finalizer", function()
    local runs, made = 0, 0
    local function finalize()
      made = made + 1
      coev.after(0, function()
        runs = runs + 1
      end)
    end
    helper.run(function()
      -- 5.1 finalizes userdata alone.
      local proxy = newproxy or function()
        return setmetatable({}, { __gc = finalize })
      end
      for _ = 1, 3000 do
        made = made + 1
        coev.after(0, function()
          runs = runs + 1
        end)
        local garbage = proxy(true)
        if newproxy then
          getmetatable(garbage).__gc = finalize
        end
      end
      coev.sleep(0.001)
    end)
    collectgarbage()
    collectgarbage()
    while coev.step(0.001) do end
    assert.is_true(made > 3000)
    assert.equal(made, runs)
  end)

  it("goes on when a run has gone with what it waited for", function()
    helper.run(function()
      local runs = 0
      local t = coev.every(0.0005, function()
        runs = runs + 1
        if runs == 1 then
          coev.suspend()
        end
        return runs < 3
      end)
      for _ = 1, 1000 do
        collectgarbage()
        coev.sleep(0.0005)
        if not t:due() and runs == 3 then
          break
        end
      end
      assert.equal(3, runs)
      assert.is_true(t:join())
    end)
  end)

  it("says what it is, and when it is due", function()
    helper.run(function()
      local t = timer.new(2, nothing)
      assert.truthy(tostring(t):find("^coev%.timer: 0x%x+ %(every 2 s, stopped%)$"), tostring(t))
      t:start()
      assert.truthy(tostring(t):find("^coev%.timer: 0x%x+ %(every 2 s, due in [%d.]+ s%)$"), tostring(t))
      t:stop()
      local said
      t = coev.after(0, function()
        said = tostring(t)
      end)
      t:join()
      assert.truthy(said:find("^coev%.timer: 0x%x+ %(runs%)$"), said)
    end)
  end)

  it("counts among the timers of stats", function()
    local before = coev.stats().timers
    local t = timer.new(NEVER, nothing)
    assert.equal(before, coev.stats().timers)
    t:start()
    local once = coev.after(NEVER, nothing)
    assert.equal(before + 2, coev.stats().timers)
    t:stop()
    once:stop()
    assert.equal(before, coev.stats().timers)
  end)

  it("is the same module by either way", function()
    assert.equal(coev.timer, require "coev.timer")
  end)
end)

describe("after", function()
  it("runs once, with its arguments, and not before its time", function()
    helper.run(function()
      local calls, start = {}, coev.now()
      local t = coev.after(0.003, function(...)
        calls[#calls + 1] = { coev.now() - start >= 0.003, ... }
      end, 1, 2)
      assert.is_nil(t:interval())
      assert.is_true(t:join())
      coev.sleep(0.005)
      assert.same({ { true, 1, 2 } }, calls)
    end)
  end)

  it("can be started again", function()
    helper.run(function()
      local runs = 0
      local t = coev.after(0, function()
        runs = runs + 1
      end)
      t:join()
      t:start()
      t:join()
      t:start(0.001)
      t:join()
      assert.equal(3, runs)
    end)
  end)

  it("becomes one with an interval when its function returns a number", function()
    helper.run(function()
      local runs = 0
      local t = coev.after(0, function()
        runs = runs + 1
        return runs < 3 and 0.0005
      end)
      assert.is_true(t:join())
      assert.equal(3, runs)
    end)
  end)
end)

describe("stop", function()
  it("keeps an armed timer from running, and joiners from waiting", function()
    helper.run(function()
      local runs = 0
      local t = coev.every(0.001, function()
        runs = runs + 1
      end)
      local joiner = support.parked(t.join, t)
      assert.equal(t, t:stop())
      assert.same({ true, true }, { joiner:join() })
      coev.sleep(0.004)
      assert.equal(0, runs)
      t:stop()
    end)
  end)

  it("in the callback lets the run end, and none follow", function()
    helper.run(function()
      local runs, ended = 0, 0
      local t
      t = coev.every(0.0005, function()
        runs = runs + 1
        t:stop()
        assert.is_nil(t:due())
        coev.sleep(0.001)
        ended = ended + 1
      end)
      assert.is_true(t:join())
      assert.same({ 1, 1 }, { runs, ended })
      coev.sleep(0.003)
      assert.equal(1, runs)
    end)
  end)

  it("holds also when the callback then returns an interval", function()
    helper.run(function()
      local runs, t = 0, nil
      t = coev.every(0.0005, function()
        runs = runs + 1
        t:stop()
        return 0.0005
      end)
      t:join()
      coev.sleep(0.003)
      assert.equal(1, runs)
    end)
  end)

  it("from another task while it runs does the same", function()
    helper.run(function()
      local runs, gate = 0, nil
      local t = coev.every(0.0005, function()
        runs = runs + 1
        gate = coev.current()
        coev.suspend()
      end)
      await(function()
        return gate
      end)
      t:stop()
      assert.is_nil(t:due())
      assert.same({ false, "timeout" }, { t:join(0.001) })
      gate:resume()
      assert.is_true(t:join())
      assert.equal(1, runs)
    end)
  end)
end)

describe("start", function()
  it("of an armed timer moves it", function()
    helper.run(function()
      local runs = 0
      local t = coev.every(NEVER, function()
        runs = runs + 1
        return false
      end)
      assert.is_true(t:due() > NEVER / 2)
      t:start(0.001)
      assert.is_true(t:due() <= 0.001)
      assert.is_true(t:join())
      assert.equal(1, runs)
    end)
  end)

  it("without a delay takes the interval", function()
    local t = timer.new(NEVER, nothing):start()
    local due = t:due()
    t:stop()
    assert.is_true(due > NEVER - 60 and due <= NEVER)
  end)

  it("after a stop starts anew", function()
    helper.run(function()
      local runs = 0
      local t = timer.new(0.001, function()
        runs = runs + 1
        return runs % 3 ~= 0
      end)
      for round = 1, 3 do
        t:start()
        assert.is_true(t:join())
        assert.equal(3 * round, runs)
      end
    end)
  end)

  it("in the callback says when the next run is due", function()
    helper.run(function()
      local runs, due, t = 0, nil, nil
      t = coev.every(NEVER, function()
        runs = runs + 1
        if runs == 1 then
          t:start(0.001)
          due = t:due()
        end
      end)
      t:start(0)
      await(function()
        return runs == 2
      end)
      assert.is_true(due <= 0.001)
      assert.is_true(t:due() > NEVER / 2)
      t:stop()
    end)
  end)

  it("in the callback undoes a stop", function()
    helper.run(function()
      local runs, t = 0, nil
      t = timer.new(0.0005, function()
        runs = runs + 1
        t:stop()
        if runs < 3 then
          t:start()
        end
      end):start()
      assert.is_true(t:join())
      assert.equal(3, runs)
    end)
  end)
end)

describe("interval", function()
  it("asks and answers what it was", function()
    local t = timer.new(5, nothing)
    assert.equal(5, t:interval())
    assert.equal(5, t:interval(7))
    assert.equal(7, t:interval(0.25))
    assert.equal(0.25, t:interval())
  end)

  it("moves what is due next", function()
    helper.run(function()
      local runs = 0
      local t = coev.every(NEVER, function()
        runs = runs + 1
        return false
      end)
      t:interval(2 * NEVER)
      assert.is_true(t:due() > NEVER)
      t:interval(0.001)
      assert.is_true(t:due() <= 0.001)
      assert.is_true(t:join())
      assert.equal(1, runs)
    end)
  end)

  it("lets it run at once when that is past", function()
    helper.run(function()
      local runs = 0
      local t = coev.every(NEVER, function()
        runs = runs + 1
        return false
      end)
      coev.sleep(0.002)
      t:interval(0.0001)
      assert.equal(0, t:due())
      assert.is_true(t:join())
      assert.equal(1, runs)
    end)
  end)

  it("in the callback counts from when the run was due", function()
    helper.run(function()
      local from = coev.now()
      local on_grid, t, to
      local runs = 0
      t = timer.new(NEVER, function()
        runs = runs + 1
        if runs == 1 then
          t:interval(0.003)
          on_grid = is_on_grid(t, from, to, 0.003)
        end
        return runs < 2
      end):start(0)
      to = coev.now()
      assert.is_true(t:join())
      assert.is_true(on_grid)
      assert.equal(2, runs)
    end)
  end)
end)

describe("due", function()
  it("is the time that is left, and nothing without a next run", function()
    helper.run(function()
      local t = timer.new(1, nothing)
      assert.is_nil(t:due())
      t:start(0.5)
      local due = t:due()
      assert.is_true(due > 0.1 and due <= 0.5)
      t:stop()
      assert.is_nil(t:due())
    end)
  end)

  it("is 0 when the run is overdue", function()
    helper.run(function()
      local t = coev.after(0.0005, nothing)
      compute_until(coev.now() + 0.001)
      assert.equal(0, t:due())
      t:join()
      assert.is_nil(t:due())
    end)
  end)

  it("while it runs is the time to the next one", function()
    helper.run(function()
      local due
      local t
      t = timer.new(10, function()
        due = t:due()
        return false
      end):start(0)
      t:join()
      assert.is_true(due > 5 and due <= 10)
    end)
  end)
end)

describe("join of a timer", function()
  it("waits for the run that is in progress", function()
    helper.run(function()
      local ended
      local t = coev.after(0, function()
        coev.sleep(0.003)
        ended = true
      end)
      assert.same({ true }, { t:join() })
      assert.is_true(ended)
    end)
  end)

  it("waits for what the run has deferred", function()
    helper.run(function()
      for _, last in ipairs({ nothing, error, coev.yield }) do
        local order = {}
        local t = coev.after(0, function()
          coev.defer(function()
            coev.sleep(0.001)
            order[#order + 1] = "deferred"
          end)
          order[#order + 1] = "run"
          last()
        end)
        t:join()
        order[#order + 1] = "joined"
        assert.same({ "run", "deferred", "joined" }, order)
      end
    end)
  end)

  it("has the error of what the run has deferred", function()
    helper.run(function()
      local ok, err = coev.after(0, coev.defer, function()
        error("too late", 0)
      end):join()
      assert.same({ false, "too late" }, { ok, err })
    end)
  end)

  it("times out, and the timer goes on", function()
    helper.run(function()
      local runs = 0
      local t = coev.every(0.0005, function()
        runs = runs + 1
      end)
      assert.same({ false, "timeout" }, { t:join(0.002) })
      assert.same({ false, "timeout" }, { t:join(0) })
      assert.same({ false, "timeout" }, { t:join(-1) })
      local before = runs
      await(function()
        return runs > before
      end)
      t:stop()
      assert.same({ true }, { t:join(0) })
    end)
  end)

  it("serves any number of joiners", function()
    helper.run(function()
      local t = coev.after(0.002, nothing)
      local joiners = {}
      for i = 1, 20 do
        joiners[i] = coev.spawn(t.join, t)
      end
      for i = 1, 20 do
        assert.same({ true, true }, { joiners[i]:join() })
      end
    end)
  end)

  it("has the error of a run that failed, which then is reported nowhere", function()
    local err = {}
    local ok, joined, traceback
    local seen = support.unseen_errors(function()
      helper.run(function()
        ok, joined, traceback = coev.after(0.001, function()
          coev.sleep(0.001)
          error(err)
        end):join()
      end)
    end)
    assert.is_false(ok)
    assert.equal(err, joined)
    assert.equal("string", type(traceback))
    assert.equal(0, #seen)
  end)

  it("has that error also with a timeout, and when its text is 'timeout'", function()
    helper.run(function()
      local t = coev.after(0, function()
        coev.sleep(0.001)
        error("timeout", 0)
      end)
      local ok, err, traceback = t:join(5)
      assert.is_false(ok)
      assert.equal("timeout", err)
      assert.equal("string", type(traceback))
    end)
  end)

  it("works in the main chunk", function()
    local runs = 0
    local t = coev.every(0.0005, function()
      runs = runs + 1
      return runs < 3
    end)
    assert.same({ false, "timeout" }, { t:join(0) })
    assert.is_true(t:join())
    assert.equal(3, runs)
    t = coev.after(0, function()
      coev.sleep(0.0005)
      error("broken", 0)
    end)
    local ok, err = t:join()
    assert.same({ false, "broken" }, { ok, err })
  end)

  it("ends by a cancel, and the timer goes on", function()
    helper.run(function()
      local runs = 0
      local t = coev.every(0.001, function()
        runs = runs + 1
      end)
      local joiner = support.parked(t.join, t)
      joiner:cancel()
      support.assert_cancelled(joiner)
      await(function()
        return runs > 1
      end)
      t:stop()
      assert.is_true(t:join())
    end)
  end)

  it("ends by coev.timeout, while it is armed and while it runs", function()
    helper.run(function()
      local gate
      local t = coev.after(NEVER, function()
        gate = coev.current()
        coev.suspend()
      end)
      assert.same({ nil, "timeout" }, { coev.timeout(0.001, t.join, t) })
      t:start(0)
      await(function()
        return gate
      end)
      assert.same({ nil, "timeout" }, { coev.timeout(0.001, t.join, t) })
      gate:resume()
      assert.is_true(t:join())
    end)
  end)

  it("of a run that was cancelled has the cancelled error", function()
    helper.run(function()
      local gate
      local t = coev.every(0.0005, function()
        gate = coev.current()
        coev.suspend()
      end)
      await(function()
        return gate
      end)
      gate:cancel("enough")
      local ok, err = t:join()
      assert.is_false(ok)
      assert.is_true(coev.is_cancelled(err))
      assert.is_nil(t:due())
    end)
  end)
end)

describe("an error in a callback", function()
  it("comes to onerror once, stops its timer and no other", function()
    local others = 0
    local seen = support.unseen_errors(function()
      helper.run(function()
        local other = coev.every(0.0005, function()
          others = others + 1
        end)
        local runs = 0
        local t = coev.every(0.0005, function()
          runs = runs + 1
          error("broken", 0)
        end)
        await(function()
          return runs == 1
        end)
        local before = others
        await(function()
          return others > before + 3
        end)
        other:stop()
        assert.equal(1, runs)
        assert.is_nil(t:due())
      end)
    end)
    assert.same({ "broken" }, seen)
  end)

  it("leaves a timer that can be started again", function()
    support.unseen_errors(function()
      helper.run(function()
        local runs = 0
        local t = coev.every(0.0005, function()
          runs = runs + 1
          if runs == 1 then
            error("broken", 0)
          end
          return runs < 4
        end)
        await(function()
          return not t:due() and runs == 1
        end)
        t:start()
        assert.is_true(t:join())
        assert.equal(4, runs)
      end)
    end)
  end)

  it("leaves nothing behind of a stop or a start in the failed run", function()
    support.unseen_errors(function()
      helper.run(function()
        for _, method in ipairs({ "stop", "start" }) do
          local runs, t = 0, nil
          t = coev.every(0.001, function()
            runs = runs + 1
            if runs == 1 then
              t[method](t)
              error("broken", 0)
            end
            return runs < 4
          end)
          t:join()
          t:start()
          assert.is_true(t:join())
          assert.equal(4, runs)
        end
      end)
    end)
  end)

  it("is written to stderr by default", function()
    local result = child.run([[
      local coev = require "coev"
      coev.after(0, function() error("broken") end)
      local runs = 0
      coev.every(0.001, function() runs = runs + 1 return runs < 3 end)
      coev.run()
      print(runs)
    ]])
    assert.equal("3\n", result.stdout)
    assert.equal(0, result.status)
    assert.equal(1, select(2, result.stderr:gsub("broken", "")))
  end)
end)

describe("run", function()
  it("waits for started timers", function()
    child.assert_writes("f\n1\n2\n3\nend\n", [[
      local runs = 0
      coev.run(function()
        coev.every(0.001, function()
          runs = runs + 1
          print(runs)
          return runs < 3
        end)
        print("f")
      end)
      print("end")
    ]])
  end)

  it("waits for them where there is no task at all", function()
    child.assert_writes("once\n", [[
      coev.after(0.002, print, "once")
      coev.run()
    ]])
  end)

  it("does not wait for those that have been stopped, or never started", function()
    child.assert_writes("end\n", [[
      coev.timer.new(0.001, print)
      coev.every(3600, print):stop()
      coev.run(function() end)
      print("end")
    ]])
  end)

  it("does not wait for weakened ones, before or after their start", function()
    child.assert_writes("end\n", [[
      a = coev.every(3600, print):weaken()
      b = coev.timer.new(3600, print):weaken():start()
      coev.run(function() end)
      print("end")
    ]])
  end)

  it("fires weakened ones as long as it has something else to do", function()
    child.assert_writes("true\n", [[
      local ticks = 0
      t = coev.every(0.0005, function() ticks = ticks + 1 end):weaken()
      coev.run(function() coev.sleep(0.02) end)
      print(ticks > 1)
    ]])
  end)

  it("leaves them armed at a stop, and goes on with them", function()
    child.assert_writes("stopped\n1\n2\n", [[
      local runs = 0
      coev.every(0.003, function() runs = runs + 1 print(runs) return runs < 2 end)
      coev.spawn(coev.stop)
      coev.run()
      print("stopped")
      coev.run()
    ]])
  end)
end)

describe("weaken of a timer", function()
  it("answers the timer, which runs as long as its handle is held", function()
    helper.run(function()
      local runs = 0
      local t = timer.new(0.0005, function()
        runs = runs + 1
      end)
      assert.equal(t, t:weaken())
      t:start()
      collectgarbage()
      await(function()
        collectgarbage()
        return runs >= 3
      end)
      t:stop()
    end)
  end)

  it("ends it when its handle has been dropped", function()
    helper.run(function()
      local runs = 0
      local function make(delay)
        timer.new(0.0005, function()
          runs = runs + 1
        end):weaken():start(delay)
        coev.every(0.0005, function()
          runs = runs + 1
        end):weaken()
      end
      for _ = 1, 10 do
        make(0.001)
      end
      collectgarbage()
      collectgarbage()
      coev.sleep(0.004)
      assert.equal(0, runs)
    end)
  end)

  it("ends it after the run in progress, which holds it", function()
    helper.run(function()
      local runs, gate = 0, nil
      local t = coev.every(0.0005, function()
        runs = runs + 1
        gate = coev.current()
        coev.suspend()
      end):weaken()
      await(function()
        return gate
      end)
      assert.truthy(t)
      t = nil -- luacheck: ignore
      collectgarbage()
      gate:resume()
      gate:join()
      gate = nil
      collectgarbage()
      collectgarbage()
      coev.sleep(0.003)
      assert.is_true(runs <= 2)
      if gate then
        gate:resume()
      end
    end)
  end)

  it("leaves nothing with the loop when it has been collected", function()
    local before = coev.stats().timers
    local kept
    local function make()
      for i = 1, 100 do
        local t = coev.after(NEVER, nothing):weaken()
        -- The number that was noted before is no longer this one's.
        t:start(NEVER + i)
        t:interval(NEVER / 2)
        kept = t
      end
    end
    make()
    for _ = 1, 3 do
      collectgarbage()
      coev.step(0)
    end
    assert.equal(before + 1, coev.stats().timers)
    assert.is_true(kept:due() > 0)
    kept:stop()
    assert.equal(before, coev.stats().timers)
  end)

  it("lets nobody wait for one that has been collected", function()
    helper.run(function()
      for _ = 1, 10 do
        coev.every(0.001, nothing):weaken()
      end
      local other = coev.after(0.004, nothing)
      collectgarbage()
      collectgarbage()
      assert.is_true(other:join(5))
    end)
  end)
end)

describe("timers with bad input", function()
  local BAD = { "a string", false, {}, nothing }
  local OFF = { -1, 0 / 0, math.huge, -math.huge }

  -- Asserts that the call raises, and that the error names function and argument.
  local function refuses(name, position, f, ...)
    local ok, err = pcall(f, ...)
    assert.is_false(ok)
    assert.equal("string", type(err))
    assert.truthy(err:find(("bad argument #%d to '%s'"):format(position, name), 1, true), err)
  end

  it("refuse intervals and delays that are none", function()
    local t = timer.new(1, nothing)
    for _, list in ipairs({ BAD, OFF }) do
      for _, value in ipairs(list) do
        refuses("new", 1, timer.new, value, nothing)
        refuses("every", 1, coev.every, value, nothing)
        refuses("after", 1, coev.after, value, nothing)
        refuses("start", 1, t.start, t, value)
        refuses("interval", 1, t.interval, t, value)
      end
    end
    refuses("new", 1, timer.new, 0, nothing)
    refuses("every", 1, coev.every, 0, nothing)
    refuses("interval", 1, t.interval, t, 0)
    refuses("new", 1, timer.new)
    refuses("every", 1, coev.every)
    refuses("after", 1, coev.after)
    assert.is_nil(t:due())
    assert.equal(1, t:interval())
  end)

  it("refuse what is no function", function()
    for _, value in ipairs({ "a string", 1, {}, true }) do
      refuses("new", 2, timer.new, 1, value)
      refuses("every", 2, coev.every, 1, value)
      refuses("after", 2, coev.after, 1, value)
    end
    refuses("after", 2, coev.after, 1)
  end)

  it("refuse to join for a time that is none", function()
    local t = timer.new(1, nothing)
    for _, value in ipairs(BAD) do
      refuses("join", 1, t.join, t, value)
    end
  end)

  it("refuse what is no timer", function()
    local methods = getmetatable(timer.new(1, nothing)).__index
    for name, method in pairs(methods) do
      for _, value in ipairs({ "text", 1, {}, io.stdout }) do
        local ok, err = pcall(method, value, 1)
        assert.is_false(ok)
        assert.truthy(tostring(err):find("calling '" .. name .. "' on bad self", 1, true), err)
      end
    end
  end)

  it("take 2^31 seconds, and far more", function()
    for _, seconds in ipairs({ 2 ^ 31, 2 ^ 53, 1e18, 1e300 }) do
      local t = coev.after(seconds, nothing)
      assert.is_true(t:due() > seconds * 0.999)
      t:stop()
      t = coev.every(seconds, nothing)
      assert.equal(seconds, t:interval())
      assert.is_true(t:due() > seconds * 0.999)
      coev.step(0)
      t:stop()
    end
  end)

  it("take an interval that is too small to count, and go on", function()
    helper.run(function()
      for _, interval in ipairs({ 1e-9, 1e-12, 5e-324 }) do
        local runs, worst = 0, 0
        local t
        t = coev.every(interval, function()
          runs = runs + 1
          coev.yield()
          worst = math.max(worst, t:due())
          return runs < 100
        end)
        assert.equal(interval, t:interval())
        coev.yield()
        assert.is_true(t:join())
        assert.equal(100, runs)
        assert.is_true(worst < 0.001)
        -- Nor does it stand in the way of others.
        t:start()
        coev.sleep(0.001)
        t:stop()
      end
    end)
  end)

  it("bear fields that are not theirs", function()
    helper.run(function()
      for _, number in ipairs({ 0, -1, 1e9, 2 ^ 53, 1e300, 0 / 0, "1", true }) do
        local t = timer.new(1, nothing)
        t[2] = number
        pcall(t.stop, t)
        t[2] = number
        pcall(t.due, t)
        pcall(t.interval, t, 2)
        pcall(t.weaken, t)
        pcall(tostring, t)
        pcall(t.start, t)
        t:stop()
      end
    end)
  end)
end)

describe("ten thousand timers", function()
  it("all run", function()
    helper.run(function()
      local runs = 0
      for i = 1, 10000 do
        coev.after((i % 100) / 10000, function()
          runs = runs + 1
        end)
      end
      await(function()
        return runs == 10000
      end)
    end)
  end)

  it("can be stopped, all, before they run", function()
    helper.run(function()
      local runs, timers = 0, {}
      local before = coev.stats().timers
      for i = 1, 10000 do
        timers[i] = coev.after(NEVER + i % 7, function()
          runs = runs + 1
        end)
      end
      for i = 1, 10000 do
        timers[i]:stop()
      end
      assert.equal(before, coev.stats().timers)
      coev.yield()
      assert.equal(0, runs)
    end)
  end)
end)
