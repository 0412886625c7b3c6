-- Options of sockets that LuaSocket takes in tables.
local _, _, natives = ...
local type = type
local inner = natives.socket

-- Their fields, in the order in which they are looked at.
local MEMBERSHIP = { "multiaddr", "interface" }
local FIELDS = {
  ["linger"] = { "on", "timeout" },
  ["ip-add-membership"] = MEMBERSHIP,
  ["ip-drop-membership"] = MEMBERSHIP,
  ["ipv6-add-membership"] = MEMBERSHIP,
  ["ipv6-drop-membership"] = MEMBERSHIP,
}

local function with_tables(methods)
  local set, get = methods.setoption, methods.getoption
  function methods.setoption(sock, ...)
    local name, value = ...
    local fields = name ~= nil and FIELDS[name]
    if not fields or type(value) ~= "table" then return set(sock, ...) end
    return set(sock, name, value, value[fields[1]], value[fields[2]])
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
