-- coev.mutex: what calls Lua functions, and guards. Called with the module's table, coev's, and the natives.
local mutex, _, natives = ...
local error, getmetatable, setmetatable, type = error, getmetatable, setmetatable, type
local pcall = natives.pcall

local Mutex = natives.adopt_class(mutex, "mutex", true)
local lock, session, release = Mutex.lock, Mutex.session, Mutex.release
natives.lock, natives.session, natives.set_session = lock, session, Mutex.set_session
Mutex.session, Mutex.set_session, Mutex.release = nil, nil, nil

-- Raises where a method is called with something else than a mutex.
local function check(self, name)
  local class = getmetatable(self)
  if type(class) ~= "table" or class.__index ~= Mutex then
    error(("calling '%s' on bad self (coev.mutex expected, got %s)"):format(name, type(self)), 3)
  end
end

local function unlocked(self, hold, ok, ...)
  release(self, hold)
  if ok then return ... end
  error((...), 0)
end

function Mutex.with(self, f, ...)
  check(self, "with")
  if type(f) ~= "function" then
    natives.bad_argument(1, "with", "function expected, got " .. (f == nil and "no value" or type(f)))
  end
  lock(self)
  return unlocked(self, session(self), pcall(f, ...))
end

local Guard = {}
local guard_class = { __index = Guard, __name = "coev.mutex.Guard" }

-- A guard knows the hold that it ends: a later one is none of its business.
function Guard.close(guard)
  if getmetatable(guard) ~= guard_class then
    error(("calling 'close' on bad self (coev.mutex.Guard expected, got %s)"):format(type(guard)), 2)
  end
  local self = guard.mutex
  guard.mutex = nil
  if self then release(self, guard.hold) end
end

Guard.unlock = Guard.close
guard_class.__close = Guard.close

function Mutex.guard(self)
  check(self, "guard")
  local _, abandoned = lock(self)
  return setmetatable({ mutex = self, hold = session(self) }, guard_class), abandoned
end

-- OiL's names.
Mutex.enter, Mutex.leave = Mutex.lock, Mutex.unlock
