-- Programs of others, unchanged, over coev's sockets: each in a process of its own, since they change what they load.

local child = require "spec.support.child"

-- Is the module installed for this Lua?
local function has(name)
  for pattern in (package.path .. ";" .. package.cpath):gmatch("[^;]+") do
    local file = io.open((pattern:gsub("%?", (name:gsub("%.", "/")))))
    if file then
      file:close()
      return true
    end
  end
  return false
end

-- Runs `text` after coev has taken the place of LuaSocket; it must end with "fine".
local function run(text, ...)
  for _, name in ipairs({ ... }) do
    if not has(name) then
      pending("there is no " .. name .. " for this Lua")
      return
    end
  end
  local result = child.run([[
    local coev = require "coev"
    coev.patch()
    local socket = require "socket"
    assert(socket == coev.socket and require "socket.core" == socket)
  ]] .. text)
  assert.equal("", result.stderr)
  assert.equal("fine\n", result.stdout)
end

-- A command of the system, or nil.
local function command(name)
  local pipe = io.popen("command -v " .. name)
  local path = pipe:read("*l")
  pipe:close()
  return path
end

describe("LuaSocket's own Lua modules", function()
  it("socket.http fetches pages side by side", function()
    run([[
      local http, ltn12 = require "socket.http", require "ltn12"
      local listener = socket.bind("127.0.0.1", 0)
      local url = "http://127.0.0.1:" .. select(2, listener:getsockname()) .. "/"
      local inside, most = 0, 0
      local function page(client)
        local path = client:receive():match("^GET (%S+)")
        repeat local line = client:receive() until line == "" or not line
        inside = inside + 1
        most = math.max(most, inside)
        coev.sleep(0.01)
        inside = inside - 1
        if path == "/chunked" then
          client:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        else
          local body = ("x"):rep(20000)
          client:send("HTTP/1.1 200 OK\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body)
        end
      end
      local right = 0
      coev.run(function()
        local server = coev.spawn(socket.serve, listener, page)
        local fetchers = {}
        for i = 1, 10 do
          fetchers[i] = coev.spawn(function()
            local body, status = http.request(url .. (i % 2 == 0 and "chunked" or "size"))
            assert(status == 200, status)
            if body == (i % 2 == 0 and "hello world" or ("x"):rep(20000)) then right = right + 1 end
          end)
        end
        for _, task in ipairs(fetchers) do assert(task:join()) end
        local parts = {}
        assert(http.request({ url = url .. "size", sink = ltn12.sink.table(parts) }))
        assert(#table.concat(parts) == 20000)
        listener:close()
        server:join()
        local body, err = http.request(url)
        assert(not body and err == "connection refused", err)
      end)
      assert(right == 10 and most > 1, most)
      print("fine")
    ]], "socket.http", "ltn12", "mime.core")
  end)

  it("socket.http takes coev's socket where only package.loaded names it", function()
    if not has("socket.http") or not has("mime.core") then
      pending("there is no socket.http for this Lua")
      return
    end
    local result = child.run([[
      local coev = require "coev"
      package.loaded.socket = coev.socket
      local http = require "socket.http"
      coev.run(function()
        local listener = coev.socket.bind("127.0.0.1", 0)
        local url = "http://127.0.0.1:" .. select(2, listener:getsockname()) .. "/"
        -- Neither is answered before both have come.
        local both = coev.barrier.new(2)
        local server = coev.spawn(coev.socket.serve, listener, function(client)
          repeat local line = client:receive() until line == "" or not line
          both:wait()
          client:send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        end)
        local first, second = coev.spawn(http.request, url), coev.spawn(http.request, url)
        print(first:await(), second:await())
        server:cancel()
        listener:close()
      end)
    ]])
    assert.equal("", result.stderr)
    assert.equal("ok\tok\t200", result.stdout:match("^ok\tok\t200"), result.stdout)
  end)

  it("socket.smtp sends mail, encoded by mime", function()
    run([[
      local smtp, mime, ltn12 = require "socket.smtp", require "mime", require "ltn12"
      local listener = socket.bind("127.0.0.1", 0)
      local received = {}
      local function mailbox(client)
        client:send("220 ready\r\n")
        for line in client:lines() do
          local word = line:sub(1, 4):upper()
          if word == "DATA" then
            client:send("354 go on\r\n")
            for text in client:lines() do
              if text == "." then break end
              received[#received + 1] = text
            end
            client:send("250 taken\r\n")
          elseif word == "QUIT" then
            client:send("221 bye\r\n")
            return
          else
            client:send("250 fine\r\n")
          end
        end
      end
      coev.run(function()
        local server = coev.spawn(socket.serve, listener, mailbox)
        assert(smtp.send({
          from = "<a@example.org>", rcpt = "<b@example.org>",
          server = "127.0.0.1", port = (select(2, listener:getsockname())),
          source = smtp.message({
            headers = { subject = "a test" },
            body = ltn12.source.chain(ltn12.source.string("hello"), mime.encode("base64")),
          }),
        }))
        listener:close()
        server:join()
      end)
      local mail = table.concat(received, "\n")
      assert(mail:lower():find("subject: a test", 1, true) and mail:find((mime.b64("hello")), 1, true), mail)
      print("fine")
    ]], "socket.smtp", "ltn12", "mime.core")
  end)
end)

describe("lua-redis", function()
  it("serves 100 clients side by side, and pub/sub inside coroutine.wrap", function()
    if not command("redis-server") then
      pending("there is no redis-server")
      return
    end
    run([[
      local listener = socket.bind("127.0.0.1", 0)
      local port = select(2, listener:getsockname())
      listener:close()
      local server = io.popen("exec redis-server --port " .. port .. " --bind 127.0.0.1 --save '' --appendonly no " ..
        "--daemonize no >/dev/null 2>&1", "r")
      local redis = require "redis"
      coev.run(function()
        while true do
          local probe = socket.connect("127.0.0.1", port)
          if probe then probe:close() break end
          coev.sleep(0.01)
        end
        local ok, err = pcall(function()
          local tasks = {}
          for i = 1, 100 do
            tasks[i] = coev.spawn(function()
              local client = redis.connect("127.0.0.1", port)
              client:set("key:" .. i, i)
              for _ = 1, 5 do client:incr("sum") end
              assert(client:get("key:" .. i) == tostring(i))
              client:quit()
            end)
          end
          for _, task in ipairs(tasks) do assert(task:join()) end
          local near, far = redis.connect("127.0.0.1", port), redis.connect("127.0.0.1", port)
          assert(near:get("sum") == "500")
          local heard = {}
          local listening = coev.spawn(function()
            for message, abort in far:pubsub({ subscribe = { "news" } }) do
              if message.kind == "subscribe" then
                coev.spawn(function()
                  for _, text in ipairs({ "one", "two", "end" }) do near:publish("news", text) end
                end)
              elseif message.kind == "message" then
                heard[#heard + 1] = message.payload
                if message.payload == "end" then abort() end
              end
            end
          end)
          assert(listening:join())
          assert(table.concat(heard, " ") == "one two end", table.concat(heard, " "))
        end)
        local last = socket.connect("127.0.0.1", port)
        last:send("SHUTDOWN NOSAVE\r\n")
        last:receive()
        last:close()
        if not ok then error(err, 0) end
      end)
      server:close()
      print("fine")
    ]], "redis")
  end)
end)

describe("copas", function()
  it("runs its loop, servers and clients over coev's sockets", function()
    run([[
      local copas = require "copas"
      local listener = assert(socket.bind("127.0.0.1", 0))
      local address, port = listener:getsockname()
      copas.addserver(listener, function(client)
        client = copas.wrap(client)
        while true do
          local line = client:receive()
          if not line then break end
          client:send("echo " .. line .. "\n")
        end
      end)
      local answers, beats = 0, 0
      for i = 1, 10 do
        copas.addthread(function()
          local plain = socket.tcp()
          assert(copas.connect(plain, address, port))
          local sock = copas.wrap(plain)
          for round = 1, 3 do
            local text = i .. " in " .. round
            sock:send(text .. "\n")
            if sock:receive() == "echo " .. text then answers = answers + 1 end
          end
          plain:close()
        end)
      end
      coev.run(function()
        local heart = coev.spawn(function()
          while true do
            beats = beats + 1
            coev.yield()
          end
        end)
        while answers < 30 do copas.step(0.01) end
        heart:cancel()
      end)
      assert(beats > 1, beats)
      print("fine")
    ]], "copas", "coxpcall")
  end)
end)

describe("XML-RPC", function()
  it("calls and serves methods side by side", function()
    run([[
      local xmlrpc = require "xmlrpc"
      local rpc = require "xmlrpc.http"
      local listener = assert(socket.bind("127.0.0.1", 0))
      local url = "http://127.0.0.1:" .. select(2, listener:getsockname()) .. "/"
      local inside, most = 0, 0
      xmlrpc.srvMethods({
        sums = {
          add = function(_, a, b)
            inside = inside + 1
            most = math.max(most, inside)
            coev.sleep(0.01)
            inside = inside - 1
            return a + b
          end,
        },
      })

      local function serve(client)
        local length, line
        repeat
          line = assert(client:receive())
          length = tonumber(line:lower():match("^content%-length: (%d+)")) or length
        until line == ""
        local method, arguments = xmlrpc.srvDecode(assert(client:receive(length)))
        local ok, result = coev.pcall(xmlrpc.dispatch(method), unpack(arguments))
        local answer = xmlrpc.srvEncode(ok and result or { code = 3, message = tostring(result) }, not ok)
        client:send(("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s"):format(
          #answer, answer))
      end

      coev.run(function()
        local server = coev.spawn(socket.serve, listener, serve)
        coev.group(function(group)
          for i = 1, 20 do
            group:spawn(function()
              local ok, sum = rpc.call(url, "sums.add", i, 100)
              assert(ok and sum == i + 100, tostring(sum))
            end)
          end
        end)
        local ok, message, code = rpc.call(url, "sums.add", 1)
        assert(not ok and code == 3 and message:find("arithmetic"), tostring(message))
        server:cancel()
      end)
      assert(most > 1, most)
      print("fine")
    ]], "xmlrpc.http")
  end)
end)
