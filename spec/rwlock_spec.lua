local coev = require "coev"
local helper = require "spec.helper"
local schedule = require "spec.support.schedule"

local function refused(message, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(message, 1, true), tostring(err))
end

describe("an rwlock", function()
  it("has many readers or one writer, in the order of asking", function()
    helper.run(function()
      local lock, log = coev.rwlock.new(), {}
      local function use(name, mode)
        coev.spawn(function()
          assert.is_true(lock[mode](lock))
          log[#log + 1] = "+" .. name
          coev.yield()
          coev.yield()
          log[#log + 1] = "-" .. name
          lock:unlock()
        end)
      end
      use("r1", "read")
      use("r2", "read")
      use("w1", "write")
      use("r3", "read")
      use("r4", "read")
      use("w2", "write")
      for _ = 1, 100 do coev.yield() end
      assert.equal("+r1 +r2 -r1 -r2 +w1 -w1 +r3 +r4 -r3 -r4 +w2 -w2", table.concat(log, " "))
    end)
  end)

  it("does not let readers overtake a writer for ever", function()
    helper.run(function()
      local lock, stop = coev.rwlock.new(), false
      for _ = 1, 3 do
        coev.spawn(function()
          while not stop do
            lock:read()
            coev.yield()
            lock:unlock()
          end
        end)
      end
      coev.yield()
      assert.is_true(lock:write())
      stop = true
      lock:unlock()
    end)
  end)

  it("lets readers go on when the writer before them gives up", function()
    helper.run(function()
      local lock = coev.rwlock.new()
      lock:read()
      local writer = coev.spawn(function() lock:write() end)
      local timed = coev.spawn(function() return lock:write(0.001) end)
      local reader = coev.spawn(function()
        lock:read()
        lock:unlock()
        return "read"
      end)
      coev.yield()
      writer:cancel()
      assert.same({ true, "read" }, { reader:join() })
      assert.same({ true, nil, "timeout" }, { timed:join() })
      lock:unlock()
    end)
  end)

  it("is given back by a task that ends", function()
    helper.run(function()
      local lock = coev.rwlock.new()
      coev.spawn(function() lock:read() end):join()
      assert.same({ true }, { lock:write() })
      lock:unlock()
      coev.spawn(function() lock:write() end):join()
      assert.same({ true, "abandoned" }, { lock:write() })
      lock:unlock()
      assert.same({ true }, { lock:read(0) })
      lock:unlock()
    end)
  end)

  it("is passed on when its new owner is cancelled before its turn", function()
    helper.run(function()
      local lock = coev.rwlock.new()
      lock:write()
      local first = coev.spawn(function() lock:write() end)
      local second = coev.spawn(function() return lock:read() end)
      coev.yield()
      lock:unlock()
      first:cancel()
      assert.same({ true, true }, { second:join() })
    end)
  end)

  it("works outside of tasks, and says what it is", function()
    local lock = coev.rwlock.new()
    assert.truthy(tostring(lock):find("^coev%.rwlock: %w+ %(free%)$"))
    lock:read()
    assert.truthy(tostring(lock):find("(read by 1 task)", 1, true))
    lock:unlock()
    local task = coev.spawn(function()
      lock:write()
      coev.sleep(0.001)
      lock:unlock()
    end)
    task:name("the writer")
    coev.step()
    assert.truthy(tostring(lock):find("(written by the writer)", 1, true))
    assert.same({ nil, "timeout" }, { lock:read(0) })
    assert.is_true(lock:read())
    local writer = coev.spawn(lock.write, lock)
    coev.step()
    assert.truthy(writer:waiting():find("^write lock of rwlock %w+$"))
    lock:unlock()
    writer:join()
  end)

  it("refuses what makes no sense", function()
    local lock = coev.rwlock.new()
    refused("'unlock': the caller has not locked the rwlock", lock.unlock, lock)
    lock:read()
    refused("'read': the rwlock is locked by this very task already", lock.read, lock)
    refused("'write': the rwlock is locked by this very task already", lock.write, lock)
    lock:unlock()
    refused("bad argument #1 to 'write' (number expected, got string)", lock.write, lock, "x")
    for _, name in ipairs({ "read", "write", "unlock" }) do
      refused("calling '" .. name .. "' on bad self", lock[name], {})
    end
  end)

  it("keeps its promises in random schedules", function()
    helper.run(function()
      for seed = 1, 60 do
        local lock, readers, writers = coev.rwlock.new(), 0, 0
        schedule.run(seed, 6, seed % 4, function(random)
          for _ = 1, 12 do
            schedule.pause(random)
            if random(3) == 1 then
              if lock:write(schedule.timeout(random)) then
                writers = writers + 1
                assert.same({ 0, 1 }, { readers, writers })
                coev.pcall(schedule.pause, random)
                writers = writers - 1
                lock:unlock()
              end
            elseif lock:read(schedule.timeout(random)) then
              readers = readers + 1
              assert.equal(0, writers)
              coev.pcall(schedule.pause, random)
              readers = readers - 1
              lock:unlock()
            end
          end
        end, function() end)
        assert.same({ 0, 0 }, { readers, writers })
        assert.truthy(tostring(lock):find("(free)", 1, true))
      end
    end)
  end)
end)
