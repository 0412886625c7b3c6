-- What the collector takes, and that nothing else piles up.

local assert = require "luassert"
local coev = require "coev"

local garbage = {}

-- Collects all that there is to collect, and lets the scheduler see to it.
function garbage.collect()
  for _ = 1, 5 do
    collectgarbage()
    coev.yield()
  end
end

-- KiB in use after a call of `round`.
local function in_use_after(round)
  round()
  collectgarbage()
  collectgarbage()
  return collectgarbage("count")
end

-- Asserts that calls of `round`, once it has been called twice, take no more memory, but for `allowance` KiB (default:
-- a twentieth).
function garbage.assert_steady(round, allowance)
  round()
  local before = in_use_after(round)
  for _ = 1, 4 do
    round()
  end
  assert.is_true(in_use_after(round) < before + (allowance or before * 0.05))
end

return garbage
