local coev = require "coev"
local helper = require "spec.helper"
local pack = require "spec.support.pack"

local thread, run, socket = coev.thread, helper.run, coev.socket

-- Calls `f` with a pool, which has ended when the test does.
local function with_pool(f, n, init)
  return function()
    local pool = assert(thread.pool(n or 2, init))
    local ok, err = coev.pcall(f, pool)
    pool:close()
    assert(pool:join(10))
    if not ok then error(err, 0) end
  end
end

local OPERATIONS = [[
  local count = 0
  return {
    double = function(x) return 2 * x end,
    count = function() count = count + 1 return count end,
    fail = function() error("oops", 0) end,
  }
]]

describe("coev.thread.pool", function()
  it("calls functions in its threads", with_pool(function(pool)
    local own = 5
    assert.same(pack(12, "x", nil), pack(pool:call(function(a, b)
      return a + own, b, nil
    end, 7, "x")))
    assert.matches("^pool %d$", pool:call(function()
      return require "coev".thread.self():name()
    end))
  end))

  it("calls the operations that its init returns, by name", with_pool(function(pool)
    assert.equal(42, pool:call("double", 21))
    assert.error_matches(function()
      pool:call("none")
    end, "the pool has no operation 'none'", nil, true)
  end, 2, OPERATIONS))

  it("runs init once in each thread", with_pool(function(pool)
    for i = 1, 5 do
      assert.equal(i, pool:call("count"))
    end
  end, 1, OPERATIONS))

  it("takes a function for init, whose upvalues are copied", function()
    local offset = 3
    with_pool(function(pool)
      assert.equal(10, pool:call("add", 7))
    end, 1, function()
      return { add = function(x) return x + offset end }
    end)()
  end)

  it("lets jobs run side by side, and joins them in any order", with_pool(function(pool)
    local meeting = thread.channel()
    local jobs = {
      pool:submit(function(c) return c:receive() end, meeting),
      pool:submit(function(c) return c:send("met") end, meeting),
    }
    assert.same(pack(true, true), pack(jobs[2]:join()))
    assert.same(pack(true, "met"), pack(jobs[1]:join()))
    assert.same({ "done", "done" }, { jobs[1]:status(), jobs[2]:status() })
    assert.equal("met", jobs[1]:await())
  end))

  it("lets a failing job fail its caller alone", with_pool(function(pool)
    run(function()
      local results, tasks = {}, {}
      for i = 1, 10 do
        tasks[i] = coev.spawn(function()
          local ok, value = coev.pcall(pool.call, pool, i % 2 == 0 and "double" or "fail", i)
          results[i] = ok and value or tostring(value)
        end)
      end
      for i = 1, 10 do
        tasks[i]:await()
        assert.equal(i % 2 == 0 and 2 * i or "oops", results[i])
      end
    end)
    local ok, err, traceback = pool:submit("fail"):join()
    assert.same({ false, "oops", "string" }, { ok, err, type(traceback) })
  end, 2, OPERATIONS))

  it("maps arrays, in order", with_pool(function(pool)
    local items, expected = {}, {}
    for i = 1, 1000 do
      items[i], expected[i] = i, i * i
    end
    assert.same(expected, pool:map(items, function(x) return x * x end))
    assert.same({}, pool:map({}, "double"))
    assert.same({ 2 }, pool:map({ 1 }, "double"))
    assert.same({ 2, 4, 6 }, pool:map({ 1, 2, 3 }, "double"))
    assert.error_matches(function()
      pool:map(items, function(x) if x == 700 then error("at 700", 0) end end)
    end, "at 700")
    -- And goes on.
    assert.equal(4, pool:call("double", 2))
  end, 3, OPERATIONS))

  it("sends a function once to each thread", with_pool(function(pool)
    local big = ("x"):rep(1e6)
    local function f(i)
      return #big + i
    end
    for i = 1, 200 do
      assert.equal(1e6 + i, pool:call(f, i))
    end
  end))

  it("keeps its threads small when each job is another function", with_pool(function(pool)
    for i = 1, 600 do
      assert.equal(i, pool:call(function() return i end))
    end
  end, 1))

  it("says what cannot be copied, and takes the next job", with_pool(function(pool)
    local co = coroutine.create(function() end)
    assert.error_matches(function()
      pool:call(function() return co end)
    end, "upvalue 'co': a coroutine cannot be sent", nil, true)
    assert.error_matches(function()
      pool:call("double", { co })
    end, "arg 1[1]: a coroutine cannot be sent", nil, true)
    assert.error_matches(function()
      pool:call(function() return { coroutine.create(function() end) } end)
    end, "result 1[1]: a coroutine cannot be sent", nil, true)
    assert.equal(2, pool:call("double", 1))
  end, 1, OPERATIONS))

  it("drops a job that is cancelled before its turn", with_pool(function(pool)
    local gate, ran = thread.channel(), thread.channel(1)
    local first = pool:submit(function(c) return c:receive() end, gate)
    local second = pool:submit(function(c) c:send(true) end, ran)
    assert.is_true(second:cancel("why"))
    local ok, err = second:join()
    assert.same({ false, "why", true }, { ok, err.reason, coev.is_cancelled(err) })
    gate:send("go")
    assert.equal("go", first:await())
    assert.equal(1, pool:call(function() return 1 end))
    assert.is_false((ran:try_receive()))
    assert.is_false(second:cancel())
  end, 1))

  it("gives up a call that is cancelled or too late", with_pool(function(pool)
    run(function()
      local gate = thread.channel()
      local caller = coev.spawn(pool.call, pool, function(c) return c:send(1) and c:receive() end, gate)
      gate:receive()
      caller:cancel()
      assert.is_false((caller:join()))
      assert.same(pack(nil, "timeout"), pack(coev.timeout(0.005, pool.call, pool, function() end)))
      gate:send(1)
      assert.equal(3, pool:call(function() return 3 end))
    end)
  end, 1))

  it("replaces a worker whose memory is taken", with_pool(function(pool)
    for _ = 1, 3 do
      assert.error_matches(function()
        pool:call(function()
          if jit then jit.off() end
          local kept = {}
          package.loaded.kept = kept
          for i = 1, 1e9 do kept[i] = { i } end
        end)
      end, "not enough memory", nil, true)
      assert.is_nil(pool:call(function() return package.loaded.kept end))
    end
    assert.equal(2, pool:call("double", 1))
  end, 1, { OPERATIONS, memory_limit = 8e6 }))

  it("replaces a worker whose job waits for ever", with_pool(function(pool)
    local ok, err = pool:submit(function()
      require "coev".channel.new():receive()
    end):join()
    assert.same({ false, "the thread has ended" }, { ok, err })
    assert.equal(1, pool:call(function() return 1 end))
  end, 1))

  it("tells each job where its init has failed", with_pool(function(pool)
    for _ = 1, 2 do
      assert.error_matches(function()
        pool:call(function() end)
      end, "the init of the pool has failed: oops", nil, true)
    end
  end, 2, "error('oops', 0)"))

  it("does what has been submitted before it is closed, and nothing after", function()
    local pool = thread.pool(1)
    local jobs = {}
    for i = 1, 5 do
      jobs[i] = pool:submit(function(n) return n end, i)
    end
    pool:close()
    pool:close()
    for i = 1, 5 do
      assert.equal(i, jobs[i]:await())
    end
    assert.is_true(pool:join())
    assert.error_matches(function()
      pool:submit(function() end)
    end, "submit: the pool is closed")
  end)

  it("ends with the last that holds it", function()
    local names = thread.channel(1)
    do
      local pool = thread.pool(1)
      pool:call(function(c) c:send(require "coev".thread.self()) end, names)
    end
    local worker = names:receive()
    for _ = 1, 5 do
      collectgarbage()
    end
    assert.is_true((worker:join(5)))
  end)

  it("refuses what makes no sense", function()
    for _, bad in ipairs({ 0, 1.5, -1, math.huge, "x" }) do
      assert.error_matches(function()
        thread.pool(bad)
      end, "bad argument #1 to 'pool'", nil, true)
    end
    assert.error_matches(function()
      thread.pool(1, 5)
    end, "bad argument #2 to 'pool' (string or function expected, got number)", nil, true)
    with_pool(function(pool)
      assert.error_matches(function()
        pool:call(5)
      end, "bad argument #1 to 'call' (function or name expected, got number)", nil, true)
      assert.error_matches(function()
        pool:map(5)
      end, "bad argument #1 to 'map' (table expected, got number)", nil, true)
      assert.error_matches(function()
        pool.close({})
      end, "calling 'close' on bad self (coev.pool expected, got table)", nil, true)
      assert.matches("^coev.pool: 0x%x+ %(1 threads, 0 jobs queued%)$", tostring(pool))
    end, 1)()
  end)
end)

describe("coev.thread.serve", function()
  local HANDLER = [[
    local coev = require "coev"
    return function(client)
      local line = client:receive()
      while line do
        client:send(line .. " " .. coev.thread.self():name() .. "\n")
        line = client:receive()
      end
    end
  ]]

  -- Starts a server; answers its task and its port.
  local function start(code, options)
    local bound = coev.channel.new(1)
    options.onlisten = function(_, port)
      bound:send(port)
    end
    local server = coev.spawn(thread.serve, "127.0.0.1", 0, code, options)
    return server, bound:receive(5)
  end

  it("serves clients in several threads", function()
    run(function()
      local server, port = start(HANDLER, { threads = 2 })
      local seen, tasks = {}, {}
      for i = 1, 40 do
        tasks[i] = coev.spawn(function()
          local client = assert(socket.connect("127.0.0.1", port))
          client:send("hello\n")
          local name = client:receive():match("^hello (serve %d)$")
          seen[name] = true
          client:close()
        end)
      end
      for i = 1, 40 do
        tasks[i]:await()
      end
      assert.is_truthy(seen["serve 1"] or seen["serve 2"])
      server:cancel()
      local ok, err = server:join()
      assert.is_false(ok)
      assert.is_true(coev.is_cancelled(err))
      assert.is_nil((socket.connect("127.0.0.1", port)))
    end)
  end)

  it("lets its clients finish when it is cancelled", function()
    run(function()
      local server, port = start(HANDLER, { threads = 2 })
      local client = assert(socket.connect("127.0.0.1", port))
      client:send("one\n")
      assert.matches("^one", client:receive())
      server:cancel()
      coev.sleep(0.02)
      assert.equal("waiting", server:status())
      client:send("two\n")
      assert.matches("^two", client:receive())
      client:close()
      assert.is_false((server:join()))
    end)
  end)

  it("fails with the error of its code", function()
    run(function()
      local ok, err = coev.pcall(thread.serve, "127.0.0.1", 0, "error('oops', 0)", { threads = 2 })
      assert.same({ false, "oops" }, { ok, err })
      ok, err = coev.pcall(thread.serve, "127.0.0.1", 0, "return 5", { threads = 1 })
      assert.is_false(ok)
      assert.matches("function expected, got number", err)
    end)
  end)

  it("answers what the system refuses", function()
    run(function()
      local listener = assert(socket.bind("127.0.0.1", 0))
      local _, port = listener:getsockname()
      local server, err = thread.serve("127.0.0.1", port, HANDLER, { threads = 1 })
      assert.same({ nil, "address already in use" }, { server, err })
      listener:close()
    end)
  end)
end)
