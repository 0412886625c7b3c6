local coev = require "coev"
local helper = require "spec.helper"
local pack = require "spec.support.pack"

local thread, run = coev.thread, helper.run

-- Joins all, so that no thread of a test outlives it.
local function finish(...)
  for _, t in ipairs({ ... }) do
    t:cancel()
    t:join()
  end
end

-- A thread that does nothing but wait until it is cancelled.
local function idle()
  return thread.new("require 'coev'.sleep(60)")
end

-- A thread that computes without an end.
local function busy()
  local ready = thread.channel()
  local t = thread.new([[
    if jit then jit.off() end
    local ready = ...
    ready:send(true)
    local n = 0
    while true do n = n + 1 end
  ]], ready)
  assert.is_true(ready:receive())
  return t
end

describe("coev.thread.new", function()
  it("runs a string of Lua with the arguments, and joins with the results", function()
    local t = thread.new("local a, b = ... return b, a, select('#', ...)", 1, "two", nil)
    assert.same(pack(true, "two", 1, 3), pack(t:join()))
  end)

  it("runs a function, whose upvalues are copied", function()
    local factor, shared = 3, { n = 1 }
    local t = thread.new(function(n)
      shared.n = shared.n + 1
      return n * factor, shared.n
    end, 14)
    assert.same(pack(true, 42, 2), pack(t:join()))
    assert.equal(1, shared.n)
  end)

  it("copies tables with their cycles, and keeps integers apart from floats", function()
    local t = { list = { 1, 2.5, "x" } }
    t.self = t
    local _, copy, kinds = thread.new([[
      local t = ...
      return t, math.type and math.type(t.list[1]) .. math.type(t.list[2])
    ]], t):join()
    assert.is_true(copy ~= t and copy.self == copy)
    assert.same({ 1, 2.5, "x" }, copy.list)
    assert.is_true(kinds == nil or kinds == "integerfloat")
  end)

  it("says where the value is that cannot be copied", function()
    local co = coroutine.create(function() end)
    assert.error_matches(function()
      thread.new("return 1", 1, { cfg = { cb = co } })
    end, "arg 2.cfg.cb: a coroutine cannot be sent", nil, true)
    assert.error_matches(function()
      thread.new(function()
        return co
      end)
    end, "upvalue 'co': a coroutine cannot be sent", nil, true)
  end)

  it("refuses what is no chunk, and options that make no sense", function()
    local name = "bad argument #1 to 'new'"
    for _, bad in ipairs({ { nil }, { 1 }, { true }, { {} }, { { 1 } } }) do
      assert.error_matches(function()
        thread.new(bad[1])
      end, name .. " (string or function expected", nil, true)
    end
    for field, value in pairs({ name = 1, memory_limit = "x", stack_size = 0, suspended = 1 }) do
      assert.error_matches(function()
        thread.new({ "return 1", [field] = value })
      end, name .. " (field '" .. field .. "'", nil, true)
    end
  end)

  it("gives the thread the standard libraries, the paths of its parent, and coev", function()
    local path = package.path
    local ok, same, libraries, own = thread.new([[
      local coev = require "coev"
      local count = 0
      for _, name in ipairs({ "string", "table", "math", "io", "os", "coroutine", "debug" }) do
        if type(_G[name]) == "table" then count = count + 1 end
      end
      return package.path == ..., count, require "coev.socket" == coev.socket
    ]], path):join()
    assert.same({ true, true, 7, true }, { ok, same, libraries, own })
  end)

  it("has a universe of its own", function()
    _G.coev_thread_spec = 1
    local ok, before = thread.new("local before = coev_thread_spec coev_thread_spec = 2 return before"):join()
    assert.is_true(ok)
    assert.is_nil(before)
    assert.equal(1, _G.coev_thread_spec)
    _G.coev_thread_spec = nil
  end)

  it("runs the tasks of the thread to their end", function()
    local ok, list = thread.new([[
      local coev = require "coev"
      local list = {}
      coev.spawn(function() coev.sleep(0.01) list[#list + 1] = "task" end)
      list[1] = "chunk"
      return list
    ]]):join()
    assert.is_true(ok)
    assert.same({ "chunk", "task" }, list)
  end)

  it("starts a suspended one when it is told to", function()
    local t = thread.new({ "return ...", suspended = true }, 7)
    assert.equal("suspended", t:status())
    assert.same({ false, "timeout" }, { t:join(0.005) })
    assert.is_true(t:start())
    assert.same({ true, 7 }, { t:join() })
    assert.is_false(t:start())
  end)

  it("starts none a second time, and leaves what it returns", function()
    for _, suspended in ipairs({ true, false }) do
      local t = thread.new({ "require 'coev'.sleep(0.002) return 7", suspended = suspended })
      assert.equal(suspended, t:start())
      assert.is_false(t:start())
      assert.same({ true, 7 }, { t:join() })
      assert.is_false(t:start())
      assert.same({ true, 7 }, { t:join() })
    end
  end)

  it("ends a suspended one that is cancelled", function()
    local t = thread.new({ "return 1", suspended = true })
    assert.is_true(t:cancel())
    local ok, err = t:join()
    assert.is_false(ok)
    assert.is_true(coev.is_cancelled(err))
    assert.equal("cancelled", t:status())
    assert.is_false(t:start())
  end)

  it("forgets a suspended one that nobody holds", function()
    for _ = 1, 10 do
      thread.new({ "return 1", suspended = true })
    end
    collectgarbage()
    collectgarbage()
  end)

  it("shows its name to the system", function()
    local t = thread.new({ [[
      local file = io.open("/proc/thread-self/comm")
      return file and file:read("*l")
    ]], name = "spec worker" })
    assert.equal("spec worker", t:name())
    local ok, comm = t:join()
    assert.is_true(ok)
    assert.is_true(comm == nil or comm == "spec worker")
  end)

  it("starts threads in threads", function()
    local ok, answer = thread.new([[
      local thread = require "coev".thread
      local inner = thread.new("return ... + 1", 1)
      return select(2, inner:join()) + 1
    ]]):join()
    assert.is_true(ok)
    assert.equal(3, answer)
  end)

  it("finds coev again where the parent has it from package.preload", function()
    local ok, answer = thread.new([[
      package.cpath, package.path = "", ""
      local inner = require "coev".thread.new("return require 'coev'.now() > 0")
      return inner:join()
    ]]):join()
    assert.same({ true, true }, { ok, answer })
  end)
end)

describe("a thread's end", function()
  it("is told to any number of joiners, also later", function()
    run(function()
      local t = thread.new("require 'coev'.sleep(0.01) return {1}")
      local tasks = {}
      for i = 1, 5 do
        tasks[i] = coev.spawn(t.join, t)
      end
      for i = 1, 5 do
        local _, ok, list = tasks[i]:join()
        assert.same({ true, { 1 } }, { ok, list })
      end
      assert.same({ true, { 1 } }, { t:join() })
    end)
  end)

  it("is an error with the thread's own traceback", function()
    local t = thread.new({ "local function inner() error('oops') end\ninner()", name = "failing" })
    local ok, err, traceback = t:join()
    assert.is_false(ok)
    assert.equal("failing:1: oops", err)
    assert.is_truthy(traceback:find("failing:2: in main chunk", 1, true) or traceback:find("failing:2:", 1, true))
    assert.equal("failed", t:status())
  end)

  it("is an error for a chunk that does not compile", function()
    local ok, err = thread.new({ "return return", name = "chunk" }):join()
    assert.is_false(ok)
    assert.is_truthy(err:find("^chunk:1: "))
  end)

  it("carries error values that can be copied, and text for all others", function()
    local ok, err = thread.new("error({ code = 7 })"):join()
    assert.same({ false, { code = 7 } }, { ok, err })
    ok, err = thread.new("error(setmetatable({}, { __tostring = function() return 'thing' end }))"):join()
    assert.same({ false, "thing" }, { ok, err })
  end)

  it("is an error where a result cannot be copied", function()
    local ok, err = thread.new("return 1, { coroutine.create(function() end) }"):join()
    assert.is_false(ok)
    assert.is_truthy(err:find("result 2[1]: a coroutine cannot be sent", 1, true))
  end)

  it("is raised by await", function()
    assert.equal(3, thread.new("return 3"):await())
    assert.error_matches(function()
      thread.new("error('oops', 0)"):await()
    end, "oops")
  end)

  it("is an error where the tasks of the thread wait for ever", function()
    local ok, err = thread.new("require 'coev'.channel.new():receive()"):join()
    assert.is_false(ok)
    assert.is_truthy(tostring(err):find("deadlock", 1, true))
  end)

  it("comes with the failure of the chunk, whatever its tasks wait for", function()
    local channel = thread.channel(1)
    local ok, err = thread.new([[
      local coev, channel = require "coev", ...
      coev.spawn(function()
        coev.defer(function() channel:try_send("tidied up") end)
        coev.sleep(60)
      end)
      coev.yield()
      error("oops", 0)
    ]], channel):join()
    assert.same({ false, "oops" }, { ok, err })
    assert.equal("tidied up", channel:receive())
  end)

  it("can be waited for with others", function()
    run(function()
      local slow, fast = idle(), thread.new("return 'fast'")
      assert.same({ 2, true, "fast" }, { coev.select({ { slow }, { fast } }) })
      assert.equal("r", coev.wait(fast, "r", 1))
      assert.same({ nil, "timeout" }, { coev.wait(slow, "r", 0.005) })
      finish(slow)
    end)
  end)

  it("does not come before the timeout of a join", function()
    run(function()
      local t = idle()
      assert.same({ false, "timeout" }, { t:join(0.005) })
      assert.same({ nil, "timeout" }, { coev.timeout(0.005, t.join, t) })
      local joiner = coev.spawn(t.join, t)
      coev.yield()
      assert.equal("join of a thread", joiner:waiting())
      joiner:cancel()
      assert.is_false((joiner:join()))
      finish(t)
    end)
  end)
end)

describe("thread:cancel", function()
  it("ends every wait of the thread, with the reason", function()
    local channel = thread.channel(4)
    local t = thread.new([[
      local coev, channel = require "coev", ...
      for i = 1, 3 do
        coev.spawn(function()
          local _, err = coev.pcall(coev.sleep, 60)
          channel:try_send(coev.is_cancelled(err) and err.reason)
        end)
      end
      coev.yield()
      channel:send("ready")
      coev.sleep(60)
    ]], channel)
    assert.equal("ready", channel:receive())
    assert.is_true(t:cancel({ why = "spec" }))
    local ok, err = t:join()
    assert.is_false(ok)
    assert.is_true(coev.is_cancelled(err))
    assert.same({ why = "spec" }, err.reason)
    for _ = 1, 3 do
      assert.same({ why = "spec" }, channel:receive(1))
    end
    assert.equal("cancelled", t:status())
    assert.is_false(t:cancel())
  end)

  it("ends code that computes", function()
    local t = busy()
    t:cancel()
    local ok, err = t:join()
    assert.is_false(ok)
    assert.is_true(coev.is_cancelled(err))
  end)

  it("ends code that computes, again and again where it goes on", function()
    local ready = thread.channel()
    local t = thread.new([[
      if jit then jit.off() end
      local coev, ready = require "coev", ...
      for i = 1, 3 do
        coev.pcall(function()
          if i == 1 then ready:send(true) end
          while true do end
        end)
      end
      return "left"
    ]], ready)
    ready:receive()
    t:cancel()
    assert.same({ true, "left" }, { t:join() })
  end)

  it("waits for the end of a shield", function()
    local ready, done = thread.channel(), thread.channel(1)
    local t = thread.new([[
      if jit then jit.off() end
      local coev, ready, done = require "coev", ...
      coev.shield(function()
        local n = 0
        ready:send(true)
        for i = 1, 3e6 do n = i end
        coev.sleep(0.01)
        done:send(n)
      end)
      coev.sleep(60)
    ]], ready, done)
    ready:receive()
    t:cancel()
    local ok, err = t:join()
    assert.is_false(ok)
    assert.is_true(coev.is_cancelled(err))
    assert.equal(3e6, done:receive(0))
  end)

  it("reaches a wait for another thread", function()
    local t = thread.new("return (...):receive()", thread.channel())
    coev.sleep(0.005)
    finish(t)
    assert.equal("cancelled", t:status())
  end)

  it("refuses a reason that cannot be copied", function()
    local t = idle()
    assert.error_matches(function()
      t:cancel(coroutine.create(function() end))
    end, "a coroutine cannot be sent")
    finish(t)
  end)
end)

describe("thread:pause", function()
  it("lets a thread that computes stand still until it is resumed", function()
    local ticks = thread.channel(math.huge)
    local t = thread.new([[
      if jit then jit.off() end
      local ticks = ...
      local n = 0
      while true do
        n = n + 1
        if n % 1000 == 0 then ticks:try_send(n) end
      end
    ]], ticks)
    ticks:receive()
    assert.is_true(t:pause())
    assert.equal("paused", t:status())
    -- It may be on its way to the place where it stands still.
    local before
    repeat
      before = #ticks
      coev.sleep(0.02)
    until #ticks == before
    assert.is_true(t:resume())
    assert.equal("running", t:status())
    while ticks:try_receive() do end
    assert.is_number(ticks:receive(5))
    finish(t)
  end)

  it("lets a thread that waits stand still", function()
    local input, output = thread.channel(math.huge), thread.channel(math.huge)
    local t = thread.new("local i, o = ... for v in i:iter() do o:send(v) end return 'end'", input, output)
    input:send(1)
    assert.equal(1, output:receive())
    t:pause()
    coev.sleep(0.01)
    input:send(2)
    assert.same({ nil, "timeout" }, { output:receive(0.02) })
    t:resume()
    assert.equal(2, output:receive())
    input:close()
    assert.same({ true, "end" }, { t:join() })
    assert.is_false(t:pause())
    assert.is_false(t:resume())
  end)

  it("does not keep a thread from its cancel", function()
    local t = busy()
    t:pause()
    coev.sleep(0.01)
    finish(t)
    assert.equal("cancelled", t:status())
  end)
end)

describe("thread:spawn", function()
  it("runs a job in the thread", function()
    local t = idle()
    local job = t:spawn(function(a, b)
      return a + b, require "coev".thread.self():name()
    end, 1, 2)
    assert.same({ true, 3, t:name() }, { job:join() })
    assert.equal("done", job:status())
    assert.equal(5, t:spawn("return 5"):await())
    finish(t)
  end)

  it("tells of failures, and lets the thread go on", function()
    local t = idle()
    local ok, err, traceback = t:spawn("error('oops', 0)"):join()
    assert.same({ false, "oops", "string" }, { ok, err, type(traceback) })
    assert.error_matches(function()
      t:spawn("error('oops', 0)"):await()
    end, "oops")
    assert.equal("running", t:status())
    finish(t)
  end)

  it("cancels a job and nothing else", function()
    local t = idle()
    local job, other = t:spawn("require 'coev'.sleep(60)"), t:spawn("require 'coev'.sleep(0.02) return 1")
    assert.same({ false, "timeout" }, { job:join(0.005) })
    assert.is_true(job:cancel("enough"))
    local ok, err = job:join()
    assert.same({ false, "enough", "cancelled" }, { ok, err.reason, job:status() })
    assert.is_false(job:cancel())
    assert.equal(1, other:await())
    finish(t)
  end)

  it("fails where the thread ends before the job does", function()
    local t = thread.new("require 'coev'.sleep(0.01)")
    t:join()
    local ok, err = t:spawn("return 1"):join()
    assert.same({ false, "the thread has ended" }, { ok, err })
    t = idle()
    local job = t:spawn("require 'coev'.sleep(60)")
    finish(t)
    ok, err = job:join()
    assert.is_false(ok)
    assert.is_true(coev.is_cancelled(err))
  end)

  it("waits with a thread that has not started", function()
    local t = thread.new({ "return 1", suspended = true })
    local job = t:spawn("return 2")
    t:start()
    assert.equal(2, job:await())
    assert.equal(1, t:await())
  end)

  it("refuses what cannot be copied", function()
    local t = idle()
    assert.error_matches(function()
      t:spawn("return 1", { coroutine.create(function() end) })
    end, "arg 1[1]: a coroutine cannot be sent", nil, true)
    assert.error_matches(function()
      t:spawn(1)
    end, "bad argument #1 to 'spawn' (string or function expected, got number)", nil, true)
    finish(t)
  end)
end)

describe("a memory limit", function()
  local programs = {
    ["tables"] = "local t = {} for i = 1, 1e9 do t[i] = {} end",
    ["one string"] = "local s = ('x'):rep(1e8) return #s",
    ["strings"] = "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end",
    ["coroutines"] = "local t = {} for i = 1, 1e9 do t[i] = coroutine.create(function() end) end",
    ["tasks"] = "local coev = require 'coev' while true do coev.spawn(coev.sleep, 60) end",
    ["a channel"] = "local c = require 'coev'.channel.new(math.huge) while true do c:send({}) end",
  }
  for name, program in pairs(programs) do
    it("ends a thread that takes more, with " .. name, function()
      local ok, err = thread.new({ "if jit then jit.off() end " .. program, memory_limit = 4e6 }):join()
      assert.is_false(ok)
      assert.is_truthy(tostring(err):find("not enough memory", 1, true), tostring(err))
    end)
  end

  it("leaves a thread alone that stays below", function()
    local ok, count = thread.new({ [[
      local count = 0
      for i = 1, 2000 do count = count + #{ ("x"):rep(1000) } end
      return count
    ]], memory_limit = 16e6 }):join()
    assert.same({ true, 2000 }, { ok, count })
  end)

  it("may be too small for anything", function()
    assert.same({ false, "not enough memory" }, { thread.new({ "return 1", memory_limit = 1000 }):join() })
  end)
end)

describe("coev.thread.self", function()
  it("is nothing in the interpreter's own state", function()
    assert.is_nil(thread.self())
  end)

  it("is the handle of the thread, which can be sent", function()
    local channel = thread.channel(1)
    local t = thread.new({ [[
      local coev, channel = require "coev", ...
      channel:send(coev.thread.self())
      coev.sleep(60)
    ]], name = "me" }, channel)
    local same = channel:receive()
    assert.equal("me", same:name())
    assert.equal("coev.thread: me", tostring(same))
    assert.is_true(same:cancel())
    assert.is_false((t:join()))
  end)
end)

describe("methods of threads", function()
  it("refuse what is no thread", function()
    local t = thread.new("return 1")
    t:join()
    for name in ("join await cancel pause resume spawn status name detach start"):gmatch("%a+") do
      assert.error_matches(function()
        t[name](io.stdout)
      end, "calling '" .. name .. "' on bad self (coev.thread expected, got userdata)", nil, true)
    end
    assert.error_matches(function()
      t:join("x")
    end, "bad argument #1 to 'join' (number expected, got string)", nil, true)
  end)
end)
