local child = require "spec.support.child"

-- Asserts that `text` ends by SIGINT as a plain Lua program does.
local function assert_interrupted(text)
  local result = child.interrupt(text)
  assert.equal(1, result.status, "the program did not end: " .. result.stderr)
  assert.truthy(result.stderr:find("interrupted!", 1, true), result.stderr)
  assert.truthy(result.stderr:find("stack traceback:", 1, true), result.stderr)
  return result
end

describe("Ctrl-C", function()
  it("ends a program that is idle in the loop", function()
    assert_interrupted([[
      local coev = require "coev"
      coev.run(function()
        io.stdout:write("ready\n")
        io.stdout:flush()
        coev.sleep(60)
      end)
    ]])
  end)

  it("ends a program whose only task waits for a client", function()
    assert_interrupted([[
      local coev = require "coev"
      local server = coev.socket.bind("127.0.0.1", 0)
      coev.spawn(function()
        server:accept()
      end)
      io.stdout:write("ready\n")
      io.stdout:flush()
      coev.run()
    ]])
  end)

  it("ends a program that only switches between tasks", function()
    assert_interrupted([[
      local coev = require "coev"
      local function spin()
        while true do
          coev.yield()
        end
      end
      coev.spawn(spin)
      coev.spawn(spin)
      io.stdout:write("ready\n")
      io.stdout:flush()
      coev.run()
    ]])
  end)

  it("ends a program that waits outside tasks", function()
    assert_interrupted([[
      local coev = require "coev"
      io.stdout:write("ready\n")
      io.stdout:flush()
      coev.sleep(60)
    ]])
  end)

  it("can be caught, and the scheduler goes on", function()
    local result = child.interrupt([[
      local coev = require "coev"
      local ended = false
      coev.spawn(function()
        coev.sleep(0.3)
        ended = true
      end)
      io.stdout:write("ready\n")
      io.stdout:flush()
      local ok, err = pcall(coev.run)
      print(ok, tostring(err):find("interrupted!", 1, true) ~= nil)
      coev.run()
      print(ended)
    ]])
    assert.same({ stdout = "ready\nfalse\ttrue\ntrue\n", stderr = "", status = 0 }, result)
  end)
end)
