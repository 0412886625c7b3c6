-- coev.thread.shared: a map that threads share. Called with coev's table and the natives.
local _, natives = ...
local error, type, next = error, type, next
local make = natives.thread_shared
local methods = natives["coev.thread.shared"]
local class = natives.metatables["coev.thread.shared"]
local get, set, keys = methods.get, methods.set, methods.keys

-- A method's name is the method; all other keys are those of the map.
function class.__index(self, key)
  local method = methods[key]
  if method ~= nil then return method end
  return get(self, key)
end

function class.__newindex(self, key, value)
  if methods[key] ~= nil then error(("'%s' is a method: use set for a key of that name"):format(key), 2) end
  set(self, key, value)
end

class.__len = methods.len
class.__eq = methods.same
methods.same = nil

-- From 5.2 on: over the keys that there are at the start, and what is under them then.
function class.__pairs(self)
  local list, place = keys(self), 0
  return function()
    while true do
      place = place + 1
      local key = list[place]
      if key == nil then return nil end
      local value = get(self, key)
      if value ~= nil then return key, value end
    end
  end
end

-- Completes coev.thread.
function natives.add_shared(thread)
  function thread.shared(contents)
    local map = make()
    if contents == nil then return map end
    natives.check(contents, "table", 1, "shared")
    for key, value in next, contents do
      local kind = type(key)
      if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
        error(("bad argument #1 to 'shared' (a %s cannot be a key)"):format(kind), 2)
      end
      set(map, key, value)
    end
    return map
  end
end
