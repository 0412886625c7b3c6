-- Threads, and what they share, all at once: for tools that watch memory (`make memcheck`).
-- usage: lua spec/support/thread_stress.lua [ROUNDS]
local coev = require "coev"
local thread = coev.thread
local rounds = tonumber(arg[1]) or 3

-- Two threads send to two, through one channel, while tasks of this one receive, too, and give up.
local function channels()
  local channel, results = thread.channel(4), thread.channel(math.huge)
  local receivers, senders = {}, {}
  for i = 1, 2 do
    receivers[i] = thread.new([[
      local channel, results = ...
      local n = 0
      for value in channel:iter() do n = n + 1 end
      results:send(n)
    ]], channel, results)
  end
  for i = 1, 2 do
    senders[i] = thread.new([[
      local channel = ...
      for i = 1, 100 do channel:send({ i, tostring(i), ("x"):rep(i) }) end
    ]], channel)
  end
  local own = 0
  coev.run(function()
    local tasks = {}
    for i = 1, 4 do
      tasks[i] = coev.spawn(function()
        for _ = 1, 20 do
          if channel:receive(0.001) then own = own + 1 end
        end
      end)
    end
    coev.sleep(0.005)
    tasks[1]:cancel()
    for i = 1, 4 do tasks[i]:join() end
    for i = 1, 2 do assert(senders[i]:join()) end
    channel:close()
    for i = 1, 2 do assert(receivers[i]:join()) end
  end)
  assert(results:receive() + results:receive() + own == 200)
end

-- A pool whose jobs share a map.
local function pools()
  local map, pool = thread.shared({ n = 0 }), thread.pool(2)
  local numbers = pool:map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function(i) return i * i end)
  assert(numbers[8] == 64)
  local jobs = {}
  for i = 1, 20 do
    jobs[i] = pool:submit(function(shared)
      for _ = 1, 10 do shared:add("n", 1) end
      return shared:cas("last", shared:get("last"), 1)
    end, map)
  end
  for i = 1, 20 do assert(jobs[i]:join()) end
  assert(map:get("n") == 200)
  assert(not pool:submit(error, "meant"):join())
  pool:close()
  pool:join()
end

-- Threads that are cancelled, paused, asked and given up wherever they are.
local function lives()
  coev.run(function()
    local computing = thread.new("local i = 0 while true do i = i + 1 end")
    local waiting = thread.new("require 'coev'.sleep(60)")
    local suspended = thread.new({ "return 1", suspended = true })
    local asked = thread.new("require 'coev'.sleep(0.02) return 1")
    local job = asked:spawn("return 2")
    computing:pause()
    computing:resume()
    computing:cancel("enough")
    waiting:cancel()
    suspended:start()
    assert(not computing:join() and not waiting:join() and suspended:join())
    assert(job:join() and asked:join())
    assert(coev.select { { suspended } } == 1)
    thread.new("return 1"):detach()
    local nested = thread.new([[
      local thread = require "coev".thread
      return thread.new("return 5"):join()
    ]])
    assert(select(3, nested:join()) == 5)
  end)
end

for _ = 1, rounds do
  channels()
  pools()
  lives()
end
print("done")
