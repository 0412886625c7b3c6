-- coev.waitgroup: a count of what is still to be done, and tasks that wait until it is 0. Called with the module's
-- table, coev's, and the natives.
local waitgroup, _, natives = ...
local error, getmetatable, setmetatable = error, getmetatable, setmetatable
local waiters, huge = natives.waiters, math.huge
local await, serve_all, notify = waiters.await, waiters.serve_all, waiters.notify

local Waitgroup = {}
local class = { __index = Waitgroup, __name = "coev.waitgroup", kind = "waitgroup", verb = "wait for" }

local function bad_self(self, name)
  if getmetatable(self) ~= class then waiters.bad_self(self, "waitgroup", name) end
end

-- Changes the count; who waits for 0 is woken there.
local function change(self, n, name)
  local left = self.left + n
  if left < 0 then error(("'%s': the count of the waitgroup would be less than 0"):format(name), 3) end
  self.left = left
  if left > 0 then return end
  serve_all(self, true)
  if self.watchers then notify(self) end
end

function Waitgroup.add(self, n)
  bad_self(self, "add")
  if n == nil then
    n = 1
  else
    waiters.check_count(n, -huge, 1, "add")
  end
  change(self, n, "add")
end

function Waitgroup.done(self)
  bad_self(self, "done")
  change(self, -1, "done")
end

function Waitgroup.wait(self, timeout)
  bad_self(self, "wait")
  if timeout ~= nil then waiters.check_timeout(timeout, 1, "wait") end
  if self.left == 0 then return true end
  if timeout and timeout <= 0 then return nil, "timeout" end
  if await(self, timeout) then return true end
  return nil, "timeout"
end

function class.__tostring(self)
  return waiters.text(self, ("%d to be done"):format(self.left), self)
end

class.readiness = waiters.simple_readiness(function(self)
  return self.left == 0
end)

-- A case of coev.select.
class.case = {
  try = function(self)
    if self.left == 0 then return true, true end
  end,
  list = function(self)
    return self
  end,
  result = function()
    return true
  end,
}

function waitgroup.new(n)
  if n ~= nil then waiters.check_count(n, 0, 1, "new") end
  return setmetatable({ left = n or 0, first = false, last = false, watchers = false }, class)
end
