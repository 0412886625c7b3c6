-- coev.semaphore: a number of permits. Called with the module's table, coev's, and the natives.
local semaphore, _, natives = ...
local getmetatable, setmetatable = getmetatable, setmetatable
local waiters = natives.waiters
local await, serve_first, notify, check_count = waiters.await, waiters.serve_first, waiters.notify, waiters.check_count

local Semaphore = {}
local class = { __index = Semaphore, __name = "coev.semaphore", kind = "semaphore", verb = "acquire of" }

local function bad_self(self, name)
  if getmetatable(self) ~= class then waiters.bad_self(self, "semaphore", name) end
end

-- Gives permits to those who wait, in their order; the first waits until there are enough for it.
local function settle(self)
  local place = self.first
  while place and place.payload <= self.permits do
    local need = place.payload
    if serve_first(self, true) then self.permits = self.permits - need end
    place = self.first
  end
  if self.watchers then notify(self) end
end

function class.pass_on(self, place)
  self.permits = self.permits + place.payload
  settle(self)
end

-- Those behind it may need fewer.
function class.left(self)
  settle(self)
end

-- Takes `n` permits if nobody has to wait for them; answers whether it did.
local function take(self, n)
  if self.permits < n or self.first then return false end
  self.permits = self.permits - n
  return true
end

function Semaphore.acquire(self, n, timeout)
  bad_self(self, "acquire")
  if n == nil then
    n = 1
  else
    check_count(n, 1, 1, "acquire")
  end
  if timeout ~= nil then waiters.check_timeout(timeout, 2, "acquire") end
  if take(self, n) then return true end
  if timeout and timeout <= 0 then return nil, "timeout" end
  if await(self, timeout, n) then return true end
  return nil, "timeout"
end

function Semaphore.try_acquire(self, n)
  bad_self(self, "try_acquire")
  if n == nil then
    n = 1
  else
    check_count(n, 1, 1, "try_acquire")
  end
  return take(self, n)
end

function Semaphore.release(self, n)
  bad_self(self, "release")
  if n == nil then
    n = 1
  else
    check_count(n, 1, 1, "release")
  end
  self.permits = self.permits + n
  if self.first or self.watchers then settle(self) end
end

function Semaphore.count(self)
  bad_self(self, "count")
  return self.permits
end

function class.__tostring(self)
  return waiters.text(self, ("%d free"):format(self.permits), self)
end

class.readiness = waiters.simple_readiness(function(self)
  return self.permits > 0 and not self.first
end)

-- A case of coev.select: takes one permit.
class.case = {
  try = function(self)
    if take(self, 1) then return true, true end
  end,
  list = function(self)
    return self, 1
  end,
  result = function()
    return true
  end,
}

function semaphore.new(n)
  check_count(n, 0, 1, "new")
  return setmetatable({ permits = n, first = false, last = false, watchers = false }, class)
end
