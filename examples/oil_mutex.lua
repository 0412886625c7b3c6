-- A mutex by hand, as OiL's manual builds it: from the current task, suspend and resume.
--
--   lua examples/oil_mutex.lua [tasks] [rounds]
--
-- Tasks count in a shared file of one number: read, wait, write. Without the mutex they overwrite each other's work.

local coev = require "coev"

local tasks, rounds = tonumber(arg[1] or 10), tonumber(arg[2] or 5)

local Mutex = {}
Mutex.__index = Mutex

function Mutex.new()
  return setmetatable({ queue = {} }, Mutex)
end

-- Parks the task until it is its turn. Those who come later wait behind it.
function Mutex:enter()
  local current = coev.current()
  if self.owner then
    table.insert(self.queue, current)
    coev.suspend()
  end
  self.owner = current
end

-- Hands the mutex to the first in the queue.
function Mutex:leave()
  self.owner = table.remove(self.queue, 1)
  if self.owner then
    self.owner:resume()
  end
end

-- Counts to tasks * rounds with all tasks side by side, `enter` and `leave` around each step.
local function count(enter, leave)
  local number = 0
  coev.run(function()
    for _ = 1, tasks do
      coev.spawn(function()
        for _ = 1, rounds do
          enter()
          local seen = number
          coev.sleep(0.0002) -- as if the number lay on a disk
          number = seen + 1
          leave()
        end
      end)
    end
  end)
  return number
end

local function nothing() end

local mutex = Mutex.new()
print("without a mutex: " .. count(nothing, nothing) .. " of " .. tasks * rounds)
print("with the mutex:  " .. count(function()
  mutex:enter()
end, function()
  mutex:leave()
end) .. " of " .. tasks * rounds)
