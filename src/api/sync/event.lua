-- coev.event: a flag with a value, for which tasks wait. Called with the module's table, coev's, and the natives.
local event, _, natives = ...
local getmetatable, setmetatable = getmetatable, setmetatable
local waiters = natives.waiters
local await, serve_all, notify = waiters.await, waiters.serve_all, waiters.notify

local Event = {}
local class = { __index = Event, __name = "coev.event", kind = "event", verb = "wait for" }

local function bad_self(self, name)
  if getmetatable(self) ~= class then waiters.bad_self(self, "event", name) end
end

function Event.wait(self, timeout)
  bad_self(self, "wait")
  if timeout ~= nil then waiters.check_timeout(timeout, 1, "wait") end
  local value = self.value
  if value ~= nil then return value end
  if timeout and timeout <= 0 then return nil, "timeout" end
  local outcome
  outcome, value = await(self, timeout)
  if outcome then return value end
  return nil, "timeout"
end

function Event.set(self, value)
  bad_self(self, "set")
  if value == nil then value = true end
  self.value = value
  serve_all(self, true, value)
  if self.watchers then notify(self) end
end

function Event.clear(self)
  bad_self(self, "clear")
  self.value = nil
end

function Event.is_set(self)
  bad_self(self, "is_set")
  return self.value ~= nil
end

function class.__tostring(self)
  return waiters.text(self, self.value ~= nil and "set" or "not set", self)
end

class.readiness = waiters.simple_readiness(function(self)
  return self.value ~= nil
end)

-- A case of coev.select.
class.case = {
  try = function(self)
    if self.value ~= nil then return true, self.value end
  end,
  list = function(self)
    return self
  end,
  result = function(_, _, value)
    return value
  end,
}

function event.new(set)
  local self = { first = false, last = false, watchers = false }
  -- Any value but nil and false is set from the start.
  if set then self.value = set end
  return setmetatable(self, class)
end
