-- Lets Lua 5.5 load modules that were written for older Lua and assign to the
-- variable of a `for` loop, which 5.5 forbids. `lua5.5 -l loop_variables` puts
-- a searcher first that gives such a loop a local variable of the same name,
-- on the same line, so that line numbers in messages stay true.

-- The last of `lines` up to `at` that opens a `for` loop over `name`.
local function loop_above(lines, at, name)
  for number = at, 1, -1 do
    local names, rest = lines[number]:match("for%s+([%w_,%s]-)%s+in%s(.*)")
    if not names then
      names, rest = lines[number]:match("for%s+([%w_]+)%s*=(.*)")
    end
    if names and rest:find("%f[%w]do%f[%W]") and names:find("%f[%w_]" .. name .. "%f[^%w_]") then
      return number
    end
  end
end

local function load_patched(source, path)
  local lines = {}
  for line in (source .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = line
  end
  while true do
    local chunk, err = load(table.concat(lines, "\n"), "@" .. path)
    local at, name = tostring(err):match(":(%d+): attempt to assign to const variable '([%w_]+)'")
    local loop = at and loop_above(lines, tonumber(at), name)
    if chunk or not loop then
      return chunk or error(err, 0)
    end
    lines[loop] = lines[loop]:gsub("%f[%w]do%f[%W]", "do local " .. name .. " = " .. name, 1)
  end
end

table.insert(package.searchers, 2, function(module)
  local path, err = package.searchpath(module, package.path)
  if not path then
    return err
  end
  local file = assert(io.open(path, "rb"))
  local source = file:read("a")
  file:close()
  return load_patched(source, path), path
end)
