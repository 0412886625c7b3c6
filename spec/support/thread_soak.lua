-- Starts and joins threads, a hundred thousand unless told otherwise, and fails where memory grows with them.
-- usage: lua spec/support/thread_soak.lua [COUNT]      `make soak` runs it.
local coev = require "coev"
local thread = coev.thread
local count = tonumber(arg[1]) or 100000

-- The memory of the process that is in use, in KiB.
local function resident()
  local file = assert(io.open("/proc/self/status"))
  local size = tonumber(file:read("*a"):match("VmRSS:%s*(%d+)"))
  file:close()
  return size
end

-- What threads do: nothing; wait and answer through coev; fail; end with tasks that still wait.
local channel = thread.channel(1)
local chunks = {
  function() return thread.new("return ...", 1):join() end,
  function()
    return thread.new([[
      local coev, channel = require "coev", ...
      coev.sleep(0)
      channel:send("here")
      return coev.spawn(function() return 2 end):join()
    ]], channel):join()
  end,
  function() return not thread.new("error('meant', 0)"):join() end,
  function()
    local t = thread.new("require 'coev'.sleep(60)")
    t:cancel()
    return not t:join()
  end,
}

local function round(from, to)
  coev.run(function()
    for i = from, to do
      local chunk = i % 4 + 1
      -- Most do nothing: that is the shortest life.
      if i % 10 ~= 0 then chunk = 1 end
      assert(chunks[chunk]())
      channel:try_receive()
    end
  end)
  collectgarbage()
  return resident()
end

local warm = math.max(count / 50, 200)
local before, start = round(1, warm), coev.now()
local after = round(warm + 1, count)
local seconds = coev.now() - start
print(("%d threads in %.1f s: %d KiB before, %d KiB after"):format(count, seconds, before, after))
-- An arena of the allocator more or less is no leak; 50 bytes a thread would be one.
assert(after - before < 2048 + count / 20, "memory has grown with the threads")
