local coev = require "coev"
local helper = require "spec.helper"
local schedule = require "spec.support.schedule"

local function refused(message, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(message, 1, true), tostring(err))
end

describe("an event", function()
  it("lets all go on once it is set, with its value", function()
    helper.run(function()
      local event, got = coev.event.new(), {}
      for i = 1, 3 do
        coev.spawn(function() got[i] = event:wait() end)
      end
      coev.yield()
      assert.is_false(event:is_set())
      event:set("value")
      coev.yield()
      assert.same({ "value", "value", "value" }, got)
      assert.is_true(event:is_set())
      assert.equal("value", event:wait())
      event:clear()
      assert.is_false(event:is_set())
      assert.same({ nil, "timeout" }, { event:wait(0) })
      assert.same({ nil, "timeout" }, { event:wait(0.0005) })
      event:set()
      assert.is_true(event:wait())
      event:set(false)
      assert.is_false(event:wait())
    end)
  end)

  it("is set from the start when made so", function()
    assert.is_true(coev.event.new(true):wait())
    assert.equal("ready", coev.event.new("ready"):wait())
    assert.is_false(coev.event.new(false):is_set())
  end)

  it("has been there for who was woken, also when it is cleared before their turn", function()
    helper.run(function()
      local event = coev.event.new()
      local task = coev.spawn(event.wait, event)
      coev.yield()
      event:set("short")
      event:clear()
      assert.same({ true, "short" }, { task:join() })
    end)
  end)

  it("works outside of tasks, and says what it is", function()
    local event = coev.event.new()
    local task = coev.spawn(event.wait, event)
    coev.step()
    assert.truthy(task:waiting():find("^wait for event %w+$"))
    assert.truthy(tostring(event):find("^coev%.event: %w+ %(not set, 1 task waits%)$"))
    coev.spawn(event.set, event, 7)
    assert.equal(7, event:wait())
    assert.truthy(tostring(event):find("(set)", 1, true))
    coev.run()
  end)

  it("refuses what makes no sense", function()
    local event = coev.event.new()
    refused("bad argument #1 to 'wait' (number expected, got string)", event.wait, event, "x")
    for _, name in ipairs({ "wait", "set", "clear", "is_set" }) do
      refused("calling '" .. name .. "' on bad self", event[name], {})
    end
  end)

  it("keeps its promises in random schedules", function()
    helper.run(function()
      for seed = 1, 40 do
        local event, value = coev.event.new(), nil
        schedule.run(seed, 6, seed % 4, function(random, i)
          for round = 1, 10 do
            schedule.pause(random)
            if i == 1 then
              value = round
              event:set(round)
            elseif i == 2 then
              value = nil
              event:clear()
            else
              local before = value
              local got = event:wait(schedule.timeout(random) or 0.0005)
              if before then
                assert.equal(before, got)
              end
            end
          end
        end, function()
          assert.equal(value ~= nil, event:is_set())
        end)
        event:set()
        assert.truthy(tostring(event):find("(set)", 1, true))
      end
    end)
  end)
end)
