-- Names of hosts and services: where a socket takes one, and LuaSocket's dns.
local socket, _, natives = ...
local error, type, tonumber, tostring = error, type, tonumber, tostring
local inner = natives.socket
local take = inner.take

local addresses_of, facts_of, names_of = take("addresses_of"), take("facts_of"), take("names_of")

-- Is it a string, or a number that becomes one?
local function is_text(value)
  return type(value) == "string" or type(value) == "number"
end

-- Is it an address as everybody writes it?
local function is_address(host)
  return host:find("^%d+%.%d+%.%d+%.%d+$") or host:find(":", 1, true)
end

-- Names are resolved where a task can wait for them.
local function with_names(methods)
  local set = methods.setpeername
  function methods.setpeername(sock, ...)
    local host, port = ...
    if host == "*" or not is_text(host) or not is_text(port) or is_address(tostring(host)) and tonumber(port) then
      return set(sock, ...)
    end
    local text, number = addresses_of(host, port)
    if not text then return nil, number end
    local err
    for address in text:gmatch("%w([^\n]*)\n?") do
      local done, problem = set(sock, address, number)
      if done then return done end
      err = problem
    end
    return nil, err
  end
end
inner.each_class({ "udp{unconnected}", "udp{connected}" }, with_names)

-- The facts in `text` whose letter is `letter`, in order.
local function facts(text, letter)
  local found = {}
  for kind, fact in text:gmatch("(%w)([^\n]*)\n?") do
    if kind == letter then found[#found + 1] = fact end
  end
  return found
end

local function check_host(host, name)
  if type(host) == "number" then return tostring(host) end
  return natives.check(host, "string", 1, name)
end

-- All that is known of a host: the first fact with that letter, and a table.
local function resolved(letter, text, err)
  if not text then return nil, err end
  local all = { name = facts(text, "n")[1], alias = facts(text, "a"), ip = facts(text, "i") }
  return facts(text, letter)[1], all
end

local dns = { gethostname = take("own_name") }
socket.dns = dns

function dns.toip(host)
  return resolved("i", facts_of(check_host(host, "toip")))
end

function dns.tohostname(host)
  return resolved("n", facts_of(check_host(host, "tohostname")))
end

function dns.getaddrinfo(host)
  local text, err = addresses_of(check_host(host, "getaddrinfo"))
  if not text then return nil, err end
  local list = {}
  for kind, address in text:gmatch("(%w)([^\n]*)\n?") do
    list[#list + 1] = { family = kind == "4" and "inet" or "inet6", addr = address }
  end
  return list
end

function dns.getnameinfo(host, service)
  if host == nil and service == nil then error("host and serv cannot be both nil", 2) end
  if host ~= nil then host = check_host(host, "getnameinfo") end
  if service ~= nil and type(service) ~= "number" then natives.check(service, "string", 2, "getnameinfo") end
  local text, err = names_of(host, service)
  if not text then return nil, err end
  local names = facts(text, "h")
  if service == nil then return names end
  return names, facts(text, "s")[1]
end
