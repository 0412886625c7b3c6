-- Other people's loops: coev in them, and they in coev.

local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local loops = require "spec.support.loops"
local peer = require "spec.support.peer"
local support = require "spec.support.tasks"

local socket = coev.socket
local luv, cqueues = loops.luv, loops.cqueues

-- A test that needs a module.
local function it_with(module, label)
  return module and it or function(name)
    pending(name .. " (there is no " .. label .. " for this Lua)")
  end
end

local it_luv, it_cqueues = it_with(luv, "luv"), it_with(cqueues, "cqueues")

-- Calls `f` and, in any case, gives coev its own wait back.
local function with_poller(poller, f)
  local before = coev.poller(poller)
  local ok, err = pcall(f)
  coev.poller(before)
  if not ok then
    error(err, 0)
  end
end

-- Spawns tasks that use all that coev has, and answers a function that asserts that all went well.
local function spawn_everything()
  local done = {}
  local function part(name, f)
    coev.spawn(function()
      f()
      done[#done + 1] = name
    end)
  end
  part("sleep", function()
    for _ = 1, 3 do
      coev.sleep(0.001)
    end
  end)
  part("yield", function()
    for _ = 1, 10 do
      coev.yield()
    end
  end)
  part("sockets", function()
    local listener, address, port = peer.listen()
    local server = coev.spawn(function()
      local far = assert(listener:accept())
      for _ = 1, 3 do
        far:send(far:receive() .. "\n")
      end
      far:close()
    end)
    local near = assert(socket.connect(address, port))
    for i = 1, 3 do
      near:send(i .. "\n")
      assert(near:receive() == tostring(i))
      coev.sleep(0.001)
    end
    assert(server:join())
    peer.close(near, listener)
  end)
  part("names", function()
    local listener, _, port = peer.listen()
    local near = assert(socket.connect("localhost", port))
    peer.close(near, listener)
  end)
  part("timers", function()
    local runs = 0
    assert(coev.every(0.001, function()
      runs = runs + 1
      return runs < 5
    end):join())
    assert(runs == 5)
  end)
  part("polls", function()
    local near, far = peer.pair()
    local poll = assert(coev.poll.new())
    poll:add(near)
    coev.after(0.002, function()
      far:send("x")
    end)
    assert(poll:wait(5)[1][1] == near)
    assert(coev.wait(near, "rw", 5) == "rw")
    poll:close()
    peer.close(near, far)
  end)
  part("cancels", function()
    local task = support.parked(coev.sleep, 60)
    task:cancel("enough")
    local _, err = task:join()
    assert(err.reason == "enough")
    assert(select(2, coev.timeout(0.002, coev.sleep, 60)) == "timeout")
  end)
  part("groups", function()
    assert(coev.group(function(group)
      group:spawn(coev.sleep, 0.001)
      return "result"
    end) == "result")
  end)
  part("suspend", function()
    local task = support.parked(coev.suspend)
    coev.sleep(0.001)
    task:resume("value")
    assert(task:await() == "value")
  end)
  part("in place", function()
    table.sort({ 2, 1 }, function(a, b)
      coev.sleep(0.0005)
      return a < b
    end)
  end)
  return function()
    assert.equal(10, #done, table.concat(done, " "))
  end
end

-- Turns that what spawn_everything does may take at most: a loop that is busy makes thousands.
local TURNS = 400

describe("pollfd and due", function()
  it("are a descriptor that stays, and the time until there is something to do", function()
    local fd = coev.pollfd()
    assert.equal("number", type(fd))
    assert.is_true(fd >= 0 and fd % 1 == 0)
    assert.is_nil(coev.due())
    coev.spawn(coev.sleep, 0.003)
    assert.equal(0, coev.due())
    coev.step(0)
    local due = coev.due()
    assert.is_true(due > 0 and due <= 0.003)
    while coev.step(0.01) do end
    assert.is_nil(coev.due())
    assert.equal(fd, coev.pollfd())
  end)

  it("know of timers, deadlines and waits for the outside", function()
    local timer = coev.after(3600, print)
    assert.is_true(coev.due() > 3000)
    timer:stop()
    assert.is_nil(coev.due())
    local listener = peer.listen()
    listener:settimeout(3600)
    local task = coev.spawn(listener.accept, listener)
    coev.step(0)
    assert.is_true(coev.due() > 3000)
    task:cancel()
    assert.equal(0, coev.due())
    coev.step(0)
    listener:settimeout(nil)
    task = coev.spawn(listener.accept, listener)
    coev.step(0)
    assert.is_nil(coev.due())
    listener:close()
    assert.equal(0, coev.due())
    task:join()
  end)

  it("work inside a task, too", function()
    helper.run(function()
      assert.equal("number", type(coev.pollfd()))
      coev.spawn(coev.yield)
      assert.equal(0, coev.due())
      coev.sleep(0.001)
      assert.is_nil(coev.due())
    end)
  end)

  it_luv("say when there is work from outside", function()
    local near, far = peer.pair()
    local task = coev.spawn(near.receive, near, 1)
    coev.step(0)
    local readable = 0
    local watcher = luv.new_poll(coev.pollfd())
    watcher:start("r", function()
      readable = readable + 1
    end)
    luv.run("nowait")
    assert.equal(0, readable)
    far:send("x")
    luv.run("once")
    assert.equal(1, readable)
    coev.step(0)
    luv.run("nowait")
    assert.equal(1, readable)
    watcher:close()
    luv.run("nowait")
    assert.same({ true, "x" }, { task:join() })
    peer.close(near, far)
  end)
end)

describe("step inside a task", function()
  it("raises, and all goes on", function()
    helper.run(function()
      for _, timeout in ipairs({ 0, 1 }) do
        local ok, err = pcall(coev.step, timeout)
        assert.is_false(ok)
        assert.truthy(tostring(err):find("coev.step called inside a task", 1, true), err)
      end
      coev.sleep(0)
    end)
  end)
end)

describe("luv's loop", function()
  it_luv("drives coev, all of it, without being busy", function()
    local check = spawn_everything()
    local turns = loops.luv_drives()
    check()
    assert.is_true(turns < TURNS, turns .. " turns")
  end)

  it_luv("drives coev while its own timers and pipes go on", function()
    local ticks, read = 0, {}
    local ticker = luv.new_timer()
    ticker:start(1, 1, function()
      ticks = ticks + 1
    end)
    local near, far = peer.pair()
    local watched = luv.new_poll(near:getfd())
    watched:start("r", function()
      read[#read + 1] = "luv"
      watched:stop()
    end)
    coev.spawn(function()
      coev.sleep(0.005)
      far:send("x")
      while #read == 0 do
        coev.sleep(0.001)
      end
      read[#read + 1] = near:receive(1)
      local deadline = coev.now() + 5
      while ticks < 3 and coev.now() < deadline do
        coev.sleep(0.001)
      end
      ticker:close()
      watched:close()
    end)
    loops.luv_drives()
    assert.same({ "luv", "x" }, read)
    assert.is_true(ticks >= 3)
    peer.close(near, far)
  end)

  it_luv("makes no turn while nothing happens", function()
    local near, far = peer.pair()
    local task = coev.spawn(near.receive, near, "*l")
    local ticks = 0
    local timer = luv.new_timer()
    timer:start(2, 2, function()
      ticks = ticks + 1
      if ticks == 6 then
        far:send("line\n")
        timer:close()
      end
    end)
    -- The start, the line, and what the system may add.
    local turns = loops.luv_drives()
    assert.equal(6, ticks)
    assert.is_true(turns <= 6, turns .. " turns")
    assert.same({ true, "line" }, { task:join() })
    peer.close(near, far)
  end)

  it_luv("runs as a task of coev's", function()
    local ticks, echoes, other = 0, 0, 0
    local turns
    helper.run(function()
      local timer = luv.new_timer()
      timer:start(1, 1, function()
        ticks = ticks + 1
        if ticks == 5 then
          timer:close()
        end
      end)
      -- A server of luv's, and a client of coev's.
      local server = luv.new_tcp()
      server:bind("127.0.0.1", 0)
      server:listen(8, function()
        local client = luv.new_tcp()
        server:accept(client)
        client:read_start(function(_, data)
          if data then
            client:write(data)
          else
            client:close()
            server:close()
          end
        end)
      end)
      local port = server:getsockname().port
      local going = true
      coev.spawn(function()
        local near = assert(socket.connect("127.0.0.1", port))
        for i = 1, 5 do
          near:send(i .. "\n")
          echoes = echoes + ((near:receive()) == tostring(i) and 1 or 0)
          coev.sleep(0.001)
        end
        near:close()
      end)
      coev.spawn(function()
        while going do
          other = other + 1
          coev.sleep(0.001)
        end
      end)
      turns = loops.host_luv()
      going = false
    end)
    assert.equal(5, ticks)
    assert.equal(5, echoes)
    assert.is_true(other > 1)
    assert.is_true(turns < 60, turns .. " turns")
  end)
end)

describe("cqueues' loop", function()
  it_cqueues("drives coev, all of it, without being busy", function()
    local check = spawn_everything()
    local ticks = 0
    local turns = loops.cqueues_drives(function()
      for _ = 1, 5 do
        cqueues.sleep(0.001)
        ticks = ticks + 1
      end
    end)
    check()
    assert.equal(5, ticks)
    assert.is_true(turns < TURNS, turns .. " turns")
  end)

  it_cqueues("makes no turn while nothing happens", function()
    local near, far = peer.pair()
    local task = coev.spawn(near.receive, near, "*l")
    local turns = loops.cqueues_drives(function()
      for _ = 1, 6 do
        cqueues.sleep(0.002)
      end
      far:send("line\n")
    end)
    assert.is_true(turns <= 6, turns .. " turns")
    assert.same({ true, "line" }, { task:join() })
    peer.close(near, far)
  end)

  it_cqueues("runs as a task of coev's", function()
    local slept, got, other = 0, nil, 0
    local turns
    helper.run(function()
      local near, far = peer.pair()
      local queue = cqueues.new()
      queue:wrap(function()
        for _ = 1, 5 do
          cqueues.sleep(0.001)
          slept = slept + 1
        end
      end)
      queue:wrap(function()
        cqueues.poll({ pollfd = near:getfd(), events = "r" })
        got = true
      end)
      coev.spawn(function()
        while not got do
          coev.sleep(0.001)
          other = other + 1
          if other == 5 then
            far:send("x")
          end
        end
      end)
      turns = loops.host_cqueues(queue)
      queue:close()
      peer.close(near, far)
    end)
    assert.equal(5, slept)
    assert.is_true(got)
    assert.is_true(other >= 5)
    assert.is_true(turns < 40, turns .. " turns")
  end)

  it_cqueues("and luv's run as tasks side by side", function()
    if not luv then
      pending("there is no luv for this Lua")
      return
    end
    local ticks, slept = 0, 0
    helper.run(function()
      local timer = luv.new_timer()
      timer:start(1, 1, function()
        ticks = ticks + 1
        if ticks == 4 then
          timer:close()
        end
      end)
      local queue = cqueues.new()
      queue:wrap(function()
        for _ = 1, 4 do
          cqueues.sleep(0.001)
          slept = slept + 1
        end
      end)
      local one, other = coev.spawn(loops.host_luv), coev.spawn(loops.host_cqueues, queue)
      one:await()
      other:await()
      queue:close()
    end)
    assert.same({ 4, 4 }, { ticks, slept })
  end)
end)

describe("a poller function", function()
  it("answers the one before, nil for coev's own, and only asks without an argument", function()
    local function one() end
    assert.is_nil(coev.poller())
    assert.is_nil(coev.poller(one))
    assert.equal(one, coev.poller())
    assert.equal(one, coev.poller(print))
    assert.equal(print, coev.poller(nil))
    assert.is_nil(coev.poller())
  end)

  it("is a function, or nil", function()
    for _, value in ipairs({ 1, "text", true, {} }) do
      local ok, err = pcall(coev.poller, value)
      assert.is_false(ok)
      assert.truthy(tostring(err):find("bad argument #1 to 'poller'", 1, true), err)
    end
    assert.is_false(pcall(coev.poller, false))
    assert.is_nil(coev.poller())
  end)

  it("gets the descriptor, and the time that it may wait", function()
    local calls = {}
    with_poller(function(fd, timeout)
      calls[#calls + 1] = { fd, timeout }
      if calls[#calls][2] == nil then
        -- Nothing but the outside: a wait of any length will do.
        return
      end
      local deadline = coev.now() + timeout
      while coev.now() < deadline do end
    end, function()
      helper.run(function()
        coev.sleep(0.002)
        local near, far = peer.pair()
        local reader = support.parked(near.receive, near, 1)
        far:send("x")
        reader:join()
        peer.close(near, far)
      end)
    end)
    assert.is_true(#calls > 0)
    local slept
    for _, call in ipairs(calls) do
      assert.equal(coev.pollfd(), call[1])
      slept = slept or call[2] and call[2] > 0 and call[2] <= 0.0021
    end
    assert.is_true(slept)
  end)

  it("may come back early: it is called again", function()
    local calls = 0
    with_poller(function()
      calls = calls + 1
    end, function()
      helper.run(function()
        local start = coev.now()
        coev.sleep(0.003)
        assert.is_true(coev.now() - start >= 0.003)
        local near, far = peer.pair()
        coev.after(0.002, function()
          far:send("x")
        end)
        assert.equal("x", near:receive(1))
        peer.close(near, far)
      end)
    end)
    assert.is_true(calls > 2)
  end)

  it("may come back late: what was due comes then", function()
    local order = {}
    with_poller(function(_, timeout)
      local deadline = coev.now() + (timeout or 0) + 0.004
      while coev.now() < deadline do end
    end, function()
      helper.run(function()
        local runs = 0
        for i = 3, 1, -1 do
          coev.spawn(function()
            coev.sleep(i * 0.001)
            order[#order + 1] = i
          end)
        end
        local start = coev.now()
        coev.every(0.001, function()
          runs = runs + 1
          return runs < 3
        end):join()
        assert.equal(3, runs)
        assert.is_true(coev.now() - start >= 0.003)
      end)
    end)
    assert.same({ 1, 2, 3 }, order)
  end)

  it("that raises ends run with its error, and a later run goes on", function()
    local err, woken = { "mine" }, nil
    local task = coev.spawn(function()
      coev.sleep(0.002)
      woken = true
    end)
    with_poller(function()
      error(err)
    end, function()
      local ok, raised = pcall(coev.run)
      assert.is_false(ok)
      assert.equal(err, raised)
      ok, raised = pcall(coev.step, 1)
      assert.is_false(ok)
      assert.equal(err, raised)
      assert.is_nil(woken)
    end)
    coev.run()
    assert.is_true(woken)
    assert.equal("done", task:status())
  end)

  it("cannot make turns, and a wait of its own does not crash", function()
    child.assert_writes("false\nfalse\nwell\n", [[
      local once
      coev.poller(function()
        if not once then
          once = true
          print((pcall(coev.step)))
          print((pcall(coev.run, print)))
        end
      end)
      coev.run(coev.sleep, 0.001)
      local depth = 0
      coev.poller(function()
        depth = depth + 1
        pcall(coev.sleep, 0.001)
        depth = depth - 1
      end)
      coev.run(coev.sleep, 0.003)
      assert(depth == 0)
      print("well")
    ]])
  end)

  it("is not called while tasks are ready, and by step(0) never", function()
    local calls = 0
    with_poller(function()
      calls = calls + 1
    end, function()
      helper.run(function()
        for _ = 1, 10 do
          coev.yield()
        end
        assert.equal(0, calls)
      end)
      local task = coev.spawn(coev.sleep, 0.001)
      calls = 0
      while coev.step(0) do end
      assert.equal(0, calls)
      task:join()
    end)
  end)

  it("may wake any task: there is no deadlock as long as it is installed", function()
    local calls, task, timeouts = 0, nil, {}
    with_poller(function(_, timeout)
      calls = calls + 1
      timeouts[calls] = timeout or "none"
      if calls == 3 then
        task:resume("by the other loop")
      end
    end, function()
      assert.equal("by the other loop", coev.run(function()
        task = coev.current()
        return coev.suspend()
      end))
    end)
    assert.same({ "none", "none", "none" }, timeouts)
  end)

  it("can take itself out", function()
    local calls = 0
    with_poller(function()
      calls = calls + 1
      coev.poller(nil)
    end, function()
      helper.run(coev.sleep, 0.002)
    end)
    assert.equal(1, calls)
  end)

  it_luv("hands the wait of a running program to luv, and back", function()
    local owner_waits, coev_ticks, luv_ticks, luv_timer_at = 0, 0, 0, {}
    local echoes = 0
    helper.run(function()
      local going = true
      -- What goes on all the time: a timer and a connection of coev's, and those of luv's.
      local ticker = coev.every(0.001, function()
        coev_ticks = coev_ticks + 1
      end)
      local near, far = peer.pair()
      local server = coev.spawn(function()
        while true do
          local line = far:receive()
          if not line then
            break
          end
          far:send(line .. "\n")
        end
      end)
      local client = coev.spawn(function()
        while going do
          near:send("line\n")
          assert(near:receive() == "line")
          echoes = echoes + 1
          coev.sleep(0.0005)
        end
      end)
      local timer = luv.new_timer()
      timer:start(1, 1, function()
        luv_ticks = luv_ticks + 1
      end)
      local seen = 0
      local raw_near, raw_far = peer.pair()
      local watched = luv.new_poll(raw_near:getfd())
      watched:start("r", function()
        -- What luv reads is handed to coev by its own means.
        seen = seen + 1
        watched:stop()
      end)

      local function progress(what)
        local from = { coev_ticks, luv_ticks, echoes }
        local deadline = coev.now() + 5
        repeat
          assert(coev.now() < deadline, "nothing goes on " .. what)
          coev.sleep(0.001)
        until coev_ticks > from[1] + 3 and echoes > from[3] + 3 and luv_ticks > from[2] + 3
      end

      local wait, finish = loops.luv_poller()
      local function counting(...)
        owner_waits = owner_waits + 1
        return wait(...)
      end
      for round = 1, 2 do
        -- coev owns the wait, and luv's loop is a task.
        local hosted = coev.spawn(function()
          while true do
            luv.run("nowait")
            luv.update_time()
            coev.wait(luv.backend_fd(), "r", math.max(luv.backend_timeout(), 0) / 1000)
          end
        end)
        progress("with coev's own wait")
        assert.equal(0, owner_waits)

        -- luv owns it. Two loops cannot watch each other: its task ends first.
        hosted:cancel()
        support.assert_cancelled(hosted)
        assert.is_nil(coev.poller(counting))
        progress("with luv's wait")
        assert.is_true(owner_waits > 0)
        if round == 1 then
          raw_far:send("x")
          local deadline = coev.now() + 5
          while seen == 0 do
            assert(coev.now() < deadline)
            coev.sleep(0.001)
          end
        end
        luv_timer_at[round] = owner_waits

        -- And back.
        assert.equal(counting, coev.poller(nil))
        owner_waits = 0
      end
      coev.sleep(0.003)
      assert.equal(0, owner_waits)
      going = false
      client:join()
      ticker:stop()
      peer.close(near, raw_near, raw_far)
      server:join()
      far:close()
      timer:close()
      watched:close()
      finish()
    end)
    assert.is_true(luv_timer_at[1] > 0 and luv_timer_at[2] > 0)
  end)

  it_luv("of luv's serves all of coev", function()
    local wait, finish = loops.luv_poller()
    with_poller(wait, function()
      local check = spawn_everything()
      helper.run(coev.sleep, 0.001)
      coev.run()
      check()
    end)
    finish()
  end)
end)

describe("precision:", function()
  it("sleeps and timers below a millisecond are real", function()
    helper.run(function()
      local shortest = { math.huge, math.huge, math.huge }
      -- One that the machine lets through is enough.
      for _ = 1, 200 do
        local start = coev.now()
        coev.sleep(0.0003)
        shortest[1] = math.min(shortest[1], coev.now() - start)
        start = coev.now()
        coev.after(0.0003, function()
          shortest[2] = math.min(shortest[2], coev.now() - start)
        end):join()
        start = coev.now()
        coev.timeout(0.0003, coev.sleep, 1)
        shortest[3] = math.min(shortest[3], coev.now() - start)
        if math.max(shortest[1], shortest[2], shortest[3]) < 0.0008 then
          break
        end
      end
      for _, seconds in ipairs(shortest) do
        assert.is_true(seconds >= 0.0003)
        assert.is_true(seconds < 0.0009, seconds .. " s")
      end
    end)
  end)

  -- Runs `program`, which calls measure(seconds, f): how often the process has waited while f ran.
  local function wake_ups(program)
    local result = child.run([[
      local coev = require "coev"
      local function waits()
        local file = io.open("/proc/self/status")
        local text = file and file:read("*a") or ""
        if file then file:close() end
        return tonumber(text:match("\nvoluntary_ctxt_switches:%s*(%d+)"))
      end
      if not waits() then
        print("no counter")
        os.exit(0)
      end
      local function measure(f)
        local before = waits()
        f()
        return waits() - before
      end
    ]] .. program)
    assert.equal("", result.stderr)
    if result.stdout:find("no counter", 1, true) then
      pending("the system does not count how often a process waits")
      return
    end
    return tonumber(result.stdout)
  end

  it("an idle program makes no wake-ups at all", function()
    -- One wait of 0.1 s, and what the reading of files may add. A tick of a hundredth would make ten.
    local count = wake_ups([[
      coev.run(function()
        local listener = assert(coev.socket.bind("127.0.0.1", 0))
        local poll = assert(coev.poll.new())
        poll:add(listener)
        local tasks = {
          coev.spawn(listener.accept, listener),
          coev.spawn(poll.wait, poll),
          coev.spawn(coev.wait, listener:getfd()),
          coev.spawn(coev.suspend),
        }
        local timer = coev.every(3600, print)
        coev.sleep(0.01)
        print(measure(function() coev.sleep(0.1) end))
        for _, task in ipairs(tasks) do task:cancel() end
        timer:stop()
      end)
    ]])
    if count then
      assert.is_true(count <= 4, count .. " waits")
    end
  end)

  it("a single timer makes one wake-up a run", function()
    local count = wake_ups([[
      coev.run(function()
        local runs = 0
        print(measure(function()
          coev.every(0.01, function() runs = runs + 1 return runs < 5 end):join()
        end))
      end)
    ]])
    if count then
      assert.is_true(count <= 9, count .. " waits")
    end
  end)

  it("strace sees no system call while nothing happens", function()
    local probe = io.popen("command -v strace >/dev/null 2>&1 && strace -o /dev/null true >/dev/null 2>&1 && echo well")
    local usable = probe:read("*a") == "well\n"
    probe:close()
    if not usable then
      pending("there is no strace here, or it may not trace")
      return
    end
    local trace = os.tmpname()
    local program = os.tmpname()
    local file = assert(io.open(program, "w"))
    file:write(("package.path, package.cpath = %q, %q\n"):format(package.path, package.cpath), [[
      local coev = require "coev"
      coev.run(function()
        local listener = assert(coev.socket.bind("127.0.0.1", 0))
        local task = coev.spawn(listener.accept, listener)
        coev.sleep(0.01)
        io.stderr:write("begins\n")
        coev.sleep(0.08)
        io.stderr:write("ends\n")
        task:cancel()
      end)
    ]])
    file:close()
    os.execute(("timeout 10 strace -o %s %s %s >/dev/null 2>&1 </dev/null"):format(trace, child.interpreter(), program))
    file = assert(io.open(trace))
    local text = file:read("*a")
    file:close()
    os.remove(trace)
    os.remove(program)
    local between = assert(text:match("begins.-\n(.-)write%(2, \"ends"), text)
    local calls = select(2, between:gsub("\n", "\n"))
    -- One poll, of several calls with the portable poller. A tick of a hundredth would make eight.
    assert.is_true(calls <= 8, between)
  end)
end)
