-- Looks up many names side by side.
--
--   lua examples/dns.lua <name or address> ...

local coev = require "coev"
local dns = coev.socket.dns

-- Seconds for one name.
local PATIENCE = 10

local function look_up(name)
  if name:find("^[%d.]+$") then
    return (dns.tohostname(name)), "unknown"
  end
  local found, err = dns.getaddrinfo(name)
  if not found then return nil, err end
  local addresses = {}
  for i, entry in ipairs(found) do
    addresses[i] = entry.addr
  end
  return table.concat(addresses, " ")
end

if not arg[1] then
  io.stderr:write("usage: lua examples/dns.lua <name or address> ...\n")
  os.exit(1)
end

coev.run(function()
  local tasks = {}
  for i, name in ipairs(arg) do
    tasks[i] = coev.spawn(function()
      local answer, err = coev.timeout(PATIENCE, look_up, name)
      return answer or "(" .. err .. ")"
    end)
  end
  for i, name in ipairs(arg) do
    print(("%-30s %s"):format(name, tasks[i]:await()))
  end
end)
