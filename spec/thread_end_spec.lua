local child = require "spec.support.child"

-- What a thread does while the process ends.
local BUSINESS = {
  computes = "local n = 0 while true do n = n + 1 end",
  sleeps = "require 'coev'.sleep(60)",
  ["waits for a channel"] = "require 'coev'.thread.channel():receive()",
  ["waits for a thread"] = "require 'coev'.thread.new('require [[coev]].sleep(60)'):join()",
  ["ignores its cancel"] = [[
    local coev = require "coev"
    for i = 1, 20 do coev.pcall(coev.sleep, 60) end
  ]],
  ["blocks for a while"] = "os.execute('sleep 0.3')",
  ["writes"] = "local coev = require 'coev' while true do io.write('') coev.yield() end",
  ["allocates"] = "while true do local t = {} for i = 1, 1000 do t[i] = { i } end end",
}

-- How the process ends, and with which status.
local ENDS = {
  ["the script ends"] = { "", 0 },
  ["os.exit() is called"] = { "os.exit(3)", 3 },
  ["os.exit(0, true) is called"] = { "os.exit(4, true)", 4 },
  ["the script fails"] = { "error('oops')", 1 },
  ["a task calls os.exit"] = { "coev.run(function() os.exit(5) end)", 5 },
  ["a task calls os.exit(5, true)"] = { "coev.run(function() os.exit(5, true) end)", 5 },
}

local function start(code, count)
  return ([[
    local coev = require "coev"
    local threads = {}
    for i = 1, %d do threads[i] = coev.thread.new(%q) end
    coev.sleep(0.005)
  ]]):format(count or 2, code)
end

local function sorted(t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

describe("the end of a process with a thread that", function()
  for _, business in ipairs(sorted(BUSINESS)) do
    for _, name in ipairs(sorted(ENDS)) do
      it(business .. ", when " .. name, function()
        local result = child.run(start(BUSINESS[business]) .. ENDS[name][1])
        assert.equal(ENDS[name][2], result.status, result.stderr)
        assert.equal("", result.stdout)
        if name ~= "the script fails" then
          assert.equal("", result.stderr)
        end
      end)
    end
  end
end)

describe("the end of a process", function()
  it("lets its threads tidy up when the state is closed", function()
    child.assert_writes("main ends\ntidied up\n", [[
      local ready = coev.thread.channel()
      local t = coev.thread.new(function(ready)
        local coev = require "coev"
        coev.defer(function() io.write("tidied up\n") io.flush() end)
        ready:send(true)
        coev.sleep(60)
      end, ready)
      ready:receive()
      io.write("main ends\n") io.flush()
    ]])
  end)

  it("does not wait for a detached thread", function()
    local before = os.time()
    child.assert_writes("", [[
      coev.thread.new("os.execute('sleep 5')"):detach()
      coev.sleep(0.01)
    ]])
    assert.is_true(os.time() - before < 4)
  end)

  it("does not wait for ever for one that does not end", function()
    local before = os.time()
    child.assert_writes("", [[
      local t = coev.thread.new("os.execute('sleep 8')")
      coev.sleep(0.01)
    ]])
    assert.is_true(os.time() - before < 7)
  end)

  it("ends a paused thread, and one that has never started", function()
    child.assert_writes("", [[
      local t = coev.thread.new("while true do end")
      local s = coev.thread.new { "return 1", suspended = true }
      coev.sleep(0.005)
      t:pause()
      coev.sleep(0.005)
    ]])
  end)

  it("comes in the middle of jobs, channels and threads of threads", function()
    child.assert_writes("", [[
      local thread = coev.thread
      local t = thread.new("require 'coev'.sleep(60)")
      for i = 1, 10 do t:spawn("require 'coev'.sleep(...)", i / 100) end
      local channel = thread.channel(1)
      for i = 1, 3 do
        thread.new(function(channel)
          local thread = require "coev".thread
          for i = 1, 3 do
            thread.new("local c = ... while true do c:send({}) end", channel)
            thread.new("local c = ... while true do c:receive() end", channel)
          end
          require "coev".sleep(60)
        end, channel)
      end
      coev.sleep(0.02)
    ]])
  end)

  it("comes while a coroutine and a pcall wait for a thread", function()
    child.assert_writes("", [[
      local t = coev.thread.new("require 'coev'.sleep(60)")
      coev.spawn(function() coev.pcall(t.join, t) end)
      coev.step(0)
      local co = coroutine.create(function() t:join(0.01) end)
      coroutine.resume(co)
    ]])
  end)

  it("may come from a script that uses threads in finalizers", function()
    child.assert_writes("", [[
      local t = coev.thread.new("require 'coev'.sleep(60)")
      local channel = coev.thread.channel(1)
      local make = newproxy or function() return setmetatable({}, {}) end
      local object = make(true)
      getmetatable(object).__gc = function()
        pcall(t.join, t, 0)
        pcall(channel.send, channel, 1)
        pcall(coev.thread.new, "return 1")
      end
      if not newproxy then setmetatable(object, getmetatable(object)) end
      KEEP = object
    ]])
  end)

  it("is Ctrl-C, with threads that compute and wait", function()
    local result = child.interrupt([[
      local coev = require "coev"
      local threads = { coev.thread.new("while true do end"), coev.thread.new("require 'coev'.sleep(60)") }
      io.write("ready\n") io.flush()
      coev.run(function() threads[2]:join() end)
    ]])
    assert.equal("ready\n", result.stdout)
    assert.is_truthy(result.stderr:find("interrupted!", 1, true))
    assert.equal(1, result.status)
  end)

  it("goes well many times", function()
    for round = 1, 15 do
      child.assert_writes("", start("if jit then jit.off() end " .. BUSINESS.computes, round % 4)
        .. start(BUSINESS.sleeps, round % 3) .. (round % 2 == 0 and "os.exit(0, true)" or ""))
    end
  end)
end)

describe("a thread whose handle is collected", function()
  it("runs on", function()
    child.assert_writes("done\n", [[
      local channel = coev.thread.channel()
      coev.thread.new("require 'coev'.sleep(0.02); (...):send('done')", channel)
      collectgarbage() collectgarbage()
      print(channel:receive())
    ]])
  end)

  it("tells of its failure on stderr", function()
    local result = child.run([[
      local coev = require "coev"
      local channel = coev.thread.channel()
      coev.thread.new({ "local c = ... require 'coev'.sleep(0.01) c:send(1) error('oops')", name = "lost" }, channel)
      collectgarbage() collectgarbage()
      channel:receive()
      coev.sleep(0.1)
    ]])
    assert.matches("^coev: thread 'lost' failed: lost:1: oops\nstack traceback:\n", result.stderr)
    assert.equal(0, result.status)
  end)

  it("tells of it when it has failed before, and once", function()
    local result = child.run([[
      local coev = require "coev"
      local t = coev.thread.new({ "error('oops', 0)", name = "lost" })
      while t:status() ~= "failed" do coev.sleep(0.001) end
      t = nil
      collectgarbage() collectgarbage()
      local t = coev.thread.new({ "error('oops', 0)", name = "joined" })
      t:join()
      t = nil
      collectgarbage() collectgarbage()
    ]])
    assert.matches("^coev: thread 'lost' failed: oops\n", result.stderr)
    assert.is_nil(result.stderr:find("joined", 1, true))
  end)

  it("says nothing of a cancel", function()
    child.assert_writes("", [[
      coev.thread.new("require 'coev'.sleep(60)"):cancel()
      collectgarbage() collectgarbage()
      coev.sleep(0.02)
    ]])
  end)

  it("tells of the failure of a job that nobody joins", function()
    local result = child.run([[
      local coev = require "coev"
      local t = coev.thread.new({ "require 'coev'.sleep(0.05)", name = "host" })
      t:spawn("error('oops', 0)")
      collectgarbage() collectgarbage()
      t:join()
    ]])
    assert.matches("^coev: a job of host failed: oops\n", result.stderr)
  end)
end)
