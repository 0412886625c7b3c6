-- What mutexes, channels and their friends share in Lua. Called with coev's table and the natives.
local _, natives = ...
local error, getmetatable, next, pairs, setmetatable, type = error, getmetatable, next, pairs, setmetatable, type
local own_table, watch, debug = natives.own_table, natives.watch, debug

-- Readiness ----------------------------------------------------------------

-- For those who wait for many things at once (poll objects, coev.wait, coev.select). A class of objects puts a table
-- under `readiness` into its metatable, or here under the table of its methods:
--
--   ready(object, events)               those of `events` ("r", "w", "rw") that would not wait now, or nil
--   watch(object, events, callback)     from now on `callback()` is called whenever that may have changed: it must only
--                                       take note, and wake somebody; that it is called says nothing yet
--   unwatch(object, events, callback)   no longer
--   results(object, events)             what coev.select answers then; without it, what `ready` has answered
natives.readiness = {}

function natives.readiness_of(object)
  local class = getmetatable(object)
  if type(class) ~= "table" then return nil end
  return class.readiness or natives.readiness[class.__index]
end

-- Who watches objects, by the names that these have for it: sets of callbacks, which the objects hold.
local watched, names = setmetatable({}, { __mode = "v" }), 0

function natives.tell(name)
  for callback in pairs(watched[name] or {}) do
    callback()
  end
end

local readiness = {
  ready = natives.ready,
  watch = function(object, _, callback)
    local own = own_table(object)
    if not own.watchers then
      names = names + 1
      own.watchers, own.name = {}, names
      watched[names] = own.watchers
      watch(object, names)
    end
    own.watchers[callback] = true
  end,
  unwatch = function(object, _, callback)
    local own = own_table(object)
    if not own.watchers then return end
    own.watchers[callback] = nil
    if not next(own.watchers) then
      own.watchers = nil
      watch(object)
    end
  end,
}

-- Classes ------------------------------------------------------------------

-- Does coev.debug ask objects to remember where they were made?
local function site()
  for level = 3, math.huge do
    local info = debug.getinfo(level, "Sl")
    if not info then return "?" end
    if info.currentline > 0 and not info.short_src:find("^coev") then
      return info.short_src .. ":" .. info.currentline
    end
  end
end

-- What makes objects, by module; and does it note the place?
local makers, noting = {}, false

local function noting_site(new)
  return function(...)
    local object = new(...)
    natives.set_site(object, site())
    return object
  end
end

-- Completes a module, whose `new` makes the objects of a class; answers the methods.
function natives.adopt_class(module, name, is_ready)
  local methods, new = natives["coev." .. name], module.new
  methods.class = nil
  if is_ready then natives.readiness[methods] = readiness end
  makers[module] = new
  if noting then module.new = noting_site(new) end
  return methods
end

-- While coev.debug is on, objects are made by functions that note the place.
function natives.note_sites(on)
  noting = on
  for module, new in pairs(makers) do
    module.new = on and noting_site(new) or new
  end
end

-- Raises for an argument; the message points to the caller of the method.
function natives.bad_argument(position, name, problem)
  error(("bad argument #%d to '%s' (%s)"):format(position, name, problem), 3)
end
