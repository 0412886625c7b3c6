-- The life of a task, in Lua: cancel, deadlines, groups, what runs at the end. Called with coev's table and the
-- natives.
local coev, natives = ...
local error, type, select, tostring, setmetatable, getmetatable, pairs, next =
  error, type, select, tostring, setmetatable, getmetatable, pairs, next
local unpack = table.unpack or unpack
local random, huge = math.random, math.huge
local belongings, Cancelled, task_methods = natives.belongings, natives.Cancelled, natives.task_methods
local enter_deadline, leave, expire = natives.enter_deadline, natives.leave, natives.expire
local slot_of, current = natives.slot, coev.current

natives.current = current

-- What coev.spawn is, whatever a script puts in its place.
local spawn_task = coev.spawn

local function pack(...)
  return { n = select("#", ...), ... }
end

-- Raises for an argument that is not of the type that the function takes.
local function check(value, expected, position, name)
  if type(value) ~= expected then
    local got = value == nil and "no value" or type(value)
    error(("bad argument #%d to '%s' (%s expected, got %s)"):format(position, name, expected, got), 3)
  end
  return value
end
natives.check = check

-- What Lua keeps for a task, under its key; made when first needed.
local function belongings_at(slot)
  local own = belongings[slot]
  if not own then
    own = {}
    belongings[slot] = own
  end
  return own
end

-- Notes the frames of a coroutine inside the running task's own that has failed, the innermost first.
function natives.note_inner(err, traceback)
  local slot = slot_of()
  if not slot then return end
  local own = belongings_at(slot)
  if own.inner_error == err and err ~= nil then traceback = own.inner_traceback .. "\n" .. traceback end
  own.inner_error, own.inner_traceback = err, traceback
end

-- The error of the running task's own cancel.
function natives.own_cancel()
  local own = belongings[slot_of() or 0]
  return own and own.cancelled
end

-- Raises where a method is called with something else than a task.
local function check_task(task, name)
  if getmetatable(task) ~= natives.task_class then
    error(("calling '%s' on bad self (task expected, got %s)"):format(name, type(task)), 3)
  end
end

local function is_cancelled(err)
  return type(err) == "table" and getmetatable(err) == Cancelled
end
natives.is_cancelled = is_cancelled
coev.is_cancelled = is_cancelled

-- Cancel -------------------------------------------------------------------

function task_methods.cancel(task, reason)
  local slot, news = natives.cancel(task)
  if not slot then return false end
  if news then
    if reason == nil then reason = "cancelled" end
    belongings_at(slot).cancelled = setmetatable({ reason = reason }, Cancelled)
  end
  return true
end

function task_methods.weaken(task)
  check_task(task, "weaken")
  local slot = slot_of(task)
  if slot then
    belongings_at(slot).dropped = setmetatable({ reason = "collected" }, Cancelled)
    natives.weaken(task)
  end
  return task
end

-- Raises what has ended the waits of the running task.
local function raise_cancel()
  local own = belongings[slot_of() or 0]
  error(own and own.cancelled or setmetatable({ reason = "cancelled" }, Cancelled), 0)
end

local function unshield(scope, ok, ...)
  local due = leave(scope)
  if not ok then error((...), 0) end
  if due then raise_cancel() end
  return ...
end

function coev.shield(f, ...)
  check(f, "function", 1, "shield")
  return unshield(natives.enter_shield(), natives.pcall(f, ...))
end

function coev.defer(f)
  check(f, "function", 1, "defer")
  local slot = slot_of()
  if not slot then error("coev.defer called outside a task", 2) end
  local own = belongings_at(slot)
  if not own.defers then
    own.defers = {}
    natives.defer()
  end
  own.defers[#own.defers + 1] = f
end

-- Deadlines ----------------------------------------------------------------

local function untimed(scope, ok, ...)
  leave(scope)
  if ok then return ... end
  local err = ...
  if is_cancelled(err) and err.scope == scope then return nil, "timeout" end
  error(err, 0)
end

function coev.timeout(seconds, f, ...)
  if type(seconds) ~= "number" then check(seconds, "number", 1, "timeout") end
  if seconds ~= seconds then error("bad argument #1 to 'timeout' (time is not a number)", 2) end
  if type(f) ~= "function" then check(f, "function", 2, "timeout") end
  return untimed(enter_deadline(seconds), natives.pcall(f, ...))
end

local join = task_methods.join

-- Waits for the end of the weak task at `slot`, without a hold of its handle: at its end that is put into the box.
local function join_weak(slot, timeout)
  local own = belongings_at(slot)
  local box = { joiner = current() }
  own.boxes = own.boxes or {}
  own.boxes[box] = true
  local ok, err
  if timeout == nil then
    ok, err = natives.pcall(natives.await_word, slot)
  else
    ok, err = natives.pcall(coev.timeout, timeout, natives.await_word, slot)
  end
  if own.boxes then own.boxes[box] = nil end
  if not ok then error(err, 0) end
  if not box.task then return false, "timeout" end
  return join(box.task, 0)
end

-- A weak task has ended: those who wait for it get its handle, and their turn.
function natives.hand_over(slot, task)
  local own = belongings[slot]
  local boxes = own and own.boxes
  if not boxes then return end
  own.boxes = nil
  for box in pairs(boxes) do
    box.task = task
    natives.poke(box.joiner)
  end
end

-- The key of a weak task, where that can be joined without a hold of its handle.
local function joined_weakly(task, timeout)
  local slot = natives.weak_slot(task)
  local running = slot and current()
  return running and running ~= task and (timeout == nil or type(timeout) == "number" and timeout == timeout) and slot
end

function task_methods.join(task, timeout)
  local slot = joined_weakly(task, timeout)
  if slot then
    if timeout == nil then natives.adopt(task) end
    task = nil -- luacheck: ignore
    return join_weak(slot, timeout)
  end
  return join(task, timeout)
end

local function awaited(ok, ...)
  if ok then return ... end
  error((...), 0)
end

function task_methods.await(task, timeout)
  check_task(task, "await")
  if timeout ~= nil then
    check(timeout, "number", 1, "await")
    if timeout ~= timeout then error("bad argument #1 to 'await' (time is not a number)", 2) end
  end
  local slot = joined_weakly(task, timeout)
  if slot then
    natives.adopt(task)
    task = nil -- luacheck: ignore
    return awaited(join_weak(slot, timeout))
  end
  return awaited(join(task, timeout))
end

-- Suspension ---------------------------------------------------------------

local suspend_raw = natives.suspend

function coev.suspend()
  local slot = natives.peek()
  if not slot then error("coev.suspend called outside a task", 2) end
  local own = belongings[slot]
  -- A cancel may have come between an earlier resume and its turn.
  if own then own.resumed = nil end
  suspend_raw()
  own = belongings[slot]
  local values = own and own.resumed
  if not values then return end
  own.resumed = nil
  return unpack(values, 1, values.n)
end

function task_methods.resume(task, ...)
  if not natives.resume(task) then return nil, "not suspended" end
  if select("#", ...) > 0 then belongings_at(slot_of(task)).resumed = pack(...) end
  return true
end

-- Groups -------------------------------------------------------------------

local Group = {}
Group.__index = Group

-- Ends the scope that the group's function runs in, and the children.
local function cancel_group(group)
  if group.scope then expire(group.scope, group.owner) end
  for child in pairs(group.children) do
    child:cancel(group.reason)
  end
end

-- Notes how a member has ended; the first error ends the others.
local function note_error(group, err, traceback)
  group.failures[#group.failures + 1] = err
  if not group.failed then
    group.failed, group.error, group.traceback = true, err, traceback
    cancel_group(group)
  end
end

-- A child's last act: the group learns how it ended.
local function child_ended(group, ok, ...)
  local self = current()
  group.children[self] = nil
  if not ok then
    local err, traceback = ...
    if not is_cancelled(err) or err ~= natives.own_cancel() then note_error(group, err, traceback) end
    if traceback then natives.note_inner(err, traceback) end
    natives.adopt(self)
    error(err, 0)
  end
  return ...
end

-- Runs what the child has deferred: it is of the child, and its errors are the group's.
local function run_defers(ok, ...)
  local slot = slot_of()
  local own = belongings[slot]
  local defers = own and own.defers
  if ok then
    if defers then return natives.epilogue(slot, true, nil, ...) end
    return true, ...
  end
  local err, traceback = natives.failure(...)
  if defers then return natives.epilogue(slot, false, nil, err, traceback) end
  return false, err, traceback
end

local function run_child(group, f, ...)
  return child_ended(group, run_defers(natives.traced(f, ...)))
end

function Group.spawn(group, f, ...)
  check(f, "function", 1, "spawn")
  if group.over then error("the group has ended", 2) end
  local child = spawn_task(run_child, group, f, ...)
  group.children[child] = true
  -- One that never runs never tells: its end is seen by a task that joins it.
  if group.failed or group.cancelled then child:cancel(group.reason) end
  return child
end

function Group.cancel(group, reason)
  if group.over then return false end
  if not group.cancelled then
    group.cancelled, group.reason = true, reason == nil and "cancelled" or reason
    cancel_group(group)
  end
  return true
end

function Group.errors(group)
  local copy = {}
  for i, err in ipairs(group.failures) do
    copy[i] = err
  end
  return copy
end

-- Waits until all children have ended.
local function await_children(group)
  local child = next(group.children)
  while child do
    local ok, err, traceback = child:join()
    -- One that was cancelled before its first turn, or dropped, has ended without a word.
    if group.children[child] then
      group.children[child] = nil
      if not ok and not is_cancelled(err) then note_error(group, err, traceback) end
    end
    child = next(group.children)
  end
end

-- Ends the group: its children first, then what shall come out of it.
local function end_group(group, ok, ...)
  local err, traceback
  if not ok then
    err, traceback = natives.failure(...)
    local own = is_cancelled(err) and err.scope == group.scope
    if own then
      err = nil
    elseif is_cancelled(err) then
      -- The parent is being ended from outside: so are the children.
      group.reason = err.reason
      for child in pairs(group.children) do
        child:cancel(err.reason)
      end
    else
      note_error(group, err, traceback)
      err = nil
    end
  end
  if err == nil and next(group.children) then
    -- While the parent waits here, its own cancel and deadlines still reach it, and through it the children.
    local fine, problem = natives.pcall(await_children, group)
    if not fine and is_cancelled(problem) and problem.scope ~= group.scope then
      err = problem
      for child in pairs(group.children) do
        child:cancel(problem.reason)
      end
    end
  end
  local scope = group.scope
  group.scope = nil
  leave(scope)
  if next(group.children) then coev.shield(await_children, group) end
  group.over = true
  if group.failed then
    local problem = group.error
    if type(problem) == "string" and group.traceback then problem = problem .. "\n" .. group.traceback end
    error(problem, 0)
  end
  if err ~= nil then error(err, 0) end
  if group.cancelled then return nil, group.reason end
  return ...
end

function coev.group(f)
  check(f, "function", 1, "group")
  local owner = current()
  if not owner then
    -- Outside of tasks the group gets one, so that there is somebody to wait.
    return spawn_task(coev.group, f):await()
  end
  local group = setmetatable({ owner = owner, children = {}, failures = {} }, Group)
  group.scope = enter_deadline(huge)
  return end_group(group, natives.traced(f, group))
end

-- Trying again -------------------------------------------------------------

local function attempt(ok, ...)
  if ok then
    local first = ...
    if first then return true, ... end
    return false, (select(2, ...))
  end
  local err = ...
  if is_cancelled(err) then error(err, 0) end
  return false, err
end

function coev.retry(f, options)
  check(f, "function", 1, "retry")
  options = options == nil and {} or check(options, "table", 2, "retry")
  local tries, wait, factor = options.tries or 4, options.wait or 1, options.factor or 2
  local most, jitter = options.max or huge, options.jitter or 0
  for name, value in pairs({ tries = tries, wait = wait, factor = factor, max = most, jitter = jitter }) do
    if type(value) ~= "number" or value ~= value then
      error(("bad argument #2 to 'retry' (field '%s' is not a number)"):format(name), 2)
    elseif value < 0 then
      error(("bad argument #2 to 'retry' (field '%s' is less than 0)"):format(name), 2)
    end
  end
  local results
  for try = 1, tries do
    results = pack(attempt(natives.pcall(f)))
    if results[1] then return unpack(results, 2, results.n) end
    if try < tries then
      local pause = wait < most and wait or most
      coev.sleep(pause + pause * jitter * random())
      wait = wait * factor
    end
  end
  return nil, results and results[2]
end

-- Names --------------------------------------------------------------------

-- Those that have been given, by handle: they outlive the task.
local names, name_of = setmetatable({}, { __mode = "k" }), task_methods.name

function task_methods.name(task, new)
  local before = name_of(task, new)
  if names[task] then before = names[task] end
  if new ~= nil then names[task] = tostring(new) end
  return before
end

local task_class = natives.task_class
local describe = task_class.__tostring

function task_class.__tostring(task)
  local text = describe(task)
  return names[task] and text:match("^coev%.task: %S+") .. " (" .. names[task] .. ")" or text
end

-- The end of `run` ---------------------------------------------------------

local exits = {}

local function run_exits()
  while #exits > 0 do
    local f = exits[#exits]
    exits[#exits] = nil
    local fine, err = natives.pcall(f)
    if not fine then natives.complain("an at_exit function", err) end
  end
end

function coev.at_exit(f)
  check(f, "function", 1, "at_exit")
  exits[#exits + 1] = f
  -- A thread runs without `coev.run`.
  natives.run_exits = run_exits
end

local function after_run(ok, ...)
  run_exits()
  if not ok then error((...), 0) end
  return ...
end

local run, stock_pcall = coev.run, pcall

function coev.run(f, ...)
  if f ~= nil then check(f, "function", 1, "run") end
  if natives.is_driven() then error("coev.run called inside a task: use coev.spawn", 2) end
  return after_run(stock_pcall(run, f, ...))
end

-- What belongs to a task ---------------------------------------------------

local outside = {}
local uses_locals, debugging = false, false

local function copy(locals)
  local own = {}
  for key, value in pairs(locals) do
    own[key] = value
  end
  return own
end

-- The locals of the running task, when it has any.
local function locals_here()
  local slot = natives.peek()
  if not slot then return next(outside) and outside end
  local own = belongings[slot]
  return own and own.locals
end

function coev.locals()
  if not uses_locals then
    uses_locals = true
    natives.endow_tasks(true)
  end
  local slot = slot_of()
  if not slot then return outside end
  local own = belongings_at(slot)
  if not own.locals then own.locals = {} end
  return own.locals
end

-- Watching -----------------------------------------------------------------

function coev.tasks()
  local tasks = {}
  local task, index = natives.task_from(0)
  while task do
    tasks[#tasks + 1] = task
    task, index = natives.task_from(index)
  end
  return tasks
end

function coev.stats()
  local stats = {}
  for _, name in ipairs({ "tasks", "switches", "polls", "timers", "fds", "idle", "busy" }) do
    stats[name] = natives.statistic(name)
  end
  return stats
end

function coev.onerror(...)
  local before = natives.onerror
  if select("#", ...) > 0 then
    local handler = ...
    if handler ~= nil and handler ~= "raise" and type(handler) ~= "function" then
      local got = type(handler) == "string" and "'" .. handler .. "'" or type(handler)
      error(("bad argument #1 to 'onerror' (function or 'raise' expected, got %s)"):format(got), 2)
    end
    natives.onerror = handler
  end
  return before
end

function coev.debug(...)
  local before = debugging
  if select("#", ...) > 0 then
    debugging = not not (...)
    natives.endow_tasks(debugging or uses_locals)
    natives.note_sites(debugging)
  end
  return before
end

-- Spawning -----------------------------------------------------------------

local traceback_of = task_methods.traceback

-- Where the code that called coev stands.
local function caller()
  for level = 3, huge do
    local info = debug.getinfo(level, "Sl")
    if not info then return "?" end
    if info.currentline > 0 and not info.short_src:find("^coev") then
      return info.short_src .. ":" .. info.currentline
    end
  end
end

-- What a new task has from the start.
function natives.endow(task)
  local locals = locals_here()
  if locals or debugging then
    local own = belongings_at(slot_of(task))
    own.locals = locals and copy(locals)
    own.spawned = debugging and caller() or nil
  end
end

-- The traceback with the site of the spawn, where that is known.
function natives.with_site(task, text)
  local slot = text and task and slot_of(task)
  local own = slot and belongings[slot]
  if own and own.spawned then return text .. "\nspawned at " .. own.spawned end
  return text
end

function task_methods.traceback(task)
  check_task(task, "traceback")
  local status = task:status()
  if status == "failed" or status == "cancelled" then
    local _, _, traceback = task:join(0)
    return traceback or "stack traceback:"
  end
  return natives.with_site(task, traceback_of(task))
end
