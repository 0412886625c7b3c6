-- The poll object: one wait for many things, level-triggered. Called with the module's table, coev's and the natives.
--
-- What has a descriptor is in a set of the system's own, which the loop watches as one descriptor. Anything else of
-- coev's tells of its readiness by what `natives.readiness_of` answers (see sync/objects.lua); `fd`, where that is
-- there, is a descriptor that is readable when the object may be ready.
local poll, coev, natives = ...

local error, getmetatable, ipairs, next, pairs, select, setmetatable, tostring, type =
  error, getmetatable, ipairs, next, pairs, select, setmetatable, tostring, type
local floor, min = math.floor, math.min
local remove = table.remove
local getinfo = debug.getinfo
local now, gather = coev.now, natives.gather

-- The readiness of what is none of the system's descriptors, or nothing.
local function readiness_of(what)
  local kind = type(what)
  return (kind == "table" or kind == "userdata") and natives.readiness_of(what) or nil
end

local EVENTS = { r = { true, false }, w = { false, true }, rw = { true, true }, wr = { true, true } }

-- Seconds between two looks whether somebody has closed a descriptor behind coev's back, for each raw one and for each
-- that an object tells: the looks then take a tenth of the time at most.
local LOOK_EVERY, ASK_EVERY = 1e-6, 5e-6

-- Waits that are answered at once before the other tasks get a turn.
local AT_ONCE = 64

-- How many waits in a row have been so.
local at_once = 0

local Poll = {}
local class = { __index = Poll, __name = "coev.poll" }

-- Raises at the place outside of coev from which it was called.
local function bad_argument(position, name, problem)
  local level, info = 2, getinfo(2, "S")
  while info and info.short_src:find("^coev") do
    level = level + 1
    info = getinfo(level, "S")
  end
  error(("bad argument #%d to '%s' (%s)"):format(position, name, problem), info and level or 1)
end

local function check_events(events, position, name)
  if not EVENTS[events] then
    bad_argument(position, name, "'r', 'w' or 'rw' expected, got " .. tostring(events))
  end
end

local function check_timeout(timeout, position, name)
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout) then
    bad_argument(position, name, "number expected, got " .. (timeout ~= timeout and "nan" or type(timeout)))
  end
end

local function check_self(self, name)
  if getmetatable(self) ~= class then
    error(("calling '%s' on bad self (coev.poll expected, got %s)"):format(name, type(self)), 3)
  end
end

-- The field of an object, or nothing where it cannot be indexed.
local function method(object, name)
  local kind = type(object)
  if kind == "userdata" and not getmetatable(object) then
    return nil
  end
  if kind ~= "userdata" and kind ~= "table" then
    return nil
  end
  local f = object[name]
  return type(f) == "function" and f or nil
end

-- The descriptor of `what`, or nothing where it has none.
local function descriptor(what)
  local fd = what
  if type(what) ~= "number" then
    local get = method(what, "getfd") or method(what, "pollfd")
    fd = get and get(what)
  end
  return type(fd) == "number" and fd >= 0 and fd < 2 ^ 31 and floor(fd) == fd and fd or nil
end

-- May it be waited for by its descriptor? A socket that is closed has none any more.
function natives.has_descriptor(what)
  return descriptor(what) ~= nil or type(what) == "userdata" and method(what, "getfd") ~= nil
end

-- Something may have become ready: whoever waits looks again.
local function notify(self)
  if self.waiter then
    natives.poke(self.waiter)
  end
  for i = 1, #self.watchers do
    self.watchers[i]()
  end
end

function poll.new()
  local set, err = natives.fds()
  if not set then
    return nil, err
  end
  return setmetatable({
    set = set,
    entries = {}, -- by what was added
    by_key = {}, -- those with descriptors
    objects = {}, -- the set of those without
    regular = {}, -- the set of those that are always ready: files
    count = 0,
    buffering = {}, -- the set of those that may have read more than was asked for
    wrapped = {}, -- the set of those whose descriptor an object tells
    raw = 0, -- how many were added as a number
    asked = 0, -- how many were added as an object, or are files
    by_fd = {}, -- by descriptor, those in the set
    gone = {}, -- events of those that were found closed when their descriptor came back
    key = 0,
    closings = natives.closings(),
    looked = 0,
    watchers = {}, -- callbacks of polls that this one is in
  }, class)
end

-- Is the descriptor still that of the entry?
local function is_alive(entry)
  if entry.source then
    return true
  elseif type(entry.what) == "number" then
    return natives.is_open(entry.fd)
  end
  return descriptor(entry.what) == entry.fd
end

local drop

-- Lets the system watch the descriptor of an entry; answers what is wrong with it, if anything.
local function add_descriptor(self, entry)
  local wanted = EVENTS[entry.events]
  local before = self.by_fd[entry.fd]
  if before and not is_alive(before) then
    drop(self, before)
    self.gone[#self.gone + 1] = { before.what, "closed", before.tag }
  end
  local raw = type(entry.what) == "number"
  local ok, err = self.set:add(entry.fd, wanted[1], wanted[2], entry.key, raw)
  if ok then
    self.by_key[entry.key], self.by_fd[entry.fd] = entry, entry
    if raw then
      self.raw = self.raw + 1
    else
      self.wrapped[entry] = true
      self.asked = self.asked + 1
    end
    if method(entry.what, "dirty") then
      self.buffering[entry] = true
    end
  elseif err == "regular" then
    self.regular[entry] = true
    self.asked = self.asked + 1
  else
    return ("descriptor %d: %s"):format(entry.fd, err)
  end
end

-- Is `other` in the poll, or in one that is in it?
local function contains(self, other)
  for entry in pairs(self.objects) do
    local what = entry.what
    if what == other or getmetatable(what) == class and contains(what, other) then
      return true
    end
  end
  return false
end

-- Adds a thing; answers why it cannot be added, if it cannot.
local function insert(self, what, events, tag)
  if what == nil then
    return "something to wait for expected, got no value"
  elseif self.entries[what] then
    return tostring(what) .. " is in the poll already"
  elseif what == self or getmetatable(what) == class and contains(what, self) then
    return "a poll cannot wait for itself"
  end
  -- The runtime knows the thing and its tag by their places.
  local entry = { what, tag, what = what, events = events, tag = tag }
  self.key = self.key + 1
  entry.key = self.key
  local source = readiness_of(what)
  if source then
    entry.source = source
    entry.callback = function()
      notify(self)
    end
    source.watch(what, events, entry.callback)
    self.objects[entry] = true
    -- Nested polls and the like have a descriptor as well, for what they watch by one.
    entry.fd = source.fd and source.fd(what)
    if entry.fd then
      self.set:add(entry.fd, false, false, entry.key, false)
      self.by_key[entry.key] = entry
    end
  else
    entry.fd = descriptor(what)
    local problem = not entry.fd and "descriptor or object that one can wait for expected, got " .. tostring(what)
      or add_descriptor(self, entry)
    if problem then
      return problem
    end
  end
  self.entries[what] = entry
  self.count = self.count + 1
  if self.waiter then
    notify(self)
  end
end

function Poll.add(self, what, events, tag)
  check_self(self, "add")
  if events == nil then
    events = "r"
  end
  if self.closed then
    error("add: the poll is closed", 2)
  end
  check_events(events, 2, "add")
  local problem = insert(self, what, events, tag)
  if problem then
    bad_argument(1, "add", problem)
  end
  return self
end

-- The entry of `what`; raises where there is none.
local function entry_of(self, what, name)
  local entry = what ~= nil and self.entries[what]
  if not entry then
    bad_argument(1, name, tostring(what) .. " is not in the poll")
  end
  return entry
end

function Poll.modify(self, what, events)
  check_self(self, "modify")
  check_events(events, 2, "modify")
  local entry = entry_of(self, what, "modify")
  if entry.source then
    entry.source.unwatch(what, entry.events, entry.callback)
    entry.source.watch(what, events, entry.callback)
  elseif self.by_key[entry.key] then
    local wanted = EVENTS[events]
    self.set:change(entry.fd, wanted[1], wanted[2], entry.key)
  end
  entry.events = events
  if self.waiter then
    notify(self)
  end
  return self
end

-- Takes an entry out.
function drop(self, entry)
  self.entries[entry.what] = nil
  self.count = self.count - 1
  if self.by_key[entry.key] then
    self.by_key[entry.key] = nil
    self.by_fd[entry.fd] = nil
    if type(entry.what) == "number" then
      self.raw = self.raw - 1
    end
    self.set:remove(entry.fd)
  end
  if self.wrapped[entry] or self.regular[entry] then
    self.asked = self.asked - 1
  end
  self.objects[entry], self.regular[entry], self.buffering[entry], self.wrapped[entry] = nil, nil, nil, nil
  if entry.source then
    entry.source.unwatch(entry.what, entry.events, entry.callback)
  end
end

function Poll.remove(self, what)
  check_self(self, "remove")
  drop(self, entry_of(self, what, "remove"))
  return self
end

-- Takes out an entry that has lost its descriptor, and adds that to the batch.
local function drop_closed(self, entry, batch)
  drop(self, entry)
  batch[#batch + 1] = { entry.what, "closed", entry.tag }
end

-- Looks which entries have lost their descriptor, and adds them to the batch. `but_ready`: what the set has just found
-- ready is open.
local function look_for_closed(self, batch, but_ready)
  local gone = {}
  for _, entries in ipairs({ self.wrapped, self.regular }) do
    for entry in pairs(entries) do
      if not is_alive(entry) then
        gone[#gone + 1] = entry
      end
    end
  end
  for _ = 1, self.set:look_for_closed(but_ready) do
    gone[#gone + 1] = self.by_key[self.set:next_closed()]
  end
  for i = 1, #gone do
    drop_closed(self, gone[i], batch)
  end
end

-- As `look_for_closed`, unless the last look was too recent; answers in how many seconds it is time for the next one,
-- where this wait has had none since it `began`.
local function look_in_time(self, batch, began)
  local pause = self.raw * LOOK_EVERY + self.asked * ASK_EVERY
  if pause == 0 then
    return nil
  end
  local moment = now()
  if moment - self.looked >= pause then
    self.looked = moment
    look_for_closed(self, batch, true)
  elseif self.looked < began then
    return self.looked + pause - moment
  end
end

-- Has an entry lost its descriptor?
local function has_closed(self)
  for _, entry in pairs(self.by_key) do
    if not is_alive(entry) then
      return true
    end
  end
  return false
end

-- Adds to the batch what sockets have read beyond what was asked for: the system no longer knows of that.
local function add_buffered(self, batch)
  for entry in pairs(self.buffering) do
    if EVENTS[entry.events][1] and entry.what:dirty() then
      local place, events = #batch + 1, "r"
      for i = 1, #batch do
        if batch[i][1] == entry.what then
          place, events = i, batch[i][2] == "w" and "rw" or batch[i][2]
        end
      end
      batch[place] = { entry.what, events, entry.tag }
    end
  end
end

-- All that is ready now. A `peek` leaves it all to the next one who looks.
local function collect(self, peek)
  local batch
  local closings = natives.closings()
  if peek then
    if #self.gone > 0 or closings ~= self.closings and has_closed(self) then
      batch = { self.gone[1] or true }
    end
  else
    if #self.gone > 0 then
      batch, self.gone = self.gone, {}
    end
    if closings ~= self.closings then
      self.closings = closings
      batch = batch or {}
      look_for_closed(self, batch, false)
    end
  end
  batch = gather(self.set, self.by_key, batch)
  if next(self.buffering) then
    add_buffered(self, batch)
  end
  for entry in pairs(self.objects) do
    local events = entry.source.ready(entry.what, entry.events, entry.callback, peek)
    if events then
      batch[#batch + 1] = { entry.what, events, entry.tag }
    end
  end
  for entry in pairs(self.regular) do
    batch[#batch + 1] = { entry.what, entry.events, entry.tag }
  end
  return batch
end

-- Waits until a look has found something; answers the batch, or nil and why there is none.
local function await(self, deadline)
  local began = now()
  while true do
    local batch = collect(self)
    local pause = look_in_time(self, batch, began)
    local left = deadline and deadline - now()
    if #batch > 0 or left and left <= 0 then
      -- Polls that never have to wait starve nobody.
      at_once = at_once + 1
      if at_once >= AT_ONCE then
        at_once = 0
        coev.yield()
      end
      if #batch > 0 then
        return batch
      end
      return nil, "timeout"
    end
    at_once = 0
    self.waiter = coev.current()
    local ok, woken, err = natives.pcall(self.set.watch, self.set, left and pause and min(left, pause) or left or pause)
    self.waiter = nil
    if not ok then
      error(woken, 0)
    elseif self.closed then
      return nil, "closed"
    elseif not woken and err ~= "timeout" then
      return nil, err
    end
  end
end

local function wait(self, timeout)
  if self.closed then
    return nil, "closed"
  elseif self.waiter then
    error("wait: another task waits for this poll", 3)
  end
  if not coev.current() then
    -- A task waits in the place of the main chunk.
    return coev.spawn(wait, self, timeout):await()
  end
  return await(self, timeout and now() + timeout)
end

function Poll.wait(self, timeout)
  check_self(self, "wait")
  check_timeout(timeout, 1, "wait")
  return wait(self, timeout)
end

function Poll.events(self, timeout)
  check_self(self, "events")
  check_timeout(timeout, 1, "events")
  local batch, index = nil, 0
  return function()
    batch = batch or wait(self, timeout) or {}
    index = index + 1
    local event = batch[index]
    if event then
      return event[1], event[2], event[3]
    end
  end
end

function Poll.close(self)
  check_self(self, "close")
  if self.closed then
    return
  end
  for _, entry in pairs(self.entries) do
    if entry.source then
      entry.source.unwatch(entry.what, entry.events, entry.callback)
    end
  end
  self.closed = true
  self.entries, self.by_key, self.by_fd, self.objects, self.regular, self.count = {}, {}, {}, {}, {}, 0
  self.buffering, self.gone = {}, {}
  self.set:close()
  notify(self)
end

function class.__tostring(self)
  -- Only a table without a metatable shows its address.
  local address = tostring(setmetatable(self, nil)):match("0x%x+") or "?"
  setmetatable(self, class)
  return ("coev.poll: %s (%s)"):format(address, self.closed and "closed" or self.count .. " watched")
end

-- A poll is ready to read when something in it is.
class.readiness = {
  ready = function(self)
    return self.closed and "closed" or #collect(self, true) > 0 and "r" or nil
  end,
  watch = function(self, _, callback)
    self.watchers[#self.watchers + 1] = callback
  end,
  unwatch = function(self, _, callback)
    for i = #self.watchers, 1, -1 do
      if self.watchers[i] == callback then
        remove(self.watchers, i)
      end
    end
  end,
  fd = function(self)
    return self.set:fd()
  end,
}

-- One thing is waited for by a poll that is there as long as the wait.
local function closing(self, ok, ...)
  self:close()
  if not ok then
    error((...), 0)
  end
  local batch, err = ...
  if batch then
    return batch[1][2]
  end
  return nil, err
end

function coev.wait(what, events, timeout)
  check_timeout(timeout, 3, "wait")
  if events ~= nil then
    check_events(events, 2, "wait")
  end
  if not readiness_of(what) then
    local fd = descriptor(what)
    if not fd and type(what) == "userdata" and method(what, "getfd") then
      return nil, "closed"
    elseif not fd then
      bad_argument(1, "wait", "descriptor or object that one can wait for expected, got " .. tostring(what))
    elseif not natives.is_open(fd) then
      return nil, "closed"
    end
  end
  local self, err = poll.new()
  if not self then
    return nil, err
  end
  local problem = insert(self, what, events or "r")
  if problem then
    self:close()
    bad_argument(1, "wait", problem)
  end
  return closing(self, natives.pcall(wait, self, timeout))
end

-- Who waits for the outside ---------------------------------------------------

function coev.poller(...)
  local before = natives.poller
  if select("#", ...) > 0 then
    local f = ...
    if f ~= nil and type(f) ~= "function" then
      bad_argument(1, "poller", "function expected, got " .. type(f))
    end
    natives.poller = f
    natives.set_poller(f ~= nil)
  end
  return before
end
