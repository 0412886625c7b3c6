local coev = require "coev"
local child = require "spec.support.child"

-- The library's file for each Lua that it was built for, as `make build` names
-- them; the one for this interpreter is found through package.cpath.
local VERSIONS = { "5.1", "5.2", "5.3", "5.4", "5.5", "luajit" }

local function own_version()
  return jit and "luajit" or _VERSION:match("%d+%.%d+")
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then
    file:close()
  end
  return file ~= nil
end

describe("require", function()
  it("gives one table, however often", function()
    assert.is_true(rawequal(coev, require "coev"))
  end)

  it("gives each part by itself, the same table", function()
    assert.is_true(rawequal(coev.socket, require "coev.socket"))
  end)

  it("of a part works before that of the whole", function()
    local result = child.run([[
      local socket = require "coev.socket"
      print(socket == require("coev").socket)
    ]])
    assert.same({ stdout = "true\n", stderr = "", status = 0 }, result)
  end)

  it("makes no globals", function()
    local result = child.run([[
      local before = {}
      for name in pairs(_G) do before[name] = true end
      require "coev"
      require "coev.socket"
      for name in pairs(_G) do
        if not before[name] then print(name) end
      end
    ]])
    assert.same({ stdout = "", stderr = "", status = 0 }, result)
  end)

  it("after the table was forgotten does not start a second runtime", function()
    local result = child.run([[
      local first = require "coev"
      package.loaded["coev"] = nil
      local second = require "coev"
      second.run(function()
        print(first.current() ~= nil)
        first.sleep(0.001)
      end)
    ]])
    assert.same({ stdout = "true\n", stderr = "", status = 0 }, result)
  end)
end)

-- Much of the library is made when it is first asked for. No script sees that.
describe("what is made when it is asked for", function()
  it("is seen by pairs before anybody has asked", function()
    local result = child.run([[
      local coev, seen = require "coev", {}
      for name, value in pairs(coev) do seen[name] = value end
      for _, name in ipairs({ "spawn", "run", "sleep", "every", "group", "select", "wait", "pack", "pcall", "thread",
        "socket", "timer", "mutex", "channel", "coroutine", "retry" }) do
        if seen[name] == nil or seen[name] ~= coev[name] then print(name, seen[name]) end
      end
      for name, value in pairs(coev.socket) do
        if value == nil or require("coev.socket")[name] ~= value then print(name) end
      end
    ]])
    assert.same({ stdout = "", stderr = "", status = 0 }, result)
  end)

  it("is what it is whatever a script has done to the globals before", function()
    local result = child.run([[
      local coev = require "coev"
      local print = print
      for _, name in ipairs({ "error", "type", "setmetatable", "pairs", "select", "pcall", "next" }) do
        _G[name] = nil
      end
      local set, raise = debug.setmetatable, function() local none = nil; none() end
      set(_G, { __index = raise, __newindex = raise })
      coev.run(function()
        local channel, mutex = coev.channel.new(1), coev.mutex.new()
        mutex:with(function() channel:send("sent") end)
        print(coev.select { { channel, "receive" } })
        print(coev.timeout(0.001, coev.sleep, 5))
        coev.every(0.001, function() return false end):join()
        local task = coev.spawn(coev.suspend)
        coev.yield()
        task:cancel("enough")
        print(task:join())
        print(coev.socket.tcp() ~= nil, coev.poll.new() ~= nil, coev.supervisor.new({}) ~= nil)
        print(coev.unpack(coev.pack("packed", coev.spawn), { functions = true }))
      end)
    ]])
    assert.equal("", result.stderr)
    local lines =
      "^1\tsent[^\n]*\nnil\ttimeout\nfalse\tcancelled: enough\t[^\n]*stack traceback:.*\ntrue\ttrue\ttrue\npacked"
    assert.truthy(result.stdout:find(lines), result.stdout)
  end)

  it("uses coev's own functions where a script has put others in their place", function()
    local result = child.run([[
      local coev = require "coev"
      local sleep = coev.sleep
      coev.spawn, coev.sleep, coev.current = nil, nil, nil
      print(coev.run(function()
        return coev.group(function(group)
          group:spawn(sleep, 0)
          return coev.retry(function() return coev.socket.sleep == sleep end)
        end)
      end))
      print(coev.spawn, coev.sleep)
    ]])
    assert.equal("", result.stderr)
    assert.equal("true", result.stdout:match("^%a+"))
  end)

  it("belongs to a task that nobody has asked for anything", function()
    local result = child.run([[
      local coev = require "coev"
      local task = coev.spawn(function() return "done" end)
      print(tostring(task):match("^coev%.task: 0x%x+ %(task #1%)$") ~= nil)
      local other = coev.spawn(function() return "done" end)
      print(other:join())
    ]])
    assert.same({ stdout = "true\ntrue\tdone\n", stderr = "", status = 0 }, result)
  end)
end)

describe("a library built for another Lua", function()
  for _, version in ipairs(VERSIONS) do
    local path = ("build/%s/coev.so"):format(version)
    if version ~= own_version() and exists(path) then
      it("is refused with an error: that for " .. version, function()
        local result = child.run(([[
          local open, err = package.loadlib(%q, "luaopen_coev")
          if not open then
            print("not loaded", err)
            return
          end
          print("loaded", pcall(open, "coev"))
        ]]):format(path))
        assert.equal(0, result.status, result.stderr)
        local step, outcome = result.stdout:match("^(%a+ ?%a*)\t([^\n]*)")
        if step == "loaded" then
          assert.truthy(outcome:find("^false\t"), outcome)
          local name = version == "luajit" and "LuaJIT" or version
          assert.truthy(outcome:find(name, 1, true), outcome)
          local own = jit and "LuaJIT" or own_version()
          assert.truthy(outcome:find(own, 1, true), outcome)
        end
      end)
    end
  end
end)
