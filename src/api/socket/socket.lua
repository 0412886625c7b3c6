-- What of coev.socket is better said in Lua. Called with the module's table, coev's, and the natives; the files beside
-- it come after it, each with the same three.
local socket, coev, natives = ...
local error, type, ipairs, getmetatable, setmetatable = error, type, ipairs, getmetatable, setmetatable

-- What only the files of this module share.
local inner = {}
natives.socket = inner

-- What is for Lua's side alone leaves the module.
function inner.take(name)
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

-- Classes ------------------------------------------------------------------

inner.STREAMS = {
  "tcp{master}", "tcp{client}", "tcp{server}", "unixstream{master}", "unixstream{client}", "unixstream{server}",
}
inner.DATAGRAMS = { "udp{unconnected}", "udp{connected}", "unixdgram{unconnected}", "unixdgram{connected}" }

-- Calls `change` with the methods of each class.
function inner.each_class(classes, change)
  for _, class in ipairs(classes) do change(natives[class]) end
end

-- The methods of streams, by themselves.
local is_stream = {}
inner.each_class(inner.STREAMS, function(methods) is_stream[methods] = true end)

-- Raises where a method in Lua is called for what is no stream.
function inner.check_self(sock, name)
  local metatable = type(sock) == "userdata" and getmetatable(sock)
  if not metatable or not is_stream[metatable.__index] then
    local got = sock == nil and "no value" or type(sock)
    error(("calling '%s' on bad self (tcp{any} expected, got %s)"):format(name, got), 3)
  end
end

-- Paths --------------------------------------------------------------------

local unix = { stream = inner.take("unix_stream"), dgram = inner.take("unix_dgram") }
unix.tcp, unix.udp = unix.stream, unix.dgram
socket.unix = setmetatable(unix, {
  __call = function(_, ...) return unix.stream(...) end,
})
