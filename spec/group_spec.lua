local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local pack = require "spec.support.pack"
local peer = require "spec.support.peer"
local support = require "spec.support.tasks"

local unseen_errors = support.unseen_errors

-- Asserts that every task of `tasks` has ended, with `status` where it is given.
local function assert_ended(tasks, status)
  for _, task in ipairs(tasks) do
    local now = task:status()
    assert.is_true(now == "done" or now == "failed" or now == "cancelled", now)
    assert.equal(status or now, now)
  end
end

describe("group", function()
  it("returns the results of its function, nils too, once all have ended", function()
    helper.run(function()
      local ended = 0
      assert.same({ n = 3, nil, 2, nil }, pack(coev.group(function(group)
        for i = 1, 5 do
          group:spawn(function()
            coev.sleep(i / 1000)
            ended = ended + 1
          end)
        end
        return nil, 2, nil
      end)))
      assert.equal(5, ended)
    end)
  end)

  it("without children returns at once", function()
    helper.run(function()
      assert.equal("alone", coev.group(function()
        return "alone"
      end))
      assert.equal(0, select("#", coev.group(function() end)))
    end)
  end)

  it("spawns tasks like any other: arguments, order, results", function()
    helper.run(function()
      local order = {}
      coev.group(function(group)
        local tasks = {}
        for i = 1, 3 do
          tasks[i] = group:spawn(function(...)
            order[#order + 1] = i
            coev.yield()
            return select("#", ...), ...
          end, nil, i, nil)
        end
        assert.same({ true, 3, nil, 2 }, { tasks[2]:join() })
        assert.equal(1, select(3, tasks[1]:await()))
        assert.equal("done", tasks[2]:status())
      end)
      assert.same({ 1, 2, 3 }, order)
    end)
  end)

  it("takes children of its children, up to the end", function()
    helper.run(function()
      local ended = 0
      coev.group(function(group)
        local function nest(depth)
          coev.yield()
          if depth < 20 then
            group:spawn(nest, depth + 1)
          end
          ended = ended + 1
        end
        group:spawn(nest, 1)
      end)
      assert.equal(20, ended)
    end)
  end)

  it("raises the first error, and cancels the siblings and its function", function()
    helper.run(function()
      local tasks, after = {}, false
      local function fail_here()
        error("broken")
      end
      local ok, err = coev.pcall(coev.group, function(group)
        tasks[1] = group:spawn(coev.sleep, 60)
        tasks[2] = group:spawn(function()
          coev.yield()
          fail_here()
        end)
        tasks[3] = group:spawn(coev.suspend)
        coev.sleep(60)
        after = true
      end)
      assert.is_false(ok)
      assert.equal("string", type(err))
      assert.truthy(err:find("group_spec.lua:%d+: broken\n"), err)
      assert.truthy(err:find("stack traceback:", 1, true), err)
      assert.truthy(err:find("fail_here", 1, true), err)
      assert.is_false(after)
      assert.equal("cancelled", tasks[1]:status())
      assert.equal("failed", tasks[2]:status())
      assert.equal("cancelled", tasks[3]:status())
    end)
  end)

  it("keeps the identity of an error value", function()
    helper.run(function()
      local value = {}
      local ok, err = coev.pcall(coev.group, function(group)
        group:spawn(error, value)
      end)
      assert.is_false(ok)
      assert.is_true(rawequal(value, err))
    end)
  end)

  it("raises the error of its function, and cancels the children", function()
    helper.run(function()
      local value, tasks = {}, {}
      local ok, err = coev.pcall(coev.group, function(group)
        for i = 1, 3 do
          tasks[i] = group:spawn(coev.sleep, 60)
        end
        coev.yield()
        error(value)
      end)
      assert.is_false(ok)
      assert.is_true(rawequal(value, err))
      assert_ended(tasks, "cancelled")
    end)
  end)

  it("never lets a child outlive it, however long that takes to tidy up", function()
    helper.run(function()
      local tidied, tasks = 0, {}
      local ok = coev.pcall(coev.group, function(group)
        for i = 1, 3 do
          tasks[i] = group:spawn(function()
            coev.pcall(coev.sleep, 60)
            coev.shield(coev.sleep, i / 1000)
            tidied = tidied + 1
          end)
        end
        coev.yield()
        error("early")
      end)
      assert.is_false(ok)
      assert.equal(3, tidied)
      assert_ended(tasks, "done")
    end)
  end)

  it("lists the errors of all in order of failure, the one it raises first", function()
    helper.run(function()
      local first, second, third = {}, {}, {}
      local group
      local ok, err = coev.pcall(coev.group, function(g)
        group = g
        assert.same({}, g:errors())
        g:spawn(function()
          coev.pcall(coev.sleep, 60)
          coev.shield(coev.sleep, 0.002)
          error(third)
        end)
        g:spawn(function()
          coev.pcall(coev.sleep, 60)
          error(second)
        end)
        g:spawn(coev.sleep, 60)
        coev.yield()
        error(first)
      end)
      assert.is_false(ok)
      assert.is_true(rawequal(first, err))
      local errors = group:errors()
      assert.equal(3, #errors)
      assert.is_true(rawequal(first, errors[1]))
      assert.is_true(rawequal(second, errors[2]))
      assert.is_true(rawequal(third, errors[3]))
    end)
  end)

  it("reports none of its errors elsewhere", function()
    local seen = unseen_errors(function()
      helper.run(function()
        coev.pcall(coev.group, function(group)
          group:spawn(error, "first")
          group:spawn(error, "second")
          group:spawn(function()
            coev.pcall(coev.sleep, 60)
            error("third")
          end)
        end)
      end)
    end)
    assert.same({}, seen)
  end)

  it("raises the error of a child that somebody joins, too", function()
    helper.run(function()
      local joined
      local ok, err = coev.pcall(coev.group, function(group)
        local task = group:spawn(error, "broken", 0)
        joined = { coev.shield(task.join, task) }
      end)
      assert.is_false(ok)
      assert.truthy(tostring(err):find("broken", 1, true))
      assert.is_false(joined[1])
      assert.equal("broken", joined[2])
    end)
  end)

  it("does not fail when a single child is cancelled", function()
    helper.run(function()
      local other
      local result = coev.group(function(group)
        local one = group:spawn(coev.sleep, 60)
        other = group:spawn(coev.sleep, 0.002)
        coev.yield()
        one:cancel("only you")
        return "well"
      end)
      assert.equal("well", result)
      assert.equal("done", other:status())
    end)
  end)

  it("raises a cancelled error that is not its own, like any other", function()
    helper.run(function()
      local other, sibling = support.parked(coev.sleep, 60), nil
      other:cancel("theirs")
      local ok, err = coev.pcall(coev.group, function(group)
        sibling = group:spawn(coev.sleep, 0.005)
        group:spawn(other.await, other)
      end)
      assert.is_false(ok)
      assert.is_true(coev.is_cancelled(err))
      assert.equal("theirs", err.reason)
      assert.equal("cancelled", sibling:status())
    end)
  end)

  it("that fails before its children had a turn never runs them", function()
    helper.run(function()
      local value, tasks, ran = {}, {}, false
      local ok, err = coev.pcall(coev.group, function(group)
        for i = 1, 3 do
          tasks[i] = group:spawn(function()
            ran = true
          end)
        end
        error(value)
      end)
      assert.is_false(ok)
      assert.is_true(rawequal(value, err))
      assert_ended(tasks, "cancelled")
      assert.is_false(ran)
    end)
  end)

  it("is cancelled with the task that runs it", function()
    helper.run(function()
      for _, where in ipairs({ "in its function", "at its end" }) do
        local children, tidied, after = {}, 0, false
        local task = coev.spawn(function()
          coev.group(function(group)
            for i = 1, 3 do
              children[i] = group:spawn(function()
                local ok, err = coev.pcall(coev.sleep, 60)
                coev.shield(coev.sleep, i / 1000)
                tidied = tidied + 1
                if not ok then
                  error(err, 0)
                end
              end)
            end
            if where == "in its function" then
              coev.sleep(60)
            end
          end)
          after = true
        end)
        coev.sleep(0.001)
        task:cancel("all of you")
        support.assert_cancelled(task, "all of you")
        assert.equal(3, tidied)
        assert_ended(children, "cancelled")
        assert.is_false(after)
      end
    end)
  end)

  it("is ended by a deadline around it, and the children first", function()
    helper.run(function()
      local children = {}
      assert.same({ nil, "timeout" }, { coev.timeout(0.002, coev.group, function(group)
        for i = 1, 3 do
          children[i] = group:spawn(coev.sleep, 60)
        end
      end) })
      assert.equal(3, #children)
      assert_ended(children, "cancelled")
    end)
  end)

  it("does not end when a deadline of a child expires", function()
    helper.run(function()
      local results
      assert.equal("well", coev.group(function(group)
        group:spawn(function()
          results = { coev.timeout(0.001, coev.sleep, 60) }
        end)
        return "well"
      end))
      assert.same({ nil, "timeout" }, results)
    end)
  end)

  it("nests: an inner failure ends the outer one unless it is caught", function()
    helper.run(function()
      local value, bystander = {}, nil
      local ok, err = coev.pcall(coev.group, function(outer)
        bystander = outer:spawn(coev.sleep, 60)
        outer:spawn(function()
          coev.group(function(inner)
            inner:spawn(coev.sleep, 60)
            inner:spawn(error, value)
          end)
        end)
      end)
      assert.is_false(ok)
      assert.is_true(rawequal(value, err))
      assert.equal("cancelled", bystander:status())

      local caught
      assert.equal("well", coev.group(function(outer)
        outer:spawn(function()
          caught = not coev.pcall(coev.group, function(inner)
            inner:spawn(error, value)
          end)
        end)
        return "well"
      end))
      assert.is_true(caught)
    end)
  end)

  it("of many tasks waits for all", function()
    helper.run(function()
      local ended = 0
      coev.group(function(group)
        for i = 1, 2000 do
          group:spawn(function()
            coev.sleep((i % 5) / 1000)
            ended = ended + 1
          end)
        end
      end)
      assert.equal(2000, ended)
    end)
  end)

  it("works where no task runs", function()
    local ended = false
    assert.equal("result", coev.group(function(group)
      group:spawn(function()
        coev.sleep(0.002)
        ended = true
      end)
      return "result"
    end))
    assert.is_true(ended)
    local tasks, value = {}, {}
    local ok, err = pcall(coev.group, function(group)
      tasks[1] = group:spawn(coev.sleep, 60)
      tasks[2] = group:spawn(error, value)
    end)
    assert.is_false(ok)
    assert.is_true(rawequal(value, err))
    assert_ended(tasks)
    ok, err = pcall(coev.group, function(group)
      tasks[1] = group:spawn(error, value)
      coev.sleep(60)
    end)
    assert.is_false(ok)
    assert.is_true(rawequal(value, err))
    coev.sleep(0.001)
  end)

  it("closes a race: the first answer ends the others", function()
    helper.run(function()
      local near, far = peer.pair()
      local answer
      local result, err = coev.group(function(group)
        group:spawn(function()
          coev.sleep(0.002)
          answer = "fast"
          group:cancel("answered")
        end)
        group:spawn(function()
          answer = near:receive()
        end)
      end)
      assert.is_nil(result)
      assert.equal("answered", err)
      assert.equal("fast", answer)
      far:send("still there\n")
      assert.equal("still there", (near:receive()))
      near:close()
      far:close()
    end)
  end)

  it("refuses what is not a function", function()
    helper.run(function()
      local ok, err
      for _, value in ipairs({ 12, "text", {} }) do
        ok, err = pcall(coev.group, value)
        assert.is_false(ok)
        assert.truthy(err:find("bad argument #1 to 'group' (function expected, got " .. type(value), 1, true), err)
      end
      coev.group(function(group)
        ok, err = pcall(group.spawn, group, 12)
      end)
      assert.is_false(ok)
      assert.truthy(err:find("bad argument #1 to 'spawn' (function expected, got number", 1, true), err)
    end)
  end)
end)

describe("cancel of a group", function()
  it("ends its function and all children: nil and the reason", function()
    helper.run(function()
      local tasks, after = {}, false
      local group
      coev.spawn(function()
        coev.sleep(0.001)
        group:cancel("enough")
      end)
      local results = { coev.group(function(g)
        group = g
        for i = 1, 3 do
          tasks[i] = g:spawn(coev.sleep, 60)
        end
        coev.sleep(60)
        after = true
      end) }
      assert.same({ nil, "enough" }, results)
      assert.is_false(after)
      assert_ended(tasks, "cancelled")
      assert.same({}, group:errors())
    end)
  end)

  it("without a reason is nil and 'cancelled'", function()
    helper.run(function()
      local task
      assert.same({ nil, "cancelled" }, { coev.group(function(group)
        task = group:spawn(coev.sleep, 60)
        coev.yield()
        group:cancel()
      end) })
      assert.equal("cancelled", task:status())
    end)
  end)

  it("by its own function raises at the function's next wait", function()
    helper.run(function()
      local steps = {}
      assert.same({ nil, "enough" }, { coev.group(function(group)
        group:cancel("enough")
        steps[#steps + 1] = "before"
        coev.yield()
        steps[#steps + 1] = "after"
      end) })
      assert.same({ "before" }, steps)
    end)
  end)

  it("leaves the task that runs it as it was", function()
    helper.run(function()
      coev.group(function(group)
        group:spawn(coev.sleep, 60)
        group:cancel()
        coev.sleep(60)
      end)
      coev.yield()
      coev.sleep(0.001)
    end)
  end)

  it("keeps its first reason", function()
    helper.run(function()
      assert.same({ nil, "first" }, { coev.group(function(group)
        group:cancel("first")
        group:cancel("second")
        coev.yield()
      end) })
    end)
  end)

  it("does not hide an error that comes while it ends", function()
    helper.run(function()
      local value = {}
      local ok, err = coev.pcall(coev.group, function(group)
        group:spawn(function()
          coev.pcall(coev.sleep, 60)
          error(value)
        end)
        coev.yield()
        group:cancel()
      end)
      assert.is_false(ok)
      assert.is_true(rawequal(value, err))
    end)
  end)

  it("from a child ends the child's siblings and itself", function()
    helper.run(function()
      local tasks = {}
      assert.same({ nil, "me too" }, { coev.group(function(group)
        tasks[1] = group:spawn(coev.sleep, 60)
        tasks[2] = group:spawn(function()
          coev.yield()
          group:cancel("me too")
          coev.sleep(60)
        end)
      end) })
      assert_ended(tasks, "cancelled")
    end)
  end)

  it("cancels a child that is spawned afterwards", function()
    helper.run(function()
      local ran = false
      coev.group(function(group)
        group:cancel()
        coev.pcall(group.spawn, group, function()
          coev.yield()
          ran = true
        end)
      end)
      assert.is_false(ran)
    end)
  end)

  it("that has ended changes nothing, and spawn on it raises", function()
    helper.run(function()
      local group
      coev.group(function(g)
        group = g
      end)
      group:cancel()
      assert.same({}, group:errors())
      local ok, err = pcall(group.spawn, group, print)
      assert.is_false(ok)
      assert.truthy(tostring(err):find("group", 1, true), tostring(err))
    end)
  end)
end)

describe("a group whose program ends", function()
  it("is clean", function()
    child.assert_writes("end\n", [[
      coev.spawn(coev.group, function(group)
        group:spawn(coev.sleep, 60)
        group:spawn(function() while true do coev.yield() end end)
      end)
      coev.sleep(0.002)
      print("end")
    ]])
  end)

  it("in a task that nobody joins is reported once when it fails", function()
    local result = child.run([[
      local coev = require "coev"
      coev.run(function()
        coev.spawn(coev.group, function(group)
          group:spawn(error, "out of tea")
          group:spawn(coev.sleep, 60)
        end)
      end)
    ]])
    assert.equal(0, result.status)
    local _, count = result.stderr:gsub("out of tea", "")
    assert.equal(1, count, result.stderr)
  end)
end)

describe("what a child has deferred", function()
  it("belongs to the child: the group waits for it", function()
    helper.run(function()
      local tidy = false
      coev.group(function(group)
        group:spawn(function()
          coev.defer(function()
            coev.sleep(0.002)
            tidy = true
          end)
        end)
        coev.yield()
        coev.yield()
      end)
      assert.is_true(tidy)
    end)
  end)

  it("and fails ends the group, with its error", function()
    helper.run(function()
      local sibling, tidying
      local unseen = support.unseen_errors(function()
        local ok, err = coev.pcall(coev.group, function(group)
          tidying = group:spawn(function()
            coev.defer(function() error("while tidying up", 0) end)
            return "well"
          end)
          sibling = group:spawn(coev.sleep, 60)
          coev.sleep(60)
        end)
        assert.is_false(ok)
        assert.truthy(err:find("while tidying up", 1, true), err)
      end)
      assert.same({}, unseen)
      assert.equal("cancelled", sibling:status())
      assert.equal("failed", tidying:status())
    end)
  end)

  it("and fails after its function has failed leaves that error to the group", function()
    helper.run(function()
      local unseen = support.unseen_errors(function()
        local ok, err = coev.pcall(coev.group, function(group)
          group:spawn(function()
            coev.defer(function() error("second", 0) end)
            error("first", 0)
          end)
        end)
        assert.is_false(ok)
        assert.equal("first", err:match("^[^\n]*"))
      end)
      assert.same({ "second" }, unseen)
    end)
  end)

  it("leaves the results and the traceback of the child as they are", function()
    helper.run(function()
      local fine, broken
      coev.pcall(coev.group, function(group)
        fine = group:spawn(function()
          coev.defer(function() end)
          return 1, nil, 3, nil
        end)
        coev.yield()
        coev.yield()
        broken = group:spawn(function()
          local function where_it_breaks() error("broken") end
          where_it_breaks()
          return 1
        end)
      end)
      assert.same({ n = 5, true, 1, nil, 3, nil }, pack(fine:join()))
      local ok, err, traceback = broken:join()
      assert.is_false(ok)
      assert.truthy(err:find("broken", 1, true))
      assert.truthy(traceback:find("where_it_breaks", 1, true), traceback)
    end)
  end)
end)
