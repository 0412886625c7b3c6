-- coev.thread: OS threads, each with a Lua of its own. Called with the module's table, coev's, and the natives.
--
-- What crosses is copied by the natives: the chunk and its arguments when a thread is made, requests to a thread that
-- runs (`heed`), and how it ends, which is written once and read by all who join. A *latch* is where an end is read, a
-- *settler* what it is written with: one that is given up without that writes that its thread has ended.
local thread, coev, natives = ...

local error, getmetatable, ipairs, select, setmetatable, tostring, type =
  error, getmetatable, ipairs, select, setmetatable, tostring, type
local stock_pcall, floor, huge, package = pcall, math.floor, math.huge, package
local load_text, unpack = loadstring or load, table.unpack or unpack
local spawn, current, is_cancelled = coev.spawn, coev.current, natives.is_cancelled
local Cancelled, task_methods = natives.Cancelled, natives.task_methods
local ask, await, status_of = natives.thread_ask, natives.thread_await, natives.thread_status
local make, start, own_thread = natives.thread_make, natives.thread_start, natives.thread_self

local Thread = natives["coev.thread"]
local Channel = natives["coev.thread.channel"]

local function bad_argument(position, name, problem)
  error(("bad argument #%d to '%s' (%s)"):format(position, name, problem), 4)
end

-- What is wrong with a value that is no `what`.
local function expected(value, what)
  return what .. " expected, got " .. (value == nil and "no value" or type(value))
end

local function check_timeout(timeout, position, name)
  if timeout == nil then return end
  if type(timeout) ~= "number" then bad_argument(position, name, expected(timeout, "number")) end
  if timeout ~= timeout then bad_argument(position, name, "time is not a number") end
end

local function check_thread(self, name)
  local class = type(self) == "userdata" and getmetatable(self)
  if not class or class.__index ~= Thread then
    error(("calling '%s' on bad self (coev.thread expected, got %s)"):format(name, type(self)), 3)
  end
end

local function check_code(code, position, name)
  if type(code) ~= "string" and type(code) ~= "function" then
    bad_argument(position, name, expected(code, "string or function"))
  end
end

-- Making -----------------------------------------------------------------------

local made = 0

-- The fields of the table form, and the types that they must have.
local FIELDS = { { "name", "string" }, { "memory_limit", "number" }, { "stack_size", "number" },
  { "suspended", "boolean" } }

local function check_options(options)
  for _, field in ipairs(FIELDS) do
    local value = options[field[1]]
    if value ~= nil and type(value) ~= field[2] then
      bad_argument(1, "new", ("field '%s': %s expected, got %s"):format(field[1], field[2], type(value)))
    end
    if field[2] == "number" and value and (value ~= value or value < 1) then
      bad_argument(1, "new", ("field '%s' is not positive"):format(field[1]))
    end
  end
end

local NONE = {}

function thread.new(code, ...)
  local options = NONE
  if type(code) == "table" then
    options, code = code, code[1]
    check_options(options)
  end
  check_code(code, 1, "new")
  made = made + 1
  local self, problem = make(options.name or "thread " .. made, options.memory_limit, options.stack_size,
    package.path, package.cpath, code, ...)
  if not self then error(problem, 2) end
  if not options.suspended then
    local started, err = start(self)
    if started == nil then return nil, err end
  end
  return self
end

function Thread.start(self)
  check_thread(self, "start")
  local started, err = start(self)
  if started == nil then return nil, err end
  return started
end

function thread.self()
  return (own_thread())
end

function thread.cpus()
  return (natives.thread_cpus())
end

-- Ends --------------------------------------------------------------------------

-- What a join returns: a cancel crosses as nil and its reason.
local function ended(ok, ...)
  if ok == nil then
    local reason, traceback = ...
    return false, setmetatable({ reason = reason }, Cancelled), traceback
  end
  return ok, ...
end

local function awaited(ok, ...)
  if ok then return ... end
  error((...), 0)
end

function Thread.join(self, timeout)
  check_thread(self, "join")
  check_timeout(timeout, 1, "join")
  return ended(await(self, timeout))
end

function Thread.await(self, timeout)
  check_thread(self, "await")
  check_timeout(timeout, 1, "await")
  return awaited(ended(await(self, timeout)))
end

-- Writes an end with `write(kind, complaint, ok, ...)`, of what is called `label`.
local function write_end(write, label, ok, ...)
  if ok then
    local fine, problem = write("done", nil, true, ...)
    if fine then return end
    return write_end(write, label, false, problem)
  end
  local err, traceback = ...
  if is_cancelled(err) then
    if not write("cancelled", nil, nil, err.reason, traceback) then
      write("cancelled", nil, nil, natives.describe(err.reason), traceback)
    end
    return
  end
  local text = natives.describe(err)
  local complaint = ("coev: %s failed: %s\n%s"):format(label, text, traceback and traceback .. "\n" or "")
  if not write("failed", complaint, false, err, traceback) then
    write("failed", complaint, false, text, traceback)
  end
end
natives.write_end = write_end

-- Control -----------------------------------------------------------------------

function Thread.cancel(self, reason)
  check_thread(self, "cancel")
  if reason ~= nil then
    local alive, problem = ask(self, "cancel", 0, false, reason)
    if alive == nil then error(problem, 2) end
  end
  return natives.thread_cancel(self)
end

function Thread.pause(self)
  check_thread(self, "pause")
  return natives.thread_pause(self, true)
end

function Thread.resume(self)
  check_thread(self, "resume")
  return natives.thread_pause(self, false)
end

function Thread.status(self)
  check_thread(self, "status")
  return status_of(self)
end

function Thread.name(self)
  check_thread(self, "name")
  return natives.thread_name(self)
end

function Thread.detach(self)
  check_thread(self, "detach")
  natives.thread_detach(self)
  return self
end

-- Jobs --------------------------------------------------------------------------

local Job = {}
local job_class = { __index = Job, __name = "coev.job" }
local last_job = 0

local function check_job(self, name)
  if getmetatable(self) ~= job_class then
    error(("calling '%s' on bad self (coev.job expected, got %s)"):format(name, type(self)), 3)
  end
end

-- A job whose end is read from `latch`; `cancel(reason)` asks for it to end.
function natives.new_job(latch, cancel)
  return setmetatable({ latch = latch, ask = cancel }, job_class)
end

function Thread.spawn(self, code, ...)
  check_thread(self, "spawn")
  check_code(code, 1, "spawn")
  last_job = last_job + 1
  local number = last_job
  local latch, settler = natives.thread_latch()
  local alive, problem = ask(self, "spawn", number, settler, code, ...)
  if alive == nil then error(problem, 2) end
  return natives.new_job(latch, function(reason)
    return ask(self, "cancel_job", number, false, reason)
  end)
end

function Job.join(self, timeout)
  check_job(self, "join")
  check_timeout(timeout, 1, "join")
  return ended(await(self.latch, timeout))
end

function Job.await(self, timeout)
  check_job(self, "await")
  check_timeout(timeout, 1, "await")
  return awaited(ended(await(self.latch, timeout)))
end

function Job.status(self)
  check_job(self, "status")
  return status_of(self.latch)
end

function Job.cancel(self, reason)
  check_job(self, "cancel")
  if status_of(self.latch) ~= "running" then return false end
  local alive, problem = self.ask(reason)
  if alive == nil then error(problem, 2) end
  return alive
end

-- The inside of a thread --------------------------------------------------------

-- Those who write down how a task has ended: no cancel of the thread is theirs.
local scribes = {}
-- The jobs' tasks, by number.
local jobs = {}
-- Why the thread has been cancelled.
local cancel_reason

-- Calls a chunk that has crossed.
local function call(code, name, ...)
  if type(code) == "string" then
    local f, err = load_text(code, "=" .. name)
    if not f then error(err, 0) end
    code = f
  end
  return code(...)
end
natives.call_chunk = call

local function cancel_all(reason)
  for _, task in ipairs(coev.tasks()) do
    if not scribes[task] then task_methods.cancel(task, reason) end
  end
end

-- Lets `done` have what a join of the task returns, whatever happens to the thread.
local function record(task, done)
  natives.adopt(task)
  local scribe
  scribe = spawn(function()
    done(task_methods.join(task))
    scribes[scribe] = nil
  end)
  scribes[scribe] = true
end

local requests = {}

function requests.cancel(_, _, reason)
  cancel_reason = reason
end

function requests.cancel_job(number, _, reason)
  if jobs[number] then task_methods.cancel(jobs[number], reason) end
end

function requests.spawn(number, settler, code, ...)
  local name = natives.thread_name(own_thread())
  local task = spawn(call, code, name, ...)
  jobs[number] = task
  record(task, function(...)
    jobs[number] = nil
    write_end(function(...)
      return natives.thread_settle(settler, ...)
    end, "a job of " .. name, ...)
  end)
end

local function take_request(what, ...)
  if what == nil then return false end
  requests[what](...)
  return true
end

local function take_requests()
  while take_request(natives.thread_request()) do end
end

-- Sees to what the thread has been asked for.
function natives.heed()
  take_requests()
  if natives.thread_cancelled() then cancel_all(cancel_reason) end
end

-- The code that runs is to end: as if it waited now.
function natives.interrupted()
  local task = current()
  if not task or scribes[task] then return end
  -- The reason is among them.
  take_requests()
  task_methods.cancel(task, cancel_reason)
  if natives.verdict() == "cancelled" then error(natives.alarm(), 0) end
end

-- Tells how the thread has ended, where that takes more than its results: `drove` says whether the loop has come to its
-- end; then comes what a join of the main task returns, or the loop's error.
function natives.conclude(drove, ok, ...)
  local label = "thread '" .. natives.thread_name(own_thread()) .. "'"
  local outcome = { n = select("#", ...) + 1, ok, ... }
  if not drove then
    outcome = { n = 2, false, ok }
  elseif not ok then
    -- For want of memory a failure may have lost its error.
    if outcome.n == 1 then outcome = { n = 2, false, "not enough memory" } end
    take_requests()
    local reason = "the chunk of its thread has failed"
    if natives.thread_cancelled() then reason = cancel_reason end
    cancel_all(reason)
    stock_pcall(coev.run)
  end
  write_end(natives.thread_conclude, label, unpack(outcome, 1, outcome.n))
end

natives.add_shared(thread)

-- Channels ----------------------------------------------------------------------

local make_channel, readiness, watch = natives.thread_channel, Channel.readiness, Channel.watch
local receive, try_receive, try_send, length = Channel.receive, Channel.try_receive, Channel.try_send, Channel.len
Channel.readiness, Channel.watch = nil, nil

local function check_capacity(capacity)
  if type(capacity) ~= "number" then bad_argument(1, "channel", expected(capacity, "number")) end
  if capacity ~= floor(capacity) then bad_argument(1, "channel", "number has no integer representation") end
  if capacity < 0 then bad_argument(1, "channel", ("%d is less than 0"):format(capacity)) end
end

function thread.channel(capacity)
  if capacity ~= nil and capacity ~= huge then
    check_capacity(capacity)
  end
  return make_channel(capacity)
end

local function next_value(self)
  return (receive(self))
end

function Channel.iter(self)
  length(self)
  return next_value, self
end

-- Who watches, by callback: a task that waits for changes.
local watching = {}

local class = natives.metatables["coev.thread.channel"]
class.__len = length
class.kind = "channel"

class.readiness = {
  -- "r": a receive would not wait; "w": a send. Another thread may be faster.
  ready = function(self, events)
    local readable, writable = readiness(self)
    local wanted, ready = events or "r", ""
    if readable and wanted:find("r", 1, true) then ready = "r" end
    if writable and wanted:find("w", 1, true) then ready = ready .. "w" end
    if ready ~= "" then return ready end
  end,
  watch = function(self, events, callback)
    local readable, writable, seen = readiness(self)
    -- What has changed since the last look is not told again. `events` is as of polls, or a case's word.
    local ready = readable and (events == nil or events:find("r", 1, true) ~= nil)
      or writable and (events == "send" or events ~= nil and events:find("w", 1, true) ~= nil)
    watching[callback] = spawn(function()
      if ready then callback() end
      while true do
        seen = watch(self, seen)
        callback()
      end
    end)
    watching[callback]:name("watch of " .. tostring(self))
  end,
  unwatch = function(_, _, callback)
    watching[callback]:cancel()
    watching[callback] = nil
  end,
}

-- Cases of coev.select: nobody can be sure of a channel between threads before it has tried.
class.case = {
  check = function(_, what, value)
    if what == "send" then
      if value == nil then return "a value that is not nil is needed to send" end
    elseif what ~= "receive" then
      return ("of a channel: \"receive\" or \"send\" expected, got %s"):format(tostring(what))
    end
  end,
  try = function(self, what, value)
    local ok, answer
    if what == "receive" then
      ok, answer = try_receive(self)
      if ok then return true, answer end
    elseif what == "send" and value ~= nil then
      ok, answer = try_send(self, value)
      if ok then return true, true end
    end
    if answer == "closed" then return true, nil, "closed" end
  end,
  watch = class.readiness.watch,
  unwatch = class.readiness.unwatch,
}

-- A thread is ready when it has ended. Whoever watches it joins it.
natives.readiness[Thread] = {
  ready = function(self, events)
    local word = status_of(self)
    if word == "done" or word == "failed" or word == "cancelled" then return events or "r" end
  end,
  watch = function(self, _, callback)
    watching[callback] = spawn(function()
      await(self)
      callback()
    end)
    watching[callback]:name("watch of " .. tostring(self))
  end,
  unwatch = class.readiness.unwatch,
  results = function(self)
    return Thread.join(self, 0)
  end,
}
