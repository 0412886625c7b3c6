local coev = require "coev"
local helper = require "spec.helper"

local thread = coev.thread

local function assert_raises(text, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok, "no error, where one should say: " .. text)
  assert.truthy(tostring(err):find(text, 1, true), tostring(err) .. "\nlacks: " .. text)
end

describe("a shared map", function()
  it("gives back what was put in", function()
    local map = thread.shared()
    map:set("text", "value")
    map:set(1, 2.5)
    map:set(true, false)
    map:set(-0.5, 0)
    assert.equal("value", map:get("text"))
    assert.equal(2.5, map:get(1))
    assert.equal(false, map:get(true))
    assert.equal(0, map:get(-0.5))
    assert.is_nil(map:get("nothing"))
    assert.is_nil(map:get(false))
    assert.equal(4, map:len())
    map:set("text", nil)
    map:set("never there", nil)
    assert.is_nil(map:get("text"))
    assert.equal(3, map:len())
  end)

  it("begins with the contents of a table", function()
    local map = thread.shared({ 10, 20, x = { "y" }, [2.5] = true })
    assert.equal(20, map:get(2))
    assert.same({ "y" }, map:get("x"))
    assert.equal(true, map:get(2.5))
    assert.equal(4, #map)
    assert_raises("bad argument #1 to 'shared' (table expected, got number)", thread.shared, 1)
    assert_raises("a table cannot be a key", thread.shared, { [{}] = 1 })
  end)

  it("knows numbers that are equal by one key", function()
    local map = thread.shared()
    map:set(2, "two")
    assert.equal("two", map:get(2.0))
    assert.equal("two", map:get(4 / 2))
    map:set(2 ^ 53, "large")
    assert.equal("large", map:get(2 ^ 53))
    assert.is_nil(map:get("2"))
  end)

  it("keeps copies, as they were then", function()
    local value = { list = { 1 } }
    value.self = value
    local map = thread.shared({ value = value })
    value.list[1] = 2
    local first, second = map:get("value"), map:get("value")
    assert.equal(1, first.list[1])
    assert.equal(first, first.self)
    first.list[1] = 3
    assert.equal(1, second.list[1])
    local function double(x) return x * 2 end
    map:set("f", double)
    assert.equal(8, map:get("f")(4))
  end)

  it("holds what threads share by reference", function()
    helper.run(function()
      local map, inner, channel = thread.shared(), thread.shared(), thread.channel(1)
      map:set("inner", inner)
      map:set("both", { channel, inner })
      map:get("inner"):set("x", 1)
      assert.equal(1, inner:get("x"))
      map:get("both")[1]:send("through")
      assert.equal("through", channel:receive())
      assert.is_true(map:get("inner") == inner)
      assert.is_true(map:get("both")[2] == inner)
      assert.is_false(map == inner)
    end)
  end)

  it("adds in one step", function()
    local map = thread.shared({ n = 5, text = "5", deep = {} })
    assert.equal(8, map:add("n", 3))
    assert.equal(9, map:add("n"))
    assert.equal(8.5, map:add("n", -0.5))
    assert.equal(2, map:add("new", 2))
    assert.equal(2, map:get("new"))
    assert_raises("bad argument #1 to 'add' (what is there is not a number)", map.add, map, "text")
    assert_raises("bad argument #1 to 'add' (what is there is not a number)", map.add, map, "deep", 1)
    assert_raises("bad argument #2 to 'add' (number expected, got string)", map.add, map, "n", "1")
    assert.equal("5", map:get("text"))
    local math_type = rawget(math, "type")
    if math_type then
      assert.equal("integer", math_type(map:add("i", 1)))
      local most = rawget(math, "maxinteger")
      assert.equal(rawget(math, "mininteger"), thread.shared({ most = most }):add("most"))
    end
  end)

  it("exchanges a value for another only where it is the expected one", function()
    local map = thread.shared({ n = 1, s = "text", t = { 1 } })
    assert.is_true(map:cas("n", 1, 2))
    assert.same({ false, 2 }, { map:cas("n", 1, 3) })
    assert.is_true(map:cas("s", "text", nil))
    assert.is_nil(map:get("s"))
    assert.is_true(map:cas("s", nil, { "made once" }))
    assert.same({ false, { "made once" } }, { map:cas("s", nil, "again") })
    assert.same({ false, { 1 } }, { map:cas("t", 1, 2) })
    assert_raises("bad argument #2 to 'cas' (nil, boolean, number or string expected, got table)",
      map.cas, map, "t", {}, 1)
  end)

  it("lists its keys", function()
    local map = thread.shared({ a = 1, [2] = 2, [true] = 3, [0.5] = 4 })
    local set = {}
    for _, key in ipairs(map:keys()) do set[key] = true end
    assert.same({ a = true, [2] = true, [true] = true, [0.5] = true }, set)
    assert.same({}, thread.shared():keys())
    local many = thread.shared()
    for i = 1, 1000 do many:set("key " .. i, i) end
    assert.equal(1000, #many:keys())
  end)

  it("is indexed like a table, but for the names of its methods", function()
    local map = thread.shared()
    map.x = 1
    map[2] = { "two" }
    map.x = map.x + 1
    assert.equal(2, map.x)
    assert.same({ "two" }, map[2])
    assert.is_nil(map.nothing)
    map.x = nil
    assert.equal(1, #map)
    assert.equal("function", type(map.get))
    assert_raises("'get' is a method: use set for a key of that name", function() map.get = 1 end)
    map:set("get", 1)
    assert.equal(1, map:get("get"))
    assert.equal("function", type(map.get))
  end)

  it("is walked over with pairs where Lua asks it", function()
    local map, seen = thread.shared({ a = 1, b = { 2 }, [3] = 3 }), {}
    if not pcall(pairs, map) then return end
    for key, value in pairs(map) do
      seen[key] = value
      map:set(key, nil)
    end
    assert.same({ a = 1, b = { 2 }, [3] = 3 }, seen)
    assert.equal(0, #map)
  end)

  it("refuses bad keys and values, and says where they are", function()
    local map = thread.shared()
    local expected = "string, number or boolean expected, got "
    assert_raises("bad argument #1 to 'get' (" .. expected .. "nil)", map.get, map, nil)
    assert_raises("bad argument #1 to 'set' (" .. expected .. "table)", map.set, map, {}, 1)
    assert_raises("bad argument #1 to 'set' (the key is not a number)", map.set, map, 0 / 0, 1)
    assert_raises(expected .. "table", function() return map[{}] end)
    assert_raises("arg 2.cb: a coroutine cannot be sent", map.set, map, "k", { cb = coroutine.create(function() end) })
    local a, b = coev.socket.pair()
    assert_raises("arg 2[1]: what moves cannot be sent", map.set, map, "k", { a })
    a:close()
    b:close()
    assert_raises("arg 3.f: userdata cannot be sent", map.cas, map, "k", nil, { f = io.stdout })
    assert_raises("calling 'get' on bad self (coev.thread.shared expected, got table)", map.get, {}, 1)
    assert.equal(0, #map)
  end)

  it("is the same map in every thread", function()
    helper.run(function()
      local map = thread.shared({ list = {} })
      local function work(m, id)
        for i = 1, 200 do
          m:add("sum", i)
          m["from " .. id] = { id, i }
          repeat
            local old = m:get("max")
          until old and i <= old or m:cas("max", old, i)
        end
        return m
      end
      local threads = {}
      for id = 1, 3 do threads[id] = thread.new(work, map, id) end
      for id = 1, 3 do
        local ok, same = threads[id]:join(10)
        assert.is_true(ok, same)
        assert.is_true(same == map)
        assert.same({ id, 200 }, map["from " .. id])
      end
      assert.equal(3 * 201 * 100, map.sum)
      assert.equal(200, map.max)
    end)
  end)

  it("outlives the thread that has made it", function()
    helper.run(function()
      local maker = thread.new(function()
        local map = require("coev").thread.shared({ made = "there" })
        map:set("self-made", { map:len() })
        return map
      end)
      local _, map = maker:join(10)
      collectgarbage()
      assert.equal("there", map.made)
      assert.same({ 1 }, map["self-made"])
    end)
  end)

  it("tells what it is", function()
    assert.truthy(tostring(thread.shared()):find("^coev%.thread%.shared: 0x%x+$"))
  end)
end)
