-- Reading files blocks: the system has no other way. So a pool reads them, and the tasks of this Lua wait without
-- holding each other up.
--
--   lua examples/blocking_files.lua [file ...]
--
-- Prints how many lines and bytes each file has (without an argument: the examples'), and that a clock has gone on.

local coev = require "coev"

local files = { (table.unpack or unpack)(arg) }
if #files == 0 then
  for _, name in ipairs({ "echo", "fetch", "mandelbrot", "pipeline", "redis" }) do
    files[#files + 1] = (arg[0]:match("^.*/") or "") .. name .. ".lua"
  end
end

-- What each thread of the pool can do: named, so that nothing but the names crosses.
local OPERATIONS = [[
  return {
    count = function(path)
      local file, err = io.open(path, "rb")
      if not file then return nil, err end
      local lines, bytes = 0, 0
      for line in file:lines() do
        lines, bytes = lines + 1, bytes + #line + 1
      end
      file:close()
      return lines, bytes
    end,
  }
]]

coev.run(function()
  local pool = assert(coev.thread.pool(4, OPERATIONS))
  local turns, done = 0, false
  coev.spawn(function()
    while not done do
      turns = turns + 1
      coev.yield()
    end
  end)
  coev.group(function(group)
    for _, path in ipairs(files) do
      group:spawn(function()
        local lines, bytes = pool:call("count", path)
        if lines then
          print(("%8d lines %9d bytes  %s"):format(lines, bytes, path))
        else
          print(("%s"):format(bytes))
        end
      end)
    end
  end)
  done = true
  pool:close()
  print(turns > 1 and "and a clock went on meanwhile" or "and nothing went on meanwhile")
end)
