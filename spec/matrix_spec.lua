-- Every call that waits × everything that can end a wait. A new call joins with
-- one line in CALLS; the tests are made from it.

local coev = require "coev"
local helper = require "spec.helper"
local pack = require "spec.support.pack"
local peer = require "spec.support.peer"
local support = require "spec.support.tasks"

local socket = coev.socket

-- Seconds: a time limit, a moment before it, and one that no test lives to see.
local LIMIT, SOON, NEVER = 0.004, 0.001, 0.02
-- As LIMIT, where another thread has to begin or to end.
local BY_THREAD = 0.02
-- More than the buffers of a loopback connection hold.
local FLOOD = ("0123456789abcdef"):rep(1024 * 1024)

local unpack = table.unpack or unpack

local function nothing() end

local function compute_until(time)
  while coev.now() < time do end
end

-- STAGES: what a call needs around it. Each is a table of functions that get
-- the stage of one test, a table of their own:
--   open    sets it up
--   wake    makes what the call waits for come true, without waiting itself
--   settle  what that needs of turns, when the call itself is gone
--   close   closes the object that the call waits on
--   kept    asserts that nothing was lost of what `wake` has handed over
--   shut    clears up
--   limit   seconds in which the wake-up comes, where another thread brings it

-- A moment on the clock: `stage.time`, which each test chooses.
local clock = {
  wake = function(stage)
    compute_until(stage.time)
  end,
}

-- A flag that somebody sets.
local flag = {
  wake = function(stage)
    stage.up = true
  end,
}

-- Another task, that ends when it is told to.
local partner = {
  open = function(stage)
    stage.partner = support.parked(coev.suspend)
  end,
  wake = function(stage)
    assert.is_true(stage.partner:resume("from the partner"))
  end,
  kept = function(stage)
    assert.same({ true, "from the partner" }, { stage.partner:join() })
  end,
  shut = function(stage)
    stage.partner:cancel()
    coev.pcall(stage.partner.join, stage.partner)
  end,
}

-- The very task that waits.
local itself = {
  wake = function(stage)
    assert.is_true(stage.task:resume("from outside"))
  end,
}

-- A group with a child, which ends when it is told to.
local children = {
  wake = function(stage)
    assert.is_true(stage.child:resume())
  end,
  kept = function(stage)
    assert.is_true(stage.child:status() == "done" or stage.child:status() == "cancelled")
  end,
}

-- A connection on which a part has come, and the rest comes with the wake-up.
local function connection(first, rest, then_close)
  local stage_kind = {
    open = function(stage)
      stage.near, stage.far = peer.pair()
      assert(stage.far:send(first))
    end,
    wake = function(stage)
      assert(stage.far:send(rest))
      if then_close then
        stage.far:close()
      end
    end,
    close = function(stage)
      stage.near:close()
    end,
    kept = function(stage)
      local all = first .. rest
      stage.near:settimeout(5)
      assert.equal(all, stage.near:receive(#all))
    end,
    shut = function(stage)
      stage.near:close()
      stage.far:close()
    end,
  }
  return stage_kind
end

-- Asserts that what a deaf peer has received is the beginning of the flood; answers how much that is.
local function received_in_order(stage)
  stage.near:close()
  stage.reader:join()
  stage.far:settimeout(5)
  local data, _, part = stage.far:receive("*a")
  stage.received[#stage.received + 1] = data or part
  local all = table.concat(stage.received)
  assert.is_true(all == FLOOD:sub(1, #all))
  return #all
end

-- A connection whose peer reads nothing until the wake-up, and then a part.
local deaf_peer = {
  open = function(stage)
    stage.near, stage.far = peer.pair()
    stage.received = {}
  end,
  wake = function(stage)
    -- What has come is taken piece by piece, so that no call waits.
    stage.far:settimeout(0)
    stage.reader = coev.spawn(function()
      for _ = 1, 64 do
        local data, _, part = stage.far:receive(262144)
        stage.received[#stage.received + 1] = data or part
      end
    end)
  end,
  close = function(stage)
    stage.near:close()
  end,
  kept = function(stage)
    assert.is_true(received_in_order(stage) > 0)
  end,
  shut = function(stage)
    stage.near:close()
    stage.far:close()
    if stage.reader then
      stage.reader:join()
    end
  end,
}

-- The same for data that takes long to gather: the time may be over by then.
local deaf_to_lists = {
  open = deaf_peer.open, wake = deaf_peer.wake, close = deaf_peer.close, kept = received_in_order,
  shut = deaf_peer.shut,
}

-- A listening socket, to which one client comes.
local door = {
  open = function(stage)
    stage.listener, stage.address, stage.port = peer.listen()
  end,
  wake = function(stage)
    stage.visitor = coev.spawn(function()
      stage.client = assert(socket.connect(stage.address, stage.port))
      stage.client:send("who\n")
    end)
  end,
  close = function(stage)
    stage.listener:close()
  end,
  kept = function(stage)
    stage.listener:settimeout(5)
    local far = assert(stage.listener:accept())
    assert.equal("who", (far:receive()))
    far:close()
  end,
  shut = function(stage)
    stage.listener:close()
    if stage.visitor then
      stage.visitor:join()
      if stage.client then
        stage.client:close()
      end
    end
  end,
}

-- A listening socket that nobody serves, and whose queue is full: the system
-- answers no further connection.
local full_house = {
  open = function(stage)
    stage.listener, stage.address, stage.port = peer.listen(1)
    stage.guests = {}
    for i = 1, 8 do
      local guest = assert(socket.tcp4())
      guest:settimeout(0)
      guest:connect(stage.address, stage.port)
      stage.guests[i] = guest
    end
    coev.sleep(0.001)
    stage.near = assert(socket.tcp4())
  end,
  close = function(stage)
    stage.near:close()
  end,
  shut = function(stage)
    stage.near:close()
    stage.listener:close()
    for _, guest in ipairs(stage.guests) do
      guest:close()
    end
  end,
}

-- A timer that never gets to run, and is stopped.
local timer = {
  open = function(stage)
    stage.timer = coev.every(3600, nothing)
  end,
  wake = function(stage)
    stage.timer:stop()
  end,
  shut = function(stage)
    stage.timer:stop()
  end,
}

-- A connection on which something comes with the wake-up, and a poll that watches it.
local watched = connection("", "abcd")

-- A lock that another task has until the wake-up.
local function locked(kind, lock)
  return {
    open = function(stage)
      stage.lock = coev[kind].new()
      stage.owner = coev.spawn(function()
        stage.lock[lock](stage.lock)
        coev.suspend()
        stage.lock:unlock()
      end)
      coev.yield()
    end,
    wake = function(stage)
      assert.is_true(stage.owner:resume())
    end,
    kept = function(stage)
      assert.is_true(stage.lock[lock](stage.lock, 5))
      stage.lock:unlock()
    end,
    shut = function(stage)
      stage.owner:cancel()
    end,
  }
end

-- Something that many tasks can be woken by at once, and that nobody owns.
local function signalled(kind, argument, wake, kept)
  return {
    open = function(stage)
      stage.object = coev[kind].new(argument)
    end,
    wake = function(stage)
      wake(stage.object, stage)
    end,
    kept = kept and function(stage)
      kept(stage.object)
    end,
  }
end

local permits = signalled("semaphore", 0, function(semaphore)
  semaphore:release()
end, function(semaphore)
  assert.equal(1, semaphore:count())
end)
local signals = signalled("condition", nil, function(condition, stage)
  stage.up = true
  condition:signal()
end)
local guarded_signals = {
  open = function(stage)
    stage.mutex = coev.mutex.new()
    stage.object = coev.condition.new(stage.mutex)
  end,
  wake = function(stage)
    stage.object:signal()
  end,
  kept = function(stage)
    assert.is_true(stage.mutex:lock(5))
  end,
}
local announcement = signalled("event", nil, function(event)
  event:set("news")
end, function(event)
  assert.equal("news", event:wait(0))
end)
local work = signalled("waitgroup", 1, function(group)
  group:done()
end)
local meeting = signalled("barrier", 2, function(barrier, stage)
  stage.other = coev.spawn(barrier.wait, barrier)
end)
function meeting.shut(stage)
  if stage.other then
    stage.other:cancel()
  end
end

-- A channel from which somebody else receives, or to which somebody sends, with the wake-up. What it has brought must
-- not be lost.
local source = {
  open = function(stage)
    stage.channel, stage.other = coev.channel.new(1), coev.channel.new()
  end,
  wake = function(stage)
    assert.is_true(stage.channel:try_send("item"))
  end,
  close = function(stage)
    stage.channel:close()
  end,
  kept = function(stage)
    assert.same({ true, "item" }, { stage.channel:try_receive() })
  end,
}
local drain = {
  open = function(stage)
    stage.channel, stage.other = coev.channel.new(), coev.channel.new()
  end,
  wake = function(stage)
    assert.same({ true, "item" }, { stage.channel:try_receive() })
  end,
  close = source.close,
}

-- Messages to a datagram socket.
local letters = {
  open = function(stage)
    stage.near, stage.far = assert(socket.udp4()), assert(socket.udp4())
    assert(stage.near:setsockname("127.0.0.1", 0))
  end,
  wake = function(stage)
    assert(stage.far:sendto("item", stage.near:getsockname()))
  end,
  close = function(stage)
    stage.near:close()
  end,
  kept = function(stage)
    stage.near:settimeout(5)
    assert.equal("item", (stage.near:receive()))
  end,
  shut = function(stage)
    stage.near:close()
    stage.far:close()
  end,
}

-- A file for the deaf peer.
local deaf_to_files = {
  open = function(stage)
    deaf_peer.open(stage)
    stage.path = os.tmpname()
    local file = assert(io.open(stage.path, "wb"))
    file:write(FLOOD)
    file:close()
  end,
  wake = deaf_peer.wake,
  close = deaf_peer.close,
  kept = received_in_order,
  shut = function(stage)
    deaf_peer.shut(stage)
    os.remove(stage.path)
  end,
}

-- A message for the deaf peer: what is left of it goes out first, whatever comes.
local deaf_to_messages = {
  open = deaf_peer.open, wake = deaf_peer.wake, close = deaf_peer.close, shut = deaf_peer.shut,
}

-- Two connections, between which one passes on what comes.
local passage = {
  open = function(stage)
    stage.near, stage.far = assert(socket.pair())
    stage.exit, stage.beyond = assert(socket.pair())
  end,
  wake = function(stage)
    assert(stage.far:send("abcd"))
    stage.far:close()
  end,
  kept = function(stage)
    stage.beyond:settimeout(0)
    local _, _, passed = stage.beyond:receive(5)
    local rest, err, part = stage.near:receive("*a")
    assert.equal("abcd", passed .. (rest or err == "closed" and part))
  end,
  shut = function(stage)
    peer.close(stage.near, stage.far, stage.exit, stage.beyond)
  end,
}

-- A listening socket whose clients somebody serves.
local served = {
  open = door.open,
  close = door.close,
  shut = door.shut,
}

-- Children and handlers of a supervisor. The one child ends with the wake-up.
local supervised = {
  open = function(stage)
    stage.supervisor = coev.supervisor.new()
    stage.child = stage.supervisor:child({ restart = "temporary", run = coev.suspend })
    coev.yield()
  end,
  wake = function(stage)
    assert.is_true(stage.child:resume())
  end,
  shut = function(stage)
    stage.supervisor:done()
  end,
}
local handlers = {
  open = function(stage)
    stage.supervisor = coev.supervisor.new()
  end,
  close = function(stage)
    stage.supervisor:done()
  end,
  shut = function(stage)
    stage.supervisor:done()
  end,
}

-- Code for another thread: it goes on when something comes through `gate`.
local GATED = "local gate, begun = ... if begun then begun:send(true) end return gate:receive()"

-- A thread that ends with the wake-up.
local thread = {
  limit = BY_THREAD,
  open = function(stage)
    stage.gate = coev.thread.channel(1)
    local begun = coev.thread.channel(1)
    stage.thread = assert(coev.thread.new(GATED, stage.gate, begun))
    assert.is_true(begun:receive(5))
  end,
  wake = function(stage)
    assert.is_true(stage.gate:try_send("from the thread"))
  end,
  kept = function(stage)
    assert.same({ true, "from the thread" }, { stage.thread:join(5) })
  end,
  shut = function(stage)
    stage.thread:cancel()
    stage.thread:join(5)
  end,
}

-- A thread with a job, which ends with the wake-up.
local job = {
  limit = BY_THREAD,
  open = function(stage)
    thread.open(stage)
    stage.job_gate = coev.thread.channel(1)
    stage.job = stage.thread:spawn(GATED, stage.job_gate)
  end,
  wake = function(stage)
    assert.is_true(stage.job_gate:try_send("from the job"))
  end,
  kept = function(stage)
    assert.same({ true, "from the job" }, { stage.job:join(5) })
  end,
  shut = thread.shut,
}

-- A pool of one thread, whose jobs go on with the wake-up.
local pool = {
  limit = BY_THREAD,
  open = function(stage)
    stage.gate = coev.thread.channel(math.huge)
    stage.pool = assert(coev.thread.pool(1))
    assert.is_true(stage.pool:call(tostring, 1) == "1")
  end,
  wake = function(stage)
    assert.is_true(stage.gate:try_send("from the pool"))
  end,
  shut = function(stage)
    stage.gate:close()
    stage.pool:close()
    assert.is_true(stage.pool:join(5))
  end,
}
local closing_pool = {
  limit = BY_THREAD,
  open = pool.open,
  wake = function(stage)
    stage.pool:close()
  end,
  shut = pool.shut,
}

local function through(gate)
  return gate:receive()
end

-- The channels between threads, as those within one.
local thread_source = {
  open = function(stage)
    stage.channel = coev.thread.channel(1)
  end,
  wake = source.wake,
  close = source.close,
  kept = source.kept,
}
local thread_drain = {
  open = function(stage)
    stage.channel = coev.thread.channel()
  end,
  wake = drain.wake,
  close = source.close,
}

-- A message of sendmessage, as it is on the wire.
local PACKED = coev.pack("abcd")
local MESSAGE = string.char(#PACKED, 0, 0, 0) .. PACKED

-- What a pcall returned, as if it had not been there.
local function passed_on(ok, ...)
  if not ok then
    error((...), 0)
  end
  return ...
end

-- Asserts that the results are those of a failed call: nil, `err`, and more.
local function fails_with(err)
  return function(_, results)
    assert.is_nil(results[1])
    assert.equal(err, results[2])
  end
end

-- Asserts that the results are a batch with `events` of the one thing that is watched.
local function has_event(events)
  return function(stage, results)
    assert.same({ { stage.near, events } }, results[1])
  end
end

local function takes_client(_, results)
  local far = assert(results[1])
  assert.equal("who", (far:receive()))
  far:close()
end

-- CALLS: a name, a stage, a function that waits, and of these what applies:
--   woken      the results after `wake`, as an array or a function that asserts;
--              without it `wake` does not end the wait
--   closed     the results after `close`, likewise
--   collected  true when task and object are garbage together
--   in_place   true when the wait drives the loop in place on some Lua
--   either     true when a cancel after the wake-up may come one wait later
local CALLS = {
  { "yield", flag, function(s) while not s.up do coev.yield() end end, woken = {} },
  { "sleep", clock, function(s) return coev.sleep(s.time - coev.now()) end, woken = {} },
  { "sleep_until", clock, function(s) return coev.sleep_until(s.time) end, woken = {} },
  { "suspend", itself, coev.suspend, woken = { "from outside" }, collected = true, either = true },
  { "join", partner, function(s) return s.partner:join() end, woken = { true, "from the partner" }, collected = true },
  { "join with a timeout", partner, function(s) return s.partner:join(5) end, woken = { true, "from the partner" } },
  { "await", partner, function(s) return s.partner:await() end, woken = { "from the partner" }, collected = true },
  { "await with a timeout", partner, function(s) return s.partner:await(5) end, woken = { "from the partner" } },
  { "receive of a line", connection("ab", "cd\n"), function(s) return s.near:receive("*l") end,
    woken = { "abcd" }, closed = fails_with("closed") },
  { "receive of a number", connection("ab", "cdef"), function(s) return s.near:receive(4) end,
    woken = { "abcd" }, closed = fails_with("closed") },
  { "receive of all", connection("ab", "cd", true), function(s) return s.near:receive("*a") end,
    woken = { "abcd" }, closed = fails_with("closed") },
  { "send", deaf_peer, function(s) return s.near:send(FLOOD) end, closed = fails_with("closed") },
  { "accept", door, function(s) return s.listener:accept() end, woken = takes_client, closed = fails_with("closed") },
  { "connect", full_house, function(s) return s.near:connect(s.address, s.port) end, closed = fails_with("closed") },
  { "group, at its end", children, function(s)
    return coev.group(function(group)
      s.child = group:spawn(coev.suspend)
      return "of the group"
    end)
  end, woken = { "of the group" } },
  { "group, in its function", children, function(s)
    return coev.group(function(group)
      s.child = group:spawn(coev.suspend)
      return s.child:join()
    end)
  end, woken = { true } },
  { "timer:join", timer, function(s) return s.timer:join() end, woken = { true } },
  { "timer:join with a timeout", timer, function(s) return s.timer:join(5) end, woken = { true } },
  { "poll:wait", watched, function(s) return coev.poll.new():add(s.near):wait() end,
    woken = has_event("r"), closed = has_event("closed") },
  { "poll:wait with a timeout", watched, function(s) return coev.poll.new():add(s.near):wait(5) end,
    woken = has_event("r"), closed = has_event("closed") },
  { "coev.wait", watched, function(s) return coev.wait(s.near) end, woken = { "r" }, closed = { "closed" } },
  { "timeout", clock, function(s) return coev.timeout(60, coev.sleep_until, s.time) end, woken = {} },
  { "timeout of a receive", connection("ab", "cd\n"), function(s) return coev.timeout(60, s.near.receive, s.near) end,
    woken = { "abcd" }, closed = fails_with("closed") },
  { "shield", clock, function(s) return coev.shield(coev.sleep_until, s.time) end },
  { "retry", clock, function(s) return coev.retry(function() return nil, "try" end, { tries = 2,
    wait = math.max(s.time - coev.now(), 1e-6) }) end, woken = { nil, "try" } },
  { "pcall", partner, function(s) return passed_on(coev.pcall(s.partner.join, s.partner)) end,
    woken = { true, "from the partner" } },
  { "a coroutine", connection("ab", "cd\n"), function(s)
    return coev.coroutine.wrap(function()
      return s.near:receive()
    end)()
  end, woken = { "abcd" }, closed = fails_with("closed") },
  { "lock", locked("mutex", "lock"), function(s) return s.lock:lock() end, woken = { true }, collected = true },
  { "lock with a timeout", locked("mutex", "lock"), function(s) return s.lock:lock(5) end, woken = { true } },
  { "with", locked("mutex", "lock"), function(s) return s.lock:with(tostring, 1) end, woken = { "1" } },
  { "read", locked("rwlock", "write"), function(s) return s.lock:read() end, woken = { true }, collected = true },
  { "write", locked("rwlock", "read"), function(s) return s.lock:write() end, woken = { true }, collected = true },
  { "acquire", permits, function(s) return s.object:acquire() end, woken = { true }, collected = true },
  { "acquire with a timeout", permits, function(s) return s.object:acquire(1, 5) end, woken = { true } },
  { "wait for a condition", signals, function(s) return s.object:wait() end, woken = { true }, collected = true },
  { "wait_for of a condition", signals, function(s) return s.object:wait_for(function() return s.up end, 5) end,
    woken = { true } },
  { "wait for an event", announcement, function(s) return s.object:wait() end, woken = { "news" }, collected = true },
  { "wait for a waitgroup", work, function(s) return s.object:wait() end, woken = { true }, collected = true },
  { "wait at a barrier", meeting, function(s) return s.object:wait() end, woken = { false }, collected = true },
  { "receive on a channel", source, function(s) return s.channel:receive() end, woken = { "item" },
    closed = fails_with("closed"), collected = true },
  { "receive on a channel with a timeout", source, function(s) return s.channel:receive(5) end, woken = { "item" },
    closed = fails_with("closed") },
  { "receive on a channel in a coroutine", source, function(s)
    return coev.coroutine.wrap(function() return s.channel:receive() end)()
  end, woken = { "item" }, closed = fails_with("closed") },
  { "receive on a channel in a comparator", source, function(s)
    local item, err
    table.sort({ 2, 1 }, function(a, b)
      if item == nil then item, err = s.channel:receive() end
      return a < b
    end)
    return item, err
  end, in_place = true, closed = fails_with("closed") },
  { "send on a channel", drain, function(s) return s.channel:send("item") end, woken = { true },
    closed = fails_with("closed"), collected = true },
  { "select that receives", source, function(s)
    return select(2, coev.select({ { s.other, "receive" }, { s.channel, "receive" } }))
  end, woken = { "item" }, closed = fails_with("closed"), collected = true },
  { "select that sends", drain, function(s)
    return select(2, coev.select({ { s.other, "send", 1 }, { s.channel, "send", "item" }, timeout = 5 }))
  end, woken = { true }, closed = fails_with("closed") },
  { "select of a lock", locked("mutex", "lock"), function(s)
    return coev.select({ { s.lock }, { coev.event.new() } })
  end, woken = { 1, true }, collected = true },
  { "lock with guard", locked("mutex", "lock"), function(s)
    s.lock:guard():close()
    return true
  end, woken = { true } },
  { "read with a timeout", locked("rwlock", "write"), function(s) return s.lock:read(5) end, woken = { true } },
  { "write with a timeout", locked("rwlock", "read"), function(s) return s.lock:write(5) end, woken = { true } },
  { "wait for a condition with a mutex", guarded_signals, function(s) return s.mutex:with(s.object.wait, s.object) end,
    woken = { true } },
  { "wait for a condition with a timeout", signals, function(s) return s.object:wait(5) end, woken = { true } },
  { "wait for an event with a timeout", announcement, function(s) return s.object:wait(5) end, woken = { "news" } },
  { "wait for a waitgroup with a timeout", work, function(s) return s.object:wait(5) end, woken = { true } },
  { "wait at a barrier with a timeout", meeting, function(s) return s.object:wait(5) end, woken = { false } },
  { "send on a channel with a timeout", drain, function(s) return s.channel:send("item", 5) end, woken = { true },
    closed = fails_with("closed") },
  { "join of a weak task", partner, function(s) return s.partner:weaken():join() end,
    woken = { true, "from the partner" } },
  { "select of a task", partner, function(s) return coev.select({ { s.partner } }) end,
    woken = { 1, true, "from the partner" } },
  { "select of an event", announcement, function(s) return coev.select({ { s.object } }) end, woken = { 1, "news" } },
  { "select of a semaphore", permits, function(s) return coev.select({ { s.object } }) end, woken = { 1, true } },
  { "select of a socket", watched, function(s)
    return coev.select({ { s.near, "r" }, { coev.channel.new(), "receive" } })
  end, woken = { 1, "r" }, closed = function(_, results) assert.same({ 1, nil, "closed", n = 3 }, results) end },
  { "coev.wait with a timeout", watched, function(s) return coev.wait(s.near, "r", 5) end, woken = { "r" },
    closed = { "closed" } },
  { "receiveany", connection("", "abcd"), function(s) return s.near:receiveany(9) end, woken = { "abcd" },
    closed = fails_with("closed") },
  { "receiveuntil", connection("ab", "cd;"), function(s) return (s.near:receiveuntil(";")()) end, woken = { "abcd" },
    closed = function(_, results) assert.is_nil(results[1]) end },
  { "read", connection("ab", "cd\n"), function(s) return s.near:read("l") end, woken = { "abcd" } },
  { "lines", connection("ab", "cd\n"), function(s) return s.near:lines()() end, woken = { "abcd" } },
  { "receivemessage", connection(MESSAGE:sub(1, 3), MESSAGE:sub(4)), function(s) return s.near:receivemessage() end,
    woken = { "abcd" }, closed = fails_with("closed") },
  { "receive of a message", letters, function(s) return s.near:receive() end, woken = { "item" },
    closed = fails_with("closed") },
  { "receivefrom", letters, function(s) return (s.near:receivefrom()) end, woken = { "item" },
    closed = function(_, results) assert.is_nil(results[1]) end },
  { "socket.select", watched, function(s) return socket.select({ s.near })[1] == s.near end, woken = { true } },
  { "socket.sleep", clock, function(s) return socket.sleep(s.time - coev.now()) end, woken = {} },
  { "socket.connect", full_house, function(s) return socket.connect(s.address, s.port) end },
  { "send of a list", deaf_to_lists, function(s) return s.near:send({ FLOOD }) end, closed = fails_with("closed") },
  { "write", deaf_to_lists, function(s) return s.near:write(FLOOD) end, closed = fails_with("closed") },
  { "sendfile", deaf_to_files, function(s) return s.near:sendfile(s.path) end, closed = fails_with("closed") },
  { "sendmessage", deaf_to_messages, function(s) return s.near:sendmessage(FLOOD) end, closed = fails_with("closed") },
  { "socket.copy", passage, function(s) return socket.copy(s.near, s.exit) end, woken = { 4 } },
  { "socket.serve", served, function(s) return socket.serve(s.listener, nothing) end, closed = { 1 } },
  { "supervisor:waitfor", handlers, function(s) return s.supervisor:waitfor("event") end,
    closed = fails_with("closed") },
  { "supervisor:waitfor with a timeout", handlers, function(s) return s.supervisor:waitfor("event", 5) end,
    closed = fails_with("closed") },
  { "supervisor:join", supervised, function(s) return s.supervisor:join() end, woken = { true } },
  { "supervisor:join with a timeout", supervised, function(s) return s.supervisor:join(5) end, woken = { true } },
  { "thread:join", thread, function(s) return s.thread:join() end, woken = { true, "from the thread" } },
  { "thread:await with a timeout", thread, function(s) return s.thread:await(5) end, woken = { "from the thread" } },
  { "coev.wait for a thread", thread, function(s) return coev.wait(s.thread) end, woken = { "r" } },
  { "select of a thread", thread, function(s) return coev.select({ { s.thread } }) end,
    woken = { 1, true, "from the thread" } },
  { "job:join", job, function(s) return s.job:join() end, woken = { true, "from the job" } },
  { "job:await with a timeout", job, function(s) return s.job:await(5) end, woken = { "from the job" } },
  { "pool:call", pool, function(s) return s.pool:call(through, s.gate) end, woken = { "from the pool" } },
  { "pool:map", pool, function(s) return s.pool:map({ s.gate }, through)[1] end, woken = { "from the pool" } },
  { "pool:join", closing_pool, function(s) return s.pool:join() end, woken = { true } },
  { "pool:join with a timeout", closing_pool, function(s) return s.pool:join(5) end, woken = { true } },
  { "receive on a thread's channel", thread_source, function(s) return s.channel:receive() end, woken = { "item" },
    closed = fails_with("closed") },
  { "receive on a thread's channel with a timeout", thread_source, function(s) return s.channel:receive(5) end,
    woken = { "item" }, closed = fails_with("closed") },
  { "send on a thread's channel", thread_drain, function(s) return s.channel:send("item") end, woken = { true },
    closed = fails_with("closed") },
  { "select of a thread's channel", thread_source, function(s)
    return coev.select({ { s.channel, "receive" }, { coev.channel.new(), "receive" } })
  end, woken = { 1, "item" }, closed = function(_, results) assert.same({ 1, nil, "closed", n = 3 }, results) end },
  { "thread.serve", {}, function()
    return coev.thread.serve("127.0.0.1", 0, "return function() end", { threads = 1 })
  end },
  { "a comparator", partner, function(s)
    table.sort({ 2, 1 }, function(a, b)
      s.partner:join()
      return a < b
    end)
  end, in_place = true },
  { "a stock pcall", partner, function(s) return passed_on(pcall(s.partner.join, s.partner)) end, in_place = true },
}

-- Sets up the stage of `call`, with `time` for the moment on its clock, runs
-- `test(stage)` and clears up.
local function on_stage(call, seconds, test)
  local kind = call[2]
  helper.run(function()
    local stage = { time = coev.now() + seconds };
    (kind.open or nothing)(stage)
    stage.time = coev.now() + seconds
    local ok, err = coev.pcall(test, stage, kind);
    (kind.shut or nothing)(stage)
    if not ok then
      error(err, 0)
    end
  end)
end

-- What is said when a busy machine has let the moment between wake-up and turn pass.
local MISSED = "the moment between wake-up and turn was missed"

-- The same, and again when that moment was missed. Any other failure is one at once.
local function on_stage_again(call, seconds, test)
  for _ = 1, 20 do
    local ok, err = pcall(on_stage, call, seconds, test)
    if ok then
      return
    elseif not tostring(err):find(MISSED, 1, true) then
      error(err, 0)
    end
  end
  on_stage(call, seconds, test)
end

-- Gives the task of `stage` turns until it waits in the call.
local function park(stage, f)
  stage.task = coev.spawn(f)
  coev.yield()
  coev.yield()
  coev.sleep(0.0005)
end

-- Gives turns until the task of `stage` is woken, and has not had its turn.
local function await_wake_up(stage)
  local deadline = coev.now() + 5
  while stage.task:status() == "waiting" do
    assert(coev.now() < deadline, "no wake-up comes")
    coev.yield()
  end
  if stage.task:status() ~= "ready" then
    error(MISSED .. ": the task is " .. stage.task:status(), 0)
  end
end

local function assert_results(expected, stage, results)
  if type(expected) == "function" then
    expected(stage, results)
  else
    assert.same(expected, { unpack(results, 1, results.n) })
  end
end

-- EVENTS: what ends, or must not end, a wait. Each has a name, the seconds
-- until the clock of the stage wakes it, which calls it is for, and its test.
local EVENTS = {
  {
    "cancelled while parked loses nothing",
    NEVER,
    function()
      return true
    end,
    function(call, stage, kind)
      park(stage, function()
        call[3](stage)
        coev.yield()
      end)
      stage.task:cancel("while parked")
      support.assert_cancelled(stage.task, "while parked")
      if kind.kept and kind ~= children then
        kind.wake(stage)
        kind.kept(stage)
      end
    end,
  },
  {
    "cancelled between wake-up and turn loses nothing",
    SOON,
    function(call)
      return call[2].wake and not call.in_place
    end,
    function(call, stage, kind)
      local results
      park(stage, function()
        results = pack(call[3](stage))
        coev.yield()
      end)
      kind.wake(stage)
      await_wake_up(stage)
      stage.task:cancel("on its way")
      support.assert_cancelled(stage.task, "on its way")
      if not call.either then
        assert.is_nil(results)
      end
      (kind.kept or nothing)(stage)
    end,
  },
  {
    "timed out is nil and 'timeout', and loses nothing",
    NEVER,
    function()
      return true
    end,
    function(call, stage, kind)
      local results = pack(coev.timeout(kind.limit or LIMIT, function()
        call[3](stage)
        coev.yield()
      end))
      assert.same({ nil, "timeout" }, { unpack(results, 1, results.n) })
      if kind.kept and kind ~= children then
        kind.wake(stage)
        kind.kept(stage)
      end
    end,
  },
  {
    "woken and timed out before its turn has its results",
    SOON,
    function(call)
      return call.woken and not call.in_place and call[2] ~= flag
    end,
    function(call, stage, kind)
      local results, deadline
      local limit = kind.limit or LIMIT
      park(stage, function()
        deadline = coev.now() + limit
        coev.timeout(limit, function()
          results = pack(call[3](stage))
          coev.yield()
        end)
      end)
      kind.wake(stage)
      await_wake_up(stage)
      assert(coev.now() < deadline, MISSED)
      compute_until(deadline + SOON)
      assert.is_true(stage.task:join())
      assert.is_truthy(results)
      assert_results(call.woken, stage, results)
    end,
  },
  {
    "woken has its results, whatever was collected meanwhile",
    SOON,
    function(call)
      return call.woken
    end,
    function(call, stage, kind)
      park(stage, function()
        return call[3](stage)
      end)
      collectgarbage()
      kind.wake(stage)
      collectgarbage()
      local results = pack(stage.task:join())
      assert.is_true(results[1], tostring(results[2]))
      assert_results(call.woken, stage, { n = results.n - 1, unpack(results, 2, results.n) })
    end,
  },
  {
    "whose object is closed comes back",
    NEVER,
    function(call)
      return call.closed
    end,
    function(call, stage, kind)
      park(stage, function()
        return call[3](stage)
      end)
      kind.close(stage)
      local results = pack(stage.task:join())
      assert.is_true(results[1], tostring(results[2]))
      assert_results(call.closed, stage, { n = results.n - 1, unpack(results, 2, results.n) })
    end,
  },
}

EVENTS[#EVENTS + 1] = {
  "is not ended by a resume",
  NEVER,
  function(call)
    return call[2] ~= itself
  end,
  function(call, stage)
    park(stage, function()
      call[3](stage)
      coev.yield()
    end)
    assert.same({ nil, "not suspended" }, { stage.task:resume("not for it") })
    stage.task:cancel()
    support.assert_cancelled(stage.task)
  end,
}

for _, event in ipairs(EVENTS) do
  local name, seconds, applies, test = unpack(event)
  describe("a wait " .. name .. ":", function()
    for _, call in ipairs(CALLS) do
      if applies(call) then
        it(call[1], function()
          on_stage_again(call, seconds, function(stage, kind)
            test(call, stage, kind)
          end)
        end)
      end
    end
  end)
end

-- Parks `count` tasks in `call`, each with a stage that only it can reach. The
-- stages are the keys of `probes`.
local function park_forgotten(call, count, probes)
  for _ = 1, count do
    local stage = {};
    (call[2].open or nothing)(stage)
    probes[stage] = true
    coev.spawn(function()
      call[3](stage)
      error("woken: " .. tostring(stage))
    end)
  end
  coev.yield()
end

describe("a wait on what nobody else can reach is collected:", function()
  -- Not in helper.run, which holds the handles.
  for _, call in ipairs(CALLS) do
    if call.collected then
      it(call[1], function()
        local probes = setmetatable({}, { __mode = "k" })
        park_forgotten(call, 10, probes)
        assert.is_true(coev.stats().tasks >= 10)
        for _ = 1, 8 do
          collectgarbage()
          coev.step()
        end
        local left = coev.tasks()
        for _, task in ipairs(left) do
          task:cancel()
        end
        assert.equal(0, #left)
        assert.is_nil(next(probes))
      end)
    end
  end
end)
