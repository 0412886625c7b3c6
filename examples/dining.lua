-- The dining philosophers: each needs two forks, and between any two of them there is one.
--
--   lua examples/dining.lua [philosophers] [meals]
--
-- First each takes the fork on its left, then the one on its right. When all have the left one nobody can go on: coev
-- says so, and who waits for what. Then each takes the lower fork first, and all are fed.

local coev = require "coev"

local philosophers, meals = tonumber(arg[1] or 5), tonumber(arg[2] or 3)

-- Lays the table and lets all eat; answers how many meals there were. `choose` says in which order two forks are taken.
local function dine(choose)
  local forks, eaten, seated = {}, 0, {}
  for i = 1, philosophers do
    forks[i] = coev.mutex.new()
  end
  for i = 1, philosophers do
    seated[i] = coev.spawn(function()
      for _ = 1, meals do
        local first, second = choose(i, i % philosophers + 1)
        forks[first]:with(function()
          coev.yield() -- a thought
          forks[second]:with(coev.sleep, 0.0002)
        end)
        eaten = eaten + 1
      end
    end)
    seated[i]:name("philosopher " .. i)
  end
  local ok, err = pcall(coev.run)
  if not ok then
    print(err)
    for _, task in ipairs(seated) do
      task:cancel("the waiter clears the table")
    end
    coev.onerror(function() end)
    coev.run()
    coev.onerror(nil)
  end
  return eaten
end

print("left fork first: " .. dine(function(left, right)
  return left, right
end) .. " meals")
print("lower fork first: " .. dine(function(left, right)
  return math.min(left, right), math.max(left, right)
end) .. " meals")
