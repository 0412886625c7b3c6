-- What of coev.socket is better said in Lua. Called with the module's table, coev's, and the natives.
local socket, coev, natives = ...
local error, type, select, setmetatable, tostring = error, type, select, setmetatable, tostring
local floor, min = math.floor, math.min
local unpack = table.unpack or unpack
local ipairs, next, getmetatable, tonumber = ipairs, next, getmetatable, tonumber

-- What only this file calls.
local function take(name)
  local f = socket[name]
  socket[name] = nil
  return f
end

socket._VERSION = "LuaSocket 3.1.0"
socket._DEBUG = false
socket._SOCKETINVALID = -1
socket._DATAGRAMSIZE = 8192
socket.BLOCKSIZE = 2048

function socket.connect4(host, port, local_host, local_port)
  return socket.connect(host, port, local_host, local_port, "inet")
end

function socket.connect6(host, port, local_host, local_port)
  return socket.connect(host, port, local_host, local_port, "inet6")
end

socket.sleep = coev.sleep

-- Methods ------------------------------------------------------------------

local STREAMS = {
  "tcp{master}", "tcp{client}", "tcp{server}", "unixstream{master}", "unixstream{client}", "unixstream{server}",
}
local DATAGRAMS = { "udp{unconnected}", "udp{connected}", "unixdgram{unconnected}", "unixdgram{connected}" }

-- Calls `change` with the methods of each class.
local function each_class(classes, change)
  for _, class in ipairs(classes) do change(natives[class]) end
end

-- The methods of streams, by themselves.
local is_stream = {}
each_class(STREAMS, function(methods) is_stream[methods] = true end)

-- Raises where a method in Lua is called for what is no stream.
local function check_self(sock, name)
  local metatable = type(sock) == "userdata" and getmetatable(sock)
  if not metatable or not is_stream[metatable.__index] then
    local got = sock == nil and "no value" or type(sock)
    error(("calling '%s' on bad self (tcp{any} expected, got %s)"):format(name, got), 3)
  end
end

-- Options that LuaSocket takes in a table: its fields, and the types that they must have.
local MEMBERSHIP = { { "multiaddr", "string" }, { "interface", "string" } }
local MEMBERSHIP6 = { { "multiaddr", "string" }, { "interface", "number", optional = true } }
local FIELDS = {
  ["linger"] = { { "on", "boolean" }, { "timeout", "number" } },
  ["ip-add-membership"] = MEMBERSHIP,
  ["ip-drop-membership"] = MEMBERSHIP,
  ["ipv6-add-membership"] = MEMBERSHIP6,
  ["ipv6-drop-membership"] = MEMBERSHIP6,
}

-- The field of an option's table.
local function field(options, description)
  local name, expected = description[1], description[2]
  local value = options[name]
  if type(value) ~= expected and not (value == nil and description.optional) then
    error(("bad argument #2 to 'setoption' (%s '%s' field expected)"):format(expected, name), 3)
  end
  return value
end

local function with_tables(methods)
  local set, get = methods.setoption, methods.getoption
  function methods.setoption(sock, ...)
    local name, value = ...
    local fields = name ~= nil and FIELDS[name]
    if not fields then return set(sock, ...) end
    natives.check(value, "table", 2, "setoption")
    return set(sock, name, field(value, fields[1]), field(value, fields[2]))
  end
  function methods.getoption(sock, ...)
    if ... ~= "linger" then return get(sock, ...) end
    local on, timeout = get(sock, "linger")
    if on == nil then return nil, timeout end
    return { on = on, timeout = timeout }
  end
end
each_class(STREAMS, with_tables)
each_class(DATAGRAMS, with_tables)

local addresses_of, facts_of, names_of = take("addresses_of"), take("facts_of"), take("names_of")

-- Names are resolved where a task can wait for them.
local function with_names(methods)
  local set = methods.setpeername
  function methods.setpeername(sock, ...)
    local host, port = ...
    local is_name = type(host) == "string" and host ~= "*" and not host:find("^[%d.]+$") and not host:find(":", 1, true)
    local is_service = type(port) == "string" and not tonumber(port)
    if not is_name and (host == "*" or not is_service) then return set(sock, ...) end
    local text, number = addresses_of(host, port)
    if not text then return nil, number end
    local err
    for address in text:gmatch("%w([^\n]*)\n?") do
      local done, problem = set(sock, address, number)
      if done then return done end
      err = problem
    end
    return nil, err
  end
end
each_class({ "udp{unconnected}", "udp{connected}" }, with_names)

natives.until_text = {}
each_class(STREAMS, function(methods)
  local read = methods.receiveuntil
  natives.until_text[methods] = read
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

-- As Lua's files -----------------------------------------------------------

-- Lines are those of files: of their ends, CR LF and LF, nothing is left.
local function with_files(methods)
  local receive, receiveany, send = methods.receive, methods.receiveany, methods.send
  local until_text = natives.until_text[methods]

  -- What `read` answers for one format: as a file does, nil at the end, with what is left before it.
  local function read_one(sock, format, position)
    local data, err, rest
    if type(format) == "number" then
      data, err, rest = receive(sock, format)
    else
      local letter = type(format) == "string" and format:match("^%*?([lLa])")
      if letter == "a" then
        data, err = receive(sock, "*a")
        if err == "closed" then return "" end
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

  -- All that comes from one stream goes to the other.
  function methods.copy(from, to)
    local copied = 0
    while true do
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

function socket.copy(from, to)
  local metatable = type(from) == "userdata" and getmetatable(from)
  local copy = metatable and COPY[metatable.__index]
  if not copy then natives.check(nil, "stream", 1, "copy") end
  return copy(from, to)
end

-- Servers ------------------------------------------------------------------

function socket.listen(host, port, options)
  options = options or {}
  natives.check(options, "table", 3, "listen")
  local addresses, err = { { family = "inet", addr = "0.0.0.0" } }, nil
  if host ~= "*" then addresses, err = socket.dns.getaddrinfo(host) end
  if not addresses then return nil, err end
  for _, entry in ipairs(addresses) do
    local is_v6 = entry.family == "inet6"
    local listener, problem = (is_v6 and socket.tcp6 or socket.tcp4)()
    if not listener then return nil, problem end
    listener:setoption("reuseaddr", true)
    if options.reuseport then listener:setoption("reuseport", true) end
    if is_v6 and options.v6only == false then listener:setoption("ipv6-v6only", false) end
    local done
    done, err = listener:bind(entry.addr, port)
    if done then done, err = listener:listen(options.backlog) end
    if done then return listener end
    listener:close()
  end
  return nil, err
end

-- Seconds between two lines about the same trouble, and between two tries after it.
local QUIET, PAUSE = 1, 0.02

local function to_stderr(text)
  io.stderr:write("coev: serve: ", text, "\n")
end

-- Accepts until the listener is closed; `begin` gets each client.
local function accept_all(listener, log, wait_for_room, begin)
  local told = -QUIET
  while true do
    wait_for_room()
    local client, err = listener:accept()
    if client then
      begin(client)
    elseif err == "closed" then
      return 1
    elseif err ~= "timeout" then
      if coev.now() - told >= QUIET then
        told = coev.now()
        log(err)
      end
      coev.sleep(PAUSE)
    end
  end
end

function socket.serve(listener, handler, options)
  natives.check(handler, "function", 2, "serve")
  options = options or {}
  natives.check(options, "table", 3, "serve")
  if not coev.current() then return coev.spawn(socket.serve, listener, handler, options):await() end
  local server, most = coev.current(), options.max or math.huge
  local live, count, waiting = {}, 0, false

  local function run(client)
    local task = coev.current()
    coev.defer(function()
      live[task] = nil
      count = count - 1
      if waiting then
        waiting = false
        server:resume()
      end
    end)
    coev.defer(function() client:close() end)
    handler(client)
  end

  local function begin(client)
    count = count + 1
    live[coev.spawn(run, client)] = true
  end

  local function wait_for_room()
    while count >= most do
      waiting = true
      coev.suspend()
    end
  end

  local ok, result = coev.pcall(accept_all, listener, options.log or to_stderr, wait_for_room, begin)
  listener:close()
  coev.shield(function()
    while next(live) do
      local task = next(live)
      task:join()
      live[task] = nil
    end
  end)
  if not ok then error(result, 0) end
  return result
end

-- Paths --------------------------------------------------------------------

local unix = { stream = take("unix_stream"), dgram = take("unix_dgram") }
unix.tcp, unix.udp = unix.stream, unix.dgram
socket.unix = setmetatable(unix, {
  __call = function(_, ...) return unix.stream(...) end,
})

-- Select -------------------------------------------------------------------

local await_ready = take("await_ready")
local concat = table.concat

socket._SETSIZE = 1048576

-- The descriptor of what is selected; nil for what has none.
local function descriptor(object, position)
  local getfd = object.getfd
  local fd = getfd and tonumber((getfd(object)))
  if not fd or fd < 0 then return nil end
  if fd >= socket._SETSIZE then
    error(("bad argument #%d to 'select' (descriptor too large for set size)"):format(position), 4)
  end
  return floor(fd)
end

-- Adds the objects of `list` to `wanted`, and to `objects` by their descriptors. Those that have something to be read
-- go to `dirty` at once.
local function collect(list, position, letter, wanted, objects, dirty)
  if list == nil then return end
  if type(list) ~= "table" then
    error(("bad argument #%d to 'select' (table expected, got %s)"):format(position, type(list)), 3)
  end
  local i = 1
  while true do
    local object = list[i]
    if object == nil then return end
    local fd = descriptor(object, position)
    if fd then
      if dirty and object.dirty and object:dirty() then
        dirty[#dirty + 1] = object
      else
        objects[fd] = object
        wanted[#wanted + 1] = ("%d%s"):format(fd, letter)
      end
    end
    i = i + 1
  end
end

-- Each object's place, beside the objects by their places.
local function with_places(list)
  for i = 1, #list do list[list[i]] = i end
  return list
end

function socket.select(readers, writers, timeout)
  if timeout ~= nil and not tonumber(timeout) then natives.check(timeout, "number", 3, "select") end
  local wanted, by_letter = {}, { r = {}, w = {} }
  local readable, writable = {}, {}
  collect(readers, 1, "r", wanted, by_letter.r, readable)
  collect(writers, 2, "w", wanted, by_letter.w)
  local seconds = #readable > 0 and 0 or tonumber(timeout) or -1
  local found = await_ready(concat(wanted), seconds)
  if not found then error("select failed", 2) end
  for letter, fd in found:gmatch("(%a)(%d+)") do
    local list = letter == "r" and readable or writable
    list[#list + 1] = by_letter[letter][tonumber(fd)]
  end
  if #readable == 0 and #writable == 0 then return readable, writable, "timeout" end
  return with_places(readable), with_places(writable)
end

-- Exceptions ---------------------------------------------------------------

-- What `try` has raised, so that `protect` knows it from other errors.
local raised = setmetatable({}, { __mode = "k" })
local OPAQUE = { __metatable = false }

function socket.skip(count, ...)
  local number = tonumber(count)
  if not number then natives.check(count, "number", 1, "skip") end
  if number < 0 then return count, ... end
  return select(floor(number) + 1, ...)
end

function socket.newtry(finalizer)
  return function(...)
    if ... then return ... end
    if finalizer then coev.pcall(finalizer) end
    local problem = setmetatable({ (select(2, ...)) }, OPAQUE)
    raised[problem] = true
    error(problem, 0)
  end
end

local function unwrapped(ok, ...)
  if ok then return ... end
  local problem = ...
  if type(problem) == "table" and raised[problem] then return nil, problem[1] end
  error(problem, 0)
end

function socket.protect(f)
  return function(...)
    return unwrapped(coev.pcall(f, ...))
  end
end

socket.try = socket.newtry()

-- Sources and sinks --------------------------------------------------------

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

-- Names --------------------------------------------------------------------

-- The facts in `text` whose letter is `letter`, in order.
local function facts(text, letter)
  local found = {}
  for kind, fact in text:gmatch("(%w)([^\n]*)\n?") do
    if kind == letter then found[#found + 1] = fact end
  end
  return found
end

local function check_host(host, name)
  if type(host) == "number" then return tostring(host) end
  return natives.check(host, "string", 1, name)
end

-- All that is known of a host: the first fact with that letter, and a table.
local function resolved(letter, text, err)
  if not text then return nil, err end
  local all = { name = facts(text, "n")[1], alias = facts(text, "a"), ip = facts(text, "i") }
  return facts(text, letter)[1], all
end

local dns = { gethostname = take("own_name") }
socket.dns = dns

function dns.toip(host)
  return resolved("i", facts_of(check_host(host, "toip")))
end

function dns.tohostname(host)
  return resolved("n", facts_of(check_host(host, "tohostname")))
end

function dns.getaddrinfo(host)
  local text, err = addresses_of(check_host(host, "getaddrinfo"))
  if not text then return nil, err end
  local list = {}
  for kind, address in text:gmatch("(%w)([^\n]*)\n?") do
    list[#list + 1] = { family = kind == "4" and "inet" or "inet6", addr = address }
  end
  return list
end

function dns.getnameinfo(host, service)
  if host == nil and service == nil then error("host and serv cannot be both nil", 2) end
  if host ~= nil then host = check_host(host, "getnameinfo") end
  if service ~= nil and type(service) ~= "number" then natives.check(service, "string", 2, "getnameinfo") end
  local text, err = names_of(host, service)
  if not text then return nil, err end
  local names = facts(text, "h")
  if service == nil then return names end
  return names, facts(text, "s")[1]
end
