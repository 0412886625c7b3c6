-- A stream through everything that can come between: it arrives whole.

local coev = require "coev"
local helper = require "spec.helper"
local peer = require "spec.support.peer"

local socket = coev.socket
local random, min = math.random, math.min

-- Bytes of one stream.
local SIZE = 400000

-- Sends `text` in parts of random sizes, under random timeouts, deadlines and cancels.
local function send_all(sock, text)
  local sent = 0
  while sent < #text do
    local last = min(#text, sent + random(60000))
    local index, err, partial
    local way = random(5)
    sock:settimeout(way == 1 and 0 or way == 2 and random() / 500 or nil)
    if way == 4 then
      -- What a deadline, or a cancel, ends so has no results: the counters know how far it came.
      coev.timeout(random() / 1000, sock.send, sock, text, sent + 1, last)
      index = select(2, sock:getstats())
    elseif way == 5 then
      local task = coev.spawn(sock.send, sock, text, sent + 1, last)
      for _ = 1, random(5) do
        coev.yield()
      end
      task:cancel()
      task:join()
      index = select(2, sock:getstats())
    elseif random(2) == 1 then
      index, err, partial = sock:send(text, sent + 1, last)
    else
      local cut = random(sent, last)
      index, err, partial = sock:send({ text:sub(sent + 1, cut), "", text:sub(cut + 1, last) })
      index, partial = index and index + sent, partial and partial + sent
    end
    if not index and partial then
      assert.equal("timeout", err)
      index = partial
    elseif way < 4 then
      assert.equal(last, index)
    end
    assert.is_true(index >= sent and index <= last)
    sent = index
    assert.equal(sent, (select(2, sock:getstats())))
    if random(4) == 1 then
      coev.yield()
    end
  end
  sock:close()
end

-- Reads until the end, in all ways.
local function receive_all(sock)
  local parts = {}
  local data, err, partial
  repeat
    local way = random(5)
    sock:settimeout(way == 1 and 0 or way == 2 and random() / 500 or nil)
    if way == 3 then
      data, err, partial = sock:receiveany(random(30000))
    elseif way == 4 then
      data, err, partial = coev.timeout(random() / 1000, sock.receive, sock, random(30000))
    elseif way == 5 then
      local task = coev.spawn(sock.receive, sock, random(30000))
      coev.yield()
      task:cancel()
      local ok
      ok, data, err, partial = task:join()
      if not ok then
        data, err, partial = nil, "cancelled", nil
      end
    else
      data, err, partial = sock:receive(random(30000))
    end
    parts[#parts + 1] = data or partial
  until not data and err == "closed"
  sock:close()
  return table.concat(parts)
end

describe("a stream of random sizes through random faults", function()
  local pairs_of = {
    TCP = peer.pair,
    ["a pair of paths"] = socket.pair,
  }
  for name, pair in pairs(pairs_of) do
    it("arrives whole by " .. name, function()
      for seed = 1, 5 do
        math.randomseed(seed)
        local bytes = {}
        for i = 1, 4096 do
          bytes[i] = string.char(random(0, 255))
        end
        local text = table.concat(bytes):rep(math.floor(SIZE / 4096))
        helper.run(function()
          local near, far = pair()
          near:setoption("send-buffer-size", 4096)
          local reader = coev.spawn(receive_all, far)
          send_all(near, text)
          local got = reader:await()
          assert.equal(#text, #got, "seed " .. seed)
          assert.is_true(text == got, "seed " .. seed)
        end)
      end
    end)
  end
end)
