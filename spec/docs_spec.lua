local coev = require "coev"
local peer = require "spec.support.peer"

-- The names that types/coev.lua documents, by the variable they belong to.
local function documented()
  local names = {}
  local function add(owner, name)
    names[owner] = names[owner] or {}
    names[owner][name] = true
  end
  local fields = {}
  for line in io.lines("types/coev.lua") do
    local field = line:match("^%-%-%-@field ([%w_]+)")
    local class = line:match("^local ([%w_]+) = ")
    local owner, name = line:match("^function ([%w_]+)[.:]([%w_]+)%(")
    if not owner then
      owner, name = line:match("^([%w_]+)%.([%w_]+) = ")
    end
    if field then
      fields[#fields + 1] = field
    elseif class then
      for _, each in ipairs(fields) do
        add(class, each)
      end
      fields = {}
    elseif owner then
      add(owner, name)
    end
  end
  return names
end

local function names_of(...)
  local names = {}
  for _, owner in ipairs({ ... }) do
    for name in pairs(owner) do
      names[name] = true
    end
  end
  return names
end

-- Asserts that both sets hold the same names, and lists those that one lacks.
local function assert_same_names(exported, described)
  local lines = {}
  for name in pairs(exported) do
    if not described[name] then
      lines[#lines + 1] = tostring(name) .. " is exported and not documented"
    end
  end
  for name in pairs(described) do
    if not exported[name] then
      lines[#lines + 1] = tostring(name) .. " is documented and not exported"
    end
  end
  table.sort(lines)
  assert(#lines == 0, table.concat(lines, "\n"))
end

describe("types/coev.lua", function()
  local names = documented()

  it("has the names of the module, no more and no less", function()
    assert_same_names(names_of(coev), names.coev)
  end)

  it("has the methods of a task", function()
    local task = coev.spawn(function() end)
    coev.run()
    assert_same_names(names_of(getmetatable(task).__index), names.Task)
  end)

  it("has the functions and methods of coev.timer", function()
    assert_same_names(names_of(coev.timer), names.timer)
    local timer = coev.timer.new(1, function() end)
    assert_same_names(names_of(getmetatable(timer).__index), names.Timer)
  end)

  it("has the functions and methods of coev.poll", function()
    assert_same_names(names_of(coev.poll), names.poll)
    local poll = assert(coev.poll.new())
    assert_same_names(names_of(getmetatable(poll).__index), names.Poll)
    poll:close()
  end)

  it("has the functions and methods of mutexes and their friends", function()
    local guard = coev.mutex.new():guard()
    guard:close()
    assert_same_names(names_of(getmetatable(guard).__index), names.Guard)
    for kind, object in pairs({
      Mutex = coev.mutex.new(), Semaphore = coev.semaphore.new(1), Rwlock = coev.rwlock.new(),
      Condition = coev.condition.new(), Event = coev.event.new(), Waitgroup = coev.waitgroup.new(),
      Barrier = coev.barrier.new(1), Channel = coev.channel.new(),
    }) do
      local class = getmetatable(object)
      assert_same_names(names_of(class.methods or class.__index), names[kind])
      assert_same_names(names_of(coev[kind:lower()]), names[kind:lower()])
    end
  end)

  it("has the methods of shared maps", function()
    local methods = {}
    for name in pairs(names.Shared) do methods[name] = coev.thread.shared()[name] end
    assert_same_names(methods, names.Shared)
    assert.is_nil(coev.thread.shared().same)
  end)

  it("has the functions of coev.socket", function()
    assert_same_names(names_of(coev.socket), names.socket)
  end)

  it("has the functions of coev.socket.dns", function()
    assert_same_names(names_of(coev.socket.dns), names.dns)
  end)

  it("has the methods of a TCP socket", function()
    local near, far = peer.pair()
    assert_same_names(
      names_of(getmetatable(near).__index),
      names_of(names.Socket, names.TCP, names.Master, names.Server, names.Client)
    )
    near:close()
    far:close()
  end)

  it("has the methods of UDP sockets, and of sockets with paths", function()
    local udp, stream, dgram = coev.socket.udp(), coev.socket.unix(), coev.socket.unix.dgram()
    assert_same_names(names_of(getmetatable(udp).__index), names_of(names.Socket, names.UDP))
    assert_same_names(
      names_of(getmetatable(stream).__index),
      names_of(names.Socket, names.TCP, names.Master, names.Server, names.Client)
    )
    assert_same_names(names_of(getmetatable(dgram).__index), names_of(names.Socket, names.Dgram))
    stream:close()
    dgram:close()
  end)

  it("has the functions and methods of coev.thread", function()
    -- What sockets have for those who ask as LuaSocket's: of no use here.
    local function methods_of(object)
      local methods = names_of(getmetatable(object).__index)
      methods.class = nil
      return methods
    end
    assert_same_names(names_of(coev.thread), names.thread)
    local thread = coev.thread.new("return 1")
    local job, pool = thread:spawn("return 2"), coev.thread.pool(1)
    assert_same_names(methods_of(thread), names.Thread)
    assert_same_names(methods_of(job), names.Job)
    assert_same_names(methods_of(pool), names.Pool)
    assert_same_names(methods_of(coev.thread.channel()), names.ThreadChannel)
    pool:close()
    pool:join()
    thread:join()
    job:join()
  end)
end)
