local coev = require "coev"
local helper = require "spec.helper"
local schedule = require "spec.support.schedule"

-- Beside each object stands a plain model of it. Actors do at random what a schedule says, one step at a time; after
-- each step model and object must agree on who waits, on every answer, and on the state. A model answers an operation
-- with its results, or with nothing when the actor has to wait, and lets waiters go on by `answer(actor, ...)`.

local ACTORS, STEPS = 5, 40

local function pack(...)
  return { n = select("#", ...), ... }
end

-- Takes the first element that is `actor` out of a queue of entries.
local function take_out(queue, actor)
  for i = 1, #queue do
    if queue[i].actor == actor then return table.remove(queue, i) end
  end
end

local models = {}

function models.mutex(answer)
  local mutex, owner, queue = coev.mutex.new(), nil, {}
  local model = { object = mutex, ops = { "lock", "lock", "try_lock", "unlock" } }
  local function hand_over(how)
    local entry = table.remove(queue, 1)
    model.deserted = not entry and how == "abandoned"
    owner = entry and entry.actor
    if entry then answer(owner, true, how) end
  end
  function model.lock(actor)
    if owner == nil then
      local how = model.deserted and "abandoned" or nil
      owner, model.deserted = actor, false
      return pack(true, how)
    end
    queue[#queue + 1] = { actor = actor }
  end
  function model.try_lock(actor)
    if owner ~= nil then return pack(false) end
    return model.lock(actor)
  end
  function model.allows(actor, op)
    if op == "lock" then return owner ~= actor end
    return op ~= "unlock" or owner == actor
  end
  function model.unlock()
    hand_over()
    return pack()
  end
  function model.ended(actor)
    take_out(queue, actor)
    if owner == actor then hand_over("abandoned") end
  end
  function model.check(tasks)
    assert.equal(owner and tasks[owner], mutex:owner())
  end
  return model
end

function models.semaphore(answer)
  local semaphore, permits, queue = coev.semaphore.new(2), 2, {}
  local model = { object = semaphore, ops = { "acquire", "acquire", "try_acquire", "release" } }
  local function settle()
    while queue[1] and queue[1].n <= permits do
      permits = permits - queue[1].n
      answer(table.remove(queue, 1).actor, true)
    end
  end
  function model.argument(random)
    return random(3)
  end
  function model.acquire(actor, n)
    if permits >= n and not queue[1] then
      permits = permits - n
      return pack(true)
    end
    queue[#queue + 1] = { actor = actor, n = n }
  end
  function model.try_acquire(_, n)
    if permits < n or queue[1] then return pack(false) end
    permits = permits - n
    return pack(true)
  end
  function model.release(_, n)
    permits = permits + n
    settle()
    return pack()
  end
  function model.ended(actor)
    take_out(queue, actor)
    settle()
  end
  function model.check()
    assert.equal(permits, semaphore:count())
  end
  return model
end

function models.rwlock(answer)
  local queue, readers, writer = {}, {}, nil
  local model = { object = coev.rwlock.new(), ops = { "read", "read", "write", "unlock", "unlock" } }
  local deserted = false
  local function is_open(mode)
    return writer == nil and (mode == "read" or next(readers) == nil)
  end
  local function admit(actor, mode)
    local how = deserted and "abandoned" or nil
    if mode == "read" then
      readers[actor] = true
    else
      writer, deserted = actor, false
    end
    return how
  end
  local function settle()
    while queue[1] and is_open(queue[1].mode) do
      local entry = table.remove(queue, 1)
      answer(entry.actor, true, admit(entry.actor, entry.mode))
    end
  end
  for _, mode in ipairs({ "read", "write" }) do
    model[mode] = function(actor)
      if not queue[1] and is_open(mode) then return pack(true, admit(actor, mode)) end
      queue[#queue + 1] = { actor = actor, mode = mode }
    end
  end
  local function let_go(actor)
    if writer == actor then writer = nil end
    readers[actor] = nil
    settle()
  end
  function model.unlock(actor)
    let_go(actor)
    return pack()
  end
  function model.allows(actor, op)
    return (writer == actor or readers[actor] == true) == (op == "unlock")
  end
  function model.ended(actor)
    take_out(queue, actor)
    deserted = deserted or writer == actor
    let_go(actor)
  end
  return model
end

function models.condition(answer)
  local queue = {}
  local model = { object = coev.condition.new(), ops = { "wait", "wait", "wait", "signal", "broadcast" } }
  local function wake(most)
    local woken = 0
    while woken < most and queue[1] do
      woken = woken + 1
      answer(table.remove(queue, 1).actor, true)
    end
    return pack(woken)
  end
  function model.wait(actor)
    queue[#queue + 1] = { actor = actor }
  end
  function model.signal()
    return wake(1)
  end
  function model.broadcast()
    return wake(math.huge)
  end
  function model.ended(actor)
    take_out(queue, actor)
  end
  return model
end

function models.event(answer)
  local event, queue, value = coev.event.new(), {}, nil
  local model = { object = event, ops = { "wait", "wait", "set", "clear" } }
  function model.argument(random, op)
    return op == "set" and random(100) or nil
  end
  function model.wait(actor)
    if value ~= nil then return pack(value) end
    queue[#queue + 1] = { actor = actor }
  end
  function model.set(_, new)
    value = new
    while queue[1] do
      answer(table.remove(queue, 1).actor, value)
    end
    return pack()
  end
  function model.clear()
    value = nil
    return pack()
  end
  function model.ended(actor)
    take_out(queue, actor)
  end
  function model.check()
    assert.equal(value ~= nil, event:is_set())
  end
  return model
end

function models.waitgroup(answer)
  local queue, left = {}, 1
  local model = { object = coev.waitgroup.new(1), ops = { "wait", "wait", "add", "done", "done" } }
  function model.wait(actor)
    if left == 0 then return pack(true) end
    queue[#queue + 1] = { actor = actor }
  end
  function model.add()
    left = left + 1
    return pack()
  end
  function model.done()
    left = left - 1
    while left == 0 and queue[1] do
      answer(table.remove(queue, 1).actor, true)
    end
    return pack()
  end
  function model.allows(_, op)
    return op ~= "done" or left > 0
  end
  function model.ended(actor)
    take_out(queue, actor)
  end
  return model
end

function models.barrier(answer)
  local queue = {}
  local model = { object = coev.barrier.new(3), ops = { "wait" } }
  function model.wait(actor)
    if #queue == 2 then
      while queue[1] do
        answer(table.remove(queue, 1).actor, false)
      end
      return pack(true)
    end
    queue[#queue + 1] = { actor = actor }
  end
  function model.ended(actor)
    take_out(queue, actor)
  end
  return model
end

function models.channel(answer, random)
  local room = random(3) - 1
  local channel, items, senders, receivers, closed = coev.channel.new(room), {}, {}, {}, false
  local model = { object = channel, ops = {
    "send", "send", "send", "receive", "receive", "receive", "try_send", "try_receive", "close",
  } }
  local count = 0
  local function receive()
    if items[1] then
      local value = table.remove(items, 1)
      if senders[1] and #items < room then
        local entry = table.remove(senders, 1)
        items[#items + 1] = entry.value
        answer(entry.actor, true)
      end
      return value
    end
    if senders[1] then
      local entry = table.remove(senders, 1)
      answer(entry.actor, true)
      return entry.value
    end
  end
  local function send(value)
    if closed then return nil, "closed" end
    if receivers[1] then
      answer(table.remove(receivers, 1).actor, value)
    elseif #items < room then
      items[#items + 1] = value
    else
      return false
    end
    return true
  end
  function model.argument(_, op)
    count = count + 1
    return (op == "send" or op == "try_send") and count or nil
  end
  function model.send(actor, value)
    local ok, err = send(value)
    if ok ~= false then return pack(ok, err) end
    senders[#senders + 1] = { actor = actor, value = value }
  end
  function model.try_send(_, value)
    local ok, err = send(value)
    return pack(ok or false, err)
  end
  function model.receive(actor)
    local value = receive()
    if value then return pack(value) end
    if closed then return pack(nil, "closed") end
    receivers[#receivers + 1] = { actor = actor }
  end
  function model.try_receive()
    local value = receive()
    if value then return pack(true, value) end
    return pack(false, closed and "closed" or nil)
  end
  -- Seldom, since little happens afterwards.
  function model.allows(_, op)
    return op ~= "close" or random(20) == 1
  end
  function model.close()
    closed = true
    for _, queue in ipairs({ receivers, senders }) do
      while queue[1] do
        answer(table.remove(queue, 1).actor, nil, "closed")
      end
    end
    return pack()
  end
  function model.ended(actor)
    take_out(senders, actor)
    take_out(receivers, actor)
  end
  function model.check()
    assert.equal(#items, #channel)
  end
  return model
end

-- The case of a select for an operation, if it can be one.
local CASES = {
  mutex = { lock = {} }, semaphore = {}, rwlock = {}, condition = { wait = {} }, event = { wait = {} },
  waitgroup = { wait = {} }, barrier = {}, channel = { send = { "send" }, receive = { "receive" } },
}

-- Runs one schedule of one kind of object; with `selecting`, waits by coev.select where that can be, beside an event
-- that is never set.
local function play(kind, seed, selecting)
  local random, tasks, expected, got = schedule.random(seed), {}, {}, {}
  local model = models[kind](function(actor, ...)
    expected[actor] = pack(...)
  end, random)
  local object, never, orders = model.object, coev.event.new(), {}

  local function act(actor)
    while true do
      local order = orders[actor]
      if not order then
        coev.suspend()
      else
        orders[actor] = nil
        local case = selecting and CASES[kind][order.op]
        if case then
          local first, second
          local cases = { { never }, { object, case[1], order.argument } }
          local index, a, b = coev.select(cases)
          first, second = a, b
          assert(index == 2)
          got[actor] = pack(first, second)
        else
          got[actor] = pack(object[order.op](object, order.argument))
        end
      end
    end
  end

  for step = 1, STEPS do
    local actor = random(ACTORS)
    if not tasks[actor] then tasks[actor] = coev.spawn(act, actor) coev.yield() end
    local op = model.ops[random(#model.ops)]
    if random(12) == 1 then
      tasks[actor]:cancel()
      tasks[actor]:join()
      expected[actor], got[actor], tasks[actor], orders[actor] = nil, nil, nil, nil
      model.ended(actor)
    elseif not model.waiting or not model.waiting[actor] then
      model.waiting = model.waiting or {}
      if not model.allows or model.allows(actor, op) then
        local argument = model.argument and model.argument(random, op)
        orders[actor] = { op = op, argument = argument }
        expected[actor] = model[op](actor, argument)
        model.waiting[actor] = not expected[actor] or nil
        tasks[actor]:resume()
      end
    end
    coev.yield()
    coev.yield()
    local place = ("%s, seed %d, step %d, %s"):format(kind, seed, step, op)
    for i = 1, ACTORS do
      local right, real = expected[i], got[i]
      if not tasks[i] then
        (model.waiting or {})[i] = nil
      else
        assert.equal(right ~= nil, real ~= nil, place)
        if right then
          assert.same({ right[1], right[2] }, { real[1], real[2] }, place)
          model.waiting[i] = nil
        end
      end
      expected[i], got[i] = nil, nil
    end
    if model.check then model.check(tasks) end
  end
  for i = 1, ACTORS do
    if tasks[i] then tasks[i]:cancel() end
  end
end

describe("beside its model", function()
  for _, kind in ipairs({
    "mutex", "semaphore", "rwlock", "condition", "event", "waitgroup", "barrier", "channel",
  }) do
    it("a " .. kind .. " does the same in every schedule", function()
      helper.run(function()
        for seed = 1, 300 do
          play(kind, seed)
        end
      end)
    end)
    if next(CASES[kind]) then
      it("a " .. kind .. " does the same in a select", function()
        helper.run(function()
          for seed = 1, 300 do
            play(kind, seed + 1000, true)
          end
        end)
      end)
    end
  end
end)
