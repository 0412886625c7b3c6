-- Two programs in one process: a thread that works and one that the user talks to.
--
--   lua examples/osthread.lua
--
-- The worker counts primes without a pause, which would hold up every other task of its Lua. The main program goes on
-- all the while: it shows how far the worker is, lets it stand still, go on, and end.

local coev = require "coev"

local progress = coev.thread.channel(16)

local worker = coev.thread.new({
  name = "primes",
  function(most, channel)
    local count = 0
    for n = 2, most do
      local prime = true
      for d = 2, math.floor(math.sqrt(n)) do
        if n % d == 0 then
          prime = false
          break
        end
      end
      if prime then
        count = count + 1
        -- Without waiting: where nobody looks, the figure is lost.
        if count % 1000 == 0 then channel:try_send(count) end
      end
    end
    channel:close()
    return count
  end,
}, tonumber(arg and arg[1]) or 200000, progress)

coev.run(function()
  -- The main program has a life of its own.
  local ticks = 0
  local ticker = coev.every(0.01, function()
    ticks = ticks + 1
  end)

  print("the worker is called", worker:name())
  print("primes so far:", progress:receive())
  worker:pause()
  print("it stands still:", worker:status())
  coev.sleep(0.05)
  worker:resume()
  local last
  local count = progress:receive()
  while count do
    last, count = count, progress:receive()
  end
  print("the last figure that came:", last)
  print("primes in all:", worker:await())
  ticker:stop()
  print("ticks of the main program meanwhile:", ticks > 0 and "some" or "none")

  local endless = coev.thread.new("if jit then jit.off() end while true do end")
  coev.sleep(0.01)
  endless:cancel("enough")
  local _, err = endless:join()
  print("an endless one was ended:", tostring(err))
end)
