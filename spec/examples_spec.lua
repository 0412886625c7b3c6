local coev = require "coev"
local helper = require "spec.helper"
local child = require "spec.support.child"
local loops = require "spec.support.loops"
local peer = require "spec.support.peer"

local socket = coev.socket

-- Starts the example `name`, calls `f` with the port that it prints, and ends the
-- example, whatever `f` does.
local function with_server(name, f, arguments)
  local stop, port = child.start("examples/" .. name .. ".lua", function(output)
    return output:match("127%.0%.0%.1:(%d+)\n")
  end, arguments)
  local ok, err = pcall(f, port)
  stop()
  if not ok then
    error(err, 0)
  end
end

describe("examples/echo.lua", function()
  it("sends lines back to many clients", function()
    with_server("echo", function(port)
      helper.run(function()
        for i = 1, 20 do
          coev.spawn(function()
            local client = assert(socket.connect("127.0.0.1", port))
            for round = 1, 5 do
              local line = i .. " in round " .. round
              client:send(line .. "\n")
              assert.equal(line, (client:receive()))
            end
            client:close()
          end)
        end
      end)
    end)
  end)
end)

describe("examples/slow_server.lua and examples/fetch.lua", function()
  it("fetch pages of every kind side by side", function()
    with_server("slow_server", function(port)
      local urls = {}
      for i, kind in ipairs({ "size", "chunked", "close", "size" }) do
        urls[i] = ("http://127.0.0.1:%s/delay/0.02/%s/%d"):format(port, kind, i * 10000)
      end
      local result = child.run_file("examples/fetch.lua", { arguments = urls })
      assert.equal(0, result.status, result.stderr)
      for i = 1, 4 do
        assert.truthy(result.stdout:find(("\n200 +%d +%%d+%%.%%d%%d  http"):format(i * 10000)), result.stdout)
      end
      assert.truthy(result.stdout:find("4 pages in ", 1, true))
      assert.truthy(result.stderr:find("4 of 4 fetched", 1, true))
    end)
  end)

  it("name what went wrong, page by page", function()
    with_server("slow_server", function(port)
      local result = child.run_file("examples/fetch.lua", {
        arguments = {
          "http://127.0.0.1:" .. port .. "/nothing/here",
          "http://127.0.0.1:" .. peer.free_port() .. "/",
          "gopher://127.0.0.1/",
        },
      })
      assert.equal(1, result.status)
      assert.truthy(result.stdout:find("\n404 +0 "), result.stdout)
      assert.truthy(result.stdout:find("\nconnection refused +0 "), result.stdout)
      assert.truthy(result.stdout:find("\nnot an http URL +0 "), result.stdout)
    end)
  end)
end)

describe("examples/redis.lua", function()
  it("says when there is no server", function()
    local result = child.run_file("examples/redis.lua", {
      arguments = { "127.0.0.1", peer.free_port() },
    })
    assert.equal(1, result.status)
    assert.truthy(result.stderr:find("connection refused", 1, true), result.stderr)
  end)
end)

describe("examples/echo_load.lua", function()
  it("compares every echo", function()
    local result = child.run_file("examples/echo_load.lua", { arguments = { 100, 5 } })
    assert.equal(0, result.status, result.stderr)
    assert.truthy(result.stdout:find("^100 clients, 500 echoes, none wrong, "), result.stdout)
    assert.truthy(result.stderr:find("100 of 100 clients", 1, true))
  end)

  it("says when the limit of descriptors is too low", function()
    local result = child.run_file("examples/echo_load.lua", {
      arguments = { 100 },
      before = "ulimit -n 100",
    })
    assert.equal(1, result.status)
    assert.truthy(result.stderr:find("ulimit -n 220", 1, true), result.stderr)
  end)
end)

describe("examples/oil_mutex.lua", function()
  it("loses nothing with the mutex, and work without it", function()
    local result = child.run_file("examples/oil_mutex.lua", { arguments = { 5, 4 } })
    assert.equal(0, result.status, result.stderr)
    assert.truthy(result.stdout:find("with the mutex:  20 of 20\n", 1, true), result.stdout)
    assert.truthy(result.stdout:find("without a mutex: 4 of 20\n", 1, true), result.stdout)
  end)
end)

describe("examples/producers.lua", function()
  it("brings each item to one consumer", function()
    local result = child.run_file("examples/producers.lua", { arguments = { 3, 2, 20 } })
    assert.equal(0, result.status, result.stderr)
    assert.truthy(result.stdout:find("60 items taken, sum 630, never more than [1-4] in the buffer\n"), result.stdout)
  end)
end)

describe("examples/pipeline.lua", function()
  it("brings all through, and never makes much more than its channels hold", function()
    local result = child.run_file("examples/pipeline.lua", { arguments = { 100, 3, 4 } })
    assert.equal(0, result.status, result.stderr)
    local most = result.stdout:match("^100 numbers .*: sum 169175%.0, never more than (%d+) on their way\n")
    assert.is_true(most and tonumber(most) <= 3 * 4 + 2 * 3 + 1, result.stdout)
  end)
end)

describe("examples/dining.lua", function()
  it("shows the deadlock, and who waits for what, and then feeds all", function()
    local result = child.run_file("examples/dining.lua", { arguments = { 5, 3 } })
    assert.equal(0, result.status, result.stderr)
    assert.truthy(result.stdout:find("^deadlock: 5 tasks wait for ever\n"), result.stdout)
    assert.truthy(result.stdout:find("philosopher 5: lock of mutex ", 1, true), result.stdout)
    assert.truthy(result.stdout:find("left fork first: 0 meals\nlower fork first: 15 meals\n", 1, true), result.stdout)
  end)
end)

describe("examples/crawler.lua", function()
  it("finds each page once, with no more connections than allowed", function()
    local result = child.run_file("examples/crawler.lua", { arguments = { 31, 8, 3 } })
    assert.equal(0, result.status, result.stderr)
    local most = result.stdout:match("^31 pages by 8 workers, never more than (%d+) connections at a time\n")
    assert.is_true(most and tonumber(most) <= 3, result.stdout)
  end)
end)

describe("examples/supervisor.lua", function()
  it("brings every event to every process, and starts a child again until it is through", function()
    local result = child.run_file("examples/supervisor.lua", { arguments = { 50, 20 } })
    assert.equal(0, result.status, result.stderr)
    assert.truthy(result.stdout:find("20 signals brought 1000 events to 50 processes\n0 of them still wait\n", 1, true),
      result.stdout)
    assert.equal(2, select(2, result.stdout:gsub("log: child 'worker' failed: out of luck\n", "")))
    assert.truthy(result.stdout:find("it was started 3 times\n", 1, true), result.stdout)
  end)
end)

-- Runs an example that needs `module`, and answers what it writes; nothing where that is missing, as it must say.
local function with_module(module, name)
  local result = child.run_file("examples/" .. name .. ".lua")
  if not loops[module] then
    assert.equal(1, result.status)
    assert.truthy(result.stderr:find("this example needs " .. module, 1, true), result.stderr)
    pending("there is no " .. module .. " for this Lua")
    return
  end
  assert.equal("", result.stderr)
  assert.equal(0, result.status)
  return result.stdout
end

describe("examples/embed_luv.lua", function()
  it("runs tasks and luv's timers in luv's loop, or says that there is no luv", function()
    local output = with_module("luv", "embed_luv")
    if output then
      assert.equal("coev: ONE\ncoev: TWO\ncoev: THREE\nluv:  4 ticks\n", output)
    end
  end)
end)

describe("examples/host_cqueues.lua", function()
  it("runs cqueues' loop beside tasks, or says that there is no cqueues", function()
    local output = with_module("cqueues", "host_cqueues")
    if output then
      for i = 1, 3 do
        assert.truthy(output:find("cqueues: coroutine " .. i .. "\n", 1, true), output)
        assert.truthy(output:find("coev:    turn " .. i .. "\n", 1, true), output)
      end
      assert.truthy(output:find("\nboth have ended\n$"), output)
    end
  end)
end)

describe("examples/poll_fd.lua", function()
  it("brings each line to all others", function()
    local result = child.run_file("examples/poll_fd.lua", { arguments = { 20 } })
    assert.equal(0, result.status, result.stderr)
    assert.equal("20 clients sent 20 lines, and heard 380\n", result.stdout)
  end)
end)

describe("examples/http_server.lua", function()
  -- Runs `talk` with a function that opens a connection; its `ask` answers status, body, and the fields of the head.
  local function with_clients(talk)
    with_server("http_server", function(port)
      helper.run(function()
        talk(function()
          local client = assert(socket.connect("127.0.0.1", port))
          local asking = {}
          function asking.ask(request)
            client:send(request)
            local status, fields = client:receive():match("^HTTP/1.1 (%d+)"), {}
            for line in client:lines() do
              if line == "" then break end
              local name, value = line:match("^(%S+): (.*)$")
              fields[name] = value
            end
            local length = tonumber(fields["Content-Length"])
            return status, (client:receive(length)), fields
          end
          function asking.ends()
            assert.same({ nil, "closed", "" }, { client:receive() })
            client:close()
          end
          asking.close = function() client:close() end
          return asking
        end)
      end)
    end)
  end

  it("answers many requests on one connection, and says what it does not know", function()
    with_clients(function(open)
      local client = open()
      for _, path in ipairs { "/", "/?a=b" } do
        local status, body = client.ask("GET " .. path .. " HTTP/1.1\r\n\r\n")
        assert.same({ "200", "hello\n" }, { status, body })
      end
      assert.equal("404", (client.ask("GET /none HTTP/1.1\r\nHost: x\r\n\r\n")))
      local status, body = client.ask("POST /upper HTTP/1.1\r\ncontent-LENGTH:5 \r\nA: b\r\n\r\nhello")
      assert.same({ "200", "HELLO" }, { status, body })
      assert.equal("404", (client.ask("POST / HTTP/1.1\r\n\r\n")))
      assert.equal("200", (client.ask("GET / HTTP/1.1\r\nConnection: close\r\n\r\n")))
      client.ends()
    end)
  end)

  it("answers requests that come together, one after the other", function()
    with_clients(function(open)
      local client = open()
      local post = "POST /upper HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"
      assert.equal("200", (client.ask("GET / HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\n\r\n" .. post)))
      assert.equal("404", (client.ask("")))
      assert.equal("HI", (select(2, client.ask(""))))
      client.close()
    end)
  end)

  it("keeps the connections of those alone who ask for it", function()
    with_clients(function(open)
      local client = open()
      assert.equal("200", (client.ask("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")))
      local _, _, fields = client.ask("GET / HTTP/1.0\r\n\r\n")
      assert.equal("close", fields.Connection)
      client.ends()
    end)
  end)

  it("refuses what it cannot understand, or what is too much, and lets the client go", function()
    with_clients(function(open)
      for request, status in pairs {
        ["nonsense\r\n\r\n"] = "400",
        ["HEAD / HTTP/1.1\r\n\r\n"] = "501",
        ["GET / HTTP/2.0\r\n\r\n"] = "400",
        ["POST /upper HTTP/1.1\r\nContent-Length: -1\r\n\r\n"] = "400",
        ["POST /upper HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"] = "400",
        ["POST /upper HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"] = "413",
        ["POST /upper HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"] = "501",
        [("x"):rep(17 * 1024)] = "431",
      } do
        local client = open()
        local said, _, fields = client.ask(request)
        assert.same({ status, "close" }, { said, fields.Connection })
        client.close()
      end
    end)
  end)
end)

describe("examples/proxy.lua", function()
  it("passes both ways, with the end of each", function()
    with_server("echo", function(target)
      with_server("proxy", function(port)
        helper.run(function()
          for i = 1, 5 do
            coev.spawn(function()
              local client = assert(socket.connect("127.0.0.1", port))
              client:send("line " .. i .. "\n")
              assert.equal("line " .. i, (client:receive()))
              client:shutdown("send")
              assert.same({ nil, "closed", "" }, { client:receive() })
              client:close()
            end)
          end
        end)
      end, { "127.0.0.1", target })
    end)
  end)
end)

describe("examples/chat.lua", function()
  it("tells each line to all others", function()
    with_server("chat", function(port)
      helper.run(function()
        local function enter(name)
          local client = assert(socket.connect("127.0.0.1", port))
          client:send(name .. "\n")
          assert.equal("your name? welcome, " .. name, (client:receive()))
          return client
        end
        local ann = enter("ann")
        local bob = enter("bob")
        assert.equal("bob has come", (ann:receive()))
        bob:send("hi\n")
        assert.equal("bob: hi", (ann:receive()))
        ann:send("hello\n")
        assert.same({ "ann: hello" }, { bob:receive() })
        bob:close()
        assert.equal("bob has gone", (ann:receive()))
        ann:close()
      end)
    end)
  end)
end)

describe("examples/udp_time.lua", function()
  it("tells the time, by itself and as a server", function()
    local result = child.run_file("examples/udp_time.lua")
    assert.equal(0, result.status, result.stderr)
    assert.truthy(result.stdout:find("^%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d\n$"), result.stdout)
    local stop, port = child.start("examples/udp_time.lua", function(output)
      return output:match("127%.0%.0%.1:(%d+)\n")
    end, { 0 })
    result = child.run_file("examples/udp_time.lua", { arguments = { "127.0.0.1", port } })
    stop()
    assert.truthy(result.stdout:find("^%d%d%d%d%-"), result.stdout .. result.stderr)
  end)
end)

describe("examples/dns.lua", function()
  it("finds names and addresses", function()
    local result = child.run_file("examples/dns.lua", { arguments = { "localhost", "127.0.0.1", "no such name" } })
    assert.equal(0, result.status, result.stderr)
    assert.truthy(result.stdout:find("localhost +%S*127%.0%.0%.1"), result.stdout)
    assert.truthy(result.stdout:find("127%.0%.0%.1 +localhost\n"), result.stdout)
    assert.truthy(result.stdout:find("no such name +%(host or service not provided, or not known%)"), result.stdout)
  end)
end)

describe("examples/mandelbrot.lua", function()
  it("writes a picture, and shows how far it is", function()
    local result = child.run_file("examples/mandelbrot.lua", { arguments = { 48, 32, 2 } })
    assert.equal(0, result.status, result.stderr)
    local header = "P6\n48 32\n255\n"
    assert.equal(header, result.stdout:sub(1, #header))
    assert.equal(#header + 3 * 48 * 32, #result.stdout)
    -- The middle is of the set, the corner is not.
    local middle = #header + 3 * (16 * 48 + 30)
    assert.equal("\0\0\0", result.stdout:sub(middle + 1, middle + 3))
    assert.not_equal("\0\0\0", result.stdout:sub(#header + 1, #header + 3))
    assert.truthy(result.stderr:find("100%", 1, true))
    assert.truthy(result.stderr:find("48 x 32 points on 2 threads in ", 1, true))
    assert.is_nil(result.stderr:find("failed", 1, true), result.stderr)
  end)
end)

describe("examples/osthread.lua", function()
  it("talks to a thread that computes, and ends another", function()
    local result = child.run_file("examples/osthread.lua", { arguments = { 60000 } })
    assert.equal(0, result.status, result.stderr)
    assert.truthy(result.stdout:find("primes in all:\t6057\n", 1, true), result.stdout)
    assert.truthy(result.stdout:find("an endless one was ended:\tcancelled: enough\n", 1, true), result.stdout)
    assert.equal("", result.stderr)
  end)
end)

describe("examples/multicore_http.lua", function()
  it("serves pages from several threads, and counts them together", function()
    with_server("multicore_http", function(port)
      helper.run(function()
        local function get(path)
          local client = assert(socket.connect("127.0.0.1", port))
          client:send("GET " .. path .. " HTTP/1.1\r\nHost: x\r\n\r\n")
          local status, length, line = client:receive(), nil, client:receive()
          while line ~= "" do
            length = line:match("^Content%-Length: (%d+)$") or length
            line = client:receive()
          end
          local body = client:receive(tonumber(length))
          client:close()
          return status, body
        end
        local tasks = {}
        for i = 1, 20 do
          tasks[i] = coev.spawn(get, i % 2 == 0 and "/fib" or "/")
        end
        for i = 1, 20 do
          local status, body = tasks[i]:await()
          assert.equal("HTTP/1.1 200 OK", status)
          assert.matches(i % 2 == 0 and "^46368\n$" or "^hello from serve %d\n$", body)
        end
        assert.equal("HTTP/1.1 404 Not Found", (get("/nothing")))
        assert.same({ "HTTP/1.1 200 OK", "22\n" }, { get("/hits") })
      end)
    end, { 0, 2 })
  end)
end)

describe("examples/blocking_files.lua", function()
  it("reads files in a pool, and says what cannot be read", function()
    local result = child.run_file("examples/blocking_files.lua", { arguments = { "LICENSE", "no such file" } })
    assert.equal(0, result.status, result.stderr)
    assert.matches(" %d+ lines +%d+ bytes  LICENSE\n", result.stdout)
    assert.truthy(result.stdout:find("no such file: No such file or directory", 1, true), result.stdout)
    assert.truthy(result.stdout:find("and a clock went on meanwhile\n", 1, true))
    result = child.run_file("examples/blocking_files.lua")
    assert.matches("examples/echo.lua\n", result.stdout)
  end)
end)

describe("examples/demo.lua", function()
  it("runs them all, redis where it is installed, and leaves nothing behind", function()
    local result = child.run_file("examples/demo.lua")
    assert.equal(0, result.status, result.stderr)
    assert.truthy(result.stdout:find("1000 clients, 20000 echoes, none wrong", 1, true), result.stdout)
    assert.truthy(result.stdout:find("8 pages in ", 1, true))
    if not result.stdout:find("redis-server is not installed", 1, true) then
      assert.truthy(result.stdout:find("INCR: 4000 on 4 connections", 1, true))
    end
  end)
end)
