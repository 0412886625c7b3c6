-- coev.thread.pool and coev.thread.serve: several threads for one purpose. Called with the module's table, coev's and
-- the natives, after thread.lua.
--
-- The workers of a pool take jobs from one channel, one at a time each. A job is a settler, how and what to call, and
-- the arguments. A function crosses as its number and, by reference, its packed form: each worker unpacks it once.
-- What a job does to its worker ends with it: where all memory is taken, or the worker's tasks wait for ever, the
-- thread begins again with a fresh state.
local thread, coev, natives = ...

local error, getmetatable, pairs, setmetatable, type = error, getmetatable, pairs, setmetatable, type
local floor, huge, min = math.floor, math.huge, math.min
local package = package
local start, post, status_of = natives.thread_start, natives.thread_post, natives.thread_status

local function got(value)
  return value == nil and "no value" or type(value)
end

local function bad_argument(position, name, problem)
  error(("bad argument #%d to '%s' (%s)"):format(position, name, problem), 4)
end

local function check_count(value, what, position, name)
  if type(value) ~= "number" then bad_argument(position, name, what .. "number expected, got " .. got(value)) end
  if value ~= floor(value) or value < 1 or value == huge then
    bad_argument(position, name, what .. "a whole number from 1 expected")
  end
end

local function check_code(code, position, name)
  if type(code) ~= "string" and type(code) ~= "function" then
    bad_argument(position, name, "string or function expected, got " .. got(code))
  end
end

-- Workers ------------------------------------------------------------------------

-- Functions that a worker keeps: those that come only once must not pile up.
local MOST_FUNCTIONS = 256

-- What `init` has returned, or why it has not.
local operations, init_error
-- The functions that have come, by number, and how many.
local known, count = {}, 0

-- What a job calls: an operation by its name, a function by its number and packed form.
local function find(what, packed)
  if init_error then error(init_error, 0) end
  if type(what) == "string" then
    local f = type(operations) == "table" and operations[what]
    if type(f) ~= "function" then error(("the pool has no operation '%s'"):format(what), 0) end
    return f
  end
  local f = known[what]
  if not f then
    if count >= MOST_FUNCTIONS then known, count = {}, 0 end
    f = natives.thread_unpack(packed)
    known[what], count = f, count + 1
  end
  return f
end

-- The ways to call.
local modes = {}

function modes.call(what, packed, ...)
  return find(what, packed)(...)
end

function modes.map(what, packed, items, n)
  local f, results = find(what, packed), {}
  for i = 1, n do
    results[i] = f(items[i])
  end
  return results
end

-- Writes how a job has ended; answers whether the thread is still good for another one.
local function settled(settler, ok, ...)
  local err, traceback, exhausted
  if not ok then
    err, traceback = natives.failure((...))
    exhausted = type(err) == "string" and err:find("not enough memory", 1, true)
    if exhausted then natives.thread_unlimited() end
  end
  local function write(...)
    return natives.thread_settle(settler, ...)
  end
  if ok then
    natives.write_end(write, "a job of a pool", true, ...)
  else
    natives.write_end(write, "a job of a pool", false, err, traceback)
  end
  return not exhausted
end

-- Does the next job; answers whether there was one.
local function do_job(settler, mode, ...)
  if settler == nil then return false end
  if not natives.thread_is_settled(settler) and not settled(settler, natives.traced(modes[mode], ...)) then
    -- The thread begins again.
    error("not enough memory", 0)
  end
  return true
end

-- What a worker runs in place of a chunk.
function natives.work(jobs, init)
  if init ~= nil then
    local function keep(ok, ...)
      if ok then
        operations = ...
      else
        init_error = "the init of the pool has failed: " .. natives.describe((natives.failure((...))))
      end
    end
    keep(natives.traced(natives.call_chunk, init, "init"))
  end
  while do_job(jobs:receive()) do end
end

-- Pools --------------------------------------------------------------------------

local Pool = {}
local class = { __index = Pool, __name = "coev.pool" }
local last_function = 0

local function check_pool(self, name)
  if getmetatable(self) ~= class then
    error(("calling '%s' on bad self (coev.pool expected, got %s)"):format(name, type(self)), 3)
  end
end

local FIELDS = { name = "string", memory_limit = "number", stack_size = "number" }

function thread.pool(n, init)
  check_count(n, "", 1, "pool")
  local options = {}
  if type(init) == "table" then
    options, init = init, init[1]
    for field, kind in pairs(FIELDS) do
      local value = options[field]
      if value ~= nil and type(value) ~= kind then
        error(("bad argument #2 to 'pool' (field '%s': %s expected, got %s)"):format(field, kind, type(value)), 2)
      end
    end
  end
  if init ~= nil then check_code(init, 2, "pool") end
  local jobs = thread.channel(huge)
  local self = setmetatable({ jobs = jobs, guard = natives.thread_guard(jobs), workers = {}, size = n,
    functions = setmetatable({}, { __mode = "k" }) }, class)
  for i = 1, n do
    local worker, problem = natives.thread_make((options.name or "pool") .. " " .. i, options.memory_limit,
      options.stack_size, package.path, package.cpath, true, jobs, init)
    if not worker then error((problem:gsub("arg 2", "init", 1)), 2) end
    natives.thread_renew(worker)
    local started, err = start(worker)
    if started == nil then
      jobs:close()
      return nil, err
    end
    self.workers[i] = worker
  end
  return self
end

-- Sends a job; answers it.
local function submit(self, position, name, mode, f, ...)
  local what, packed = f, false
  if type(f) == "function" then
    local entry = self.functions[f]
    if not entry then
      last_function = last_function + 1
      local problem
      packed, problem = natives.thread_pack(f)
      if not packed then error(problem, 3) end
      entry = { last_function, packed }
      self.functions[f] = entry
    end
    what, packed = entry[1], entry[2]
  elseif type(f) ~= "string" then
    bad_argument(position, name, "function or name expected, got " .. got(f))
  end
  local latch, settler = natives.thread_latch()
  local sent, problem = post(self.jobs, settler, mode, what, packed, ...)
  if sent == nil then error(problem, 3) end
  if not sent then error(name .. ": the pool is closed", 3) end
  return natives.new_job(latch, function(reason)
    return natives.thread_abandon(latch, reason)
  end)
end

function Pool.submit(self, f, ...)
  check_pool(self, "submit")
  return (submit(self, 1, "submit", "call", f, ...))
end

-- Awaits a job; where that is ended before, the job need not be done any more.
local function await(job)
  local function finish(ok, ...)
    if ok then return ... end
    job:cancel()
    error((...), 0)
  end
  return finish(natives.pcall(job.await, job))
end

function Pool.call(self, f, ...)
  check_pool(self, "call")
  return await((submit(self, 1, "call", "call", f, ...)))
end

-- Parts of an array for each worker: so that the last one to end does not let the others wait for long.
local PARTS = 8

function Pool.map(self, array, f)
  check_pool(self, "map")
  if type(array) ~= "table" then bad_argument(1, "map", "table expected, got " .. got(array)) end
  local n = #array
  local parts = min(n, self.size * PARTS)
  local jobs, bounds = {}, {}
  for part = 1, parts do
    local first, last = floor((part - 1) * n / parts) + 1, floor(part * n / parts)
    local items = {}
    for i = first, last do
      items[i - first + 1] = array[i]
    end
    bounds[part] = first
    jobs[part] = submit(self, 2, "map", "map", f, items, last - first + 1)
  end
  local results = {}
  local function collect()
    for part = 1, parts do
      local some = jobs[part]:await()
      local first = bounds[part]
      for i, value in pairs(some) do
        results[first + i - 1] = value
      end
    end
  end
  local ok, err = natives.pcall(collect)
  if not ok then
    for part = 1, parts do
      jobs[part]:cancel()
    end
    error(err, 0)
  end
  return results
end

function Pool.close(self)
  check_pool(self, "close")
  self.jobs:close()
end

function Pool.join(self, timeout)
  check_pool(self, "join")
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout) then
    local problem = type(timeout) == "number" and "time is not a number" or "number expected, got " .. type(timeout)
    error(("bad argument #1 to 'join' (%s)"):format(problem), 2)
  end
  local until_then = timeout and coev.now() + timeout
  for i = 1, self.size do
    local left = until_then and until_then - coev.now()
    local ok, err = self.workers[i]:join(left)
    if not ok and status_of(self.workers[i]) ~= "failed" and err == "timeout" then return nil, "timeout" end
  end
  return true
end

function class.__tostring(self)
  -- Only a table without a metatable shows its address.
  local address = tostring(setmetatable(self, nil)):match("0x%x+") or "?"
  setmetatable(self, class)
  return ("coev.pool: %s (%d threads, %d jobs queued)"):format(address, self.size, #self.jobs)
end

-- Servers ------------------------------------------------------------------------

-- The chunk of a thread that serves. `stop` is closed when no more clients are to be accepted.
local function serve(listener, code, most, stop)
  local library = require "coev"
  if type(code) == "string" then code = assert((loadstring or load)(code, "=handler")) end
  local handler = code()
  if type(handler) ~= "function" then
    error("the code of a server returns its handler: function expected, got " .. type(handler), 0)
  end
  local server = library.spawn(library.socket.serve, listener, handler, { max = most })
  local watcher = library.spawn(function()
    stop:receive()
    server:cancel()
  end)
  local ok, err = server:join()
  watcher:cancel()
  if not ok and not library.is_cancelled(err) then error(err, 0) end
end

-- Binds so many listeners to one port.
local function listen(host, port, n)
  local listeners = {}
  for i = 1, n do
    local listener, err = coev.socket.listen(host, port, { reuseport = true })
    if not listener then
      for k = 1, i - 1 do
        listeners[k]:close()
      end
      return nil, err
    end
    local _, own = listener:getsockname()
    port, listeners[i] = own, listener
  end
  return listeners, port
end

function thread.serve(host, port, code, options)
  check_code(code, 3, "serve")
  options = options == nil and {} or natives.check(options, "table", 4, "serve")
  local n = options.threads
  if n == nil then n = thread.cpus() end
  check_count(n, "field 'threads': ", 4, "serve")
  if options.max ~= nil then check_count(options.max, "field 'max': ", 4, "serve") end
  if not coev.current() then return coev.spawn(thread.serve, host, port, code, options):await() end

  local listeners, bound = listen(host, port, n)
  if not listeners then return nil, bound end
  local stop = thread.channel()
  -- Told of the end of any of them.
  local ends = coev.channel.new(huge)
  for i = 1, n do
    local t, err = thread.new({ serve, name = "serve " .. i }, listeners[i], code, options.max, stop)
    if not t then
      stop:close()
      for k = i, n do
        listeners[k]:close()
      end
      return nil, err
    end
    coev.spawn(function()
      ends:send({ t:join() })
    end)
  end
  local ok, first = natives.pcall(function()
    if options.onlisten then options.onlisten(host, bound) end
    return ends:receive()
  end)
  stop:close()
  local problem = ok and not first[1] and first or nil
  coev.shield(function()
    for _ = ok and 2 or 1, n do
      local result = ends:receive()
      if not result[1] then problem = problem or result end
    end
  end)
  if not ok then error(first, 0) end
  if problem then error(problem[2], 0) end
  return 1
end


