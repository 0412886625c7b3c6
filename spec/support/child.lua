-- Programs that a spec starts with the interpreter that runs it.

local assert = require "luassert"

local child = {}

-- Seconds after which a child is killed: its status is 124 or 137 then.
local LIMIT = 10 * tonumber(os.getenv("SPEC_PATIENCE") or 1)

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function write_file(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

-- Calls `f` with a temporary file for each name, and removes them all.
local function with_files(names, f)
  local files = {}
  for _, name in ipairs(names) do
    files[name] = os.tmpname()
  end
  local ok, result = pcall(f, files)
  for _, path in pairs(files) do
    os.remove(path)
  end
  if not ok then
    error(result, 0)
  end
  return result
end

local function shell(command)
  local pipe = assert(io.popen(command))
  local output = pipe:read("*a")
  pipe:close()
  return output
end

-- The running interpreter: the first word of its command line.
function child.interpreter()
  local first = 0
  while arg[first - 1] do
    first = first - 1
  end
  return arg[first]
end

-- Shell assignments with which a child finds the same modules.
local function environment()
  local version = _VERSION:match("%d+%.%d+"):gsub("%.", "_")
  local settings = {}
  for name, value in pairs({ LUA_PATH = package.path, LUA_CPATH = package.cpath }) do
    settings[#settings + 1] = name .. "=" .. quote(value)
    if os.getenv(name .. "_" .. version) then
      settings[#settings + 1] = name .. "_" .. version .. "=" .. quote(value)
    end
  end
  return table.concat(settings, " ")
end

-- The interpreter, the program at `path` and its arguments, as shell words.
local function program(path, arguments)
  local words = { quote(child.interpreter()), quote(path) }
  for _, argument in ipairs(arguments or {}) do
    words[#words + 1] = quote(tostring(argument))
  end
  return table.concat(words, " ")
end

local function outcome(files, status)
  return { stdout = read_file(files.stdout), stderr = read_file(files.stderr), status = status }
end

-- Runs the program at `path` to its end: `{ stdout =, stderr =, status = }`.
-- `options.arguments` are its arguments; `options.before` is shell to run first.
function child.run_file(path, options)
  options = options or {}
  return with_files({ "stdout", "stderr" }, function(files)
    local line = ("%s; %s timeout -k 1 %d %s >%s 2>%s </dev/null; echo $?"):format(
      options.before or ":",
      environment(),
      LIMIT,
      program(path, options.arguments),
      files.stdout,
      files.stderr
    )
    return outcome(files, tonumber(shell(line)))
  end)
end

-- Like `run_file`, for a program given as text.
function child.run(text, options)
  return with_files({ "program" }, function(files)
    write_file(files.program, text)
    return child.run_file(files.program, options)
  end)
end

-- Asserts that the program `text`, with coev at hand, writes `stdout` and nothing else, and ends well.
function child.assert_writes(stdout, text, options)
  local result = child.run("local coev = require 'coev'\n" .. text, options)
  assert.same({ stdout = stdout, stderr = "", status = 0 }, result)
end

-- Starts the program at `path` and waits until `ready(its output)` is true.
-- Returns a function that ends it, and what `ready` returned.
function child.start(path, ready, arguments)
  local output = os.tmpname()
  local process = shell(("%s timeout %d %s >%s 2>&1 </dev/null & echo $!"):format(
    environment(),
    LIMIT,
    program(path, arguments),
    output
  )):match("%d+")
  local function stop()
    os.execute("kill " .. process)
    os.remove(output)
  end
  for _ = 1, LIMIT * 50 do
    local answer = ready(read_file(output))
    if answer then
      return stop, answer
    end
    os.execute("sleep 0.02")
  end
  local text = read_file(output)
  stop()
  error(path .. " is not ready: " .. text, 0)
end

-- Starts the program, sends it SIGINT once it has written something to stdout,
-- and waits for its end as `run` does.
function child.interrupt(text)
  local names = { "program", "stdout", "stderr", "process", "status" }
  return with_files(names, function(files)
    write_file(files.program, text)
    local script = [[
      ( ENVIRONMENT sh -c 'echo $$ >PROCESS; exec "$@" >STDOUT 2>STDERR' sh PROGRAM
        echo $? >STATUS ) </dev/null >/dev/null 2>&1 &
      await() {
        tries=0
        while [ ! -s $1 ] && [ $tries -lt TRIES ]; do sleep 0.02; tries=$((tries + 1)); done
      }
      await STDOUT
      kill -INT $(cat PROCESS)
      await STATUS
      [ -s STATUS ] || kill -KILL $(cat PROCESS)
      wait
      cat STATUS]]
    script = script:gsub("%u%u%u%u+", {
      ENVIRONMENT = environment(),
      PROGRAM = program(files.program),
      PROCESS = files.process,
      STDOUT = files.stdout,
      STDERR = files.stderr,
      STATUS = files.status,
      TRIES = LIMIT * 50,
    })
    return outcome(files, tonumber(shell(script)))
  end)
end

return child
