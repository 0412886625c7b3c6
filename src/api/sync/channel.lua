-- coev.channel: the loop over one. Called with the module's table, coev's, and the natives.
local channel, _, natives = ...
local error, getmetatable, type = error, getmetatable, type

local Channel = natives.adopt_class(channel, "channel", true)
local next_value = Channel.next
Channel.next = nil

function Channel.iter(self)
  local class = getmetatable(self)
  if type(class) ~= "table" or class.__index ~= Channel then
    error(("calling 'iter' on bad self (coev.channel expected, got %s)"):format(type(self)), 2)
  end
  return next_value, self
end
