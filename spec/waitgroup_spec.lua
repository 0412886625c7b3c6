local coev = require "coev"
local helper = require "spec.helper"
local schedule = require "spec.support.schedule"

local function refused(message, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(message, 1, true), tostring(err))
end

describe("a waitgroup", function()
  it("lets all go on when everything is done", function()
    helper.run(function()
      local group, done = coev.waitgroup.new(), 0
      assert.is_true(group:wait())
      for i = 1, 4 do
        group:add()
        coev.spawn(function()
          for _ = 1, i do
            coev.yield()
          end
          done = done + 1
          group:done()
        end)
      end
      local other = coev.spawn(group.wait, group)
      assert.is_true(group:wait())
      assert.equal(4, done)
      assert.same({ true, true }, { other:join() })
    end)
  end)

  it("waits no longer than the timeout", function()
    helper.run(function()
      local group = coev.waitgroup.new(2)
      assert.same({ nil, "timeout" }, { group:wait(0) })
      assert.same({ nil, "timeout" }, { group:wait(0.0005) })
      group:add(-2)
      assert.is_true(group:wait(0))
    end)
  end)

  it("works outside of tasks, and says what it is", function()
    local group = coev.waitgroup.new(1)
    local task = coev.spawn(group.wait, group)
    coev.step()
    assert.truthy(task:waiting():find("^wait for waitgroup %w+$"))
    assert.truthy(tostring(group):find("^coev%.waitgroup: %w+ %(1 to be done, 1 task waits%)$"))
    coev.spawn(group.done, group)
    assert.is_true(group:wait())
    coev.run()
  end)

  it("refuses what makes no sense", function()
    local group = coev.waitgroup.new()
    refused("'done': the count of the waitgroup would be less than 0", group.done, group)
    refused("'add': the count of the waitgroup would be less than 0", group.add, group, -1)
    refused("bad argument #1 to 'add' (number expected, got string)", group.add, group, "x")
    refused("bad argument #1 to 'add' (number has no integer representation)", group.add, group, 0.5)
    refused("bad argument #1 to 'new' (-1 is less than 0)", coev.waitgroup.new, -1)
    refused("bad argument #1 to 'wait' (number expected, got table)", group.wait, group, {})
    for _, name in ipairs({ "add", "done", "wait" }) do
      refused("calling '" .. name .. "' on bad self", group[name], {})
    end
  end)

  it("keeps its promises in random schedules", function()
    helper.run(function()
      for seed = 1, 40 do
        local group, open = coev.waitgroup.new(), 0
        schedule.run(seed, 6, seed % 4, function(random, i)
          for _ = 1, 10 do
            schedule.pause(random)
            if i % 2 == 0 then
              group:add()
              open = open + 1
              coev.pcall(schedule.pause, random)
              open = open - 1
              group:done()
            elseif group:wait(0) then
              assert.equal(0, open)
            else
              assert.is_true(open > 0)
              group:wait(schedule.timeout(random))
            end
          end
        end, function() end)
        assert.equal(0, open)
        assert.is_true(group:wait(0))
      end
    end)
  end)
end)
