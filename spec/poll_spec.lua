local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local garbage = require "spec.support.garbage"
local peer = require "spec.support.peer"
local support = require "spec.support.tasks"

local socket = coev.socket

local function nothing() end

-- A poll that `f` gets as its first argument, in a task.
local function with_poll(f)
  helper.run(function()
    local poll = assert(coev.poll.new())
    f(poll)
    poll:close()
  end)
end

-- The same, and two connected sockets.
local function with_pair(f)
  with_poll(function(poll)
    local near, far = peer.pair()
    f(poll, near, far)
    peer.close(near, far)
  end)
end

-- Asserts that all that `poll` has is what the other arguments say: `{ what, events, tag }` each, in any order.
local function has(poll, ...)
  local batch = poll:wait(0)
  local expected = { ... }
  if #expected == 0 then
    assert.is_nil(batch)
    return
  end
  assert.equal(#expected, #assert(batch))
  for _, each in ipairs(expected) do
    local found
    for _, event in ipairs(batch) do
      if event[1] == each[1] then
        assert.is_nil(found)
        found = event
      end
    end
    assert.equal(each[2], assert(found)[2])
    assert.equal(each[3], found[3])
  end
end

-- Gives the system time to bring what is on its way, and asserts that `poll` then has one event.
local function soon(poll, what, events, tag)
  local batch = assert(poll:wait(5))
  assert.equal(1, #batch)
  assert.equal(what, batch[1][1])
  assert.equal(events, batch[1][2])
  assert.equal(tag, batch[1][3])
end

-- A function that closes a descriptor behind coev's back, or nil where nothing here can.
local function closer()
  local ok, ffi = pcall(require, "ffi")
  if ok then
    ffi.cdef("int close(int);")
    return ffi.C.close
  end
  local luv
  ok, luv = pcall(require, "luv")
  if ok and luv.fs_close then
    return luv.fs_close
  end
  ok, luv = pcall(require, "socket.core")
  if ok and luv.tcp4 then
    return function(fd)
      local holder = luv.tcp4()
      holder:setfd(fd)
      holder:close()
    end
  end
end

local close_raw = closer()
local it_raw = close_raw and it or function(name)
  pending(name .. " (nothing here closes raw descriptors: neither LuaJIT's ffi nor luv nor LuaSocket)")
end

describe("what a poll waits for", function()
  it("is a descriptor, which comes back as it was added, with its tag", function()
    with_pair(function(poll, near, far)
      local tag = {}
      assert.equal(poll, poll:add(near:getfd(), "r", tag))
      has(poll)
      far:send("x")
      soon(poll, near:getfd(), "r", tag)
    end)
  end)

  it("is a socket, a listening one too", function()
    with_pair(function(poll, near, far)
      local listener, address, port = peer.listen()
      poll:add(near):add(listener)
      has(poll)
      far:send("x")
      soon(poll, near, "r")
      local client = assert(socket.connect(address, port))
      near:receive(1)
      soon(poll, listener, "r")
      peer.close(listener, client)
    end)
  end)

  it("is anything with getfd or pollfd", function()
    with_pair(function(poll, near, far)
      local one = { getfd = function() return near:getfd() end }
      local other = { pollfd = function() return far:getfd() end }
      poll:add(one, "r", 1):add(other, "w", 2)
      far:send("x")
      soon(poll:remove(other), one, "r", 1)
      poll:add(other, "w", 2)
      has(poll, { one, "r", 1 }, { other, "w", 2 })
    end)
  end)

  it("is reading, writing or both", function()
    with_pair(function(poll, near, far)
      poll:add(near, "rw")
      has(poll, { near, "w" })
      far:send("x")
      coev.wait(near, "r", 5)
      has(poll, { near, "rw" })
      poll:modify(near, "r")
      has(poll, { near, "r" })
      poll:modify(near, "w")
      has(poll, { near, "w" })
      near:receive(1)
      poll:modify(near, "r")
      has(poll)
    end)
  end)

  it("is the end of a connection, too", function()
    with_pair(function(poll, near, far)
      poll:add(near)
      far:close()
      soon(poll, near, "r")
      assert.same({ nil, "closed", "" }, { near:receive(1) })
    end)
  end)

  it("is a connection that is being made, and one that is refused", function()
    with_poll(function(poll)
      local listener, address, port = peer.listen()
      local free = peer.free_port()
      for _, to in ipairs({ port, free }) do
        local near = assert(socket.tcp4())
        near:settimeout(0)
        near:connect(address, to)
        poll:add(near, "w")
        soon(poll, near, "w")
        poll:remove(near)
        near:close()
      end
      listener:close()
    end)
  end)

  it("is a task, which is ready when it has ended, however", function()
    with_poll(function(poll)
      local parked = support.parked(coev.suspend)
      local doomed = support.parked(coev.suspend)
      poll:add(parked, "r", "parked"):add(doomed)
      has(poll)
      parked:resume()
      soon(poll, parked, "r", "parked")
      has(poll, { parked, "r", "parked" })
      poll:remove(parked)
      doomed:cancel()
      soon(poll, doomed, "r")
    end)
  end)

  it("is a task that has ended long ago", function()
    with_poll(function(poll)
      local task = support.parked(nothing)
      poll:add(task)
      has(poll, { task, "r" })
      assert.is_true(task:join())
    end)
  end)

  it("is a timer, which is ready once after each run", function()
    with_poll(function(poll)
      local runs = 0
      local timer = coev.timer.new(3600, function()
        runs = runs + 1
        coev.sleep(0.0005)
      end)
      poll:add(timer, "r", "tick")
      has(poll)
      for i = 1, 3 do
        timer:start(0)
        soon(poll, timer, "r", "tick")
        assert.equal(i, runs)
        has(poll)
      end
      timer:stop()
      assert.is_true(timer:join())
      has(poll)
    end)
  end)

  it("is another poll, which is ready when something in it is", function()
    with_pair(function(outer, near, far)
      local inner = assert(coev.poll.new())
      inner:add(near, "r", "inside")
      outer:add(inner, "r", "outside")
      has(outer)
      far:send("x")
      soon(outer, inner, "r", "outside")
      has(outer, { inner, "r", "outside" })
      has(inner, { near, "r", "inside" })
      near:receive(1)
      has(outer)
      inner:close()
    end)
  end)

  it("is another poll, also while it has only tasks, and while somebody waits in both", function()
    with_pair(function(outer, near, far)
      local inner = assert(coev.poll.new())
      outer:add(inner)
      local task = support.parked(coev.suspend)
      inner:add(task)
      local both = { coev.spawn(outer.wait, outer, 5), coev.spawn(inner.wait, inner, 5) }
      coev.sleep(0.001)
      task:resume()
      local _, batch = both[1]:join()
      assert.equal(inner, batch[1][1])
      _, batch = both[2]:join()
      assert.equal(task, batch[1][1])
      inner:remove(task)
      inner:add(near)
      both = { coev.spawn(outer.wait, outer, 5), coev.spawn(inner.wait, inner, 5) }
      coev.sleep(0.001)
      far:send("x")
      _, batch = both[1]:join()
      assert.equal(inner, batch[1][1])
      _, batch = both[2]:join()
      assert.equal(near, batch[1][1])
      inner:close()
    end)
  end)

  it("is all that at once", function()
    with_pair(function(poll, near, far)
      local task = support.parked(nothing)
      local ran
      local timer = coev.after(0, function()
        ran = true
      end)
      poll:add(near, "w", 1):add(far:getfd(), "r", 2):add(task, "r", 3):add(timer, "r", 4)
      timer:join()
      assert.is_true(ran)
      near:send("x")
      coev.wait(far, "r", 5)
      has(poll, { near, "w", 1 }, { far:getfd(), "r", 2 }, { task, "r", 3 }, { timer, "r", 4 })
    end)
  end)

  it("is a timer in two polls, each of which sees each run", function()
    with_poll(function(poll)
      local other = assert(coev.poll.new())
      local timer = coev.after(0, nothing)
      poll:add(timer)
      other:add(timer)
      timer:join()
      has(poll, { timer, "r" })
      has(other, { timer, "r" })
      has(poll)
      other:close()
    end)
  end)

  it("is a timer or a closed socket in a poll within another one, which loses nothing", function()
    with_poll(function(outer)
      local inner = assert(coev.poll.new())
      outer:add(inner)
      local timer = coev.after(0, nothing)
      inner:add(timer)
      timer:join()
      has(outer, { inner, "r" })
      has(inner, { timer, "r" })
      local listener = peer.listen()
      inner:add(listener)
      listener:close()
      has(outer, { inner, "r" })
      has(inner, { listener, "closed" })
      inner:close()
    end)
  end)

  it("is a timer whose run fails", function()
    support.unseen_errors(function()
      with_poll(function(poll)
        local timer = coev.after(0, error, "broken", 0)
        poll:add(timer)
        soon(poll, timer, "r")
      end)
    end)
  end)

  it("is no poll that waits for this one in turn", function()
    with_poll(function(poll)
      local other = assert(coev.poll.new())
      poll:add(other)
      assert.is_false(pcall(other.add, other, poll))
      other:close()
    end)
  end)
end)

describe("wait of a poll", function()
  it("is level-triggered", function()
    with_pair(function(poll, near, far)
      poll:add(near)
      far:send("x")
      for _ = 1, 3 do
        soon(poll, near, "r")
      end
      near:receive(1)
      has(poll)
    end)
  end)

  it("sees what a socket has in its buffer", function()
    with_pair(function(poll, near, far)
      far:send("first\nsecond\n")
      assert.equal("first", near:receive("*l"))
      poll:add(near)
      has(poll, { near, "r" })
      assert.equal("r", coev.wait(near, "r", 0))
      assert.equal("second", near:receive("*l"))
      has(poll)
    end)
  end)

  it("sees what the socket itself has not taken, and nothing that it has", function()
    with_pair(function(poll, near, far)
      poll:add(near)
      local reader = support.parked(near.receive, near, "*l")
      local waiter = support.parked(poll.wait, poll, 0.004)
      far:send("line\n")
      assert.same({ true, "line" }, { reader:join() })
      waiter:join()
      has(poll)
      reader = support.parked(near.receive, near, "*l")
      waiter = support.parked(poll.wait, poll, 5)
      far:close()
      assert.same({ true, nil, "closed", "" }, { reader:join() })
      local _, batch = waiter:join()
      assert.equal("r", batch[1][2])
    end)
  end)

  it("has the same descriptor in two polls and in a socket", function()
    with_pair(function(poll, near, far)
      local other = assert(coev.poll.new())
      poll:add(near)
      other:add(near:getfd(), "rw")
      local waiters = { coev.spawn(poll.wait, poll, 5), coev.spawn(other.wait, other:modify(near:getfd(), "r"), 5) }
      coev.sleep(0.001)
      far:send("x")
      for i, what in ipairs({ near, near:getfd() }) do
        local _, batch = waiters[i]:join()
        assert.same({ what, "r" }, batch[1])
      end
      assert.equal("x", near:receive(1))
      has(poll)
      has(other)
      other:close()
    end)
  end)

  it("lets the others go on meanwhile", function()
    local near, far = peer.pair()
    local poll = assert(coev.poll.new())
    poll:add(near)
    support.beside_another(function()
      coev.spawn(function()
        coev.sleep(0.004)
        far:send("x")
      end)
      return poll:wait()
    end)
    poll:close()
    peer.close(near, far)
  end)

  it("times out, at once with 0 or less", function()
    with_pair(function(poll, near)
      poll:add(near)
      for _, timeout in ipairs({ 0.002, 0, -1, -math.huge }) do
        local start = coev.now()
        assert.same({ nil, "timeout" }, { poll:wait(timeout) })
        assert.is_true(coev.now() - start >= timeout)
      end
    end)
  end)

  it("has what is ready, whatever the timeout", function()
    with_pair(function(poll, near)
      poll:add(near, "w")
      for _, timeout in ipairs({ 0, -1, 1e-9, 2 ^ 31, math.huge }) do
        assert.equal(1, #poll:wait(timeout))
      end
      assert.equal(1, #poll:wait(nil))
    end)
  end)

  it("waits 2^31 seconds, and for ever", function()
    with_pair(function(poll, near)
      poll:add(near)
      for _, timeout in ipairs({ 2 ^ 31, 1e300, math.huge }) do
        assert.same({ nil, "timeout" }, { coev.timeout(0.001, poll.wait, poll, timeout) })
      end
    end)
  end)

  it("notices what is added meanwhile", function()
    with_pair(function(poll, near, far)
      -- First to an empty poll, then to one that waits for a descriptor.
      for i, add in ipairs({ { near, "w" }, { far, "w" }, { support.parked(nothing), "r" } }) do
        local waiter = support.parked(poll.wait, poll, 5)
        assert.equal("waiting", waiter:status())
        poll:add(add[1], add[2], i)
        local _, batch = waiter:join()
        assert.same({ { add[1], add[2], i } }, batch)
        if i < 3 then
          poll:modify(add[1], "r")
        end
      end
    end)
  end)

  it("notices what is changed meanwhile", function()
    with_pair(function(poll, near)
      poll:add(near, "r", "tag")
      local waiter = support.parked(poll.wait, poll, 5)
      poll:modify(near, "rw")
      local _, batch = waiter:join()
      assert.same({ { near, "w", "tag" } }, batch)
    end)
  end)

  it("forgets what is removed meanwhile", function()
    with_pair(function(poll, near, far)
      poll:add(near)
      poll:add(far)
      local task = support.parked(coev.suspend)
      poll:add(task)
      local waiter = support.parked(poll.wait, poll, 5)
      poll:remove(near):remove(task)
      far:send("x")
      task:resume()
      coev.sleep(0.002)
      assert.equal("waiting", waiter:status())
      near:receive(1)
      near:send("y")
      local _, batch = waiter:join()
      assert.same({ { far, "r" } }, batch)
    end)
  end)

  it("of an empty poll times out", function()
    with_poll(function(poll)
      assert.same({ nil, "timeout" }, { poll:wait(0.001) })
      assert.same({ nil, "timeout" }, { poll:wait(0) })
    end)
  end)

  it("of an empty poll without a timeout is a deadlock that names it", function()
    local result = child.run([[
      local coev = require "coev"
      local poll = assert(coev.poll.new())
      print(pcall(coev.run, function() poll:wait() end))
      print(#coev.tasks())
    ]])
    assert.truthy(result.stdout:find("deadlock: 1 tasks wait for ever", 1, true), result.stdout .. result.stderr)
  end)

  it("raises for a second one that waits, and leaves the first alone", function()
    with_pair(function(poll, near, far)
      poll:add(near)
      local first = support.parked(poll.wait, poll, 5)
      local ok, err = pcall(poll.wait, poll, 1)
      assert.is_false(ok)
      assert.truthy(tostring(err):find("another task waits for this poll", 1, true), err)
      far:send("x")
      local _, batch = first:join()
      assert.same({ { near, "r" } }, batch)
      soon(poll, near, "r")
    end)
  end)

  it("ends by a cancel, and the poll is as before", function()
    with_pair(function(poll, near, far)
      poll:add(near)
      local waiter = support.parked(poll.wait, poll)
      waiter:cancel("enough")
      support.assert_cancelled(waiter, "enough")
      has(poll)
      far:send("x")
      soon(poll, near, "r")
    end)
  end)

  it("ends by coev.timeout, and the poll is as before", function()
    with_pair(function(poll, near, far)
      poll:add(near)
      assert.same({ nil, "timeout" }, { coev.timeout(0.001, poll.wait, poll) })
      assert.same({ nil, "timeout" }, { coev.timeout(0.001, poll.wait, poll, 5) })
      far:send("x")
      soon(poll, near, "r")
    end)
  end)

  it("works in the main chunk", function()
    local poll = assert(coev.poll.new())
    local near, far = peer.pair()
    poll:add(near, "r", "main")
    assert.same({ nil, "timeout" }, { poll:wait(0.001) })
    coev.spawn(function()
      coev.sleep(0.001)
      far:send("x")
    end)
    assert.same({ { near, "r", "main" } }, poll:wait())
    local seen = 0
    for what, events, tag in poll:events(1) do
      assert.same({ near, "r", "main" }, { what, events, tag })
      seen = seen + 1
    end
    assert.equal(1, seen)
    poll:close()
    peer.close(near, far)
  end)

  it("that is always answered at once lets the others have their turns", function()
    with_pair(function(poll, near)
      poll:add(near, "w")
      local turns = 0
      coev.spawn(function()
        turns = turns + 1
      end)
      for _ = 1, 1000 do
        poll:wait()
      end
      assert.equal(1, turns)
      poll:modify(near, "r")
      coev.spawn(function()
        turns = turns + 1
      end)
      for _ = 1, 1000 do
        poll:wait(0)
      end
      assert.equal(2, turns)
      coev.spawn(function()
        turns = turns + 1
      end)
      for _ = 1, 1000 do
        coev.wait(near, "w")
      end
      assert.equal(3, turns)
    end)
  end)
end)

describe("events of a poll", function()
  it("iterates over one batch", function()
    with_pair(function(poll, near, far)
      poll:add(near, "w", "near"):add(far, "w", "far")
      local seen = {}
      for what, events, tag in poll:events() do
        seen[#seen + 1] = events .. tag
        assert.is_true(what == near or what == far)
      end
      table.sort(seen)
      assert.same({ "wfar", "wnear" }, seen)
    end)
  end)

  it("is empty after a timeout, and for a closed poll", function()
    with_pair(function(poll, near)
      poll:add(near)
      for _ in poll:events(0.001) do
        error("there is nothing")
      end
      poll:close()
      for _ in poll:events() do
        error("there is nothing")
      end
    end)
  end)

  it("lets the body change the poll", function()
    with_pair(function(poll, near, far)
      poll:add(near, "w"):add(far, "w")
      local seen = 0
      for what in poll:events() do
        seen = seen + 1
        poll:remove(what)
      end
      assert.equal(2, seen)
      has(poll)
    end)
  end)
end)

describe("what is closed", function()
  it("through coev is reported at once, once, and has left", function()
    with_pair(function(poll, near, far)
      poll:add(near, "r", "tag"):add(far)
      local waiter = support.parked(poll.wait, poll, 5)
      near:close()
      local _, batch = waiter:join()
      -- The peer's end of it may have come already.
      local event = batch[1][1] == near and batch[1] or batch[2]
      assert.same({ near, "closed", "tag" }, event)
      soon(poll, far, "r")
      assert.is_false(pcall(poll.remove, poll, near))
      assert.is_false(pcall(poll.modify, poll, near, "w"))
    end)
  end)

  it("through coev is reported also where it was added as a number or by getfd", function()
    with_pair(function(poll, near, far)
      local fd, wrapped = near:getfd(), { getfd = function() return far:getfd() end }
      poll:add(fd, "r", 1):add(wrapped, "r", 2)
      local waiter = support.parked(poll.wait, poll, 5)
      near:close()
      far:close()
      local _, batch = waiter:join()
      assert.equal(2, #batch)
      for _, event in ipairs(batch) do
        assert.equal(event[3] == 1 and fd or wrapped, event[1])
        assert.equal("closed", event[2])
      end
    end)
  end)

  it("between two waits is reported by the next", function()
    with_pair(function(poll, near, far)
      poll:add(near, "rw"):add(far, "w")
      near:close()
      has(poll, { near, "closed" }, { far, "w" })
    end)
  end)

  it("can be removed before anybody looks", function()
    with_pair(function(poll, near)
      poll:add(near)
      near:close()
      poll:remove(near)
      has(poll)
    end)
  end)

  it("is reported in every poll that it is in", function()
    with_pair(function(poll, near)
      local other = assert(coev.poll.new())
      poll:add(near)
      other:add(near)
      near:close()
      has(poll, { near, "closed" })
      has(other, { near, "closed" })
      other:close()
    end)
  end)

  it("as a poll within another is reported", function()
    with_poll(function(outer)
      local inner = assert(coev.poll.new())
      outer:add(inner)
      local waiter = support.parked(outer.wait, outer, 5)
      inner:close()
      local _, batch = waiter:join()
      assert.equal(inner, batch[1][1])
      assert.equal("closed", batch[1][2])
    end)
  end)

  it_raw("behind coev's back is reported at the next wait", function()
    with_pair(function(poll, near, far)
      local fd = far:getfd()
      poll:add(fd, "r", "raw"):add(near)
      coev.sleep(0.001)
      close_raw(fd)
      local seen = {}
      for _, event in ipairs(assert(poll:wait(5))) do
        seen[event[2]] = event
      end
      if not seen.closed then
        -- The end of the connection came first: without it there is time to look.
        poll:remove(near)
        coev.sleep(0.001)
        seen.closed = assert(poll:wait(5))[1]
      end
      assert.same({ fd, "closed", "raw" }, seen.closed)
      far:close()
    end)
  end)

  it_raw("behind coev's back is reported beside what is ready", function()
    with_pair(function(poll, near, far)
      local fd = far:getfd()
      poll:add(fd):add(near, "w")
      has(poll, { near, "w" })
      coev.sleep(0.001)
      close_raw(fd)
      has(poll, { fd, "closed" }, { near, "w" })
      far:close()
    end)
  end)

  it_raw("behind coev's back just after a wait is reported soon after the start of the next", function()
    with_poll(function(poll)
      local listener = peer.listen()
      local fd = listener:getfd()
      poll:add(fd)
      for _ = 1, 50000 do
        poll:add(coev.timer.new(1, nothing))
      end
      assert.same({ nil, "timeout" }, { poll:wait(0) })
      close_raw(fd)
      assert.same({ { fd, "closed" } }, (coev.timeout(1, poll.wait, poll)))
      listener:close()
    end)
  end)

  it("does no harm to the next one with its descriptor", function()
    with_poll(function(poll)
      local old = peer.listen()
      local fd = old:getfd()
      poll:add(old)
      old:close()
      local new, address, port = peer.listen()
      assert.equal(fd, new:getfd())
      poll:add(new)
      has(poll, { old, "closed" })
      local client = assert(socket.connect(address, port))
      soon(poll, new, "r")
      peer.close(new, client)
    end)
  end)
end)

describe("close of a poll", function()
  it("wakes who waits, and leaves what is in it open", function()
    with_pair(function(poll, near, far)
      poll:add(near)
      local waiter = support.parked(poll.wait, poll)
      poll:close()
      assert.same({ true, nil, "closed" }, { waiter:join() })
      far:send("x")
      assert.equal("x", near:receive(1))
    end)
  end)

  it("wakes who waits in an empty one", function()
    with_poll(function(poll)
      local waiter = support.parked(poll.wait, poll)
      poll:close()
      assert.same({ true, nil, "closed" }, { waiter:join() })
    end)
  end)

  it("may be called again; then there is nothing to wait for", function()
    with_pair(function(poll, near)
      local task = support.parked(coev.suspend)
      poll:add(near, "w"):add(task)
      poll:close()
      poll:close()
      assert.same({ nil, "closed" }, { poll:wait() })
      assert.same({ nil, "closed" }, { poll:wait(1) })
      assert.is_false(pcall(poll.add, poll, near))
      assert.is_false(pcall(poll.remove, poll, near))
      task:resume()
    end)
  end)

  it("says what it is", function()
    with_pair(function(poll, near)
      assert.truthy(tostring(poll):find("^coev%.poll: 0x%x+ %(0 watched%)$"), tostring(poll))
      poll:add(near)
      assert.truthy(tostring(poll):find("%(1 watched%)$"), tostring(poll))
      poll:close()
      assert.truthy(tostring(poll):find("%(closed%)$"), tostring(poll))
    end)
  end)
end)

describe("a poll that nobody holds", function()
  -- helper fails a test that leaves a descriptor behind.
  it("is closed, whatever is in it", function()
    helper.run(function()
      local near, far = peer.pair()
      local function make()
        local poll = assert(coev.poll.new())
        poll:add(near):add(far, "w")
        assert(poll:wait(0))
        poll:modify(far, "r")
        assert.is_nil((poll:wait(0.0005)))
      end
      for _ = 1, 10 do
        make()
      end
      garbage.collect()
      peer.close(near, far)
    end)
  end)

  it("is closed after a wait that was cancelled", function()
    helper.run(function()
      local near, far = peer.pair()
      for _ = 1, 10 do
        local task = support.parked(function()
          assert(coev.poll.new()):add(near):wait()
        end)
        task:cancel()
        support.assert_cancelled(task)
      end
      peer.close(near, far)
    end)
  end)

  it("does not hold what it had", function()
    helper.run(function()
      local probes = setmetatable({}, { __mode = "k" })
      local function make()
        local near, far = peer.pair()
        local poll = assert(coev.poll.new())
        probes[near], probes[far], probes[poll] = true, true, true
        poll:add(near):add(far, "w", poll)
        poll:wait(0)
      end
      make()
      garbage.collect()
      assert.is_nil(next(probes))
    end)
  end)

  it("takes no more memory with time", function()
    helper.run(function()
      local near, far = peer.pair()
      local poll = assert(coev.poll.new())
      garbage.assert_steady(function()
        for _ = 1, 100 do
          poll:add(near, "rw", {}):add(far)
          poll:wait(0)
          poll:remove(near):remove(far)
          coev.wait(near, "w")
        end
      end)
      poll:close()
      peer.close(near, far)
    end)
  end)
end)

describe("regular files", function()
  it("are always ready", function()
    local result = child.run([[
      local coev = require "coev"
      -- The output of this program goes to a file, and its input comes from /dev/null.
      local poll = assert(coev.poll.new())
      poll:add(1, "w", "file")
      for _ = 1, 3 do
        local batch = poll:wait()
        print(#batch, batch[1][1], batch[1][2], batch[1][3])
      end
      poll:modify(1, "rw")
      print(poll:wait(0)[1][2], coev.wait(1, "w"), coev.wait(1, "r", 0))
      local listener = coev.socket.bind("127.0.0.1", 0)
      poll:add(listener)
      print(#poll:wait(5))
      poll:remove(1)
      print(poll:wait(0))
    ]])
    assert.equal("", result.stderr)
    assert.equal("1\t1\tw\tfile\n1\t1\tw\tfile\n1\t1\tw\tfile\nrw\tw\tr\n1\nnil\ttimeout\n", result.stdout)
  end)
end)

-- Runs `program` with room for so many descriptors, or says that there is none.
local function it_with_descriptors(count, name, program)
  it(name, function()
    local result = child.run(program, {
      before = ("ulimit -n %d 2>/dev/null || ulimit -n $(ulimit -Hn)"):format(count),
    })
    if result.stdout:find("too few descriptors", 1, true) then
      pending("the limit of descriptors here is below " .. count)
      return
    end
    assert.same({ stdout = "well\n", stderr = "", status = 0 }, result)
  end)
end

local CROWD = [==[
  local coev = require "coev"
  local COUNT = %d
  local pipe = io.popen("ulimit -n")
  local limit = tonumber((pipe:read("*l"))) or math.huge
  pipe:close()
  if limit < COUNT * 2 + 50 then
    print("too few descriptors")
    os.exit(0)
  end
  coev.run(function()
    local poll = assert(coev.poll.new())
    local listener = assert(coev.socket.bind("127.0.0.1", 0, 128))
    local address, port = listener:getsockname()
    local near, far = {}, {}
    for i = 1, COUNT do
      near[i] = assert(coev.socket.connect(address, port))
      far[i] = assert(listener:accept())
      poll:add(near[i], "r", i):add(far[i])
    end
    assert(poll:wait(0) == nil)
    -- One among all.
    for _, i in ipairs({ 1, COUNT, math.floor(COUNT / 2) }) do
      far[i]:send("x")
      local batch = assert(poll:wait(5))
      assert(#batch == 1 and batch[1][3] == i and batch[1][1] == near[i])
      near[i]:receive(1)
    end
    -- All, as often as it takes.
    for i = 1, COUNT do
      far[i]:send("x")
    end
    local seen, count = {}, 0
    while count < COUNT do
      for _, event in ipairs(assert(poll:wait(5))) do
        assert(event[2] == "r" and not seen[event[3]])
        seen[event[3]] = true
        count = count + 1
        event[1]:receive(1)
      end
    end
    assert(poll:wait(0) == nil)
    for i = 1, COUNT do
      poll:remove(far[i])
      if i %% 2 == 0 then
        poll:remove(near[i])
      else
        poll:modify(near[i], "w")
      end
    end
    count, seen = 0, {}
    local rounds = 0
    while count < COUNT / 2 do
      rounds = rounds + 1
      assert(rounds < COUNT)
      for _, event in ipairs(assert(poll:wait(0))) do
        assert(event[2] == "w" and event[3] %% 2 == 1)
        if not seen[event[3]] then
          seen[event[3]] = true
          count = count + 1
          poll:modify(event[1], "r")
        end
      end
    end
    poll:close()
  end)
  print("well")
]==]

describe("many descriptors", function()
  it_with_descriptors(2100, "are watched: 1,000 pairs", CROWD:format(1000))
  it_with_descriptors(10100, "are watched: 10,000", CROWD:format(5000))

  it("that are always ready all come, as often as it takes", function()
    with_poll(function(poll)
      local sockets, seen, count = {}, {}, 0
      for i = 1, 300 do
        sockets[i] = assert(socket.bind("127.0.0.1", 0))
        sockets[-i] = assert(socket.connect(sockets[i]:getsockname(), (select(2, sockets[i]:getsockname()))))
        poll:add(sockets[-i], "w", i)
      end
      for _ = 1, 10 do
        for _, _, tag in poll:events(1) do
          if not seen[tag] then
            seen[tag] = true
            count = count + 1
          end
        end
      end
      for i = 1, 300 do
        peer.close(sockets[i], sockets[-i])
      end
      assert.equal(300, count)
    end)
  end)
end)

describe("polls with bad input", function()
  it("refuse what cannot be waited for", function()
    with_poll(function(poll)
      for _, what in ipairs({ "text", true, {}, nothing, -1, 1.5, 0 / 0, 2 ^ 40, math.huge, 9999, io.stdout,
        { getfd = function() return -1 end }, { getfd = function() return "7" end }, { pollfd = 3 } }) do
        local ok, err = pcall(poll.add, poll, what)
        assert.is_false(ok, tostring(what))
        assert.truthy(tostring(err):find("bad argument", 1, true), err)
        assert.is_false(pcall(coev.wait, what, "r", 0) and what ~= 9999 and what ~= 2 ^ 40 and what ~= math.huge)
      end
      assert.is_false(pcall(poll.add, poll))
      assert.is_false(pcall(coev.wait))
      assert.same({ nil, "closed" }, { coev.wait(9999) })
      has(poll)
    end)
  end)

  it("refuse the same thing twice, what is not there, and themselves", function()
    with_pair(function(poll, near)
      poll:add(near, "w")
      for _, each in ipairs({ { "add", near }, { "remove", 9999 }, { "modify", 9999, "r" }, { "remove" },
        { "modify", nil, "r" }, { "add", poll } }) do
        local ok, err = pcall(poll[each[1]], poll, each[2], each[3])
        assert.is_false(ok)
        assert.truthy(tostring(err):find("bad argument #1 to '" .. each[1] .. "'", 1, true), err)
      end
      has(poll, { near, "w" })
      poll:remove(near)
      assert.is_false(pcall(poll.remove, poll, near))
      has(poll:add(near, "w"), { near, "w" })
    end)
  end)

  it("refuse events that are none", function()
    with_pair(function(poll, near)
      poll:add(near)
      for _, events in ipairs({ "", "x", "read", "rwx", 1, true, {} }) do
        for name, call in pairs({
          add = function() poll:add(5, events) end,
          modify = function() poll:modify(near, events) end,
          wait = function() coev.wait(near, events) end,
        }) do
          local ok, err = pcall(call)
          assert.is_false(ok)
          assert.truthy(tostring(err):find("bad argument #2 to '" .. name .. "'", 1, true), err)
        end
      end
      assert.is_false(pcall(poll.modify, poll, near))
    end)
  end)

  it("refuse timeouts that are none", function()
    with_pair(function(poll, near)
      for _, timeout in ipairs({ "soon", true, {}, 0 / 0 }) do
        assert.is_false(pcall(poll.wait, poll, timeout))
        assert.is_false(pcall(poll.events, poll, timeout))
        local ok, err = pcall(coev.wait, near, "w", timeout)
        assert.is_false(ok)
        assert.truthy(tostring(err):find("bad argument #3 to 'wait'", 1, true), err)
      end
    end)
  end)

  it("refuse what is no poll", function()
    with_poll(function(poll)
      for name, method in pairs(getmetatable(poll).__index) do
        for _, value in ipairs({ "text", 1, {}, io.stdout }) do
          local ok, err = pcall(method, value, 1)
          assert.is_false(ok)
          assert.truthy(tostring(err):find("calling '" .. name .. "' on bad self", 1, true), err)
        end
      end
    end)
  end)

  it("pass on the error of getfd, and stay as they were", function()
    with_pair(function(poll, near)
      local ok, err = pcall(poll.add, poll, { getfd = function() error("no fd", 0) end })
      assert.is_false(ok)
      assert.equal("no fd", err)
      has(poll:add(near, "w"), { near, "w" })
    end)
  end)
end)

describe("an argument that is none", function()
  -- An object that is no descriptor any more when it is asked again.
  local function fickle(...)
    local fds = { ... }
    return {
      pollfd = function()
        return table.remove(fds, 1)
      end,
    }
  end

  it("is told by the name of the function, at the place of its call", function()
    with_poll(function(poll)
      local bad = { fickle(1.5), fickle(0 / 0), fickle(math.huge), fickle(-1), fickle("1"), fickle() }
      for _, what in ipairs(bad) do
        for name, call in pairs({
          add = function() poll:add(what) end,
          wait = function() coev.wait(what) end,
        }) do
          local ok, err = pcall(call)
          assert.is_false(ok)
          local place, said = tostring(err):match("^(.-):%d+: (.*)$")
          assert.truthy(place and place:find("poll_spec", 1, true), err)
          assert.truthy(said:find("bad argument #1 to '" .. name .. "' (", 1, true), err)
        end
      end
      local ok, err = pcall(coev.wait, fickle(1, 9999))
      assert.is_false(ok)
      assert.truthy(tostring(err):find("bad argument #1 to 'wait' (descriptor 9999", 1, true), err)
      assert.equal("w", coev.wait(fickle(1, 1, 1, 1), "w", 1))
    end)
  end)
end)

describe("a task in a poll", function()
  it("is watched by no other task", function()
    with_poll(function(poll)
      local before = #coev.tasks()
      local task = support.parked(coev.suspend)
      poll:add(task, "r", "tag")
      local waiter = support.parked(poll.wait, poll, 5)
      assert.equal(before + 2, #coev.tasks())
      task:resume()
      assert.same({ true, { { task, "r", "tag" } } }, { waiter:join() })
      assert.equal(before, #coev.tasks())
    end)
  end)

  it("that fails is reported nowhere else, but after it has been removed it is", function()
    local seen = support.unseen_errors(function()
      with_poll(function(poll)
        for round = 1, 2 do
          local task = support.parked(function()
            coev.suspend()
            error("broken " .. round, 0)
          end)
          poll:add(task)
          if round == 2 then
            poll:remove(task)
          end
          task:resume()
          if round == 1 then
            assert.equal(task, poll:wait(5)[1][1])
            poll:remove(task)
          else
            coev.yield()
            coev.yield()
          end
          assert.equal("failed", task:status())
        end
      end)
    end)
    assert.same({ "broken 2" }, seen)
  end)

  it("is ready when it has ended, with what it has deferred, or has been cancelled", function()
    with_poll(function(poll)
      local order = {}
      local task = coev.spawn(function()
        coev.defer(function()
          coev.sleep(0.001)
          order[#order + 1] = "deferred"
        end)
      end)
      poll:add(task)
      assert.equal(task, poll:wait(5)[1][1])
      assert.same({ "deferred" }, order)
      poll:remove(task)
      task = coev.spawn(nothing)
      poll:add(task)
      task:cancel()
      assert.equal(task, poll:wait(5)[1][1])
      local ended = coev.spawn(nothing)
      ended:join()
      poll:remove(task)
      poll:add(ended)
      assert.equal(ended, poll:wait(0)[1][1])
    end)
  end)

  it("may be garbage with the poll", function()
    local result = child.run([[
      local coev = require "coev"
      local stranded = setmetatable({}, { __mode = "v" })
      local function strand()
        stranded.poll = assert(coev.poll.new())
        stranded.poll:add(coev.spawn(coev.suspend))
      end
      strand()
      for _ = 1, 10 do
        coev.step(0)
        collectgarbage()
      end
      print(stranded.poll, #coev.tasks())
    ]])
    assert.equal("nil\t0\n", result.stdout, result.stderr)
  end)
end)

describe("an event", function()
  it("stays what it was, whatever is reported later", function()
    with_pair(function(poll, near)
      poll:add(near, "w", "tag")
      local first = poll:wait(1)
      poll:modify(near, "r")
      assert.same({ nil, "timeout" }, { poll:wait(0) })
      poll:remove(near)
      poll:add(near, "rw", "other")
      local second = poll:wait(1)
      assert.same({ { near, "w", "tag" } }, first)
      assert.same({ { near, "w", "other" } }, second)
    end)
  end)

  it("comes for each of thousands, once a wait", function()
    with_poll(function(poll)
      local count = 3000
      local timers, sockets = 0, {}
      local listener, address, port = peer.listen()
      for i = 1, 10 do
        sockets[i] = assert(socket.connect(address, port))
        poll:add(sockets[i], "w", i)
      end
      for i = 1, count do
        poll:add(coev.after(0, nothing), "r", -i)
      end
      local seen = {}
      while timers < count do
        local met = {}
        for _, event in ipairs(assert(poll:wait(5))) do
          assert.is_nil(met[event[3]])
          met[event[3]] = true
          if not seen[event[3]] then
            seen[event[3]] = true
            timers = timers + (event[3] < 0 and 1 or 0)
          end
        end
      end
      for i = 1, 10 do
        assert.is_true(seen[i])
        sockets[i]:close()
      end
      listener:close()
    end)
  end)
end)

describe("coev.wait", function()
  it("waits for one thing, of any kind", function()
    with_pair(function(poll, near, far)
      assert.equal("w", coev.wait(near, "w"))
      assert.equal("w", coev.wait(near:getfd(), "rw"))
      coev.spawn(function()
        coev.sleep(0.001)
        far:send("x")
      end)
      assert.equal("r", coev.wait(near))
      assert.equal("rw", coev.wait({ pollfd = function() return near:getfd() end }, "rw"))
      assert.equal("r", coev.wait(coev.spawn(nothing)))
      assert.equal("r", coev.wait(coev.after(0.001, nothing)))
      poll:add(near)
      assert.equal("r", coev.wait(poll))
    end)
  end)

  it("times out", function()
    with_pair(function(poll, near)
      for _, what in ipairs({ near, near:getfd(), poll, coev.current() }) do
        assert.same({ nil, "timeout" }, { coev.wait(what, "r", 0.001) })
        assert.same({ nil, "timeout" }, { coev.wait(what, "r", 0) })
        assert.same({ nil, "timeout" }, { coev.wait(what, nil, -1) })
      end
      assert.equal("w", coev.wait(near, "w", 0))
    end)
  end)

  it("of many tasks for the same thing wakes them all", function()
    with_pair(function(_, near, far)
      local waiters = {}
      for i = 1, 20 do
        waiters[i] = coev.spawn(coev.wait, i % 2 == 0 and near or near:getfd())
      end
      coev.sleep(0.001)
      far:send("x")
      for i = 1, 20 do
        assert.same({ true, "r" }, { waiters[i]:join() })
      end
    end)
  end)

  it("says when it is closed meanwhile", function()
    with_pair(function(_, near, far)
      local waiters = { support.parked(coev.wait, near), support.parked(coev.wait, far:getfd(), "r", 5) }
      near:close()
      assert.same({ true, "closed" }, { waiters[1]:join() })
      waiters[2]:join()
    end)
  end)

  it("ends by a cancel or coev.timeout, and leaves nothing", function()
    with_pair(function(_, near)
      for _ = 1, 20 do
        local waiter = support.parked(coev.wait, near)
        waiter:cancel()
        support.assert_cancelled(waiter)
        assert.same({ nil, "timeout" }, { coev.timeout(0.0002, coev.wait, near) })
      end
    end)
  end)

  it("works in the main chunk", function()
    local near, far = peer.pair()
    assert.equal("w", coev.wait(near, "w"))
    assert.same({ nil, "timeout" }, { coev.wait(near, "r", 0.001) })
    coev.spawn(function()
      coev.sleep(0.001)
      far:send("x")
    end)
    assert.equal("r", coev.wait(near))
    peer.close(near, far)
  end)
end)

describe("coev.poll", function()
  it("is the same module by either way", function()
    assert.equal(coev.poll, require "coev.poll")
  end)

  it("fails when there are no descriptors left", function()
    local result = child.run([[
      local coev = require "coev"
      coev.step(0)
      local polls = {}
      while true do
        local poll, err = coev.poll.new()
        if not poll then
          print(err)
          break
        end
        polls[#polls + 1] = poll
      end
      print(coev.wait(1, "w"))
    ]], { before = "ulimit -n 40" })
    assert.equal("", result.stderr)
    assert.equal("too many open files\nnil\ttoo many open files\n", result.stdout:lower())
  end)
end)
