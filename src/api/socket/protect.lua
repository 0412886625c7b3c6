-- Errors as LuaSocket raises and catches them.
local socket, coev, natives = ...
local error, type, select, setmetatable, tonumber = error, type, select, setmetatable, tonumber
local floor = math.floor

-- What `try` has raised, so that `protect` knows it from other errors.
local raised = setmetatable({}, { __mode = "k" })
local OPAQUE = { __metatable = false }

function socket.skip(count, ...)
  local number = tonumber(count)
  if not number then natives.check(count, "number", 1, "skip") end
  if number ~= number then error("bad argument #1 to 'skip' (number has no integer representation)", 2) end
  if number < 0 then return count, ... end
  if number >= select("#", ...) then return end
  return select(floor(number) + 1, ...)
end

function socket.newtry(finalizer)
  return function(...)
    if ... then return ... end
    if finalizer then coev.pcall(finalizer) end
    local problem = setmetatable({ (select(2, ...)) }, OPAQUE)
    raised[problem] = true
    error(problem, 0)
  end
end

local function unwrapped(ok, ...)
  if ok then return ... end
  local problem = ...
  if type(problem) == "table" and raised[problem] then return nil, problem[1] end
  error(problem, 0)
end

function socket.protect(f)
  return function(...)
    return unwrapped(coev.pcall(f, ...))
  end
end

socket.try = socket.newtry()
