local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local garbage = require "spec.support.garbage"
local peer = require "spec.support.peer"
local support = require "spec.support.tasks"

-- Asserts that the program `text` ends with `status` and writes `stdout`, and
-- nothing on stderr unless `status` says that it failed.
local function assert_ends(text, stdout, status)
  local result = child.run(text)
  assert.equal(stdout, result.stdout, result.stderr)
  assert.equal(status or 0, result.status, result.stderr)
  if result.status == 0 then
    assert.equal("", result.stderr)
  end
  return result
end

describe("the end of a program", function()
  -- A program with tasks parked on everything that there is to wait for.
  local PARKED = [[
    local coev = require "coev"
    local server = assert(coev.socket.bind("127.0.0.1", 0))
    local near = assert(coev.socket.connect((server:getsockname()), (select(2, server:getsockname()))))
    local far = assert(server:accept())
    local sleeper = coev.spawn(coev.sleep, 60)
    coev.spawn(function() server:accept() end)
    coev.spawn(function() near:receive() end)
    coev.spawn(function() far:send(("x"):rep(20000000)) end)
    coev.spawn(function() sleeper:join() end)
    coev.spawn(function() while true do coev.yield() end end)
    coev.sleep(0.002)
  ]]

  it("with parked tasks is clean", function()
    assert_ends(PARKED .. [[ print("end") ]], "end\n")
  end)

  it("by os.exit is clean, with and without closing the state", function()
    assert_ends(PARKED .. [[ print("end") os.exit(0, true) ]], "end\n")
    assert_ends(PARKED .. [[ print("end") os.exit(3) ]], "end\n", 3)
  end)

  it("by os.exit inside a task is clean", function()
    for _, arguments in ipairs({ "0", "0, true" }) do
      assert_ends(PARKED .. [[
        coev.run(function()
          coev.yield()
          io.stdout:write("end\n")
          os.exit(]] .. arguments .. [[)
        end)
      ]], "end\n")
    end
  end)

  it("by an error inside run is a traceback and status 1", function()
    local result = assert_ends(PARKED .. [[
      coev.run(function()
        coev.yield()
        error("the end")
      end)
    ]], "", 1)
    assert.truthy(result.stderr:find("the end", 1, true))
    assert.truthy(result.stderr:find("stack traceback:", 1, true))
  end)

  it("by an error in the main chunk is clean", function()
    local result = assert_ends(PARKED .. [[ error("the end") ]], "", 1)
    assert.truthy(result.stderr:find("the end", 1, true))
  end)

  it("lets finalizers use coev, which may refuse", function()
    assert_ends(PARKED .. [[
      local function at_close(f)
        if newproxy then
          local proxy = newproxy(true)
          getmetatable(proxy).__gc = f
          return proxy
        end
        return setmetatable({}, { __gc = f })
      end
      KEPT = at_close(function()
        pcall(coev.spawn, function() coev.yield() end)
        pcall(coev.step)
        pcall(coev.now)
        pcall(coev.sleep, 0.001)
        pcall(coev.current)
        pcall(near.settimeout, near, 0.001)
        pcall(near.receive, near, 1)
        pcall(near.send, near, "x")
        pcall(near.close, near)
        pcall(sleeper.join, sleeper, 0.001)
        pcall(sleeper.status, sleeper)
        pcall(sleeper.traceback, sleeper)
        pcall(tostring, sleeper)
        pcall(tostring, near)
      end)
      print("end")
    ]], "end\n")
  end)

  it("with a library that never ran a task is clean", function()
    assert_ends([[ require "coev" print("end") ]], "end\n")
  end)
end)

describe("what nobody holds", function()
  it("is a socket that is closed when it is collected", function()
    helper.run(function()
      local far = select(2, peer.pair())
      far:settimeout(5)
      collectgarbage()
      collectgarbage()
      assert.same({ nil, "closed", "" }, { far:receive() })
      far:close()
    end)
  end)

  it("is not a task that sleeps or waits for a socket", function()
    local result
    helper.run(function()
      local near, far = peer.pair()
      coev.spawn(function()
        coev.sleep(0.003)
        far:send("line\n")
      end)
      coev.spawn(function()
        result = near:receive()
        near:close()
      end)
      for _ = 1, 5 do
        coev.sleep(0.001)
        collectgarbage()
      end
      coev.sleep(0.002)
      far:close()
    end)
    assert.equal("line", result)
  end)

  it("is the memory of tasks that have ended", function()
    garbage.assert_steady(function()
      helper.run(function()
        for _ = 1, 2000 do
          coev.spawn(coev.sleep, 0.0001)
        end
      end)
    end, 256)
  end)

  it("is collected at any moment without harm", function()
    helper.run(function()
      for i = 1, 50 do
        local near, far = peer.pair()
        local reader = coev.spawn(function()
          return near:receive()
        end)
        collectgarbage("step")
        far:send(i .. "\n")
        collectgarbage()
        assert.same({ true, tostring(i) }, { reader:join() })
        far:close()
        near:close()
      end
    end)
  end)
end)

describe("after stop", function()
  it("tasks, sockets and times are as they were", function()
    local near, far = peer.pair()
    local line
    local task = coev.spawn(function()
      line = near:receive()
      return "end"
    end)
    coev.run(function()
      coev.yield()
      coev.stop()
    end)
    assert.equal("waiting", task:status())
    far:send("line\n")
    coev.run()
    assert.equal("line", line)
    assert.same({ true, "end" }, { task:join() })
    near:close()
    far:close()
  end)
end)

describe("a coroutine of a task resumed by hand", function()
  it("does not crash the process", function()
    for _, wait in ipairs({ "coev.sleep(0.01)", "coev.yield()", "near:receive()", "coroutine.yield()" }) do
      local result = child.run([[
        local coev = require "coev"
        local server = coev.socket.bind("127.0.0.1", 0)
        local near = coev.socket.connect((server:getsockname()), (select(2, server:getsockname())))
        local far = server:accept()
        local co
        local task = coev.spawn(function()
          co = coroutine.running()
          ]] .. wait .. [[
        end)
        coev.step()
        pcall(coroutine.resume, co)
        pcall(coroutine.resume, co, 1, 2, 3)
        if coroutine.close then pcall(coroutine.close, co) end
        far:close()
        pcall(coev.run, function() coev.sleep(0.02) end)
        collectgarbage()
        print("alive")
      ]])
      assert.equal("alive\n", result.stdout, wait .. ": " .. result.stderr)
      assert.equal(0, result.status)
    end
  end)
end)

describe("a wait", function()
  it("works inside pcall and xpcall", function()
    support.beside_another(function()
      local ok, value = pcall(function()
        coev.sleep(0.003)
        return "slept"
      end)
      assert.same({ true, "slept" }, { ok, value })
      assert.same({ false, "after" }, { pcall(function()
        coev.sleep(0.001)
        error("after", 0)
      end) })
      assert.same({ false, "handled after" }, { xpcall(function()
        coev.sleep(0.001)
        error("after", 0)
      end, function(err)
        return "handled " .. err
      end) })
    end)
  end)

  it("works inside the comparator of table.sort", function()
    support.beside_another(function()
      local list = { 5, 2, 4, 1, 3 }
      table.sort(list, function(a, b)
        coev.sleep(0.0005)
        return a < b
      end)
      assert.same({ 1, 2, 3, 4, 5 }, list)
    end)
  end)

  it("works inside a callback of gsub", function()
    support.beside_another(function()
      local text = ("abc"):gsub(".", function(letter)
        coev.sleep(0.001)
        return letter:upper()
      end)
      assert.equal("ABC", text)
    end)
  end)

  it("works inside metamethods", function()
    support.beside_another(function()
      local object = setmetatable({}, {
        __index = function(_, key)
          coev.sleep(0.001)
          return key
        end,
        __add = function()
          coev.sleep(0.001)
          return "sum"
        end,
        __tostring = function()
          coev.sleep(0.001)
          return "text"
        end,
      })
      assert.equal("key", object.key)
      assert.equal("sum", object + 1)
      assert.equal("text", tostring(object))
    end)
  end)

  it("works inside the iterator of a for", function()
    support.beside_another(function()
      local count = 0
      for i in function(_, last)
        coev.sleep(0.001)
        last = (last or 0) + 1
        return last <= 3 and last or nil
      end do
        count = count + i
      end
      assert.equal(6, count)
    end)
  end)

  it("works inside a stock coroutine in a task", function()
    support.beside_another(function()
      local values = {}
      for value in coroutine.wrap(function()
        for i = 1, 3 do
          coev.sleep(0.001)
          coroutine.yield(i)
        end
      end) do
        values[#values + 1] = value
      end
      assert.same({ 1, 2, 3 }, values)
    end)
  end)

  it("on a socket works there too", function()
    support.beside_another(function()
      local near = peer.scripted(function(far)
        for i = 1, 3 do
          coev.sleep(0.001)
          far:send(i .. "\n")
        end
      end)
      local text = ("xxx"):gsub("x", function()
        return (near:receive())
      end)
      assert.equal("123", text)
      near:close()
    end)
  end)

  it("nested too deep in such places is an error that tells the way out", function()
    local refused, sorted = 0, 0
    helper.run(function()
      for _ = 1, 1000 do
        coev.spawn(function()
          local ok, err = pcall(table.sort, { 2, 1 }, function(a, b)
            coev.sleep(0.001)
            return a < b
          end)
          if ok then
            sorted = sorted + 1
          else
            refused = refused + 1
            assert.truthy(tostring(err):find("coev.patch", 1, true), tostring(err))
          end
        end)
      end
    end)
    assert.equal(1000, refused + sorted)
    assert.is_true(refused > 0)
    assert.is_true(sorted > 0)
  end)
end)
