local coev = require "coev"
local helper = require "spec.helper"
local pack = require "spec.support.pack"

local unpack = table.unpack or unpack
local load_text = loadstring or load
local TRUST = { functions = true }
local NAN = 0 / 0
-- Integers that are no floats: 5.3 and later.
local type_of_number = rawget(math, "type") or type
local HAS_INTEGERS = type_of_number ~= type

-- What comes back of `...`, with functions.
local function copies(...)
  return coev.unpack(coev.pack(...), TRUST)
end

-- Asserts that `f(...)` raises an error with that text in it.
local function assert_raises(text, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok, "no error, where one should say: " .. text)
  assert.truthy(tostring(err):find(text, 1, true), tostring(err) .. "\nlacks: " .. text)
end

-- What Lua knows of tables that are nested so deep.
local function nested(depth)
  local value = {}
  for _ = 2, depth do value = { value } end
  return value
end

describe("pack and unpack", function()
  it("give plain values back, nils and their number too", function()
    local back = pack(copies(nil, true, false, 0, -1, 127, 128, -129, 2 ^ 31, "", "text", "\0\255\n", nil))
    assert.equal(13, back.n)
    assert.same({ nil, true, false, 0, -1, 127, 128, -129, 2 ^ 31, "", "text", "\0\255\n", n = 13 }, back)
    assert.equal(0, pack(copies()).n)
  end)

  it("keep floats and integers apart where Lua does", function()
    for _, number in ipairs({ 0.5, -1e300, 2 ^ 53, 2 ^ 60, math.huge, -math.huge, 1e-310 }) do
      local back = copies(number)
      assert.equal(number, back)
      assert.equal(type_of_number(number), type_of_number(back))
    end
    local back = copies(NAN)
    assert.is_true(back ~= back)
    assert.equal("-inf", tostring(1 / copies(-0.0)))
    if HAS_INTEGERS then
      for _, text in ipairs({ "math.maxinteger", "math.mininteger", "1", "-1", "1.0", "2^53" }) do
        local number = load_text("return " .. text)()
        assert.equal(number, copies(number))
        assert.equal(type_of_number(number), type_of_number(copies(number)))
      end
    end
  end)

  it("copy tables with all kinds of keys", function()
    local value = { 1, 2, nil, 4, [0] = "zero", [-1] = "minus", [1.5] = "half", [true] = "yes", x = { y = { "z" } } }
    local back = copies(value)
    assert.same(value, back)
    assert.is_false(value == back)
    local list, map = {}, {}
    for i = 1, 1000 do
      list[i] = i * 3
      map["key " .. i] = { i }
    end
    assert.same({ list, map }, copies({ list, map }))
    local around = {}
    for i = 250, 1, -1 do around[i] = i end
    for i = 250, 260 do around[i] = i end
    assert.same(around, copies(around))
  end)

  it("keep cycles and shared tables as they are", function()
    local shared, all = { "shared" }, {}
    all.self, all.a, all.b, all[shared], all[all] = all, shared, shared, "by table", shared
    local back, again = copies(all, shared)
    assert.equal(back, back.self)
    assert.equal(back.a, back.b)
    assert.equal(back.a, again)
    assert.equal("by table", back[back.a])
    assert.equal(back.a, back[back])
    assert.is_false(back.a == shared)
    local many = {}
    for i = 1, 100 do many[i] = { i } end
    for i = 1, 100 do many[i].next = many[i % 100 + 1] end
    back = copies(many)
    for i = 1, 100 do assert.equal(back[i % 100 + 1], back[i].next) end
  end)

  it("do not ask metamethods, and leave what they copy alone", function()
    local inner = { 3, 2, 1 }
    local outer = { inner = inner }
    coev.pack(outer)
    assert.same({ inner = { 3, 2, 1 } }, outer)
    assert.equal(inner, outer.inner)
  end)

  it("nest as deep as is allowed, and no deeper", function()
    local back, levels = copies(nested(200)), 0
    while back do
      back, levels = back[1], levels + 1
    end
    assert.equal(200, levels)
    assert_raises("tables nest deeper than 200 levels", coev.pack, nested(201))
    local before = coev.message_limits({ depth = 1000 })
    assert.same({ depth = 200, size = 256 * 1024 * 1024 }, before)
    local deep = coev.pack(nested(1000))
    assert.equal("table", type((coev.unpack(deep))))
    coev.message_limits({ depth = 3, size = 100 })
    assert.same({ nil, "oversized" }, { coev.unpack(deep) })
    assert_raises("nest deeper than 3 levels", coev.pack, nested(4))
    assert_raises("arg 1: more than 100 bytes", coev.pack, ("x"):rep(100))
    assert.same({ nil, "oversized" }, { coev.unpack(deep, { size = 50 }) })
    assert.equal("table", type((coev.unpack(deep, { size = 5000, depth = 1000 }))))
    coev.message_limits(nil)
    assert.same(before, coev.message_limits())
  end)

  it("refuse bad limits", function()
    assert_raises("bad argument #1 to 'message_limits'", coev.message_limits, 5)
    local limits = "bad argument #1 to 'message_limits' (field '%s' is %s)"
    assert_raises(limits:format("depth", "not at least 1"), coev.message_limits, { depth = 0 })
    assert_raises(limits:format("size", "not at least 1"), coev.message_limits, { size = NAN })
    assert_raises(limits:format("size", "no number"), coev.message_limits, { size = "x" })
    assert_raises("bad argument #2 to 'unpack' (field 'depth' is not at least 1)", coev.unpack, "", { depth = 0.5 })
    assert_raises("bad argument #1 to 'unpack' (string expected, got table)", coev.unpack, {})
    assert_raises("bad argument #2 to 'unpack'", coev.unpack, "", 1)
    assert_raises("field 'functions' is no boolean", coev.unpack, "", { functions = 1 })
    assert.same({ depth = 200, size = 256 * 1024 * 1024 }, coev.message_limits())
  end)

  it("say what cannot be sent, and where it is", function()
    local co = coroutine.create(function() end)
    assert_raises("bad argument #2 to 'pack' (arg 2.cfg.cb: a coroutine cannot be sent)",
      coev.pack, 1, { cfg = { cb = co } })
    assert_raises("arg 1[2][\"a b\"]: a coroutine cannot be sent", coev.pack, { 1, { ["a b"] = co } })
    assert_raises("arg 1[true]: a coroutine", coev.pack, { [true] = co })
    assert_raises("arg 1.x, a key: a coroutine", coev.pack, { x = { [co] = 1 } })
    assert_raises("arg 1.x, a key.y: a coroutine", coev.pack, { x = { [{ y = co }] = 1 } })
    assert_raises("arg 1: a table with a metatable cannot be sent", coev.pack, setmetatable({}, {}))
    assert_raises("arg 1: userdata cannot be sent", coev.pack, io.stdout)
    assert_raises("arg 1.task: userdata cannot be sent", coev.pack, { task = coev.spawn(function() end) })
    assert_raises("arg 1.ch: an object of this process cannot be sent", coev.pack, { ch = coev.thread.channel() })
    coev.run()
    local a, b = coev.socket.pair()
    assert_raises("arg 1: an object of this process cannot be sent", coev.pack, a)
    a:close()
    b:close()
    assert_raises("arg 1: a C function cannot be sent", coev.pack, (("x"):gmatch(".")))
  end)
end)

describe("functions in a pack", function()
  it("are loaded only on request", function()
    for _, f in ipairs({ function() end, print, string.format, coev.sleep }) do
      local bytes = coev.pack({ f })
      assert.same({ nil, "functions are not allowed" }, { coev.unpack(bytes) })
      assert.same({ nil, "functions are not allowed" }, { coev.unpack(bytes, { functions = false }) })
      assert.equal("function", type(coev.unpack(bytes, TRUST)[1]))
    end
  end)

  it("keep their upvalues, by value", function()
    local count, list = 1, { 10 }
    local function f(by)
      count = count + by
      list[1] = list[1] + by
      return count, list[1]
    end
    local g = copies(f)
    assert.same({ 3, 12 }, { g(2) })
    assert.same({ 2, 11 }, { f(1) })
    assert.same({ 4, 13 }, { g(1) })
  end)

  it("share upvalues with each other where Lua can join them", function()
    local count = 0
    local function up() count = count + 1 return count end
    local function down() count = count - 1 return count end
    local more, less = copies(up, down)
    local can_join = rawget(debug, "upvaluejoin") ~= nil
    assert.equal(1, more())
    assert.equal(2, more())
    assert.equal(can_join and 1 or -1, less())
    assert.equal(0, count)
  end)

  it("call themselves and each other", function()
    local function factorial(n) return n < 2 and 1 or n * factorial(n - 1) end
    assert.equal(120, copies(factorial)(5))
    local even, odd
    function even(n) if n == 0 then return true end return odd(n - 1) end
    function odd(n) if n == 0 then return false end return even(n - 1) end
    assert.is_true(copies(even)(10))
    local object = { n = 1 }
    function object.get() return object.n end
    local copy = copies(object)
    copy.n = 2
    assert.equal(2, copy.get())
    assert.equal(1, object.get())
  end)

  it("see the globals of whoever unpacks them", function()
    local f = copies(load_text("spec_global = (spec_global or 0) + 1 return spec_global, _G"))
    local value, globals = f()
    assert.equal(1, value)
    assert.equal(1, rawget(globals, "spec_global"))
    rawset(globals, "spec_global", nil)
  end)

  it("cross by name when they belong to a library", function()
    local format, yield, toip = string.format, coev.yield, coev.socket.dns.toip
    assert.equal(format, (copies(format)))
    assert.equal(print, copies({ p = print }).p)
    assert.equal(yield, (copies(yield)))
    assert.equal(toip, (copies(toip)))
    local library, socket, strings = coev, coev.socket, string
    local f = copies(function() return library, socket, strings end)
    assert.same({ true, true, true }, { f() == coev, select(2, f()) == socket, select(3, f()) == string })
  end)

  it("say which upvalue cannot be sent", function()
    local co = coroutine.create(function() end)
    local config = { handler = { co } }
    assert_raises("arg 1, upvalue 'co': a coroutine cannot be sent", coev.pack, function() return co end)
    assert_raises("arg 1.f, upvalue 'config'.handler[1]: a coroutine", coev.pack, { f = function() return config end })
  end)

  it("of another Lua, or broken, are told from good ones", function()
    local bytes = coev.pack(function(a) return a end)
    local at = bytes:find("\27", 1, true)
    local broken = bytes:sub(1, at) .. "XYZ" .. bytes:sub(at + 4)
    assert.same({ nil, "malformed message" }, { coev.unpack(broken, TRUST) })
    local unknown = coev.pack(string.format):gsub("format", "frobnz")
    assert.same({ nil, "unknown function" }, { coev.unpack(unknown, TRUST) })
  end)
end)

describe("64-bit integers of LuaJIT", function()
  local has_ffi, ffi = pcall(require, "ffi")

  it("come back as they were", function()
    if not (has_ffi and jit) then return end
    local signed, unsigned = ffi.new("int64_t", -2) - 2 ^ 40, ffi.new("uint64_t", 2 ^ 63)
    local a, b = copies(signed, { unsigned })
    assert.is_true(ffi.istype("int64_t", a) and a == signed)
    assert.is_true(ffi.istype("uint64_t", b[1]) and b[1] == unsigned)
    assert_raises("arg 1: cdata cannot be sent", coev.pack, ffi.new("int[2]"))
    assert_raises("arg 1: cdata cannot be sent", coev.pack, ffi.new("void *"))
  end)

  it("are numbers everywhere else", function()
    if jit then return end
    local head = coev.pack(1):sub(1, 5)
    assert.equal(-2, (coev.unpack(head .. "\12\254" .. ("\255"):rep(7))))
    assert.equal(2 ^ 63, (coev.unpack(head .. "\13" .. ("\0"):rep(7) .. "\128")))
  end)
end)

describe("bytes that are no pack", function()
  local function assert_malformed(bytes)
    assert.same({ nil, "malformed message" }, { coev.unpack(bytes, TRUST) })
  end
  local head = coev.pack():sub(1, 4)

  it("are told from one", function()
    for _, bytes in ipairs({ "", "x", "\206", "\206V", "\206V\1", "\206V\1\0", "PK\1\0\0", ("x"):rep(1000) }) do
      assert_malformed(bytes)
    end
    assert.same({ nil, "unsupported version" }, { coev.unpack("\206V\2\0\0") })
    assert_malformed("\206V\1\128\0")
    assert_malformed(coev.pack(1, 2) .. "x")
    local good = coev.pack({ a = { 1, 2, "three" }, [true] = 4.5 }, ("long"):rep(30))
    for last = 0, #good - 1 do assert_malformed(good:sub(1, last)) end
  end)

  it("announce too much and get nothing for it", function()
    -- So many values, so long a string, so large a table: all with nothing behind.
    assert_malformed(head .. "\255\255\255\255\15")
    assert_malformed(head .. "\1\5\255\255\255\255\255\255\255\255\255\1abc")
    assert_malformed(head .. "\1\7\255\255\255\127\255\255\255\127")
    assert_malformed(head .. "\1\9\255\255\255\255abc")
    -- Each of a thousand tables announces as much as there are bytes.
    local greedy = ("\7\232\3\0\0\0\0\0\0"):rep(100)
    local before = collectgarbage("count")
    assert_malformed(head .. "\1" .. greedy .. ("\0"):rep(1000))
    assert.is_true(collectgarbage("count") - before < 1000)
  end)

  it("have keys or values that no table takes", function()
    assert_malformed(head .. "\1\6\0\1\0\129")
    assert_malformed(head .. "\1\6\1\0\0")
    assert_malformed(head .. "\1\6\0\1\4\0\0\0\0\0\0\248\127\129")
    -- The same key twice: the last one holds.
    assert.same({ x = 2 }, (coev.unpack(head .. "\1\6\0\2Ax\129Ax\130")))
  end)

  it("refer to what is not there", function()
    assert_malformed(head .. "\1\8\0")
    assert_malformed("\206V\1\1\1\8\0")
    assert_malformed("\206V\1\1\1\6\1\0\8\1")
    assert_malformed("\206V\1\1\1\11\0")
    assert_malformed("\206V\1\3\1\14\0")
    assert_malformed(head .. "\1\15")
    assert_malformed(head .. "\1\16")
  end)

  it("never do harm, however they are changed", function()
    local shared = { 1, 2, 3, x = "shared" }
    shared.self = shared
    local seeds = {
      coev.pack(1, -1, 0.5, "text", nil, true, false, ("long"):rep(40)),
      coev.pack({ 1, 2, 3, a = "b", [4.5] = { true } }, { {}, { {} }, { x = { y = {} } } }),
      coev.pack(shared, { shared, shared }, 2 ^ 40),
    }
    -- Its own generator: the same changes on every Lua. `make fuzz` asks for others, and for more.
    local state = tonumber(os.getenv("FUZZ_SEED")) or 20260917
    local function random(most)
      state = (state * 16807) % 2147483647
      return state % most + 1
    end
    local changes = {
      function(bytes, at) return bytes:sub(1, at - 1) .. string.char(random(256) - 1) .. bytes:sub(at + 1) end,
      function(bytes, at) return bytes:sub(1, at - 1) .. bytes:sub(at + random(8)) end,
      function(bytes, at) return bytes:sub(1, at) .. string.char(random(16) - 1) .. bytes:sub(at + 1) end,
      function(bytes, at) return bytes:sub(1, at) .. bytes:sub(random(#bytes), random(#bytes)) .. bytes:sub(at + 1) end,
      function(bytes, at) return bytes:sub(1, at) end,
    }
    local good, bad = 0, 0
    for round = 1, tonumber(os.getenv("FUZZ_ROUNDS")) or 6000 do
      local bytes = seeds[round % #seeds + 1]
      for _ = 1, random(4) do
        if #bytes > 0 then bytes = changes[random(#changes)](bytes, random(#bytes)) end
      end
      local values = pack(coev.unpack(bytes))
      local err = values[2]
      if values.n == 2 and values[1] == nil and type(err) == "string" then
        bad = bad + 1
      else
        good = good + 1
        -- What has come out is as good as any: it goes in again.
        assert.equal("string", type(coev.pack(unpack(values, 1, values.n))))
      end
    end
    assert.is_true(good > 100 and bad > 1000, ("%d good, %d bad"):format(good, bad))
  end)
end)

describe("pack", function()
  it("lasts through a finalizer that changes what it copies", function()
    helper.run(function()
      local victim = {}
      for i = 1, 50 do victim[i] = { function() return i end } end
      for i = 1, 50 do victim["k" .. i] = function() return victim end end
      local make = newproxy or function() return setmetatable({}, {}) end
      local function trap()
        local bait = make(true)
        getmetatable(bait).__gc = function()
          for i = 1, 50 do victim["k" .. i] = nil end
          for i = 1, 100 do victim["new " .. i] = i end
        end
        if not newproxy then setmetatable(bait, getmetatable(bait)) end
      end
      for _ = 1, 20 do
        trap()
        pcall(coev.pack, victim)
        collectgarbage()
      end
      assert.equal("string", type(coev.pack({ 1 })))
    end)
  end)
end)
