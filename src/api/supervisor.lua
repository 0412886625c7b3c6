-- coev.supervisor: handlers that wait for events by name, and children that are started again when they end.
-- Called with the module's table, which holds the functions that are Rust, coev's, and the natives.
--
-- Whoever waits for an event is a task, and `signal` gives it its turn at once, inside its own: a dispatch is a switch
-- to it and back, without the run queue. As a task a handler has its own name, cancel, deadlines and `defer`s, and
-- every other wait in it goes through the scheduler.
local supervisor, coev, natives = ...

local error, getmetatable, ipairs, pairs, setmetatable = error, getmetatable, ipairs, pairs, setmetatable
local stock_pcall, tostring, type = pcall, tostring, type
local concat, insert, remove, sort = table.concat, table.insert, table.remove, table.sort

-- Ends that are forgiven, and the seconds within which they count.
local MAX_RESTARTS, WITHIN = 3, 5

local STRATEGIES = { one_for_one = true, one_for_all = true, rest_for_one = true }
local RESTARTS = { permanent = true, transient = true, temporary = true }
local NEW_FIELDS = { strategy = "string", max_restarts = "number", within = "number", log = "function", group = "any" }
local CHILD_FIELDS = { name = "string", run = "function", restart = "string" }

-- Lists that are made before those that nobody needs are looked for.
local FEW_LISTS = 64

local create_list, listed, release_waiters, let_run, sweep_list =
  supervisor.create_list, supervisor.listed, supervisor.release_waiters, supervisor.let_run, supervisor.sweep_list
local Supervisor = { waitfor = supervisor.waitfor, signal = supervisor.signal }
local class = { __index = Supervisor, __name = "coev.supervisor" }
for name in pairs(supervisor) do
  supervisor[name] = nil
end

-- Which child a task runs, for the supervisors that are made in it. The values are weak too: on 5.1 and LuaJIT a
-- child, which holds its task, would keep its own key.
local child_of = setmetatable({}, { __mode = "kv" })

-- Arguments: a message points to the line that called the method.

local function bad_argument(number, name, problem)
  error(("bad argument #%d to '%s' (%s)"):format(number, name, problem), 5)
end

local function check_type(value, expected, number, name)
  if type(value) ~= expected then
    local got = value == nil and "no value" or type(value)
    error(("bad argument #%d to '%s' (%s expected, got %s)"):format(number, name, expected, got), 3)
  end
end

local function check_self(self, name)
  if getmetatable(self) ~= class then
    error(("calling '%s' on bad self (coev.supervisor expected, got %s)"):format(name, type(self)), 3)
  end
end

-- Raises unless all fields of `options` are known, each of its type.
local function check_fields(options, fields, name)
  for field, value in pairs(options) do
    local expected = fields[field]
    if not expected then
      bad_argument(1, name, "unknown field '" .. tostring(field) .. "'")
    elseif expected ~= "any" and type(value) ~= expected then
      bad_argument(1, name, ("field '%s': %s expected, got %s"):format(field, expected, type(value)))
    end
  end
end

-- Raises unless `value`, the field `field`, is one of `words`.
local function check_word(value, words, field, name)
  if not words[value] then
    local list = {}
    for word in pairs(words) do
      list[#list + 1] = word
    end
    sort(list)
    bad_argument(1, name, ("field '%s': one of %s expected, got '%s'"):format(field, concat(list, ", "), value))
  end
end

-- Words.

-- The text of any value, also of one whose __tostring fails.
local function describe(value)
  local ok, text = stock_pcall(tostring, value)
  return ok and type(text) == "string" and text or "(a " .. type(value) .. " value)"
end

local function log(self, ...)
  if self.log then
    self.log(concat({ ... }))
  end
end

-- Tells of a failure, on stderr where there is no log.
local function log_failure(self, what, err, traceback)
  local text = what .. " failed: " .. describe(err) .. (traceback and "\n" .. describe(traceback) or "")
  if self.log then
    self.log(text)
  elseif io and io.stderr then
    io.stderr:write("coev: supervisor: ", text, "\n")
  end
end

-- Events: `self[1]` holds, for each event that somebody has waited for, the number of the list of those who wait. A
-- list is gone when nobody waits in it any more; what a signal has emptied is forgotten with it.

-- A list's number says where it lies, and which use of that place it is. By the places, the runtime finds the table
-- in which a supervisor holds those tasks that the registry does not.
local LIST_PLACES = 16777216
setmetatable(natives.listings, { __mode = "v" })

-- Forgets the numbers of lists that timeouts and cancels have emptied, once many have been made, and the tasks that
-- wait no more.
local function sweep(self)
  for key, task in pairs(self.held) do
    if task:status() ~= "waiting" then
      self.held[key] = nil
    end
  end
  local left = 0
  for event, list in pairs(self[1]) do
    if sweep_list(list) then
      self[1][event] = nil
    else
      left = left + 1
    end
  end
  self.made, self.most = 0, left > FEW_LISTS and left or FEW_LISTS
end

-- Makes the list of an event, in which the caller waits then; or says that the event cannot come.
function natives.make_list(self, event)
  check_self(self, "waitfor")
  if self.ended then
    return nil, "closed"
  end
  self.made = self.made + 1
  if self.made > self.most then
    sweep(self)
  end
  local list = create_list()
  self[1][event] = list
  natives.listings[list % LIST_PLACES] = self.held
end

-- A task waits in the place of code that cannot be parked.
function natives.wait_elsewhere(self, event, timeout)
  check_self(self, "waitfor")
  local task = coev.spawn(Supervisor.waitfor, self, event, timeout)
  local function pass(ok, ...)
    if not ok then
      task:cancel()
      error((...), 0)
    end
    return ...
  end
  return pass(coev.pcall(task.await, task))
end

-- Tells of an event that nobody waits for.
function natives.nobody_waits(self, event)
  check_self(self, "signal")
  log(self, "nobody waits for ", describe(event))
  return false
end

-- Handlers.

-- Forgets a handler that has ended.
local function dismiss(self, handler, ...)
  if self.handlers[handler] then
    self.handlers[handler] = nil
    log(self, "handler '", handler.name, "' has ended")
  end
  return ...
end

-- The function of a handler's task.
local function run_handler(self, handler, f, ...)
  coev.defer(function()
    dismiss(self, handler)
  end)
  return dismiss(self, handler, f(...))
end

-- Tells of the failure of a handler, once it has ended.
local function watch_handler(self, handler)
  local task = handler.task
  local _, err, traceback = task:join()
  if task:status() == "failed" then
    log_failure(self, "handler '" .. handler.name .. "'", err, traceback)
  end
end

function Supervisor:introduce(name, f, ...)
  check_self(self, "introduce")
  check_type(name, "string", 1, "introduce")
  check_type(f, "function", 2, "introduce")
  if self.ended then
    error("introduce: the supervisor has ended", 2)
  end
  local handler = { name = name }
  self.handlers[handler] = true
  log(self, "handler '", name, "' starts")
  if self.log then
    -- Before the handler, so that it has joined before the handler can fail.
    coev.spawn(watch_handler, self, handler):name("watch of " .. name)
  end
  local task = coev.spawn(run_handler, self, handler, f, ...)
  task:name(name)
  handler.task = task
  let_run(task)
  return task
end

-- The event that each task waits for.
local function events_by_task(self)
  local events = {}
  for event, list in pairs(self[1]) do
    local place = 1
    local task = listed(list, place)
    while task do
      events[task] = event
      place = place + 1
      task = listed(list, place)
    end
  end
  return events
end

function Supervisor:status()
  check_self(self, "status")
  local events, list = events_by_task(self), {}
  local function add(name, task)
    local event = events[task]
    if event == nil then
      event = task:waiting()
    end
    list[#list + 1] = { name, event }
  end
  for handler in pairs(self.handlers) do
    add(handler.name, handler.task)
  end
  for _, child in ipairs(self.children) do
    add(child.name, child.task)
  end
  sort(list, function(a, b)
    return a[1] < b[1]
  end)
  return list
end

-- Children: a task of the supervisor's own, the keeper, is there as long as there are any. It alone starts them again
-- and ends them, after one exit at a time. A watcher for each child joins it and puts its exit before the keeper.

-- The function of a child's task. It has ended when the supervisors made in it have.
local function run_child(child)
  child.run()
  for _, inner in ipairs(child.supervisors) do
    while inner.keeper do
      inner:await()
    end
  end
end

local function watch(self, child)
  local task = child.task
  local _, err, traceback = task:join()
  insert(self.exits, { child = child, task = task, err = err, traceback = traceback })
  if self.keeper then
    self.keeper:resume()
  end
end

local function start(self, child)
  child.supervisors, child.failure = {}, nil
  -- Before the child, so that it has joined before the child can fail.
  coev.spawn(watch, self, child):name("watch of " .. child.name)
  local task = coev.spawn(run_child, child)
  task:name(child.name)
  child.task = task
  child_of[task] = child
  log(self, "child '", child.name, "' starts")
end

-- Ends the children from the `first` on, the youngest first, and waits for the end of each.
local function stop_children(self, first, reason)
  for i = #self.children, first, -1 do
    local task = self.children[i].task
    task:cancel(reason)
    task:join()
  end
end

local function index_of(self, child)
  for i, other in ipairs(self.children) do
    if other == child then
      return i
    end
  end
end

-- An exit of the child that is still to be looked at means nothing then.
local function forget(self, child)
  remove(self.children, index_of(self, child))
  child.task = nil
end

-- True when one more restart is too many.
local function is_past_limit(self)
  local now, restarts = coev.now(), self.restarts
  insert(restarts, now)
  while restarts[1] < now - self.within do
    remove(restarts, 1)
  end
  return #restarts > self.max_restarts
end

-- Starts the child again, and with it those that the strategy says.
local function restart(self, child)
  local first = index_of(self, child)
  local last = first
  if self.strategy ~= "one_for_one" then
    first = self.strategy == "one_for_all" and 1 or first
    stop_children(self, first, "supervisor restarts")
    last = #self.children
  end
  local again = {}
  for i = first, last do
    again[#again + 1] = self.children[i]
  end
  for _, each in ipairs(again) do
    if each.restart == "temporary" then
      forget(self, each)
    else
      start(self, each)
    end
  end
end

-- Decides what follows from the exit of a child. Raises past the limit.
local function settle(self, exit)
  local child = exit.child
  if child.task ~= exit.task then
    return
  end
  local status = exit.task:status()
  local failed = status == "failed" or child.failure ~= nil
  local err = child.failure or exit.err
  if failed then
    log_failure(self, "child '" .. child.name .. "'", err, exit.traceback)
  else
    log(self, "child '", child.name, "' has ended: ", status)
  end
  if child.restart == "temporary" or child.restart == "transient" and not failed then
    forget(self, child)
    return
  end
  if is_past_limit(self) then
    local message = ("supervisor: child '%s' ended more than %g times within %g s, at last %s"):format(
      child.name,
      self.max_restarts,
      self.within,
      failed and "failed: " .. describe(err) or status
    )
    log(self, message)
    error(message, 0)
  end
  log(self, "child '", child.name, "' starts again")
  restart(self, child)
end

-- Cancels what there is, and waits for its end; the running task is not waited for.
local function end_all(self)
  self.ended = true
  local current, tasks, is_handler = coev.current(), {}, false
  for handler in pairs(self.handlers) do
    local task = handler.task
    if task == current then
      is_handler = true
    else
      task:cancel("supervisor is done")
      tasks[#tasks + 1] = task
    end
  end
  -- Others that wait for an event are told that it cannot come.
  for _, list in pairs(self[1]) do
    release_waiters(list, nil, "closed")
  end
  self[1], self.held = {}, {}
  for _, task in ipairs(tasks) do
    task:join()
  end
  stop_children(self, 1, "supervisor is done")
  self.children = {}
  if is_handler then
    current:cancel("supervisor is done")
  end
end

-- The function of the keeper's task.
local function keep(self)
  coev.defer(function()
    if self.ended or #self.children > 0 then
      coev.shield(end_all, self)
    end
    self.keeper = nil
  end)
  while not self.ended and #self.children > 0 do
    local exit = remove(self.exits, 1)
    if exit then
      settle(self, exit)
    else
      coev.suspend()
    end
  end
end

-- A supervisor that fails takes the child in which it was made with it.
local function follow(keeper, child, task)
  local ok, err = keeper:join()
  if not ok and child.task == task then
    child.failure = err
    task:cancel(err)
  end
end

local function start_keeper(self)
  local keeper
  if self.group then
    keeper = self.group:spawn(keep, self)
  else
    keeper = coev.spawn(keep, self)
  end
  keeper:name("supervisor")
  self.keeper, self.last_keeper = keeper, keeper
  if self.outer then
    coev.spawn(follow, keeper, self.outer, self.outer_task):name("watch of a supervisor")
  end
end

local function check_run(options)
  if options.run == nil then
    bad_argument(1, "child", "field 'run': function expected, got nil")
  end
end

local function check_name(self, options)
  for _, other in ipairs(self.children) do
    if other.name == options.name then
      bad_argument(1, "child", "field 'name': there is a child '" .. other.name .. "' already")
    end
  end
end

local function check_child(self, options)
  check_fields(options, CHILD_FIELDS, "child")
  check_run(options)
  check_word(options.restart or "permanent", RESTARTS, "restart", "child")
  check_name(self, options)
end

function Supervisor:child(options)
  check_self(self, "child")
  check_type(options, "table", 1, "child")
  check_child(self, options)
  if self.ended then
    error("child: the supervisor has ended", 2)
  end
  self.count = self.count + 1
  local child = {
    name = options.name or "child " .. self.count,
    run = options.run,
    restart = options.restart or "permanent",
  }
  insert(self.children, child)
  start(self, child)
  if not self.keeper then
    start_keeper(self)
  end
  return child.task
end

function Supervisor:done()
  check_self(self, "done")
  local keeper, current = self.keeper, coev.current()
  if not keeper then
    end_all(self)
    return
  end
  self.ended = true
  keeper:resume()
  -- What the keeper ends cannot wait for the keeper.
  for _, child in ipairs(self.children) do
    if child.task == current then
      return
    end
  end
  for handler in pairs(self.handlers) do
    if handler.task == current then
      return
    end
  end
  keeper:join()
end

function Supervisor:join(timeout)
  check_self(self, "join")
  local keeper = self.last_keeper
  if keeper then
    return keeper:join(timeout)
  end
  return true
end

function Supervisor:await(timeout)
  check_self(self, "await")
  local keeper = self.last_keeper
  if keeper then
    keeper:await(timeout)
  end
end

function class.__tostring(self)
  local handlers = 0
  for _ in pairs(self.handlers) do
    handlers = handlers + 1
  end
  return ("coev.supervisor (%s, %d handlers, %d children)"):format(self.strategy, handlers, #self.children)
end

-- Raises unless the field is absent, or a number from 0 on.
local function check_count(options, field)
  local value = options[field]
  if value and (value < 0 or value ~= value) then
    bad_argument(1, "new", ("field '%s': a number not below 0 expected, got %s"):format(field, tostring(value)))
  end
end

local function check_new(options)
  check_fields(options, NEW_FIELDS, "new")
  check_word(options.strategy or "one_for_one", STRATEGIES, "strategy", "new")
  check_count(options, "max_restarts")
  check_count(options, "within")
end

function supervisor.new(options)
  options = options == nil and {} or options
  check_type(options, "table", 1, "new")
  check_new(options)
  local self = setmetatable({
    {}, -- event -> the number of the list of those that wait for it
    strategy = options.strategy or "one_for_one",
    max_restarts = options.max_restarts or MAX_RESTARTS,
    within = options.within or WITHIN,
    log = options.log,
    group = options.group,
    made = 0, -- lists, since those that nobody needs were forgotten
    most = FEW_LISTS, -- that are made before the next time
    held = {}, -- tasks that wait for events, and that the registry does not hold
    handlers = {}, -- the set of what was introduced and has not ended
    children = {}, -- in the order of their first start
    count = 0, -- children ever made
    restarts = {}, -- when the last restarts were
    exits = {}, -- what the keeper has not looked at yet
    ended = false,
  }, class)

  -- Made inside a child of another one: it ends with that child.
  local task = coev.current()
  local outer = task and child_of[task]
  if outer then
    self.outer, self.outer_task = outer, task
    insert(outer.supervisors, self)
    coev.defer(function()
      coev.shield(self.done, self)
    end)
  end
  return self
end
