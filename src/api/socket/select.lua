-- LuaSocket's select: a wait for descriptors of which nothing is known but their numbers.
local socket, coev, natives = ...
local error, type, tonumber, pairs = error, type, tonumber, pairs
local floor, max, concat = math.floor, math.max, table.concat
local now = coev.now
local take = natives.socket.take

local await_ready = take("await_ready")

socket._SETSIZE = 1048576

-- The descriptor of what is selected; nil for what has none.
local function descriptor(object, position)
  local getfd = object.getfd
  local fd = getfd and tonumber((getfd(object)))
  if not fd or fd < 0 then return nil end
  if fd >= socket._SETSIZE then
    error(("bad argument #%d to 'select' (descriptor too large for set size)"):format(position), 4)
  end
  return floor(fd)
end

-- Adds the objects of `list` to `wanted`, and to `objects` by their descriptors. Those that have something to be read
-- go to `dirty` at once.
local function collect(list, position, letter, wanted, objects, dirty)
  if list == nil then return end
  if type(list) ~= "table" then
    error(("bad argument #%d to 'select' (table expected, got %s)"):format(position, type(list)), 3)
  end
  local i = 1
  while true do
    local object = list[i]
    if object == nil then return end
    local fd = descriptor(object, position)
    if fd then
      if dirty and object.dirty and object:dirty() then
        dirty[#dirty + 1] = object
      else
        objects[fd] = object
        wanted[#wanted + 1] = ("%d%s"):format(fd, letter)
      end
    end
    i = i + 1
  end
end

-- Adds those that have been closed meanwhile to `list`: a read or a write will say so at once.
local function add_closed(objects, list)
  for fd, object in pairs(objects) do
    if descriptor(object) ~= fd then list[#list + 1] = object end
  end
end

-- Each object's place, beside the objects by their places.
local function with_places(list)
  for i = 1, #list do list[list[i]] = i end
  return list
end

function socket.select(readers, writers, timeout)
  local given = tonumber(timeout)
  if timeout ~= nil and not given then natives.check(timeout, "number", 3, "select") end
  if given ~= given then error("bad argument #3 to 'select' (time is not a number)", 2) end
  local wanted, by_letter = {}, { r = {}, w = {} }
  local readable, writable = {}, {}
  collect(readers, 1, "r", wanted, by_letter.r, readable)
  collect(writers, 2, "w", wanted, by_letter.w)
  local seconds = #readable > 0 and 0 or given or -1
  local deadline = now() + seconds
  local found
  repeat
    found = await_ready(concat(wanted), seconds)
    if not found then error("select failed", 2) end
    local closed = found == "closed"
    if closed then
      add_closed(by_letter.r, readable)
      add_closed(by_letter.w, writable)
      closed = #readable == 0 and #writable == 0
      if seconds > 0 then seconds = max(deadline - now(), 0) end
    end
  until not closed
  for letter, fd in found:gmatch("(%a)(%d+)") do
    local list = letter == "r" and readable or writable
    list[#list + 1] = by_letter[letter][tonumber(fd)]
  end
  if #readable == 0 and #writable == 0 then return readable, writable, "timeout" end
  return with_places(readable), with_places(writable)
end
