-- coev.condition: the mutex of one, which a wait gives away and takes again whatever comes. Called with the module's
-- table, coev's, and the natives.
local condition, coev, natives = ...
local error, getmetatable, type = error, getmetatable, type
local own_table, pcall = natives.own_table, natives.pcall
local now, shield, new, lock = coev.now, coev.shield, condition.new, natives.lock
local session, set_session = natives.session, natives.set_session

function condition.new(mutex)
  if mutex == nil then return new() end
  local self = new(mutex)
  own_table(self).mutex = mutex
  return self
end

local Condition = natives.adopt_class(condition, "condition", true)
local wait, signal = Condition.wait, Condition.signal

-- The mutex of a condition. Raises where it is called with something else.
local function mutex_of(self, name)
  local class = getmetatable(self)
  if type(class) ~= "table" or class.__index ~= Condition then
    error(("calling '%s' on bad self (coev.condition expected, got %s)"):format(name, type(self)), 3)
  end
  return own_table(self).mutex
end

-- Raises unless `timeout` is absent or a number of seconds.
local function check_timeout(timeout, position, name)
  if timeout == nil then return end
  if type(timeout) ~= "number" then
    error(("bad argument #%d to '%s' (number expected, got %s)"):format(position, name, type(timeout)), 3)
  end
  if timeout ~= timeout then
    error(("bad argument #%d to '%s' (time is not a number)"):format(position, name), 3)
  end
end

-- Takes the mutex again, whatever comes; answers the error that is to be raised then.
local function retake(self, mutex, hold, signalled)
  local ok, err = pcall(shield, lock, mutex)
  if ok then
    set_session(mutex, hold)
    return nil
  end
  if signalled then signal(self) end
  return err
end

-- Waits for one signal; answers whether it came in time.
local function wait_once(self, mutex, timeout, name)
  if not mutex then return wait(self, timeout) end
  local hold = session(mutex)
  if not hold then
    error(("'%s': the caller does not own the mutex of the condition"):format(name), 3)
  end
  local ok, signalled, err = pcall(wait, self, timeout, mutex)
  if ok and err == nil then
    set_session(mutex, hold)
    return true
  end
  local problem = retake(self, mutex, hold, ok and signalled)
  if problem == nil and not ok then problem = signalled end
  if problem ~= nil then error(problem, 0) end
  return signalled
end

function Condition.wait(self, timeout)
  local mutex = mutex_of(self, "wait")
  check_timeout(timeout, 1, "wait")
  if timeout and timeout <= 0 then return nil, "timeout" end
  if wait_once(self, mutex, timeout, "wait") then return true end
  return nil, "timeout"
end

function Condition.wait_for(self, predicate, timeout)
  local mutex = mutex_of(self, "wait_for")
  if type(predicate) ~= "function" then
    local got = predicate == nil and "no value" or type(predicate)
    natives.bad_argument(1, "wait_for", "function expected, got " .. got)
  end
  check_timeout(timeout, 2, "wait_for")
  local deadline = timeout and now() + timeout
  while true do
    local met = predicate()
    if met then return met end
    local left = deadline and deadline - now()
    if left and left <= 0 or timeout and timeout <= 0 then return nil, "timeout" end
    if not wait_once(self, mutex, left, "wait_for") then
      -- In the meantime it may have come true all the same.
      met = predicate()
      if met then return met end
      return nil, "timeout"
    end
  end
end
