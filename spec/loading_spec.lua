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
