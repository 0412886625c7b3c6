-- A pipeline: stages that hand work on through bounded channels, each with several workers.
--
--   lua examples/pipeline.lua [numbers] [workers] [room]
--
-- The last stage is the slowest. Since a channel holds only so much, the first one waits for it, and not much is ever
-- on its way: that is back-pressure.

local coev = require "coev"

local numbers, workers, room = tonumber(arg[1] or 200), tonumber(arg[2] or 3), tonumber(arg[3] or 8)

-- Runs `work(value)` for all that comes in, with so many workers; what they return goes out. Closes the way out when
-- the last one is through.
local function stage(from, work)
  local to, busy = coev.channel.new(room), coev.waitgroup.new(workers)
  for _ = 1, workers do
    coev.spawn(function()
      coev.defer(function() busy:done() end)
      for value in from:iter() do
        to:send(work(value))
      end
    end)
  end
  coev.spawn(function()
    busy:wait()
    to:close()
  end)
  return to
end

local made, most = 0, 0

coev.run(function()
  local source = coev.channel.new(room)
  coev.spawn(function()
    for i = 1, numbers do
      source:send(i)
      made = i
    end
    source:close()
  end)

  local squares = stage(source, function(i)
    return i * i
  end)
  local halves = stage(squares, function(square)
    coev.sleep(0.0002) -- as if it asked somebody
    return square / 2
  end)

  local count, sum = 0, 0
  for half in halves:iter() do
    count, sum = count + 1, sum + half
    most = math.max(most, made - count)
  end
  print(("%d numbers through 3 channels: sum %.1f, never more than %d on their way"):format(count, sum, most))
end)
