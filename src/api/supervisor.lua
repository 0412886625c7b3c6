-- coev.supervisor: handlers that wait for events by name, and children that are started again when they end.
-- Called with the module's table, coev's, and the natives.
--
-- Whoever waits for an event is a task, parked by `suspend`. A handler could instead be a coroutine that `signal`
-- resumes by itself: dispatched faster, but whatever else it waited for (a sleep, a socket, a mutex) would park the
-- task that signals, be cancelled with it and be owned by it. As a task a handler has its own name, cancel, deadlines
-- and `defer`s, and every wait in it goes through the scheduler. A dispatch is one `resume`, one `suspend`, and two
-- switches; the values of a signal lie in the place of the one that waits, so that it makes no garbage.
--
-- With `direct=true` handlers are such coroutines all the same, resumed by `signal` with the stock functions: for
-- handlers that wait for events only. Any other wait in them drives the scheduler in place, as in each coroutine that
-- coev knows nothing of.
local supervisor, coev, natives = ...

local coroutine_create, coroutine_resume, coroutine_running = coroutine.create, coroutine.resume, coroutine.running
local coroutine_status, coroutine_yield, stack_of = coroutine.status, coroutine.yield, debug.traceback
local error, getmetatable, ipairs, pairs, select, setmetatable =
  error, getmetatable, ipairs, pairs, select, setmetatable
local stock_pcall, tostring, type = pcall, tostring, type
local concat, insert, remove, sort = table.concat, table.insert, table.remove, table.sort
local unpack = table.unpack or unpack

-- The count of values that stands for the end of the supervisor.
local CLOSED = -1

-- Ends that are forgiven, and the seconds within which they count.
local MAX_RESTARTS, WITHIN = 3, 5

local STRATEGIES = { one_for_one = true, one_for_all = true, rest_for_one = true }
local RESTARTS = { permanent = true, transient = true, temporary = true }
local NEW_FIELDS = { strategy = "string", max_restarts = "number", within = "number", log = "function", group = "any",
  direct = "boolean" }
local CHILD_FIELDS = { name = "string", run = "function", restart = "string" }

local Supervisor = {}
local class = { __index = Supervisor, __name = "coev.supervisor" }

-- What every dispatch calls; set when the first supervisor is made.
local pcall, suspend, park, resume, yield

-- A place is what stands for a task among those that wait: { task, event, next, last }, and { count, values } of the
-- signal that has woken it. The place of a handler is found by its coroutine, which costs less than to ask for the
-- task; `busy` counts the turns that it gives to others, and that are part of its own.
local handler_places = setmetatable({}, { __mode = "k" })

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

-- Raises unless `value` can be the name of an event.
local function check_event(event, name)
  if event == nil or event ~= event then
    error(("bad argument #1 to '%s' (event expected, got %s)"):format(name, tostring(event)), 3)
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

-- Events: those that wait for one are a list through their places. `waiting[event]` is the first; its `last` is the
-- last, and `next` the one behind.

-- Puts a place at the end of the list of `event`.
local function enlist(self, place, event)
  local waiting = self.waiting
  local first = waiting[event]
  place.event = event
  if first then
    first.last.next = place
    first.last = place
  else
    place.last = place
    waiting[event] = place
  end
end

-- Takes a place out of the list that it is in.
local function strike(self, place)
  local waiting, event = self.waiting, place.event
  local first = waiting[event]
  if first == place then
    local second = place.next
    waiting[event] = second
    if second then
      second.last = place.last
    end
  else
    local before = first
    while before.next ~= place do
      before = before.next
    end
    before.next = place.next
    if first.last == place then
      first.last = before
    end
  end
  place.event, place.next, place.last = nil, nil, nil
end

-- Wakes the task of `place`, which is in no list any more, with `count` values behind the event: the one, or a table
-- of them. Returns the place that was behind.
local function wake(place, count, values)
  local following = place.next
  place.event, place.next, place.last = nil, nil, nil
  place.count, place.values = count, values
  resume(place.task)
  return following
end

-- What `waitfor` returns or raises. Whom no signal has woken is still in the list.
local function leave(self, place, event, ok, err)
  if place.event ~= nil then
    strike(self, place)
    if ok then
      return nil, "timeout"
    end
  end
  if not ok then
    error(err, 0)
  end
  local count, values = place.count, place.values
  if count == 0 then
    return event
  end
  place.values = nil
  if count == 1 then
    return event, values
  elseif count == CLOSED then
    return nil, "closed"
  end
  return event, unpack(values, 1, count)
end

-- Forgets a handler that has returned, or that has failed.
local function dismiss(self, handler, ...)
  if self.handlers[handler] then
    self.handlers[handler] = nil
    handler_places[handler.coroutine] = nil
    log(self, "handler '", handler.name, "' has ended")
  end
  return ...
end

-- Looks at a handler without a task that waits for no event after its turn: it has ended.
local function bury(self, handler, ok, err)
  local co = handler.coroutine
  if not ok then
    log_failure(self, "handler '" .. handler.name .. "'", err, stack_of(co))
  elseif coroutine_status(co) ~= "dead" then
    log_failure(self, "handler '" .. handler.name .. "'", "it yields, and waits for no event", stack_of(co))
    coev.coroutine.close(co)
  end
  dismiss(self, handler)
end

-- Gives a handler without a task its turn, with what `waitfor` returns or, the first time, its function takes.
local function resume_direct(self, place, ...)
  local handler = place.handler
  local ok, err = coroutine_resume(handler.coroutine, ...)
  if place.event == nil then
    bury(self, handler, ok, err)
  end
end

-- Ends the wait of a handler without a task when its time is over, unless it has ended by then.
local function expire(self, place, timer, timeout)
  coev.sleep(timeout)
  if place.timer == timer then
    place.timer = nil
    strike(self, place)
    resume_direct(self, place, nil, "timeout")
  end
end

-- Ends the timer of a wait that a signal has ended.
local function stop_timer(place, ...)
  if place.timer then
    place.timer.task:cancel()
    place.timer = nil
  end
  return ...
end

-- `waitfor` of a handler without a task.
local function wait_direct(self, place, event, timeout)
  enlist(self, place, event)
  if timeout then
    local timer = {}
    place.timer = timer
    timer.task = coev.spawn(expire, self, place, timer, timeout)
    return stop_timer(place, coroutine_yield())
  end
  return coroutine_yield()
end

function Supervisor:waitfor(event, timeout)
  local place = handler_places[coroutine_running()]
  if not place then
    check_self(self, "waitfor")
    local task = coev.current()
    if not task then
      -- A task waits in the place of the main chunk.
      return coev.spawn(Supervisor.waitfor, self, event, timeout):await()
    end
    place = { task = task, busy = 0 }
  end
  if event == nil or event ~= event then
    check_event(event, "waitfor")
  elseif self.ended then
    return nil, "closed"
  elseif timeout == nil then
    if place.handler then
      local waiting = self.waiting
      if waiting[event] then
        return wait_direct(self, place, event)
      end
      -- As `enlist`, for the first: a sixth of the time of a dispatch.
      place.event, place.last = event, place
      waiting[event] = place
      return coroutine_yield()
    end
    enlist(self, place, event)
    if park() then
      if place.event ~= nil then
        strike(self, place)
      end
      error(natives.alarm(), 0)
    elseif place.event == nil and place.count == 1 then
      local value = place.values
      place.values = nil
      return event, value
    end
    return leave(self, place, event, true)
  end
  check_type(timeout, "number", 2, "waitfor")
  if place.handler then
    return wait_direct(self, place, event, timeout)
  end
  enlist(self, place, event)
  return leave(self, place, event, pcall(coev.timeout, timeout, suspend))
end

-- Lets the tasks that have just become ready have their turn: the tasks of `place`, and of the list behind it. What
-- one of them introduces or signals belongs to its turn.
local function let_run(place, list)
  local own = handler_places[coroutine_running()]
  if own and own.busy then
    own.busy = own.busy + 1
  end
  repeat
    yield()
    local busy = place.busy ~= 0
    for i = 1, list and #list or 0 do
      busy = busy or list[i].busy ~= 0
    end
  until not busy
  if own and own.busy then
    own.busy = own.busy - 1
  end
end

-- The number of the values, and the one or a table of them.
local function count_and_pack(...)
  local count = select("#", ...)
  if count > 1 then
    return count, { ... }
  end
  return count, (...)
end

-- Gives all from `place` on their turn, in their order.
local function wake_all(self, place, event, ...)
  local count, values = count_and_pack(...)
  local tasks, direct = {}, {}
  while place do
    if place.handler then
      direct[#direct + 1] = place
      local following = place.next
      place.event, place.next, place.last = nil, nil, nil
      place = following
    else
      tasks[#tasks + 1] = place
      place = wake(place, count, values)
    end
  end
  for _, each in ipairs(direct) do
    -- One before it may have ended the supervisor, and it.
    if self.handlers[each.handler] then
      resume_direct(self, each, event, ...)
    end
  end
  if tasks[1] then
    let_run(tasks[1], tasks)
  end
end

function Supervisor:signal(event, ...)
  local waiting = self.waiting
  local place = waiting and waiting[event]
  if not place then
    check_self(self, "signal")
    check_event(event, "signal")
    log(self, "nobody waits for ", describe(event))
    return false
  end
  waiting[event] = nil
  if place.next then
    wake_all(self, place, event, ...)
  elseif place.handler then
    -- The most frequent case, without a loop.
    place.event = nil
    local ok, err = coroutine_resume(place.coroutine, event, ...)
    if place.event == nil then
      bury(self, place.handler, ok, err)
    end
  else
    wake(place, count_and_pack(...))
    let_run(place)
  end
  return waiting[event] ~= nil
end

-- Handlers.

-- The function of a handler's task.
local function run_handler(self, handler, f, ...)
  handler.coroutine = coroutine_running()
  handler_places[handler.coroutine] = handler.place
  coev.defer(function()
    handler.place.busy = 0
    dismiss(self, handler)
  end)
  return dismiss(self, handler, f(...))
end

-- Tells of the failure of a handler, once it has ended.
local function watch_handler(self, handler)
  local task = handler.place.task
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
  if self.direct then
    local place = { handler = handler, coroutine = coroutine_create(f) }
    handler.place, handler.coroutine = place, place.coroutine
    handler_places[handler.coroutine] = place
    resume_direct(self, place, ...)
    return nil
  end
  if self.log then
    -- Before the handler, so that it has joined before the handler can fail.
    coev.spawn(watch_handler, self, handler):name("watch of " .. name)
  end
  local task = coev.spawn(run_handler, self, handler, f, ...)
  task:name(name)
  handler.place = { task = task, busy = 0 }
  let_run(handler.place)
  return task
end

-- The event that each task waits for.
local function events_by_task(self)
  local events = {}
  for event, place in pairs(self.waiting) do
    while place do
      events[place.task or place] = event
      place = place.next
    end
  end
  return events
end

function Supervisor:status()
  check_self(self, "status")
  local events, list = events_by_task(self), {}
  local function add(name, task)
    local event = events[task]
    if event == nil and task.waiting then
      event = task:waiting()
    end
    list[#list + 1] = { name, event }
  end
  for handler in pairs(self.handlers) do
    add(handler.name, handler.place.task or handler.place)
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

-- Ends the handlers without a task that wait for an event. One that runs ends by itself, or waits for ever.
local function close_handlers(self)
  local handlers = {}
  for handler in pairs(self.handlers) do
    handlers[#handlers + 1] = handler
  end
  for _, handler in ipairs(handlers) do
    if handler.place.event ~= nil then
      strike(self, handler.place)
      stop_timer(handler.place)
      coev.coroutine.close(handler.coroutine)
    end
    dismiss(self, handler)
  end
end

-- Cancels what there is, and waits for its end; the running task is not waited for.
local function end_all(self)
  self.ended = true
  local current, tasks, is_handler = coev.current(), {}, false
  for handler in pairs(self.handlers) do
    local task = handler.place.task
    if task and task == current then
      is_handler = true
    elseif task then
      task:cancel("supervisor is done")
      tasks[#tasks + 1] = task
    end
  end
  if self.direct then
    close_handlers(self)
  end
  -- Others that wait for an event are told that it cannot come.
  for _, place in pairs(self.waiting) do
    while place do
      place = wake(place, CLOSED)
    end
  end
  self.waiting = {}
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
      suspend()
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
    if current and handler.place.task == current then
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
  pcall, yield = coev.pcall, coev.yield
  suspend, park, resume = natives.suspend, natives.park, natives.resume
  local self = setmetatable({
    strategy = options.strategy or "one_for_one",
    max_restarts = options.max_restarts or MAX_RESTARTS,
    within = options.within or WITHIN,
    log = options.log,
    group = options.group,
    direct = options.direct,
    waiting = {}, -- event -> the first of those that wait for it
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
