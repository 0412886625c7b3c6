-- What the runtime asks of Lua itself. Called with the table of the natives, the mark that nested coroutines yield, and
-- the metatable of cancelled errors. Answers what `Library` keeps.
local natives, PASS, Cancelled = ...
local tostring, type, pcall, setmetatable, stderr = tostring, type, pcall, setmetatable, io and io.stderr
local close = rawget(coroutine, "close") -- 5.4 and later
local NONE = {}

natives.PASS = PASS

-- The errors that end the waits of a task before their time.
Cancelled.__index = Cancelled
function Cancelled.__tostring(err)
  if err.reason == "cancelled" then return "cancelled" end
  return "cancelled: " .. tostring(err.reason)
end
natives.Cancelled = Cancelled

-- The error that the running task's waits raise now: the cancel's own, or one for the scope whose time is over.
local function alarm()
  local verdict, slot = natives.verdict()
  if verdict == "cancelled" then
    local belongings = natives.belongings[slot]
    return belongings and belongings.cancelled or setmetatable({ reason = "cancelled" }, Cancelled)
  end
  return setmetatable({ reason = "timeout", scope = verdict }, Cancelled)
end
natives.alarm = alarm

-- The text of any error value, also of one whose __tostring fails.
local function describe(err)
  if type(err) == "string" then return err end
  if err ~= nil then
    local ok, text = pcall(tostring, err)
    if ok and type(text) == "string" then return text end
  end
  return "(error object is a " .. type(err) .. " value)"
end
natives.describe = describe

-- Tells the user, on stderr, of something that failed.
local function complain(label, err, traceback)
  if not stderr then return end
  stderr:write("coev: ", label, " failed: ", describe(err), "\n", traceback and traceback .. "\n" or "")
end
natives.complain = complain

-- Errors that wait to be raised by `run` or `step`, the oldest first, after `onerror("raise")`.
local waiting = { first = 1, last = 0 }

-- A task has failed and nobody has joined it. Answers whether an error waits to be raised.
local function report(task, err, traceback)
  local handler = natives.onerror
  if handler == "raise" then
    waiting.last = waiting.last + 1
    waiting[waiting.last] = { err }
    return true
  end
  if handler then
    local ok, problem = pcall(handler, task, err, traceback)
    if not ok then complain("the onerror function", problem) end
  else
    complain(task and tostring(task) or "a task", err, traceback)
  end
  return false
end

-- The oldest error that waits to be raised, and whether there was one.
local function next_error()
  local entry = waiting[waiting.first]
  if not entry then return nil, false end
  waiting[waiting.first] = nil
  waiting.first = waiting.first + 1
  return entry[1], true
end

-- The error that `run` raises: text gets the traceback of its task, any other value stays what it is.
local function join_error(err, traceback)
  if type(err) == "string" and traceback then return err .. "\n" .. traceback end
  return err
end

-- Calls a function from Lua.
local function call(f, ...)
  return f(...)
end

-- Does nothing: a hook that is pending gets its chance.
local function idle() end

-- Closes the variables that the coroutine of a failed task has left; answers the error with which it ends then: one of
-- theirs takes the place of its own.
local function close_variables(co, _, ...)
  local _, err = close(co)
  return err, ...
end

-- Calls what a task has deferred, last in, first out, when its function has ended, or its coroutine has `failed`;
-- answers how the task ends.
local epilogue
function epilogue(slot, ok, failed, ...)
  if failed then return epilogue(slot, ok, nil, close_variables(failed, ...)) end
  local belongings = natives.belongings[slot]
  local defers = belongings and belongings.defers or NONE
  local problem, traceback
  while #defers > 0 do
    local f = defers[#defers]
    defers[#defers] = nil
    local fine, failure = natives.traced(f)
    if not fine then
      local err, place = natives.failure(failure)
      if ok and not failed then
        failed, problem, traceback = true, err, place
      elseif not natives.is_cancelled(err) then
        report(natives.current(), err, place)
      end
    end
  end
  if failed then return false, problem, traceback end
  return ok, ...
end
natives.epilogue = epilogue

-- Gives a new task what it has from the start, after `natives.endow_tasks(true)`.
local function endow(task)
  natives.endow(task)
end

-- Sees to the timers that are due.
local function fire()
  natives.fire()
end

-- Waits until `fd` is readable or the time is over, as `coev.poller` was told.
local function wait_outside(fd, timeout)
  natives.poller(fd, timeout)
end

-- A weak task has ended.
local function hand_over(slot, task)
  natives.hand_over(slot, task)
end

-- The run of a timer has ended with its task.
local function run_ended(number, failed, err, traceback)
  return natives.run_ended(number, failed, err, traceback)
end

-- Calls those who watch a mutex or one of its friends, by its name.
local function tell(name)
  natives.tell(name)
end

-- Calls those who watch a task, which has ended; answers whether there are any.
local function tell_of_end(slot)
  return natives.tell_of_end(slot)
end

-- What the functions of coev.supervisor cannot do from Rust.
local function make_list(...) return natives.make_list(...) end
local function wait_elsewhere(...) return natives.wait_elsewhere(...) end
local function nobody_waits(...) return natives.nobody_waits(...) end

-- Tells how this thread has ended.
local function conclude(...)
  natives.conclude(...)
end

-- Sees to what this thread has been asked for.
local function heed()
  natives.heed()
end

-- This thread shall end: raises in the running code.
local function interrupted()
  natives.interrupted()
end

-- What the copying of values asks: `natives.cross` has the answers.
local function cross(what, about)
  return natives.cross[what](about)
end

return report, join_error, call, idle, alarm, epilogue, next_error, endow, tell, fire, wait_outside, hand_over,
  make_list, wait_elsewhere, nobody_waits, run_ended, tell_of_end, conclude, heed, interrupted, cross
