-- Tasks in the state that a spec wants them in, and what becomes of them.

local assert = require "luassert"
local coev = require "coev"
local helper = require "spec.helper"

local unpack = table.unpack or unpack
local tasks = {}

-- A task that has had its first turn, and is parked in `f`.
function tasks.parked(f, ...)
  local task = coev.spawn(f, ...)
  coev.yield()
  return task
end

-- Asserts that `task` ends by the cancelled error, and returns that error.
function tasks.assert_cancelled(task, reason)
  local ok, err, traceback = task:join()
  assert.is_false(ok)
  assert.is_true(coev.is_cancelled(err), tostring(err))
  assert.equal(reason or "cancelled", err.reason)
  assert.equal("string", type(traceback))
  assert.equal("cancelled", task:status())
  return err
end

-- Calls `f` while `handler` is what gets the errors that nobody joins.
function tasks.with_handler(handler, f)
  local previous = coev.onerror(handler)
  local ok, err = pcall(f)
  coev.onerror(previous)
  if not ok then
    error(err, 0)
  end
end

-- Calls `f`, and returns the errors that were reported meanwhile, since nobody joined.
function tasks.unseen_errors(f)
  local seen = {}
  tasks.with_handler(function(_, err)
    seen[#seen + 1] = err
  end, f)
  return seen
end

-- Runs `f` as a task beside another one, and returns its results. The other one must have gone on while `f` waited.
function tasks.beside_another(f)
  local ticks = 0
  local results = { helper.run(function()
    local going = true
    coev.spawn(function()
      while going do
        ticks = ticks + 1
        coev.sleep(0.0005)
      end
    end)
    local results = { f() }
    going = false
    return unpack(results)
  end) }
  assert.is_true(ticks > 1)
  return unpack(results)
end

return tasks
