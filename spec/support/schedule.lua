-- Random schedules that a seed fixes: tasks that do random things, and are cancelled at random.

local coev = require "coev"

local schedule = {}

-- A generator of whole numbers from 1 to n: the same on every Lua.
function schedule.random(seed)
  local state = seed * 7919 % 2147483647 + 1
  return function(n)
    state = state * 16807 % 2147483647
    return state % n + 1
  end
end

-- Gives other tasks a few turns.
function schedule.pause(random)
  for _ = 1, random(4) - 1 do
    coev.yield()
  end
end

-- A timeout now and then: none, one that is over at once, or one that will be over soon.
function schedule.timeout(random)
  local kind = random(4)
  if kind == 1 then
    return 0
  elseif kind == 2 then
    return 0.0001
  end
end

-- Runs `actors` tasks, each `actor(random, i)`, and cancels `victims` of them at random moments. Calls `check()` after
-- every turn. Returns when all have ended; fails with the first error of a task.
function schedule.run(seed, actors, victims, actor, check)
  local random, tasks, failure = schedule.random(seed), {}, nil
  for i = 1, actors do
    local own = schedule.random(seed * 100 + i)
    tasks[i] = coev.spawn(actor, own, i)
  end
  for i = 1, actors do
    local task = tasks[i]
    coev.spawn(function()
      local ok, err, traceback = task:join()
      if not ok and not coev.is_cancelled(err) then
        failure = failure or ("seed %d: %s\n%s"):format(seed, tostring(err), tostring(traceback))
      end
      tasks[i] = false
    end)
  end
  local left = actors
  while left > 0 do
    if victims > 0 and random(8) == 1 then
      local task = tasks[random(actors)]
      if task then
        victims = victims - 1
        task:cancel()
      end
    end
    coev.yield()
    check()
    left = 0
    for i = 1, actors do
      left = left + (tasks[i] and 1 or 0)
    end
    if random(50) == 1 then
      coev.sleep(0.0001)
    end
  end
  if failure then
    error(failure, 0)
  end
end

return schedule
