-- Producers and consumers with OiL's building blocks: a bounded buffer from suspend and resume.
--
--   lua examples/producers.lua [producers] [consumers] [items of each producer]
--
-- Producers wait while the buffer is full, consumers while it is empty.

local coev = require "coev"

local producers, consumers, items = tonumber(arg[1] or 3), tonumber(arg[2] or 2), tonumber(arg[3] or 20)

local CAPACITY = 4

-- Those that wait for something to change: wait() parks the current task, wake() lets the first go on.
local function new_queue()
  local queue = {}
  return {
    wait = function()
      table.insert(queue, coev.current())
      coev.suspend()
    end,
    wake = function()
      local task = table.remove(queue, 1)
      if task then
        task:resume()
      end
    end,
  }
end

local buffer = {}
local has_room, has_items = new_queue(), new_queue()

local function put(item)
  while #buffer >= CAPACITY do
    has_room.wait()
  end
  table.insert(buffer, item)
  has_items.wake()
end

local function take()
  while #buffer == 0 do
    has_items.wait()
  end
  local item = table.remove(buffer, 1)
  has_room.wake()
  return item
end

local most, taken, sum = 0, 0, 0

coev.run(function()
  local working = {}
  for p = 1, producers do
    working[p] = coev.spawn(function()
      for i = 1, items do
        put(i)
        most = math.max(most, #buffer)
        coev.sleep(p * 0.0001)
      end
    end)
  end
  for _ = 1, consumers do
    coev.spawn(function()
      -- The end of the stream is an item, too: one for each consumer.
      local item = take()
      while item do
        taken, sum = taken + 1, sum + item
        coev.yield()
        item = take()
      end
    end)
  end
  for _, task in ipairs(working) do
    task:join()
  end
  for _ = 1, consumers do
    put(false)
  end
end)

print(("%d producers, %d consumers: %d items taken, sum %d, never more than %d in the buffer"):format(
  producers, consumers, taken, sum, most
))
