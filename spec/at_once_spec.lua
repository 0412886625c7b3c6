local coev = require "coev"
local child = require "spec.support.child"
local garbage = require "spec.support.garbage"
local helper = require "spec.helper"

-- What can be done at once goes another way than what has to wait, and on LuaJIT another one still where code has been
-- compiled. Here each is called until it must have been.
local HOT = 300

-- Calls `f` many times, with the number of the call.
local function hot(f)
  for i = 1, HOT do
    f(i)
  end
end

-- A value with a finalizer.
local function with_finalizer(f)
  if newproxy then
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = f
    return proxy
  end
  return setmetatable({}, { __gc = f })
end

-- Objects, and methods that can be done at once with their arguments, each by itself and then its counterpart.
local function subjects()
  local channel = coev.channel.new(1)
  return {
    { "coev.mutex", coev.mutex.new(), { { "lock" }, { "unlock" }, { "try_lock" }, { "unlock" } } },
    { "coev.semaphore", coev.semaphore.new(1), { { "acquire" }, { "release" }, { "try_acquire" }, { "release" } } },
    { "coev.event", coev.event.new(), { { "set", 1 }, { "clear" } } },
    { "coev.channel", channel, { { "send", 1 }, { "receive" }, { "try_send", 1 }, { "try_receive" } } },
  }
end

-- What the error of a call says, without its place.
local function refusal(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return (tostring(err):gsub("^[^ ]+:%d+: ", ""))
end

describe("a method that can be done at once", function()
  it("answers the same however often it is called, and with nil for what may be left out", function()
    local function count(...)
      return select("#", ...), ...
    end
    helper.run(function()
      local mutex, semaphore, channel = coev.mutex.new(), coev.semaphore.new(1), coev.channel.new(1)
      hot(function(i)
        assert.same({ 1, true }, { count(mutex:lock()) })
        assert.same({ 0 }, { count(mutex:unlock()) })
        assert.same({ 1, true }, { count(mutex:lock(nil)) })
        assert.same({ 1, false }, { count(mutex:try_lock()) })
        assert.same({ 0 }, { count(mutex:unlock(nil)) })
        assert.same({ 1, true }, { count(mutex:try_lock()) })
        assert.same({ 0 }, { count(mutex:unlock()) })
        assert.same({ 1, true }, { count(semaphore:acquire()) })
        assert.same({ 1, false }, { count(semaphore:try_acquire()) })
        assert.same({ 0 }, { count(semaphore:release()) })
        assert.same({ 1, true }, { count(semaphore:acquire(nil, nil)) })
        assert.same({ 0 }, { count(semaphore:release()) })
        assert.same({ 1, true }, { count(channel:send(i)) })
        assert.same({ 1, false }, { count(channel:try_send(i)) })
        assert.same({ 2, nil, "timeout" }, { count(channel:send(i, 0)) })
        assert.same({ 1, i }, { count(channel:receive()) })
        assert.same({ 2, nil, "timeout" }, { count(channel:receive(0)) })
        assert.same({ 1, true }, { count(channel:try_send(false)) })
        assert.same({ 2, true, false }, { count(channel:try_receive()) })
        assert.same({ 1, false }, { count(channel:try_receive()) })
      end)
      channel:close()
      hot(function()
        assert.same({ nil, "closed" }, { channel:send(1) })
        assert.same({ false, "closed" }, { channel:try_send(1) })
        assert.same({ nil, "closed" }, { channel:receive() })
        assert.same({ false, "closed" }, { channel:try_receive() })
      end)
    end)
  end)

  it("refuses what is no object of its class, and what is no argument, as ever", function()
    for _, subject in ipairs(subjects()) do
      local class, object, calls = subject[1], subject[2], subject[3]
      local impostors = {
        "text", 1, false, {}, io.stdout, coroutine.create(function() end),
        setmetatable({}, getmetatable(object)), with_finalizer(function() end),
      }
      for _, other in ipairs({ "mutex", "event", "barrier", "channel" }) do
        if "coev." .. other ~= class then
          impostors[#impostors + 1] = coev[other].new(1)
        end
      end
      impostors[#impostors + 1] = newproxy and newproxy(getmetatable(io.stdout) and newproxy(true)) or nil
      hot(function()
        for _, call in ipairs(calls) do
          object[call[1]](object, call[2])
        end
      end)
      for _, call in ipairs(calls) do
        local name = call[1]
        local method = object[name]
        for _ = 1, 2 do
          for _, impostor in ipairs(impostors) do
            local message = refusal(method, impostor, call[2])
            local expected = ("calling '%s' on bad self (%s expected, got "):format(name, class)
            assert.truthy(message:find(expected, 1, true), message)
          end
          assert.truthy(refusal(method):find(("calling '%s' on bad self"):format(name), 1, true))
        end
      end
    end
    local mutex, semaphore, channel = coev.mutex.new(), coev.semaphore.new(1), coev.channel.new(1)
    hot(function()
      assert.truthy(refusal(mutex.unlock, mutex):find("not locked", 1, true))
      assert.truthy(refusal(mutex.lock, mutex, "soon"):find("bad argument #1 to 'lock'", 1, true))
      assert.truthy(refusal(semaphore.acquire, semaphore, 0):find("bad argument #1 to 'acquire'", 1, true))
      assert.truthy(refusal(channel.send, channel):find("value expected, got nil", 1, true))
      assert.truthy(refusal(channel.send, channel, nil, nil):find("value expected, got nil", 1, true))
      assert.truthy(refusal(channel.send, channel, 1, "soon"):find("bad argument #2 to 'send'", 1, true))
      assert.truthy(refusal(channel.receive, channel, {}):find("bad argument #1 to 'receive'", 1, true))
    end)
    mutex:lock()
    hot(function()
      assert.truthy(refusal(mutex.lock, mutex):find("locked by this very task already", 1, true))
    end)
    mutex:unlock()
    assert.equal(0, channel:len())
  end)

  it("points at its caller where it raises", function()
    local mutex = coev.mutex.new()
    hot(function()
      local ok, err = pcall(function() mutex:unlock() end)
      assert.is_false(ok)
      assert.truthy(err:find("^spec/at_once_spec%.lua:%d+: 'unlock'"), err)
    end)
  end)

  it("keeps values only as long as it must", function()
    helper.run(function()
      local channel, held = coev.channel.new(3), setmetatable({}, { __mode = "k" })
      hot(function()
        local value = {}
        held[value] = true
        assert.is_true(channel:send(value))
        assert.is_true(channel:try_send(value))
        assert.equal(value, channel:receive())
        assert.same({ true, value }, { channel:try_receive() })
      end)
      local last = {}
      held[last] = true
      channel:send(last)
      last = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      local count = 0
      for value in pairs(held) do
        count = count + 1
        assert.equal(value, channel:receive())
      end
      assert.equal(1, count)
    end)
  end)

  it("wakes those whom only the object holds", function()
    helper.run(function()
      local ended = 0
      local function wait_at(object, method)
        -- Nobody holds its handle.
        coev.spawn(function()
          object[method](object)
          ended = ended + 1
        end)
      end
      local mutex, semaphore, channel = coev.mutex.new(), coev.semaphore.new(0), coev.channel.new()
      for _ = 1, HOT do
        mutex:lock()
        wait_at(mutex, "lock")
        wait_at(semaphore, "acquire")
        wait_at(channel, "receive")
        garbage.collect()
        mutex:unlock()
        semaphore:release()
        channel:send("it")
        collectgarbage()
        coev.yield()
        collectgarbage()
        coev.yield()
        -- The task has ended with the lock.
        assert.same({ true, "abandoned" }, { mutex:lock() })
        mutex:unlock()
        if ended >= 60 then break end
      end
      assert.equal(60, ended)
    end)
  end)

  it("tells those who watch", function()
    helper.run(function()
      local channel, told = coev.channel.new(1), 0
      for _ = 1, HOT do
        local poll = coev.poll.new()
        poll:add(channel, "r")
        local waiter = coev.spawn(function()
          poll:wait(1)
          told = told + 1
        end)
        coev.yield()
        channel:send(1)
        waiter:join()
        channel:receive()
        poll:close()
      end
      assert.equal(HOT, told)
    end)
  end)

  it("may be called by finalizers in the middle of another", function()
    helper.run(function()
      local channel, mutex = coev.channel.new(math.huge), coev.mutex.new()
      local got, locked, number = {}, 0, 0
      local function send_one()
        -- The table's making may call a finalizer, which counts on.
        local mine = number + 1
        number = mine
        channel:send({ mine })
      end
      for _ = 1, 3000 do
        with_finalizer(function()
          send_one()
          local value = channel:receive()
          got[value[1]] = (got[value[1]] or 0) + 1
          if mutex:try_lock() then
            locked = locked + 1
            mutex:unlock()
          end
        end)
        send_one()
        mutex:lock()
        local value = channel:receive()
        mutex:unlock()
        got[value[1]] = (got[value[1]] or 0) + 1
      end
      collectgarbage()
      collectgarbage()
      assert.is_true(number > 3000 and locked > 0)
      assert.equal(0, channel:len())
      for i = 1, number do
        assert.equal(1, got[i], "value " .. i)
      end
    end)
  end)

  it("may be called by a hook in the middle of another", function()
    helper.run(function()
      local channel, number, got = coev.channel.new(math.huge), 0, {}
      local inside = false
      local function send_one()
        local mine = number + 1
        number = mine
        assert.is_true(channel:send({ mine }))
      end
      local function receive_one()
        local value = channel:receive()
        got[value[1]] = (got[value[1]] or 0) + 1
      end
      debug.sethook(function()
        if inside then return end
        inside = true
        send_one()
        receive_one()
        inside = false
      end, "", 7)
      for _ = 1, 500 do
        inside = true
        number = number + 1
        local own = { number }
        inside = false
        channel:send(own)
        local value = channel:receive()
        inside = true
        got[value[1]] = (got[value[1]] or 0) + 1
        inside = false
      end
      debug.sethook()
      assert.is_true(number > 500)
      for i = 1, number do
        assert.equal(1, got[i], "value " .. i)
      end
    end)
  end)

  it("waits where it has to, in tasks, their coroutines and outside of tasks", function()
    local function play(wrap)
      local there, back = coev.channel.new(), coev.channel.new()
      local echo = coev.spawn(function()
        for value in there:iter() do
          back:send(value)
        end
        back:close()
      end)
      local sum = 0
      for i = 1, HOT do
        wrap(function()
          there:send(i)
          sum = sum + back:receive()
        end)
      end
      there:close()
      assert.same({ nil, "closed" }, { back:receive() })
      echo:join()
      assert.equal(HOT * (HOT + 1) / 2, sum)
    end
    local function plainly(f) f() end
    local function in_coroutine(f) coev.coroutine.wrap(f)() end
    local function in_plain_coroutine(f) coroutine.wrap(f)() end
    for _, wrap in ipairs({ plainly, in_coroutine, in_plain_coroutine }) do
      helper.run(function() play(wrap) end)
      play(wrap)
    end
  end)

  -- What a program says that has used all of them, in and out of time.
  local PROGRAM = [[
    coev.run(function()
      local mutex, channel, semaphore = coev.mutex.new(), coev.channel.new(2), coev.semaphore.new(2)
      local sum = 0
      coev.spawn(function()
        for i = 1, 500 do
          mutex:lock()
          semaphore:acquire()
          channel:send(i)
          semaphore:release()
          mutex:unlock()
        end
        channel:close()
      end)
      while true do
        local index, item, err = coev.select({ { channel, "receive" } })
        if not item then
          print(index, item, err)
          break
        end
        sum = sum + item
        local more = channel:receive()
        sum = sum + (more or 0)
      end
      print(sum, mutex:owner(), semaphore:count())
      print(pcall(mutex.lock, {}))
    end)
  ]]
  local SAID = "1\tnil\tclosed\n125250\tnil\t2\nfalse\tcalling 'lock' on bad self (coev.mutex expected, got table)\n"
  local BEFORE = {
    ["as it is"] = "",
    ["that compiles nothing"] = "if jit then jit.off() end",
    ["that stops compiling later"] = "require('coev') if jit then jit.off() end",
    ["without LuaJIT's FFI"] = "package.loaded.ffi = nil package.preload.ffi = function() error('not here') end",
    ["where something else is called ffi"] = "package.loaded.ffi = { cast = type, new = type, typeof = type }",
    ["where the FFI is no table"] = "package.loaded.ffi = true",
    ["without require"] = "local coev = require('coev') require = nil",
    ["under coev.patch"] = "require('coev').patch()",
    ["under coev.debug"] = "require('coev').debug(true)",
  }
  for name, before in pairs(BEFORE) do
    it("does the same in a program " .. name, function()
      local load = "\nlocal coev = require and require('coev') or package.loaded.coev\n"
      local result = child.run(before .. load .. PROGRAM)
      assert.same({ stdout = SAID, stderr = "", status = 0 }, result)
    end)
  end

  it("raises when its state is closing", function()
    local result = child.run([[
      local coev, mutex, channel
      local function finish()
        print(pcall(mutex.lock, mutex))
        print(pcall(channel.send, channel, 1))
        print(pcall(channel.receive, channel))
      end
      -- Older than coev's own state, it is finalized after that.
      local anchor
      if newproxy then
        anchor = newproxy(true)
        getmetatable(anchor).__gc = finish
      else
        anchor = setmetatable({}, { __gc = finish })
      end
      KEPT = anchor
      coev = require "coev"
      mutex, channel = coev.mutex.new(), coev.channel.new(2)
      for i = 1, 300 do
        mutex:lock()
        channel:send(i)
        mutex:unlock()
        channel:receive()
      end
      channel:send("left")
    ]])
    assert.equal(0, result.status, result.stderr)
    local count = 0
    for line in result.stdout:gmatch("[^\n]+") do
      count = count + 1
      assert.truthy(line:find("^false\t"), line)
    end
    assert.equal(3, count)
  end)
end)
