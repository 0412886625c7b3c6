-- coev.mutex: one task at a time. Called with the module's table, coev's, and the natives.
local mutex, _, natives = ...
local error, getmetatable, setmetatable = error, getmetatable, setmetatable
local waiters, here, pcall = natives.waiters, natives.here, natives.pcall
local await, serve, notify = waiters.await, waiters.serve, waiters.notify
local holds, make_holds, hold, unhold = waiters.holds, waiters.make_holds, waiters.hold, waiters.unhold

-- The owner of a mutex that is free because its owner has ended; false is plainly free, 0 the main chunk.
local DESERTED = -1

local Mutex = {}
local class = { __index = Mutex, __name = "coev.mutex", kind = "mutex", verb = "lock of" }

local function bad_self(self, name)
  if getmetatable(self) ~= class then waiters.bad_self(self, "mutex", name) end
end

-- Hands the mutex to the first who waits, or lets it be free.
local function hand_over(self, outcome)
  local place = serve(self, outcome)
  if place then
    self.holder = place.payload
    return
  end
  self.holder = outcome == "abandoned" and DESERTED or false
  if self.watchers then notify(self) end
end

function class.pass_on(self, _, outcome)
  hand_over(self, outcome)
end

function class.desert(self)
  self.guarded = nil
  hand_over(self, "abandoned")
end

-- Locks a mutex that is not plainly free, for the owner `slot`.
local function lock_late(self, slot, timeout, name)
  local owner = self.holder
  if owner == nil then bad_self(self, name) end
  if timeout ~= nil then waiters.check_timeout(timeout, 1, name) end
  if owner == slot then
    error(("'%s': the mutex is locked by this very task already, which would wait for itself"):format(name), 3)
  end
  if owner == DESERTED or owner == false then
    self.holder = slot
    hold(slot, self)
    return true, owner == DESERTED and "abandoned" or nil
  end
  if timeout and timeout <= 0 then return nil, "timeout" end
  local outcome = await(self, timeout, slot)
  if not outcome then return nil, "timeout" end
  hold(slot, self)
  if outcome == "abandoned" then return true, outcome end
  return true
end

-- Unlocks what the owner `slot` holds.
local function release(self, slot)
  unhold(slot, self)
  if self.first then
    hand_over(self, true)
  else
    self.holder = false
    if self.watchers then notify(self) end
  end
end

-- For conditions: the mutex is let go of by its owner, and taken again.
function waiters.release_mutex(self, slot)
  release(self, slot)
end

function waiters.retake_mutex(self, slot)
  return lock_late(self, slot, nil, "wait")
end

function Mutex.lock(self, timeout)
  local slot = here()
  if self.holder == false and timeout == nil then
    self.holder = slot;
    (holds[slot] or make_holds(slot))[self] = true
    return true
  end
  return lock_late(self, slot, timeout, "lock")
end

function Mutex.try_lock(self)
  bad_self(self, "try_lock")
  local owner = self.holder
  if owner == false or owner == DESERTED then return lock_late(self, here(), 0, "try_lock") end
  return false
end

-- Says why a task cannot unlock the mutex.
local function refuse(self, name)
  bad_self(self, name)
  local owner = self.holder
  if owner == false or owner == DESERTED then error(("'%s': the mutex is not locked"):format(name), 3) end
  error(("'%s': the mutex belongs to %s, and not to the caller"):format(name, waiters.label(owner)), 3)
end

function Mutex.unlock(self)
  local slot = here()
  if self.holder ~= slot then refuse(self, "unlock") end
  holds[slot][self] = nil
  if self.first then
    hand_over(self, true)
    return
  end
  self.holder = false
  if self.watchers then notify(self) end
end

local function unlocked(self, slot, ok, ...)
  if self.holder == slot then release(self, slot) end
  if ok then return ... end
  error((...), 0)
end

function Mutex.with(self, f, ...)
  bad_self(self, "with")
  waiters.check_function(f, 1, "with")
  local slot = here()
  if self.holder == false then
    Mutex.lock(self)
  else
    lock_late(self, slot, nil, "with")
  end
  return unlocked(self, slot, pcall(f, ...))
end

local Guard = {}
local guard_class = { __index = Guard, __name = "coev.mutex.Guard" }

function Guard.close(guard)
  if getmetatable(guard) ~= guard_class then waiters.bad_self(guard, "mutex.Guard", "close") end
  local self = guard.mutex
  guard.mutex = nil
  -- Not `here`: a variable of a task that has failed is closed by the loop.
  if self and self.guarded == guard then
    self.guarded = nil
    if self.holder == guard.slot then release(self, guard.slot) end
  end
end

Guard.unlock = Guard.close
guard_class.__close = Guard.close

function Mutex.guard(self)
  bad_self(self, "guard")
  local slot = here()
  local _, abandoned = lock_late(self, slot, nil, "guard")
  local guard = setmetatable({ mutex = self, slot = slot }, guard_class)
  self.guarded = guard
  return guard, abandoned
end

function Mutex.owner(self)
  bad_self(self, "owner")
  local owner = self.holder
  if owner == false or owner == DESERTED then return nil end
  return waiters.task_at(owner)
end

-- OiL's names.
Mutex.enter, Mutex.leave = Mutex.lock, Mutex.unlock

function class.__tostring(self)
  local owner = self.holder
  local state
  if owner == false then
    state = "free"
  elseif owner == DESERTED then
    state = "free, abandoned"
  else
    state = "held by " .. waiters.label(owner)
  end
  return waiters.text(self, state, self)
end

class.readiness = waiters.simple_readiness(function(self)
  return self.holder == false or self.holder == DESERTED
end)

-- A case of coev.select: takes the lock.
class.case = {
  check = function(self)
    if self.holder == here() then return "the mutex is locked by this very task already" end
  end,
  try = function(self, _, _, slot)
    if self.holder == false or self.holder == DESERTED then return true, lock_late(self, slot, 0, "select") end
  end,
  list = function(self, _, _, slot)
    return self, slot
  end,
  result = function(self, outcome, _, slot)
    hold(slot, self)
    return true, outcome == "abandoned" and outcome or nil
  end,
}

function mutex.new()
  return setmetatable({ holder = false, first = false, last = false, watchers = false }, class)
end
