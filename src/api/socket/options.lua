-- Options of sockets that LuaSocket takes in tables.
local _, _, natives = ...
local error, type = error, type
local inner = natives.socket

-- Options that LuaSocket takes in a table: its fields, and the types that they must have.
local MEMBERSHIP = { { "multiaddr", "string" }, { "interface", "string" } }
local MEMBERSHIP6 = { { "multiaddr", "string" }, { "interface", "number", optional = true } }
local FIELDS = {
  ["linger"] = { { "on", "boolean" }, { "timeout", "number" } },
  ["ip-add-membership"] = MEMBERSHIP,
  ["ip-drop-membership"] = MEMBERSHIP,
  ["ipv6-add-membership"] = MEMBERSHIP6,
  ["ipv6-drop-membership"] = MEMBERSHIP6,
}

-- The field of an option's table.
local function field(options, description)
  local name, expected = description[1], description[2]
  local value = options[name]
  if type(value) ~= expected and not (value == nil and description.optional) then
    error(("bad argument #2 to 'setoption' (%s '%s' field expected)"):format(expected, name), 3)
  end
  return value
end

local function with_tables(methods)
  local set, get = methods.setoption, methods.getoption
  function methods.setoption(sock, ...)
    local name, value = ...
    local fields = name ~= nil and FIELDS[name]
    if not fields then return set(sock, ...) end
    natives.check(value, "table", 2, "setoption")
    return set(sock, name, field(value, fields[1]), field(value, fields[2]))
  end
  function methods.getoption(sock, ...)
    if ... ~= "linger" then return get(sock, ...) end
    local on, timeout = get(sock, "linger")
    if on == nil then return nil, timeout end
    return { on = on, timeout = timeout }
  end
end
inner.each_class(inner.STREAMS, with_tables)
inner.each_class(inner.DATAGRAMS, with_tables)
