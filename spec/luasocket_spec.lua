local coev = require "coev"
local child = require "spec.support.child"
local helper = require "spec.helper"
local shapes = require "spec.support.shapes"

-- Where coev differs on purpose, as patterns of its lines, each with the reason.
local DIFFERENT = {
  -- Use after close is "closed", whatever the method.
  "^closed:[gs]et%a+%(.*%) %-> nil, \"closed\"$",
  "^closed:shutdown%(.*%) %-> nil, \"closed\"$",
  "^closed:send%(tcp{client}, \"\"%) %-> nil, \"closed\", 0$",
  -- Options can be set before there is an address, and hold once there is one.
  "^fresh:[gs]etoption",
  -- A list of strings is sent as if it were one.
  "^open:send%(tcp{client}, {}%) %-> 0, nil, nil$",
  -- A port that no socket can have is a mistake of the caller.
  "%(\"127%.0%.0%.1\", %-1[,)].*raises %(port out of range%)$",
  "%(\"127%.0%.0%.1\", 1%.5[,)].*raises",
}

local function is_different_on_purpose(line)
  for _, pattern in ipairs(DIFFERENT) do
    if line:find(pattern) then
      return true
    end
  end
  return false
end

describe("coev.socket", function()
  it("answers every call as LuaSocket does", function()
    local has_luasocket = pcall(require, "socket")
    if not has_luasocket then
      pending("there is no LuaSocket for this Lua")
    end
    -- In a process of its own: LuaSocket keeps the descriptors of some failed calls open.
    local theirs = {}
    local result = child.run([[
      package.path = "./?.lua;" .. package.path
      io.write(table.concat(require("spec.support.shapes")(require "socket", require "socket.unix"), "\30"))
    ]])
    for line in result.stdout:gmatch("[^\30]+") do
      theirs[#theirs + 1] = line
    end
    assert(#theirs > 100, result.stderr)
    local ours = helper.run(shapes, coev.socket, coev.socket.unix)
    local differences = {}
    for i = 1, math.max(#theirs, #ours) do
      local their, our = tostring(theirs[i]), tostring(ours[i])
      if their ~= our and not is_different_on_purpose(our) then
        differences[#differences + 1] = ("LuaSocket: %s\n     coev: %s"):format(their, our)
      end
    end
    assert(#differences == 0, table.concat(differences, "\n"))
  end)
end)
