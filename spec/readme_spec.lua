local child = require "spec.support.child"

-- The Lua programs of README.md, in order.
local function programs()
  local file = assert(io.open("README.md", "rb"))
  local text = file:read("*a")
  file:close()
  local list = {}
  for program in text:gmatch("\n```lua\n(.-)\n```") do
    list[#list + 1] = program
  end
  return list
end

describe("README.md", function()
  it("opens with a program that runs", function()
    local program = assert(programs()[1], "README.md has no Lua program")
    local result = child.run(program)
    assert.equal("", result.stderr)
    assert.equal(0, result.status)
  end)

  it("has only programs that compile", function()
    for _, program in ipairs(programs()) do
      assert((loadstring or load)(program))
    end
  end)
end)
