-- Streams as Lua's files, and what is read up to a string.
local socket, _, natives = ...
local error, type, select, getmetatable = error, type, select, getmetatable
local tonumber, tostring = tonumber, tostring
local unpack = table.unpack or unpack
local inner = natives.socket
local each_class, check_self, STREAMS = inner.each_class, inner.check_self, inner.STREAMS

-- The plain reading up to a string, by methods.
local until_of = {}
each_class(STREAMS, function(methods)
  local read = methods.receiveuntil
  until_of[methods] = read
  function methods.receiveuntil(sock, pattern, options)
    check_self(sock, "receiveuntil")
    natives.check(pattern, "string", 1, "receiveuntil")
    if pattern == "" then error("bad argument #1 to 'receiveuntil' (empty pattern)", 2) end
    if options ~= nil then natives.check(options, "table", 2, "receiveuntil") end
    local inclusive = options ~= nil and options.inclusive == true
    local ended = false
    -- After the last piece comes one nil, so that a loop over pieces ends.
    return function(size)
      if ended then
        ended = false
        return nil
      end
      local data, err, rest = read(sock, pattern, inclusive, size)
      if err then return data, err, rest end
      ended = size ~= nil and not rest
      return data
    end
  end
end)

local relay = inner.take("relay")
local CLIENTS = { [natives["tcp{client}"]] = true, [natives["unixstream{client}"]] = true }

-- Is it a connected stream of coev's?
local function is_client(object)
  local metatable = type(object) == "userdata" and getmetatable(object)
  return metatable and CLIENTS[metatable.__index]
end

-- The pattern of `receive` for the bytes of a numeral, which it takes from here alone.
local NUMERAL = "\0n"

-- Lines are those of files: of their ends, CR LF and LF, nothing is left.
local function with_files(methods)
  local receive, receiveany, send = methods.receive, methods.receiveany, methods.send
  local until_text = until_of[methods]

  -- What `read` answers for one format: as a file does, nil at the end, with what is left before it.
  local function read_one(sock, format, position)
    local data, err, rest
    if type(format) == "number" then
      data, err, rest = receive(sock, format)
    else
      local letter = type(format) == "string" and format:match("^%*?([lLan])")
      if letter == "a" then
        data, err, rest = receive(sock, "*a")
        if err == "closed" then return "" end
      elseif letter == "n" then
        data, err, rest = receive(sock, NUMERAL)
        if data then return tonumber(data) end
      elseif letter then
        data, err, rest = until_text(sock, "\n", letter == "L")
        if data and letter == "l" then data = data:gsub("\r$", "") end
      else
        error(("bad argument #%d to 'read' (invalid format)"):format(position), 3)
      end
    end
    if err == "closed" then
      if rest == "" then return nil end
      return rest
    elseif err then
      return nil, err, rest
    end
    return data
  end

  function methods.read(sock, ...)
    check_self(sock, "read")
    local count = select("#", ...)
    if count < 2 then return read_one(sock, count == 0 and "l" or (...), 1) end
    local results = {}
    for i = 1, count do
      local data, err = read_one(sock, (select(i, ...)), i)
      if data == nil then
        if not err then return unpack(results, 1, i) end
        results[i + 1] = err
        return unpack(results, 1, i + 1)
      end
      results[i] = data
    end
    return unpack(results, 1, count)
  end

  function methods.lines(sock, format)
    check_self(sock, "lines")
    return function()
      local data, err = read_one(sock, format == nil and "l" or format, 1)
      if err then error(err, 2) end
      return data
    end
  end

  function methods.write(sock, ...)
    check_self(sock, "write")
    local list = { ... }
    for i = 1, select("#", ...) do
      if type(list[i]) == "number" then
        list[i] = tostring(list[i])
      elseif type(list[i]) ~= "string" then
        error(("bad argument #%d to 'write' (string expected, got %s)"):format(i, type(list[i])), 2)
      end
    end
    local sent, err, last = send(sock, list)
    if not sent then return nil, err, last end
    return sock
  end

  -- All that comes from one stream goes to the other: what has been read already, the rest within the kernel where
  -- there is a way, else in pieces.
  function methods.copy(from, to)
    local copied = 0
    while true do
      if not from:dirty() and is_client(from) and is_client(to) then
        local passed, err, partial = relay(from, to)
        if passed then return copied + passed end
        if err ~= "none" and err ~= "Invalid argument" then return nil, err, copied + partial end
      end
      local data, err = receiveany(from, 65536)
      if not data then
        if err == "closed" then return copied end
        return nil, err, copied
      end
      local sent, problem, last = to:send(data)
      copied = copied + (sent or last or 0)
      if not sent then return nil, problem, copied end
    end
  end
end
each_class(STREAMS, with_files)

local COPY = {}
each_class(STREAMS, function(methods)
  COPY[methods] = methods.copy
  methods.copy = nil
end)

-- The function that copies from `sock`, if that is a stream.
local function copy_of(sock)
  local metatable = type(sock) == "userdata" and getmetatable(sock)
  return metatable and COPY[metatable.__index]
end

function socket.copy(from, to)
  local copy = copy_of(from)
  if not copy then natives.check(from, "stream", 1, "copy") end
  if not copy_of(to) then natives.check(to, "stream", 2, "copy") end
  return copy(from, to)
end
