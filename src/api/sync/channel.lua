-- coev.channel: values from task to task. Called with the module's table, coev's, and the natives.
--
-- Who receives is handed the value by the one who sends, and so cannot find it gone; who sends waits with the value in
-- its place until there is room, and whoever makes room takes it from there.
--
-- A channel is a table, and `state` is the same table. Where `#` asks no table (5.1, LuaJIT) it is a userdata, whose
-- metatable is its own and looks into the table: `#channel` works on every Lua, at the price of one look more.
local channel, _, natives = ...
local error, getmetatable, pairs, setmetatable, tostring = error, getmetatable, pairs, setmetatable, tostring
local waiters, huge, newproxy = natives.waiters, math.huge, newproxy
local await, serve, serve_all = waiters.await, waiters.serve, waiters.serve_all
local serve_first, notify = waiters.serve_first, waiters.notify

local Channel = {}
local class = { __index = Channel, methods = Channel, __name = "coev.channel", kind = "channel" }

local function bad_self(self, name)
  waiters.bad_self(self, "channel", name)
end

-- Puts a value behind those that are queued.
local function put(self, value)
  local tail = self.tail
  tail = tail == self.wrap and 1 or tail + 1
  self.tail, self.items[tail] = tail, value
  self.count = self.count + 1
end

-- Gives a value that its receiver did not take to the next one, or puts it before all others.
local function put_back(self, value)
  if serve(self.receivers, true, value) then return end
  local count, items, wrap = self.count, self.items, self.wrap
  if count == 0 then
    self.head, self.tail, self.count, items[1] = 1, 1, 1, value
    return
  end
  local head = self.head - 1
  if head == 0 and wrap ~= huge then head = wrap end
  if items[head] ~= nil then
    -- It is one more than the channel holds: the ring grows.
    local grown, at = {}, self.head
    for i = 2, count + 1 do
      grown[i] = items[at]
      at = at == wrap and 1 or at + 1
    end
    items, head = grown, 1
    self.items, self.tail, self.wrap = items, count + 1, count + 1
  end
  self.head, self.count, items[head] = head, count + 1, value
end

local receivers_class = { kind = "channel", verb = "receive on" }
local senders_class = { kind = "channel", verb = "send on" }

function receivers_class.pass_on(list, place, outcome)
  if outcome == true then
    put_back(list.object, place.value)
    if list.object.watchers then notify(list.object) end
  end
end

-- There is room: takes the values of those who wait to send.
local function admit(self)
  local senders = self.senders
  while senders.first and self.count < self.limit do
    local value = senders.first.payload
    if serve_first(senders, true) then put(self, value) end
  end
end

-- Takes a value from one who waits to send, where none is queued; answers whether there was one, and the value.
local function take_over(self)
  local senders = self.senders
  while senders.first do
    local value = senders.first.payload
    if serve_first(senders, true) then return true, value end
  end
  return false
end

-- Sends without waiting; answers whether it did.
local function try_send(self, value)
  local receivers = self.receivers
  if receivers.first and serve(receivers, true, value) then return true end
  local count = self.count
  if count >= self.limit then return false end
  local tail = self.tail
  tail = tail == self.wrap and 1 or tail + 1
  self.tail, self.items[tail], self.count = tail, value, count + 1
  if self.watchers then notify(self) end
  return true
end

-- Receives without waiting; answers whether it did, and the value.
local function try_receive(self)
  local count = self.count
  if count > 0 then
    local head, items = self.head, self.items
    local value = items[head]
    items[head] = nil
    self.head, self.count = head == self.wrap and 1 or head + 1, count - 1
    if self.senders.first then
      admit(self)
    elseif count == 1 then
      self.head, self.tail = 1, 0
    end
    if self.watchers then notify(self) end
    return true, value
  end
  if self.senders.first then return take_over(self) end
  return false
end

local function check_value(value, name)
  if value == nil then
    error(("bad argument #1 to '%s' (value expected, got nil)"):format(name), 3)
  end
end

function Channel.send(object, value, timeout)
  local self = object.state
  if self == nil then bad_self(object, "send") end
  if value == nil then check_value(value, "send") end
  if timeout ~= nil then waiters.check_timeout(timeout, 2, "send") end
  if not self.receivers.first then
    -- As `try_send`, for the most frequent case.
    local count = self.count
    if count < self.limit then
      local tail = self.tail
      tail = tail == self.wrap and 1 or tail + 1
      self.items[tail] = value
      self.tail, self.count = tail, count + 1
      if self.watchers then notify(self) end
      return true
    end
  elseif serve(self.receivers, true, value) or try_send(self, value) then
    return true
  end
  if self.closed then return nil, "closed" end
  if timeout and timeout <= 0 then return nil, "timeout" end
  if self.watchers then notify(self) end
  local outcome = await(self.senders, timeout, value)
  if outcome == true then return true end
  return nil, outcome or "timeout"
end

local function receive(object, timeout)
  local self = object.state
  if self == nil then bad_self(object, "receive") end
  if timeout ~= nil then waiters.check_timeout(timeout, 1, "receive") end
  local count = self.count
  if count > 0 and not self.senders.first and not self.watchers then
    -- As `try_receive`, for the most frequent case.
    local head, items = self.head, self.items
    local value = items[head]
    items[head] = nil
    self.count = count - 1
    if count == 1 then
      self.head, self.tail = 1, 0
    else
      self.head = head == self.wrap and 1 or head + 1
    end
    return value
  end
  if count > 0 or self.senders.first then
    local ok, value = try_receive(self)
    if ok then return value end
  end
  if self.closed then return nil, "closed" end
  if timeout and timeout <= 0 then return nil, "timeout" end
  if self.watchers then notify(self) end
  local outcome, value = await(self.receivers, timeout)
  if outcome == true then return value end
  return nil, outcome or "timeout"
end

Channel.receive = receive

function Channel.try_send(object, value)
  local self = object.state
  if self == nil then bad_self(object, "try_send") end
  check_value(value, "try_send")
  if try_send(self, value) then return true end
  if self.closed then return false, "closed" end
  return false
end

function Channel.try_receive(object)
  local self = object.state
  if self == nil then bad_self(object, "try_receive") end
  local ok, value = try_receive(self)
  if ok then return true, value end
  if self.closed then return false, "closed" end
  return false
end

function Channel.close(object)
  local self = object.state
  if self == nil then bad_self(object, "close") end
  if self.closed then return end
  -- With a limit below every count nothing is sent any more, without a look at `closed`.
  self.closed, self.limit = true, -1
  serve_all(self.receivers, "closed")
  serve_all(self.senders, "closed")
  if self.watchers then notify(self) end
end

-- One step of the loop over a channel.
local function next_value(object)
  local self = object.state
  local count = self.count
  if count > 1 and not self.senders.first and not self.watchers then
    -- As `receive`, for the most frequent case.
    local head, items = self.head, self.items
    local value = items[head]
    items[head] = nil
    self.count, self.head = count - 1, head == self.wrap and 1 or head + 1
    return value
  end
  return (receive(object))
end

function Channel.iter(object)
  if object.state == nil then bad_self(object, "iter") end
  return next_value, object
end

function Channel.capacity(object)
  local self = object.state
  if self == nil then bad_self(object, "capacity") end
  return self.room
end

function Channel.len(object)
  local self = object.state
  if self == nil then bad_self(object, "len") end
  return self.count
end

function class.__len(self)
  return self.state.count
end

function class.__tostring(object)
  local self = object.state
  local text = ("%d of %s queued"):format(self.count, self.room == huge and "any number" or ("%d"):format(self.room))
  return waiters.text(self, self.closed and text .. ", closed" or text, self.receivers, self.senders)
end

class.readiness = {
  -- "r": a receive would not wait; "w": a send.
  ready = function(object, events)
    local self, ready = object.state, ""
    events = events or "r"
    if events:find("r", 1, true) and (self.count > 0 or self.senders.first or self.closed) then ready = "r" end
    if events:find("w", 1, true) and (self.count < self.limit or self.receivers.first or self.closed) then
      ready = ready .. "w"
    end
    if ready ~= "" then return ready end
  end,
  watch = function(object, _, callback)
    waiters.watch(object.state, callback)
  end,
  unwatch = function(object, _, callback)
    waiters.unwatch(object.state, callback)
  end,
}

-- Cases of coev.select.
class.case = {
  check = function(_, what, value)
    if what == "send" then
      if value == nil then return "a value that is not nil is needed to send" end
    elseif what ~= "receive" then
      return ("of a channel: \"receive\" or \"send\" expected, got %s"):format(tostring(what))
    end
  end,
  try = function(object, what, value)
    local self = object.state
    if what == "receive" then
      if self.count > 0 or self.senders.first then
        local ok
        ok, value = try_receive(self)
        if ok then return true, value end
      end
      if self.closed then return true, nil, "closed" end
    elseif what == "send" and value ~= nil then
      if try_send(self, value) then return true, true end
      if self.closed then return true, nil, "closed" end
    end
  end,
  list = function(object, what, value)
    local self = object.state
    if self.watchers then notify(self) end
    if what == "receive" then return self.receivers end
    return self.senders, value
  end,
  result = function(_, outcome, value, _, what)
    if outcome ~= true then return nil, outcome end
    if what == "send" then return true end
    return value
  end,
}

-- Does `#` ask the metatables of tables?
local asks_tables = #setmetatable({}, { __len = function() return 1 end }) == 1

-- The channel for its state.
local function wrapped(self)
  self.state = self
  if asks_tables or not newproxy then return setmetatable(self, class) end
  local proxy = newproxy(true)
  local own = getmetatable(proxy)
  for name, value in pairs(class) do
    own[name] = value
  end
  own.__index = setmetatable(self, class)
  return proxy
end

function channel.new(capacity)
  if capacity == nil then capacity = 0 end
  if capacity ~= huge then waiters.check_count(capacity, 0, 1, "new") end
  local self = {
    items = {}, -- what is queued, from `head` to `tail`
    head = 1, tail = 0, count = 0,
    wrap = capacity > 0 and capacity or 1, -- behind this place comes the first one
    limit = capacity, room = capacity,
    closed = false, watchers = false,
    receivers = false, senders = false,
  }
  self.receivers = setmetatable({ object = self, first = false, last = false }, receivers_class)
  self.senders = setmetatable({ object = self, first = false, last = false }, senders_class)
  return wrapped(self)
end
