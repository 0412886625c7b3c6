-- The few functions of LuaFileSystem that busted, Penlight and the specs call,
-- for a Lua 5.5 without its C module: they ask the shell.

local lfs = {}

local function quote(path)
  return "'" .. path:gsub("'", "'\\''") .. "'"
end

-- The lines that a command prints; %s in it is `path`, whose /proc/self is this
-- process's.
local function lines(command, path)
  path = quote(path):gsub("^'/proc/self/", "/proc/$PPID/'")
  local pipe = assert(io.popen("exec 2>/dev/null; " .. command:format(path)))
  local found = {}
  for line in pipe:lines() do
    found[#found + 1] = line
  end
  pipe:close()
  return found
end

-- LuaFileSystem's words for those of `stat` that differ.
local MODES = {
  ["regular file"] = "file",
  ["regular empty file"] = "file",
  ["symbolic link"] = "link",
  ["character special file"] = "char device",
  ["block special file"] = "block device",
  fifo = "named pipe",
}

local function attributes(command, path, what)
  local line = lines(command .. " %s -c '%%F/%%s/%%Y'", path)[1]
  if not line then
    return nil, "cannot obtain information from file '" .. path .. "': No such file or directory", 2
  end
  local mode, size, modification = line:match("^(.*)/(%d+)/(%d+)$")
  local found = {
    mode = MODES[mode] or mode,
    size = tonumber(size),
    modification = tonumber(modification),
  }
  if type(what) == "string" then
    return found[what]
  end
  return found
end

function lfs.attributes(path, what)
  return attributes("stat -L", path, what)
end

function lfs.symlinkattributes(path, what)
  return attributes("stat", path, what)
end

function lfs.currentdir()
  return lines("pwd -P", "")[1]
end

-- A process's directory is beyond its children: this can only stay.
function lfs.chdir(path)
  if lines("cd %s && pwd -P", path)[1] == lfs.currentdir() then
    return true
  end
  return nil, "cannot leave the current directory", 95
end

-- Of the descriptors of this process all but the ends of the pipe that the answer comes through: the far one may not
-- be closed yet.
local LIST_DESCRIPTORS = [[ls -l %s | grep -vF -- "-> $(readlink /proc/$$/fd/1)" | sed -n 's/.* \([0-9]*\) -> .*/\1/p']]

function lfs.dir(path)
  local names, at = lines(path == "/proc/self/fd" and LIST_DESCRIPTORS or "ls -a %s", path), 0
  if #names == 0 then
    error("cannot open " .. path .. ": No such file or directory", 2)
  end
  return function()
    at = at + 1
    return names[at]
  end
end

function lfs.mkdir(path)
  return os.execute("mkdir " .. quote(path) .. " 2>/dev/null")
end

function lfs.rmdir(path)
  return os.execute("rmdir " .. quote(path) .. " 2>/dev/null")
end

return lfs
