-- Something that never ends by itself, to be ended by Ctrl-C.
-- usage: lua interrupt.lua KIND   prints: ready

local kind = arg[1]

local function ready()
  print("ready")
  io.stdout:flush()
end

local kinds = {}

-- Two coroutines in turn, for ever: how the interpreter itself ends.
function kinds.bare()
  local function spin()
    while true do
      coroutine.yield()
    end
  end
  local one, other = coroutine.create(spin), coroutine.create(spin)
  ready()
  while true do
    assert(coroutine.resume(one))
    assert(coroutine.resume(other))
  end
end

-- A loop in which nothing happens.
function kinds.idle()
  local coev = require "coev"
  coev.run(function()
    ready()
    coev.sleep(1000)
  end)
end

-- Tasks that only switch.
function kinds.switching()
  local coev = require "coev"
  local function spin()
    while true do
      coev.yield()
    end
  end
  coev.run(function()
    coev.spawn(spin)
    coev.spawn(spin)
    ready()
  end)
end

kinds[kind]()
