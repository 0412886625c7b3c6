local child = require "spec.support.child"

describe("a fork of a process that has loaded coev", function()
  if not jit then
    pending("is made through LuaJIT's ffi: other Luas cannot fork")
    return
  end

  it("is told so at its first use", function()
    child.assert_writes("child\tfalse\tthis process is a fork\nparent\ttrue\n", [[
      local ffi = require "ffi"
      ffi.cdef "int fork(void); int waitpid(int, int *, int); void _exit(int);"
      coev.run(coev.yield)
      local process = ffi.C.fork()
      if process == 0 then
        local ok, err = pcall(coev.run, coev.yield)
        print("child", ok, err:match("this process is a fork"))
        io.stdout:flush()
        ffi.C._exit(0)
      end
      ffi.C.waitpid(process, nil, 0)
      print("parent", (pcall(coev.run, coev.yield)))
    ]])
  end)
end)
