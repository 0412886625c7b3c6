local coev = require "coev"
local helper = require "spec.helper"
local schedule = require "spec.support.schedule"

local function refused(message, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(message, 1, true), tostring(err))
end

describe("a semaphore", function()
  it("lets in as many as it has permits", function()
    helper.run(function()
      local semaphore, inside, most = coev.semaphore.new(2), 0, 0
      for _ = 1, 6 do
        coev.spawn(function()
          assert.is_true(semaphore:acquire())
          inside = inside + 1
          most = math.max(most, inside)
          coev.yield()
          inside = inside - 1
          semaphore:release()
        end)
      end
      for _ = 1, 100 do coev.yield() end
      assert.equal(2, most)
      assert.equal(2, semaphore:count())
    end)
  end)

  it("serves in order: nobody who needs few overtakes one who needs many", function()
    helper.run(function()
      local semaphore, log = coev.semaphore.new(1), {}
      for i, n in ipairs({ 3, 1, 2 }) do
        coev.spawn(function()
          semaphore:acquire(n)
          log[#log + 1] = i
        end)
      end
      coev.yield()
      assert.equal(1, semaphore:count())
      assert.is_false(semaphore:try_acquire())
      semaphore:release(2)
      coev.yield()
      assert.same({ 1 }, log)
      semaphore:release(3)
      coev.yield()
      assert.same({ 1, 2, 3 }, log)
      assert.equal(0, semaphore:count())
    end)
  end)

  it("lets those behind go on when one that needs many gives up", function()
    helper.run(function()
      local semaphore = coev.semaphore.new(1)
      local big = coev.spawn(function() semaphore:acquire(5) end)
      local timed = coev.spawn(function() return semaphore:acquire(7, 0.001) end)
      local small = coev.spawn(function() return semaphore:acquire() end)
      coev.yield()
      big:cancel()
      assert.same({ true, true }, { small:join() })
      assert.same({ true, nil, "timeout" }, { timed:join() })
    end)
  end)

  it("gets back what was given to a task that is cancelled before its turn", function()
    helper.run(function()
      local semaphore = coev.semaphore.new(0)
      local first = coev.spawn(function() semaphore:acquire(2) end)
      local second = coev.spawn(function() return semaphore:acquire(1) end)
      coev.yield()
      semaphore:release(2)
      first:cancel()
      assert.same({ true, true }, { second:join() })
      assert.equal(1, semaphore:count())
    end)
  end)

  it("waits no longer than the timeout", function()
    helper.run(function()
      local semaphore = coev.semaphore.new(0)
      assert.same({ nil, "timeout" }, { semaphore:acquire(1, 0) })
      assert.same({ nil, "timeout" }, { semaphore:acquire(nil, -1) })
      assert.same({ nil, "timeout" }, { semaphore:acquire(1, 0.001) })
      semaphore:release()
      assert.is_true(semaphore:try_acquire())
      assert.is_false(semaphore:try_acquire())
    end)
  end)

  it("works outside of tasks", function()
    local semaphore = coev.semaphore.new(0)
    coev.spawn(function()
      coev.yield()
      semaphore:release()
    end)
    assert.is_true(semaphore:acquire())
    assert.same({ nil, "timeout" }, { semaphore:acquire(1, 0.0001) })
    assert.equal(0, semaphore:count())
  end)

  it("says what it is", function()
    helper.run(function()
      local semaphore = coev.semaphore.new(1)
      assert.truthy(tostring(semaphore):find("^coev%.semaphore: %w+ %(1 free%)$"))
      local task = coev.spawn(function() semaphore:acquire(2) end)
      coev.yield()
      assert.truthy(tostring(semaphore):find("(1 free, 1 task waits)", 1, true))
      assert.truthy(task:waiting():find("^acquire of semaphore %w+$"))
      task:cancel()
    end)
  end)

  it("refuses what makes no sense", function()
    local semaphore = coev.semaphore.new(1)
    refused("bad argument #1 to 'new' (number expected, got no value)", coev.semaphore.new)
    refused("bad argument #1 to 'new' (-1 is less than 0)", coev.semaphore.new, -1)
    refused("bad argument #1 to 'acquire' (0 is less than 1)", semaphore.acquire, semaphore, 0)
    refused("bad argument #1 to 'acquire' (number has no integer representation)", semaphore.acquire, semaphore, 1.5)
    refused("bad argument #2 to 'acquire' (number expected, got table)", semaphore.acquire, semaphore, 1, {})
    refused("bad argument #1 to 'release' (number expected, got string)", semaphore.release, semaphore, "x")
    refused("bad argument #1 to 'try_acquire' (-2 is less than 1)", semaphore.try_acquire, semaphore, -2)
    for _, name in ipairs({ "acquire", "try_acquire", "release", "count" }) do
      refused("calling '" .. name .. "' on bad self", semaphore[name], {})
    end
  end)

  it("keeps its promises in random schedules", function()
    helper.run(function()
      for seed = 1, 60 do
        local semaphore, out = coev.semaphore.new(3), 0
        schedule.run(seed, 6, seed % 4, function(random)
          for _ = 1, 12 do
            schedule.pause(random)
            local n = random(3)
            local ok
            if random(5) == 1 then
              ok = semaphore:try_acquire(n)
            else
              ok = semaphore:acquire(n, schedule.timeout(random))
            end
            if ok then
              out = out + n
              assert.is_true(out <= 3)
              coev.pcall(schedule.pause, random)
              out = out - n
              semaphore:release(n)
            end
          end
        end, function()
          assert.is_true(out + semaphore:count() <= 3)
        end)
        assert.equal(0, out)
        assert.equal(3, semaphore:count())
      end
    end)
  end)
end)
