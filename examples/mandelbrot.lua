-- The Mandelbrot set, on all processors: a pool computes the rows, and a picture is written (PPM, which most viewers
-- show).
--
--   lua examples/mandelbrot.lua [width [height [threads]]] >mandelbrot.ppm
--
-- A bar on stderr says how far it is, and at the end how long it took.

local coev = require "coev"

local width = tonumber(arg[1]) or 640
local height = tonumber(arg[2]) or math.floor(width * 3 / 4)
local threads = tonumber(arg[3]) or coev.thread.cpus()

-- Steps after which a point counts as one of the set.
local STEPS = 200
-- Signs of the bar.
local BAR = 50

-- One row as bytes: each thread gets this function once, with copies of what it uses.
local function row(y)
  local bytes, char = {}, string.char
  local scale = 3 / width
  local ci = (y - height / 2) * scale
  for x = 1, width do
    local cr = (x - 1) * scale - 2.2
    local zr, zi, step = 0, 0, 0
    while step < STEPS and zr * zr + zi * zi <= 4 do
      zr, zi, step = zr * zr - zi * zi + cr, 2 * zr * zi + ci, step + 1
    end
    local shade = step < STEPS and step / STEPS or 0
    bytes[x] = char(
      math.floor(255 * math.sqrt(shade)),
      math.floor(255 * shade),
      math.floor(255 * math.sqrt(math.sqrt(shade)))
    )
  end
  return table.concat(bytes)
end

local function show(done)
  local signs = math.floor(BAR * done / height)
  io.stderr:write(("\r[%s%s] %3d%%"):format(("#"):rep(signs), (" "):rep(BAR - signs), math.floor(100 * done / height)))
end

coev.run(function()
  local pool = assert(coev.thread.pool(threads))
  local start, rows, done = coev.now(), {}, 0
  for y = 1, height do
    coev.spawn(function()
      rows[y] = pool:call(row, y - 1)
      done = done + 1
      show(done)
      if done < height then return end
      pool:close()
      io.stderr:write(("\n%d x %d points on %d threads in %.2f s\n"):format(width, height, threads, coev.now() - start))
      io.write(("P6\n%d %d\n255\n"):format(width, height), table.concat(rows))
    end)
  end
end)
