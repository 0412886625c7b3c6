-- Sources and sinks, as LTN12 has them.
local socket = ...
local error, type, setmetatable, tostring = error, type, setmetatable, tostring
local min = math.min

function socket.choose(kinds)
  return function(kind, first, second)
    if type(kind) ~= "string" then
      kind, first, second = "default", kind, first
    end
    local make = kinds[kind]
    if not make then error("unknown key (" .. tostring(kind) .. ")", 3) end
    return make(first, second)
  end
end

-- Something to call that `select` takes for the socket.
local function stand_for(sock, call)
  return setmetatable({
    getfd = function() return sock:getfd() end,
    dirty = function() return sock:dirty() end,
  }, { __call = call })
end

socket.sourcet = {
  ["by-length"] = function(sock, left)
    return stand_for(sock, function()
      if left <= 0 then return nil end
      local chunk, err = sock:receive(min(socket.BLOCKSIZE, left))
      if err then return nil, err end
      left = left - #chunk
      return chunk
    end)
  end,
  ["until-closed"] = function(sock)
    local ended = false
    return stand_for(sock, function()
      if ended then return nil end
      local chunk, err, partial = sock:receive(socket.BLOCKSIZE)
      if not err then return chunk end
      if err ~= "closed" then return nil, err end
      sock:close()
      ended = true
      return partial
    end)
  end,
}
socket.sourcet.default = socket.sourcet["until-closed"]
socket.source = socket.choose(socket.sourcet)

local function sink(at_end)
  return function(sock)
    return stand_for(sock, function(_, chunk)
      if chunk then return sock:send(chunk) end
      at_end(sock)
      return 1
    end)
  end
end

socket.sinkt = {
  ["close-when-done"] = sink(function(sock) sock:close() end),
  ["keep-open"] = sink(function() end),
}
socket.sinkt.default = socket.sinkt["keep-open"]
socket.sink = socket.choose(socket.sinkt)
