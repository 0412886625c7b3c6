local coev = require "coev"
local helper = require "spec.helper"
local schedule = require "spec.support.schedule"

local function refused(message, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(message, 1, true), tostring(err))
end

describe("a barrier", function()
  it("lets all go on when the last one has come, round after round, and tells one of them", function()
    helper.run(function()
      local barrier, log, leaders = coev.barrier.new(3), {}, {}
      for i = 1, 3 do
        coev.spawn(function()
          for round = 1, 4 do
            for _ = 1, i do
              coev.yield()
            end
            log[#log + 1] = round
            if barrier:wait() then
              leaders[round] = (leaders[round] or 0) + 1
            end
          end
        end)
      end
      for _ = 1, 100 do coev.yield() end
      assert.same({ 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4 }, log)
      assert.same({ 1, 1, 1, 1 }, leaders)
    end)
  end)

  it("forgets who gives up", function()
    helper.run(function()
      local barrier = coev.barrier.new(2)
      assert.same({ nil, "timeout" }, { barrier:wait(0) })
      assert.same({ nil, "timeout" }, { barrier:wait(0.0005) })
      local task = coev.spawn(barrier.wait, barrier)
      coev.yield()
      task:cancel()
      coev.yield()
      local other = coev.spawn(barrier.wait, barrier)
      coev.yield()
      assert.equal("waiting", other:status())
      assert.is_true(barrier:wait())
      assert.same({ true, false }, { other:join() })
    end)
  end)

  it("works outside of tasks, says what it is, and refuses what makes no sense", function()
    local barrier = coev.barrier.new(2)
    local task = coev.spawn(barrier.wait, barrier)
    coev.step()
    assert.truthy(task:waiting():find("^wait at barrier %w+$"))
    assert.truthy(tostring(barrier):find("(1 of 2 have come, 1 task waits)", 1, true))
    assert.is_true(barrier:wait())
    coev.spawn(barrier.wait, barrier)
    assert.is_false(barrier:wait())
    coev.run()
    refused("bad argument #1 to 'new' (0 is less than 1)", coev.barrier.new, 0)
    refused("bad argument #1 to 'new' (number expected, got no value)", coev.barrier.new)
    refused("bad argument #1 to 'wait' (number expected, got string)", barrier.wait, barrier, "x")
    refused("calling 'wait' on bad self", barrier.wait, {})
  end)

  it("keeps its promises in random schedules", function()
    helper.run(function()
      for seed = 1, 40 do
        local barrier, rounds, leaders = coev.barrier.new(4), {}, 0
        schedule.run(seed, 4, 0, function(random, i)
          rounds[i] = 0
          for _ = 1, 10 do
            schedule.pause(random)
            local leads, err = nil, "timeout"
            while err == "timeout" do
              leads, err = barrier:wait(schedule.timeout(random))
            end
            rounds[i] = rounds[i] + 1
            leaders = leaders + (leads and 1 or 0)
          end
        end, function()
          local least, most = math.huge, 0
          for i = 1, 4 do
            least, most = math.min(least, rounds[i] or 0), math.max(most, rounds[i] or 0)
          end
          assert.is_true(most - least <= 1)
        end)
        assert.equal(10, leaders)
      end
    end)
  end)
end)
