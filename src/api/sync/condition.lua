-- coev.condition: tasks that wait for a signal. Called with the module's table, coev's, and the natives.
local condition, coev, natives = ...
local error, getmetatable, setmetatable, type = error, getmetatable, setmetatable, type
local waiters, here, pcall = natives.waiters, natives.here, natives.pcall
local await, serve, serve_all, notify = waiters.await, waiters.serve, waiters.serve_all, waiters.notify
local now, shield = coev.now, coev.shield

local Condition = {}
local class = { __index = Condition, __name = "coev.condition", kind = "condition", verb = "wait for" }

local function bad_self(self, name)
  if getmetatable(self) ~= class then waiters.bad_self(self, "condition", name) end
end

-- A signal that the one who was woken does not take is another's.
function class.pass_on(self)
  serve(self, true)
end

-- Takes the mutex again, whatever comes; answers the error that is to be raised then.
local function retake(self, slot, outcome, problem)
  local ok, err = pcall(shield, waiters.retake_mutex, self.mutex, slot)
  if ok then return problem end
  if outcome then serve(self, true) end
  return err
end

-- Waits for one signal; answers whether it came in time.
local function wait(self, timeout, name)
  local mutex = self.mutex
  if not mutex then return await(self, timeout) end
  local slot = here()
  if mutex.holder ~= slot then error(("'%s': the caller does not own the mutex of the condition"):format(name), 3) end
  waiters.release_mutex(mutex, slot)
  local outcome, _, problem = await(self, timeout, nil, nil, true)
  problem = retake(self, slot, outcome, problem)
  if problem ~= nil then error(problem, 0) end
  return outcome
end

function Condition.wait(self, timeout)
  bad_self(self, "wait")
  if timeout ~= nil then waiters.check_timeout(timeout, 1, "wait") end
  if timeout and timeout <= 0 then return nil, "timeout" end
  if wait(self, timeout, "wait") then return true end
  return nil, "timeout"
end

function Condition.wait_for(self, predicate, timeout)
  bad_self(self, "wait_for")
  waiters.check_function(predicate, 1, "wait_for")
  waiters.check_timeout(timeout, 2, "wait_for")
  local deadline = timeout and now() + timeout
  while true do
    local met = predicate()
    if met then return met end
    local left = deadline and deadline - now()
    if left and left <= 0 or timeout and timeout <= 0 then return nil, "timeout" end
    if not wait(self, left, "wait_for") then
      -- In the meantime it may have come true all the same.
      met = predicate()
      if met then return met end
      return nil, "timeout"
    end
  end
end

function Condition.signal(self, n)
  bad_self(self, "signal")
  if n ~= nil then waiters.check_count(n, 0, 1, "signal") end
  local woken = 0
  while woken < (n or 1) and serve(self, true) do
    woken = woken + 1
  end
  if self.watchers then notify(self) end
  return woken
end

function Condition.broadcast(self)
  bad_self(self, "broadcast")
  local woken = serve_all(self, true)
  if self.watchers then notify(self) end
  return woken
end

function class.__tostring(self)
  return waiters.text(self, self.mutex and "with a mutex" or "without a mutex", self)
end

-- A signal is gone when it has woken somebody: a condition is never ready, but who watches is told of each.
class.readiness = waiters.simple_readiness(function()
  return false
end)

-- A case of coev.select: one signal. Whoever waits so could not give the mutex away and get it again in one step.
class.case = {
  check = function(self)
    if self.mutex then return "a condition with a mutex" end
  end,
  try = function() end,
  list = function(self)
    return self
  end,
  result = function()
    return true
  end,
}

function condition.new(mutex)
  local of_mutex = getmetatable(mutex)
  if mutex ~= nil and not (type(of_mutex) == "table" and of_mutex.kind == "mutex") then
    error(("bad argument #1 to 'new' (coev.mutex expected, got %s)"):format(type(mutex)), 2)
  end
  return setmetatable({ mutex = mutex or false, first = false, last = false, watchers = false }, class)
end
