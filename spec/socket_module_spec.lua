local coev = require "coev"
local helper = require "spec.helper"
local peer = require "spec.support.peer"

local socket = coev.socket

describe("the module", function()
  it("has LuaSocket's constants", function()
    assert.equal("LuaSocket 3.1.0", socket._VERSION)
    assert.equal(2048, socket.BLOCKSIZE)
    assert.equal(8192, socket._DATAGRAMSIZE)
    assert.equal(-1, socket._SOCKETINVALID)
    assert.is_false(socket._DEBUG)
  end)

  it("tells the time of the calendar, and sleeps on the clock of the scheduler", function()
    assert.is_true(math.abs(socket.gettime() - os.time()) < 5)
    local order = {}
    helper.run(function()
      coev.spawn(function()
        order[#order + 1] = "other"
      end)
      socket.sleep(0.005)
      order[#order + 1] = "sleeper"
    end)
    assert.same({ "other", "sleeper" }, order)
  end)

  it("skips results", function()
    assert.same({ "b", "c" }, { socket.skip(1, "a", "b", "c") })
    assert.equal(0, select("#", socket.skip(3, "a", nil, "c")))
    assert.equal(0, select("#", socket.skip(9, "a")))
    assert.equal(0, select("#", socket.skip(math.huge, "a")))
    assert.same({ -1, 2 }, { socket.skip(-1, 2) })
    local nan = "bad argument #1 to 'skip' (number has no integer representation)"
    assert.has_error(function() socket.skip(0 / 0, "a") end, nan)
    assert.has_error(function() socket.skip() end, "bad argument #1 to 'skip' (number expected, got no value)")
  end)

  it("has no inner functions left over", function()
    for name in pairs(socket) do
      assert.is_nil(name:match("_of$"), name)
    end
  end)
end)

describe("try and protect", function()
  it("turn an error into nil and the reason, and pass results through", function()
    local f = socket.protect(function(...)
      return socket.try(...)
    end)
    assert.same({ 1, 2 }, { f(1, 2) })
    assert.same({ nil, "reason" }, { f(nil, "reason", 3) })
    assert.same({ nil, "reason" }, { f(false, "reason") })
    assert.equal(0, select("#", socket.protect(function() end)()))
  end)

  it("call the finalizer before the error is raised", function()
    local calls = 0
    local try = socket.newtry(function()
      calls = calls + 1
      error("is not told")
    end)
    assert.same({ nil, "reason" }, { socket.protect(function() try(nil, "reason") end)() })
    assert.equal(1, calls)
    try(true)
    assert.equal(1, calls)
  end)

  it("leave other errors alone, tables too", function()
    local problem = {}
    local ok, err = pcall(socket.protect(function() error(problem) end))
    assert.is_false(ok)
    assert.equal(problem, err)
    assert.is_false(select(2, pcall(socket.try, nil, "x")) == nil)
    assert.is_false(getmetatable(select(2, pcall(socket.try, nil, "x"))))
  end)

  it("let waits pass", function()
    helper.run(function()
      local other = false
      coev.spawn(function()
        other = true
      end)
      local f = socket.protect(function()
        coev.sleep(0.002)
        socket.try(nil, other)
      end)
      assert.same({ nil, true }, { f() })
    end)
  end)

  it("let a cancel pass", function()
    helper.run(function()
      local went_on = false
      local task = coev.spawn(function()
        socket.protect(function()
          coev.sleep(10)
        end)()
        went_on = true
      end)
      coev.yield()
      task:cancel()
      task:join()
      assert.equal("cancelled", task:status())
      assert.is_false(went_on)
    end)
  end)
end)

describe("choose", function()
  it("picks by name, and the default without one", function()
    local choose = socket.choose({
      default = function(a, b) return "default", a, b end,
      other = function(a, b) return "other", a, b end,
    })
    assert.same({ "other", 1, 2 }, { choose("other", 1, 2) })
    assert.same({ "default", 1, 2 }, { choose(1, 2) })
    assert.has_error(function() choose("none") end)
    local ok, err = pcall(function() choose("none") end)
    assert.is_false(ok)
    assert.truthy(err:find("unknown key (none)", 1, true))
  end)
end)

describe("sources and sinks", function()
  -- All chunks of a source.
  local function drain(source)
    local chunks = {}
    while true do
      local chunk, err = source()
      if not chunk then return table.concat(chunks), err end
      chunks[#chunks + 1] = chunk
    end
  end

  it("read until the end, or a length", function()
    helper.run(function()
      local near, far = peer.pair()
      assert(near:send(("x"):rep(5000)))
      assert.equal(("x"):rep(3000), drain(socket.source("by-length", far, 3000)))
      near:close()
      assert.equal(("x"):rep(2000), drain(socket.source("until-closed", far)))
      assert.equal(-1, far:getfd())
    end)
  end)

  it("write, and close or keep open", function()
    helper.run(function()
      local near, far = peer.pair()
      local keep = socket.sink("keep-open", near)
      assert.equal(3, (keep("abc")))
      assert.equal(1, (keep(nil)))
      assert.is_true(near:getfd() >= 0)
      assert.equal(near:getfd(), keep:getfd())
      local close = socket.sink("close-when-done", near)
      close("def")
      close(nil)
      assert.equal(-1, near:getfd())
      assert.equal("abcdef", (far:receive("*a")))
      far:close()
    end)
  end)
end)

describe("dns", function()
  it("knows localhost both ways", function()
    helper.run(function()
      local ip, all = socket.dns.toip("localhost")
      assert.equal("127.0.0.1", ip)
      assert.equal("localhost", all.name)
      assert.equal("127.0.0.1", all.ip[1])
      assert.equal("table", type(all.alias))
      assert.equal("localhost", (socket.dns.tohostname("127.0.0.1")))
      local found
      for _, entry in ipairs(assert(socket.dns.getaddrinfo("localhost"))) do
        found = found or entry.family == "inet" and entry.addr == "127.0.0.1"
      end
      assert.is_true(found)
      assert.equal("localhost", assert(socket.dns.getnameinfo("localhost"))[1])
      assert.same({}, (socket.dns.getnameinfo(nil, "http")))
      assert.equal("http", select(2, socket.dns.getnameinfo("localhost", 80)))
      assert.equal("string", type(socket.dns.gethostname()))
    end)
  end)

  it("says that a name is unknown", function()
    helper.run(function()
      assert.same({ nil, "host not found" }, { socket.dns.toip("no such name") })
      local found, err = socket.dns.getaddrinfo("no such name")
      assert.is_nil(found)
      assert.equal("host or service not provided, or not known", err)
    end)
  end)

  it("raises for what is no name", function()
    assert.has_error(function() socket.dns.toip() end, "bad argument #1 to 'toip' (string expected, got no value)")
    assert.has_error(function() socket.dns.tohostname({}) end,
      "bad argument #1 to 'tohostname' (string expected, got table)")
    assert.has_error(function() socket.dns.getnameinfo() end, "host and serv cannot be both nil")
  end)

  it("lets other tasks go on, and asks the same question once", function()
    helper.run(function()
      local turns, answers = 0, 0
      for _ = 1, 200 do
        coev.spawn(function()
          assert(socket.dns.toip("localhost"))
          answers = answers + 1
        end)
      end
      while answers < 200 do
        turns = turns + 1
        coev.yield()
      end
      assert.is_true(turns > 1)
    end)
  end)

  it("obeys a deadline and a cancel", function()
    helper.run(function()
      assert.same({ nil, "timeout" }, { coev.timeout(0, socket.dns.toip, "localhost") })
      local task = coev.spawn(socket.dns.toip, "localhost")
      coev.yield()
      task:cancel()
      task:join()
      assert.equal("cancelled", task:status())
    end)
  end)
end)
