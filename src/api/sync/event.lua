-- coev.event: one may be set from the start. Called with the module's table, coev's, and the natives.
local event, _, natives = ...
local new = event.new

function event.new(set)
  local self = new()
  -- Any value but nil and false is set from the start.
  if set then self:set(set) end
  return self
end

natives.adopt_class(event, "event", true)
