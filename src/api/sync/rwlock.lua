-- coev.rwlock: many readers or one writer, in the order in which they come; readers in a row go together. Called with
-- the module's table, coev's, and the natives.
local rwlock, _, natives = ...
local error, getmetatable, next, pairs, setmetatable = error, getmetatable, next, pairs, setmetatable
local waiters, here = natives.waiters, natives.here
local await, serve_first, notify = waiters.await, waiters.serve_first, waiters.notify

local Rwlock = {}
local class = { __index = Rwlock, __name = "coev.rwlock", kind = "rwlock" }

function class.verb(place)
  return place.mode .. " lock of rwlock " .. waiters.address(place.list)
end

local function bad_self(self, name)
  if getmetatable(self) ~= class then waiters.bad_self(self, "rwlock", name) end
end

-- May a lock of this mode be had, those who wait apart?
local function is_open(self, mode)
  return self.writer == nil and (mode == "read" or next(self.readers) == nil)
end

-- Notes who has the lock now.
local function admit(self, slot, mode)
  if mode == "read" then
    self.readers[slot] = true
  else
    self.writer = slot
  end
end

-- Lets in those who wait, as far as they go together.
local function settle(self)
  local place = self.first
  while place and is_open(self, place.mode) do
    local slot, mode = place.payload, place.mode
    if serve_first(self, self.deserted and "abandoned" or true) then
      admit(self, slot, mode)
      if mode == "write" then self.deserted = nil end
    end
    place = self.first
  end
  if self.watchers then notify(self) end
end

local function let_go(self, slot)
  if self.writer == slot then
    self.writer = nil
  else
    self.readers[slot] = nil
  end
  settle(self)
end

function class.pass_on(self, place, outcome)
  if outcome == "abandoned" and place.mode == "write" then self.deserted = true end
  let_go(self, place.payload)
end

-- Readers behind a writer that has gone need not wait for it.
function class.left(self)
  settle(self)
end

function class.desert(self, slot)
  if self.writer == slot then self.deserted = true end
  let_go(self, slot)
end

local function lock(self, timeout, mode)
  bad_self(self, mode)
  waiters.check_timeout(timeout, 1, mode)
  local slot = here()
  if self.writer == slot or self.readers[slot] then
    error(("'%s': the rwlock is locked by this very task already, which would wait for itself"):format(mode), 3)
  end
  local outcome
  if not self.first and is_open(self, mode) then
    outcome = self.deserted and "abandoned" or true
    if mode == "write" then self.deserted = nil end
    admit(self, slot, mode)
  elseif timeout and timeout <= 0 then
    return nil, "timeout"
  else
    outcome = await(self, timeout, slot, mode)
    if not outcome then return nil, "timeout" end
  end
  waiters.hold(slot, self)
  if outcome == "abandoned" then return true, outcome end
  return true
end

function Rwlock.read(self, timeout)
  return lock(self, timeout, "read")
end

function Rwlock.write(self, timeout)
  return lock(self, timeout, "write")
end

function Rwlock.unlock(self)
  bad_self(self, "unlock")
  local slot = here()
  if self.writer ~= slot and not self.readers[slot] then
    error("'unlock': the caller has not locked the rwlock", 2)
  end
  waiters.unhold(slot, self)
  let_go(self, slot)
end

function class.__tostring(self)
  local readers, state = 0, "free"
  for _ in pairs(self.readers) do
    readers = readers + 1
  end
  if self.writer then
    state = "written by " .. waiters.label(self.writer)
  elseif readers > 0 then
    state = readers == 1 and "read by 1 task" or ("read by %d tasks"):format(readers)
  end
  return waiters.text(self, state, self)
end

class.readiness = {
  -- "r": a reader would not wait; "w": a writer.
  ready = function(self, events)
    local ready = ""
    events = events or "r"
    if not self.first then
      if events:find("r", 1, true) and is_open(self, "read") then ready = "r" end
      if events:find("w", 1, true) and is_open(self, "write") then ready = ready .. "w" end
    end
    if ready ~= "" then return ready end
  end,
  watch = function(self, _, callback)
    waiters.watch(self, callback)
  end,
  unwatch = function(self, _, callback)
    waiters.unwatch(self, callback)
  end,
}

function rwlock.new()
  return setmetatable({
    readers = {}, -- the keys of the tasks that read
    writer = nil, -- the key of the one that writes
    deserted = nil, -- has a writer ended without unlocking, and no task been told yet?
    first = false, last = false, watchers = false,
  }, class)
end
