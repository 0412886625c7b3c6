-- coev.barrier: a number of tasks wait for one another, round after round. Called with the module's table, coev's, and
-- the natives.
local barrier, _, natives = ...
local getmetatable, setmetatable = getmetatable, setmetatable
local waiters = natives.waiters
local await, serve_all = waiters.await, waiters.serve_all

local Barrier = {}
local class = { __index = Barrier, __name = "coev.barrier", kind = "barrier", verb = "wait at" }

-- Who leaves before the last one comes has not come.
function class.left(self)
  self.arrived = self.arrived - 1
end

function Barrier.wait(self, timeout)
  if getmetatable(self) ~= class then waiters.bad_self(self, "barrier", "wait") end
  if timeout ~= nil then waiters.check_timeout(timeout, 1, "wait") end
  if self.arrived + 1 == self.parties then
    self.arrived = 0
    serve_all(self, true)
    return true
  end
  if timeout and timeout <= 0 then return nil, "timeout" end
  self.arrived = self.arrived + 1
  if await(self, timeout) then return false end
  return nil, "timeout"
end

function class.__tostring(self)
  return waiters.text(self, ("%d of %d have come"):format(self.arrived, self.parties), self)
end

function barrier.new(n)
  waiters.check_count(n, 1, 1, "new")
  return setmetatable({ parties = n, arrived = 0, first = false, last = false }, class)
end
