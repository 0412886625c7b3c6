-- Coroutines and protected calls that let waits pass through. Called with coev's table and the natives.
--
-- A wait inside a coroutine that was resumed from here yields a mark before its values. Whoever resumed the coroutine
-- sees the mark, relays the values outward, from coroutine to coroutine as far as the scheduler, and resumes the
-- coroutine with what comes back. What a script yields itself has no mark and is returned to it as ever.
local coev, natives = ...
local stock = coroutine
local create, resume, status, running, yield = stock.create, stock.resume, stock.status, stock.running, stock.yield
local stock_pcall, stock_xpcall, error, type, select, setmetatable = pcall, xpcall, error, type, select, setmetatable
local PASS, descend, ascend, relay, check = natives.PASS, natives.descend, natives.ascend, natives.relay, natives.check
local traceback = debug.traceback

-- Coroutines whose wait has been passed on, and that only the one who did so may resume.
local passing = setmetatable({}, { __mode = "k" })
-- Coroutines that were closed where the stock library cannot close any.
local closed = setmetatable({}, { __mode = "k" })

local back

-- What a resumed coroutine has answered: for the script, or to be relayed.
local function answered(co, connected, ok, first, ...)
  if connected then ascend() end
  if first == PASS and ok then
    passing[co] = true
    return back(co, relay(...))
  end
  return ok, first, ...
end

-- Without a value the count matters: `resume` of a coroutine that yields nothing answers just `true`.
local function finished(co, connected, ...)
  if select("#", ...) == 1 then
    if connected then ascend() end
    return ...
  end
  return answered(co, connected, ...)
end

-- A relayed wait is over: the coroutine goes on.
back = function(co, ...)
  passing[co] = nil
  return finished(co, descend(co), resume(co, ...))
end

local function coev_resume(co, ...)
  if type(co) ~= "thread" then check(co, "coroutine", 1, "resume") end
  if passing[co] then return false, "cannot resume a coroutine that waits inside a task" end
  if closed[co] then return false, "cannot resume dead coroutine" end
  return finished(co, descend(co), resume(co, ...))
end

-- The frames of the coroutine that failed are lost with it: they are noted for the traceback of the task.
local function unwrapped(co, ok, ...)
  if ok then return ... end
  local err = ...
  natives.note_inner(err, traceback(co))
  error(err, 0)
end

local library = {}

function library.create(f)
  check(f, "function", 1, "create")
  return create(f)
end

library.resume = coev_resume

function library.wrap(f)
  check(f, "function", 1, "wrap")
  local co = create(f)
  return function(...)
    return unwrapped(co, coev_resume(co, ...))
  end
end

function library.status(co)
  if closed[co] then return "dead" end
  if passing[co] then return "normal" end
  return status(co)
end

library.yield = yield
library.running = running
library.isyieldable = stock.isyieldable or function()
  local co, main = running()
  return co ~= nil and not main
end

library.close = stock.close or function(co)
  local now = library.status(co)
  if now ~= "suspended" and now ~= "dead" then error("cannot close a " .. now .. " coroutine", 2) end
  if now == "suspended" then closed[co] = true end
  return true
end

coev.coroutine = library

-- Protected calls ----------------------------------------------------------

-- Can a stock pcall be yielded across? On 5.1 it cannot.
local probe = create(function()
  stock_pcall(yield)
  return true
end)
resume(probe)
local passes = status(probe) == "suspended"

if passes then
  coev.pcall, coev.xpcall = stock_pcall, stock_xpcall
else
  -- The call gets a coroutine of its own; what it yields itself is yielded outward as it is.
  local function step(co, handler, ok, ...)
    if ok and status(co) == "suspended" then
      return step(co, handler, coev_resume(co, yield(...)))
    end
    if ok or not handler then return ok, ... end
    return false, (handler((...)))
  end

  local function call(f, ...)
    return f(...)
  end

  function coev.pcall(f, ...)
    if not running() then return stock_pcall(f, ...) end
    local co = create(call)
    return step(co, nil, coev_resume(co, f, ...))
  end

  function coev.xpcall(f, handler, ...)
    if not running() then
      local arguments = { n = select("#", ...), ... }
      return stock_xpcall(function()
        return f(unpack(arguments, 1, arguments.n))
      end, handler)
    end
    local co = create(call)
    return step(co, handler, coev_resume(co, f, ...))
  end
end
natives.pcall = coev.pcall

-- Calls a function protected; a failure carries its traceback, which `failure` takes apart.
local Failure = {}

if passes then
  local function traced(err)
    return setmetatable({ err = err, traceback = traceback("", 2):gsub("^\n", "") }, Failure)
  end

  function natives.traced(f, ...)
    return stock_xpcall(f, traced, ...)
  end

else
  local function with_traceback(err, co)
    return setmetatable({ err = err, traceback = co and traceback(co) or traceback() }, Failure)
  end

  local function step(co, ok, ...)
    if ok and status(co) == "suspended" then
      return step(co, coev_resume(co, yield(...)))
    end
    if ok then return ok, ... end
    -- There is no memory for more, and a message handler would not be called either.
    if ... == "not enough memory" then return false, (...) end
    return false, with_traceback((...), co)
  end

  function natives.traced(f, ...)
    local co = create(function(...)
      return f(...)
    end)
    return step(co, coev_resume(co, ...))
  end
end

function natives.failure(failure)
  -- Where memory has failed, or the handler, there is the error alone.
  if type(failure) ~= "table" then return failure end
  return failure.err, failure.traceback
end

-- Patching -----------------------------------------------------------------

local patches = {}

function patches.coroutine()
  for _, name in ipairs({ "create", "resume", "wrap", "status", "isyieldable", "close" }) do
    stock[name] = library[name]
  end
  -- Where no coroutine is resumed by coev's, a stock yield of a task is what coev.yield is, and can raise as well.
  stock.yield = function(...)
    if select("#", ...) == 0 and natives.is_base() then return coev.yield() end
    return yield(...)
  end
end

function patches.pcall()
  _G.pcall, _G.xpcall = coev.pcall, coev.xpcall
end

function patches.socket()
  package.loaded.socket = coev.socket
  package.loaded["socket.core"] = coev.socket
  package.loaded["socket.unix"] = coev.socket.unix
end

function coev.patch(what)
  if what ~= nil then check(what, "table", 1, "patch") end
  for name in pairs(what or {}) do
    if not patches[name] then
      error(("bad argument #1 to 'patch' (nothing is called '%s')"):format(tostring(name)), 2)
    end
  end
  for name, patch in pairs(patches) do
    if what == nil or what[name] then patch() end
  end
end
