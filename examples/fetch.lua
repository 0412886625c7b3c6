-- Fetches http URLs side by side.
--
--   lua examples/fetch.lua http://127.0.0.1:8080/a http://127.0.0.1:8080/b ...
--
-- Progress goes to stderr, and at the end a table of status, size and time to
-- stdout. The exit status is 1 when a URL could not be fetched.

local coev = require "coev"
local socket = coev.socket

local TIMEOUT_SECONDS = 30
local READ_BYTES = 16 * 1024
local PROGRESS_SECONDS = 0.1

local function split(url)
  local authority, path = url:match("^http://([^/?#]+)([^#]*)")
  if not authority then
    return nil, "not an http URL"
  end
  local host, port = authority:match("^%[(.-)%]:?(%d*)$")
  if not host then
    host, port = authority:match("^([^:]+):?(%d*)$")
  end
  if not host then
    return nil, "not an http URL"
  end
  path = path:match("^/") and path or "/" .. path
  return { authority = authority, host = host, port = port == "" and 80 or port, path = path }
end

-- Reads `left` bytes, or up to the end when that is nil, and counts them.
local function read_bytes(client, page, left)
  while not left or left > 0 do
    local data, err, part = client:receive(math.min(left or READ_BYTES, READ_BYTES))
    page.bytes = page.bytes + #(data or part)
    if not data then
      return err == "closed" and not left, err
    end
    left = left and left - #data
  end
  return true
end

local function read_chunks(client, page)
  while true do
    local line, err = client:receive("*l")
    local size = line and tonumber(line:match("^%x+"), 16)
    if not size then
      return nil, err or "bad chunk"
    end
    local ok
    ok, err = read_bytes(client, page, size)
    if not ok then
      return nil, err
    end
    -- The line behind the data is empty; behind the last chunk it ends a trailer.
    repeat
      line, err = client:receive("*l")
    until not line or line == "" or size > 0
    if not line then
      return nil, err
    end
    if size == 0 then
      return true
    end
  end
end

local function read_headers(client)
  local headers = {}
  while true do
    local line, err = client:receive("*l")
    if not line then
      return nil, err
    elseif line == "" then
      return headers
    end
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    if name then
      headers[name:lower()] = value
    end
  end
end

local function read_answer(client, page)
  local line, err = client:receive("*l")
  if not line then
    return nil, err
  end
  page.status = line:match("^HTTP/%d%.%d (%d%d%d)")
  if not page.status then
    return nil, "not an http answer"
  end
  local headers
  headers, err = read_headers(client)
  if not headers then
    return nil, err
  end
  if (headers["transfer-encoding"] or ""):lower() == "chunked" then
    return read_chunks(client, page)
  end
  return read_bytes(client, page, tonumber(headers["content-length"]))
end

-- Fetches `page.url` and fills in `status` and `bytes`.
local function fetch(page)
  local url, err = split(page.url)
  if not url then
    return nil, err
  end
  local client = socket.tcp()
  client:settimeout(TIMEOUT_SECONDS)
  local ok
  ok, err = client:connect(url.host, url.port)
  if ok then
    ok, err = client:send(table.concat({
      "GET " .. url.path .. " HTTP/1.1",
      "Host: " .. url.authority,
      "Connection: close",
      "\r\n",
    }, "\r\n"))
  end
  if ok then
    ok, err = read_answer(client, page)
  end
  client:close()
  return ok, err
end

-- Writes how far all is, ten times a second, until every page has ended.
local function show_progress(pages, start)
  local done
  repeat
    local bytes = 0
    done = 0
    for _, page in ipairs(pages) do
      bytes = bytes + page.bytes
      done = done + (page.seconds and 1 or 0)
    end
    io.stderr:write(
      ("\r%d of %d fetched, %d bytes, %.1f s"):format(done, #pages, bytes, coev.now() - start)
    )
    if done < #pages then
      coev.sleep(PROGRESS_SECONDS)
    end
  until done == #pages
  io.stderr:write("\n")
end

if #arg == 0 then
  io.stderr:write("usage: lua examples/fetch.lua http://host[:port]/path ...\n")
  os.exit(2)
end

local failed = false

coev.run(function()
  local start = coev.now()
  local pages = {}
  for i, url in ipairs(arg) do
    local page = { url = url, bytes = 0 }
    pages[i] = page
    coev.spawn(function()
      local ok, err = fetch(page)
      page.err = not ok and err or nil
      page.seconds = coev.now() - start
    end)
  end
  show_progress(pages, start)

  print(("%-20s %10s %8s  %s"):format("status", "bytes", "seconds", "url"))
  for _, page in ipairs(pages) do
    failed = failed or page.err ~= nil
    print(("%-20s %10d %8.2f  %s"):format(page.err or page.status, page.bytes, page.seconds, page.url))
  end
  print(("%d pages in %.2f s"):format(#pages, coev.now() - start))
end)

os.exit(failed and 1 or 0)
