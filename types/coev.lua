---@meta coev
-- Every exported name of coev, as LuaCATS annotations: the API reference, and
-- what an editor with the Lua language server completes from.
--
-- Times are seconds, fractions included, on a monotonic clock. Sizes are bytes.
--
-- *Waits* means: only the calling task is parked, the others go on. Called where
-- no task runs, such a function drives the scheduler in place until its own
-- result is there.
--
-- *Fails* means: it returns nil and a short string that says why. Where more
-- follows, it is said. A wrong argument is no failure of that kind: it raises
-- `bad argument #1 to 'receive' (…)`.

---The library: the scheduler, and its parts as fields.
---@class coev
local coev = {}

---Runs until `f` and all other tasks have ended.
---
---Raises the error of `f`: a string with the task's traceback behind it, any
---other value as it is. The other tasks stay then, and a later `run` goes on with
---them. Raises `deadlock: N tasks wait for ever`, and a line for each, when no
---task can ever be woken again. Raises inside a task.
---@param f? fun(...): ... the main task; without it, runs what was spawned
---@param ... any arguments of `f`
---@return any ... the results of `f`; nil and "stopped" when `coev.stop` came first
function coev.run(f, ...) end

---Makes one turn: runs the ready tasks once round, then waits for events for at
---most `timeout`. For use inside another event loop. Raises inside a task.
---@param timeout? number seconds (default 0); a negative one is 0; `math.huge`: until something happens
---@return boolean more whether there are tasks that have not ended
function coev.step(timeout) end

---Makes `coev.run` return at the end of this turn. The tasks stay parked, and a
---later `run` goes on with them.
function coev.stop() end

---The descriptor of the scheduler's own poller: readable when `step` has work from
---outside. For another event loop, which watches it for reading, and calls `step(0)`
---when it is readable or the time of `coev.due` is over. It stays the same, and coev's
---own. *Fails* with what the system says.
---@return integer? fd
---@return string? err
function coev.pollfd() end

---How long a foreign loop may wait, as long as `coev.pollfd` is not readable.
---@return number? seconds 0 while tasks are ready or a timer is due; nil when only the outside can give work
---@nodiscard
function coev.due() end

---Lets `f` wait in the place of `coev.run`, so that a GUI or another event loop owns the
---wait. It may be installed and taken out by a running task: the next wait is the new
---one's. Source: Lubyk, which moved its programs inside Qt's loop so.
---
---`f` gets the descriptor of `coev.pollfd` and the seconds that it may wait, nil for no
---end, and returns when the descriptor is readable or the time is over. When it returns
---sooner or later, all goes on, only looked at more often or later. Its error comes out of
---`run`. It must not wait by coev itself. As long as it is installed the other loop may wake
---any task, so no deadlock is reported.
---@param f? fun(fd: integer, timeout?: number) nil restores coev's own wait; without it, the call only asks
---@return fun(fd: integer, timeout?: number)|nil previous nil for coev's own
function coev.poller(f) end

---*Waits* until one thing is ready, as a poll object with nothing else in it does.
---*Fails* with "timeout", and at once with "closed" for a number that is no open
---descriptor. Raises for what cannot be waited for.
---@param what coev.Pollable
---@param events? "r"|"w"|"rw" (default "r")
---@param timeout? number seconds; nil waits for ever, 0 or less only asks
---@return "r"|"w"|"rw"|"closed"|nil events which of them; "closed" when it was closed while waited for
---@return string? err
function coev.wait(what, events, timeout) end

---Lets `f` run once, in a task of its own: a timer that has been started.
---@param seconds number of at least 0, finite; 0: at the next turn
---@param f fun(...): any what it returns counts as for `coev.timer.new`: a number makes a repeating timer of it
---@param ... any arguments of `f`
---@return coev.Timer timer
function coev.after(seconds, f, ...) end

---Lets `f` run again and again, in a task of its own each time: a timer that has been
---started. The first run comes after one interval.
---@param interval number seconds above 0, finite
---@param f fun(...): any what it returns counts as for `coev.timer.new`
---@param ... any arguments of `f`
---@return coev.Timer timer
function coev.every(interval, f, ...) end

---The clock that all of coev's times are on. It never goes back; its zero means
---nothing.
---@return number seconds
---@nodiscard
function coev.now() end

---Makes a task of `f`, which runs first in the next turn. Tasks start in the order
---in which they were spawned.
---
---The error of a task that nobody joins goes to the handler of `coev.onerror`.
---@param f fun(...): ...
---@param ... any arguments of `f`
---@return coev.Task task
function coev.spawn(f, ...) end

---*Waits* until every other ready task has had its turn. A plain
---`coroutine.yield()` in a task's own coroutine does the same.
function coev.yield() end

---*Waits* for a span of time.
---@param seconds number 0 or less: until the other ready tasks had their turn; `math.huge`: for ever, which is no timer, but a wait that only a cancel or a deadline can end
function coev.sleep(seconds) end

---*Waits* until `coev.now()` has reached `time`. Loops that sleep so do not drift.
---@param time number seconds on the clock of `coev.now`
function coev.sleep_until(time) end

---The task that runs.
---@return coev.Task? task nil where no task runs
---@nodiscard
function coev.current() end

---*Waits* until `f` has ended, and holds off meanwhile what would interrupt its
---waits: a cancel of the task, and deadlines set outside. Deadlines set inside count.
---
---A cancel that arrives inside is raised by `shield` when `f` has returned. One that
---had arrived before is not: so code that tidies up in a cancelled task gets its
---results, and the next wait raises. Errors of `f` pass.
---@param f fun(...): ...
---@param ... any arguments of `f`
---@return any ... the results of `f`
function coev.shield(f, ...) end

---Lets `f` run when the current task has ended, however it ends, and before those
---who join it are woken; last in, first out. A task that is cancelled before its
---first turn has none.
---
---`f` runs in the task and may wait; in a task that was cancelled only under
---`coev.shield`. When it fails, the others still run: a task that had ended well has
---failed with the first such error, in any other case it goes to the handler of
---`coev.onerror`. Raises where no task runs.
---@param f fun()
function coev.defer(f) end

---*Waits* until `f` has ended, with a deadline over all waits in it, whatever called
---them. From the deadline on they raise a cancelled error whose `reason` is
---"timeout", up to this call, which then *fails* with "timeout". It does not when `f`
---returns all the same, however late. Other errors of `f`, a cancel among them, pass.
---
---Calls nest, and the nearest deadline counts. A wait whose wake-up and deadline have
---both come before its turn returns its result. The deadline does not hold for tasks
---that `f` spawns.
---@param seconds number 0 or less has expired at the first wait; `math.huge` never does
---@param f fun(...): ...
---@param ... any arguments of `f`
---@return any ... the results of `f`; nil and "timeout" when its time ran out
function coev.timeout(seconds, f, ...) end

---Whether `value` is the error by which a wait ends when its task was cancelled, or
---when a deadline of `coev.timeout` has passed.
---@param value any
---@return boolean
---@nodiscard
function coev.is_cancelled(value) end

---What waits raise in a task that was cancelled, the same object in all of them, and
---from the deadline of a `coev.timeout` on. `tostring` shows "cancelled", or
---"cancelled: " and the reason.
---@class coev.Cancelled
---@field reason any what `cancel` was given, "cancelled" without; "timeout" for a deadline
local Cancelled = {}

---*Waits* until `f` and all tasks that were spawned into the group have ended, so
---that no child outlives the call.
---
---The first error, of `f` or of a child, cancels all others, and is raised once they
---have ended: a string with the traceback of the task that failed behind it, any
---other value as it is. The errors are not reported elsewhere. When the task that
---waits here is cancelled, or its deadline passes, the children are cancelled, and
---waited for, too. A child that is cancelled by itself leaves the others alone.
---@param f fun(group: coev.Group): ...
---@return any ... the results of `f`; after `Group:cancel` nil and the reason
function coev.group(f) end

---Calls `f` until it succeeds, and *waits* between the tries, longer each time. A try
---fails when `f` raises, or returns nil or false. A cancel, and a deadline set
---outside, are no failures of a try: they pass at once. *Fails* with what the last
---try raised, or returned as its second value.
---@param f fun(): ...
---@param options? coev.RetryOptions
---@return any ... the results of the try that succeeded
function coev.retry(f, options) end

---How `coev.retry` tries.
---@class coev.RetryOptions
---@field tries? number calls of `f` at most (default 4); `math.huge` for no end. No field may be less than 0
---@field wait? number seconds between the first two tries (default 1)
---@field factor? number what each wait is multiplied by to make the next (default 2)
---@field max? number seconds that no wait is longer than (default: no limit)
---@field jitter? number each wait grows by a random part of itself, up to this one (default 0)
local RetryOptions = {}

---Lets `f` run after `coev.run` has ended, also by an error or by `coev.stop`: once,
---where no task runs, last in, first out. One that fails is reported on stderr and
---does not stop the others.
---@param f fun()
function coev.at_exit(f) end

---Values that belong to the current task, such as the request that it serves. A task
---begins with a shallow copy of what its spawner had at that moment.
---@return table values the same table at each call; outside tasks that of the main chunk
---@nodiscard
function coev.locals() end

---Chooses what becomes of the error of a task that failed and that nobody joined.
---
---A function gets the task, its error and the traceback; what it raises itself is
---written to stderr. "raise": `run` or `step` raises the oldest such error, as it is,
---one a call; a later call goes on. nil restores the default: one block on stderr.
---Without an argument the call only asks. That a task was cancelled is no such error.
---@param handler? fun(task: coev.Task, err: any, traceback: string)|"raise"
---@return fun(task: coev.Task, err: any, traceback: string)|"raise"|nil previous nil for the default
function coev.onerror(handler) end

---All tasks that have not ended, in the order in which they were spawned.
---@return coev.Task[] tasks a new table
---@nodiscard
function coev.tasks() end

---What the scheduler has done so far, and has to do now.
---@return coev.Stats stats a new table
---@nodiscard
function coev.stats() end

---@class coev.Stats
---@field tasks integer tasks that have not ended
---@field switches integer turns given to tasks so far
---@field polls integer looks for events so far
---@field timers integer timers that run: sleeps, timeouts, started timers
---@field fds integer descriptors that are watched
---@field idle number seconds spent waiting for events
---@field busy number seconds spent otherwise
local Stats = {}

---Says whether tasks remember where they were spawned: the tracebacks of those
---spawned from now on end with that place. Mutexes, channels and their friends that
---are made from now on say where that was, in `tostring`, in `task:waiting` and in the
---report of a deadlock. nil turns it off, which is the default;
---without an argument the call only asks.
---@param on? boolean
---@return boolean previous
function coev.debug(on) end

---The tasks that `coev.group` waits for.
---@class coev.Group
local Group = {}

---Spawns a task that belongs to the group, as `coev.spawn` does. In a group that is
---being cancelled it never runs. Raises once the group has ended.
---@param f fun(...): ...
---@param ... any arguments of `f`
---@return coev.Task task
function Group:spawn(f, ...) end

---Cancels all children and the function of the group, whose call then returns nil and
---the reason. Of several reasons the first one counts.
---@param reason? any (default "cancelled")
---@return boolean ok false when the group has ended
function Group:cancel(reason) end

---The errors so far, in order of failure; the first is the one that `coev.group`
---raises. What a child has deferred is of the child. That a child was cancelled is no error.
---@return any[] errors a new table
---@nodiscard
function Group:errors() end

---A function that the scheduler runs in a coroutine of its own. Made by
---`coev.spawn`. `tostring` shows its address and name.
---@class coev.Task
local Task = {}

---@alias coev.Status
---| "ready" # it will run in this or the next turn
---| "running" # it is the task that runs
---| "waiting" # it is parked in a call that waits
---| "done" # its function has returned
---| "failed" # its function has raised an error
---| "cancelled" # it was cancelled: it ended by the cancelled error, or never ran

---*Waits* until the task has ended. Any number of tasks may join one, also after
---its end.
---@param timeout? number seconds; nil waits for ever, 0 or less only asks
---@return boolean ok false when the task failed, was cancelled, or has not ended in time
---@return any ... after true the results of its function; after false the error and its traceback, or "timeout"
function Task:join(timeout) end

---*Waits* until the task has ended, like `join`, and raises its error as it is: for a
---task that was cancelled the cancelled error. Raises the string "timeout" when the
---task has not ended in time.
---@param timeout? number seconds; nil waits for ever, 0 or less only asks
---@return any ... the results of its function
function Task:await(timeout) end

---Cancels the task: the wait in which it is parked, and every later one, raises the
---cancelled error, outside `coev.shield`. So whatever tidies up in it runs. The
---running task itself is cancelled at its next wait; a task before its first turn
---never runs. A plain `coroutine.yield()` does not raise.
---
---A task that ends by that error is "cancelled", which is not reported; by another
---error "failed"; normally, all the same, "done". The tasks that it has spawned go on.
---@param reason? any becomes the error's `reason` (default "cancelled"); a second cancel does not change it
---@return boolean ok false when the task has ended
function Task:cancel(reason) end

---What the task does at the moment.
---@return coev.Status status
---@nodiscard
function Task:status() end

---The name that tracebacks and `tostring` show, also when the task has ended.
---@param name? string the new name
---@return string name the name until now
function Task:name(name) end

---What the task waits for, as one line: "sleep", "join of task #7", "receive on tcp
---127.0.0.1:6379", "lock of mutex 0x55d0c0ffee00".
---@return string what "its turn" for a task that is ready, "nothing" for one that has ended
---@nodiscard
function Task:waiting() end

---Where the task is: the traceback of its coroutine, or for one that failed that
---of its error.
---@return string traceback several lines
---@nodiscard
function Task:traceback() end

---Wakes a task that is parked in `coev.suspend`, which returns the
---values. *Fails* with "not suspended" when the task has ended, is ready, was resumed
---already, or waits for anything else.
---@param ... any what `suspend` returns
---@return true? ok
---@return string? err
function Task:resume(...) end

---From now on the task lives only as long as somebody else holds its handle. When that
---is collected the task is dropped: it never runs again, what it has deferred runs,
---and who joins it gets false and a cancelled error with the reason "collected".
---@return coev.Task task itself
function Task:weaken() end

---*Waits* until another task calls `task:resume(...)`: the building block for what
---coev does not have. Raises outside tasks, where nobody could resume.
---@return any ... what `resume` was given
function coev.suspend() end

---Like the stock `pcall`; waits pass through it on Lua 5.1 too. Elsewhere it is the
---stock function.
---@param f fun(...): ...
---@param ... any arguments of `f`
---@return boolean ok
---@return any ... the results of `f`, or its error
function coev.pcall(f, ...) end

---Like the stock `xpcall`; waits pass through it on Lua 5.1 too. There `handler` is
---called when the error has left `f`, and sees no more of where it was.
---@param f fun(...): ...
---@param handler fun(err: any): any
---@param ... any arguments of `f`
---@return boolean ok
---@return any ... the results of `f`, or what `handler` made of its error
function coev.xpcall(f, handler, ...) end

---Puts coev's versions in place of the stock ones, for code that knows nothing of
---coev: `coroutine` (the functions of the global table), `pcall` (and `xpcall`),
---`socket` (what `require "socket"` returns). May be called again. Raises for other
---names.
---@param what? { coroutine?: boolean, pcall?: boolean, socket?: boolean } all when absent
function coev.patch(what) end

---Copies values into a string, which `coev.unpack` reads in any Lua, on any machine: nil,
---booleans, numbers (integers stay integers, floats floats; without integers, a number
---that is exactly an integer goes as one), strings, tables with cycles and shared
---references, functions (as `coev.thread` copies them, and for the same Lua only), and
---LuaJIT's 64-bit integers.
---
---*Raises* for what cannot be sent, and says where it is: a table with a metatable, a C
---function of no standard library, userdata, a coroutine, light userdata, other cdata,
---what only threads can share; also beyond `coev.message_limits`.
---@param ... any
---@return string bytes
---@nodiscard
function coev.pack(...) end

---The values that a string of `coev.pack` holds, the first of which may be nil, too.
---
---Safe on hostile input: it takes memory in proportion to the string. *Fails* with
---"malformed message", "oversized", "unsupported version" (of the format), "functions are
---not allowed" or "unknown function" (by name, and not there). Where a key comes twice,
---the last one holds.
---@param bytes string
---@param options? coev.UnpackOptions
---@return any ... the values; nil and what is wrong
function coev.unpack(bytes, options) end

---What `coev.unpack` allows.
---@class coev.UnpackOptions
---@field functions? boolean may there be functions (default false)? Bytecode can do anything to a process: only for strings from those whom you let run code
---@field depth? integer levels of tables (default: that of `coev.message_limits`), at most 1000
---@field size? integer bytes of the string (default: that of `coev.message_limits`)
local UnpackOptions = {}

---What messages may be at most in this Lua state: those of `coev.pack` and `coev.unpack`, of
---sockets, and those that it sends to other threads. Without an argument it only tells.
---@param limits? coev.MessageLimits nil restores the default; an absent field stays as it is
---@return coev.MessageLimits before
function coev.message_limits(limits) end

---What messages may be at most.
---@class coev.MessageLimits
---@field depth? integer levels of tables (default 200), at most 1000
---@field size? integer bytes (default 256 MiB)
local MessageLimits = {}

---The stock coroutine functions, but waits inside pass through to the scheduler, at
---any depth: only what a script yields itself comes out of `resume` and `wrap`. The
---coroutines are plain ones, that the stock functions take too; resumed by those,
---they drive the scheduler in place when they wait.
---@class coev.coroutine
local coroutines = {}

coev.coroutine = coroutines

---@param f fun(...): ...
---@return thread co
---@nodiscard
function coroutines.create(f) end

---*Waits* while what it resumes does. A coroutine that waits in another task cannot be
---resumed.
---@param co thread
---@param ... any
---@return boolean ok
---@return any ... what it yields or returns, or its error
function coroutines.resume(co, ...) end

---@param f fun(...): ...
---@return fun(...): ... next resumes the coroutine, *waits* with it, and raises its error
---@nodiscard
function coroutines.wrap(f) end

---@param ... any
---@return any ... what it is resumed with
function coroutines.yield(...) end

---@param co thread
---@return "running"|"suspended"|"normal"|"dead" status
---@nodiscard
function coroutines.status(co) end

---@return thread? co nil in the main chunk of Lua 5.1 and LuaJIT
---@return boolean? is_main from Lua 5.2 on
---@nodiscard
function coroutines.running() end

---@param co? thread from Lua 5.4 on (default: the running one)
---@return boolean yieldable
---@nodiscard
function coroutines.isyieldable(co) end

---Ends a coroutine that is suspended or dead. Where Lua itself has no `close`, it
---cannot be resumed any more, and its garbage is collected.
---@param co thread
---@return boolean ok
---@return any err of a variable that was to be closed
function coroutines.close(co) end

---Handlers that wait for events by name, and children that are started again when
---they end. Source: the lua-users wiki's "Coroutines As Event Handlers", and
---Erlang's supervisors. Also `require "coev.supervisor"`.
---@class coev.supervisor
local supervisor = {}

coev.supervisor = supervisor

---@class coev.supervisor.Options
---@field strategy? "one_for_one"|"one_for_all"|"rest_for_one" who is started again with a child: it alone (default), all, it and those that were started after it
---@field max_restarts? number restarts that are forgiven within the span (default 3)
---@field within? number seconds, the span (default 5)
---@field log? fun(text: string) called for each start, end, restart and failure, and each event that nobody waits for (default: failures go to stderr)
---@field group? coev.Group the group that fails with the supervisor, and with which it ends

---@class coev.supervisor.Child
---@field run fun() what the child does
---@field name? string one that no other child has
---@field restart? "permanent"|"transient"|"temporary" started again whenever it ends (default); only when it failed; never

---Made inside a child of another supervisor it belongs to that child: its failure is
---the child's, it ends with the child, and the child ends no sooner.
---@param options? coev.supervisor.Options
---@return coev.Supervisor supervisor
---@nodiscard
function supervisor.new(options) end

---Made by `coev.supervisor.new`.
---@class coev.Supervisor
local Supervisor = {}

---Runs `f` at once, until it first waits, as a task of its own. When it fails, the
---others go on.
---@param name string for `status`, the log and tracebacks
---@param f fun(...): ...
---@param ... any arguments of `f`
---@return coev.Task task
function Supervisor:introduce(name, f, ...) end

---*Waits* for a signal of `event`, in a handler or any other task. *Fails* with
---"timeout", and with "closed" when the supervisor is done.
---@param event any but nil
---@param timeout? number seconds
---@return any event
---@return any ... the values of the signal, or why there is none
function Supervisor:waitfor(event, timeout) end

---Wakes all that wait for `event` now, and *waits* until they have had their turn: they
---have come to their next wait. What they introduce or signal belongs to their turn.
---@param event any but nil
---@param ... any values for those that wait
---@return boolean waiting whether anybody waits for `event` then
function Supervisor:signal(event, ...) end

---Who there is: handlers and children.
---@return any[][] list of `{ name, event }`, sorted by name; of one that waits for no event, what `task:waiting` says
---@nodiscard
function Supervisor:status() end

---Starts a child, a task, at the next turn, and again when it ends.
---
---Past the limit of restarts the supervisor ends its children, the youngest first, and
---fails with an error that names child and limit. The failure goes to who joins the
---supervisor, to its group, to the child that it was made in, or else to
---`coev.onerror`.
---@param child coev.supervisor.Child
---@return coev.Task task of its first start
function Supervisor:child(child) end

---Cancels all handlers and children and, unless one of them calls it, *waits* for their
---end. Whoever else waits for an event gets nil and "closed". It is for good.
function Supervisor:done() end

---*Waits* until there are no children any more.
---@param timeout? number seconds
---@return boolean ok false when the supervisor failed, or not in time
---@return any ... after false the error and its traceback, or "timeout"
function Supervisor:join(timeout) end

---*Waits* like `join`, and raises the error or "timeout".
---@param timeout? number seconds
function Supervisor:await(timeout) end

---Functions that run after a while, or again and again. Also `require "coev.timer"`.
---@class coev.timer
local timer = {}

coev.timer = timer

---A timer that has not been started yet. Source: Lubyk, for the interval that the
---function returns.
---
---Each run is a task of its own. The next one is due an interval after the last one was
---due, however late that came, and runs never overlap: what would have come meanwhile
---is skipped. A run that fails stops its timer, no other, and its error goes the way of
---any task's: to who joins, or to `coev.onerror`.
---@param interval number seconds above 0, finite; below a nanosecond it counts as one
---@param f fun(...): any a number above 0 is the interval from then on; false and 0 stop it; a number below 0 is an error
---@param ... any arguments of `f`, the same at each run
---@return coev.Timer timer
---@nodiscard
function timer.new(interval, f, ...) end

---Made by `coev.timer.new`, `coev.after` and `coev.every`. `coev.run` waits for it while
---it is started. `tostring` shows its interval, and when it is due.
---@class coev.Timer
local Timer = {}

---Starts the timer, or starts it anew: the first run comes after `delay`. While it runs
---the run goes on, and the delay counts from now.
---@param delay? number seconds of at least 0, finite (default: the interval, or 0 for one of `coev.after`)
---@return coev.Timer timer itself
function Timer:start(delay) end

---Stops the timer: no further run begins. The one in progress goes on.
---@return coev.Timer timer itself
function Timer:stop() end

---Asks for the interval, or changes it: what is due next is due the new interval after
---the last run was due, or at once where that is past; before the first run it counts
---from the start.
---@param seconds? number above 0, finite
---@return number? interval seconds, until now; nil for one of `coev.after`
function Timer:interval(seconds) end

---When the next run comes.
---@return number? seconds 0 when it is overdue; nil when none will come
---@nodiscard
function Timer:due() end

---*Waits* until the timer has stopped and its run has ended, with what that has deferred.
---@param timeout? number seconds; nil waits for ever, 0 or less only asks
---@return boolean ok false when the run failed or was cancelled, or the timer has not stopped in time
---@return any ... after false the error of the run and its traceback, or "timeout"
function Timer:join(timeout) end

---From now on `coev.run` does not wait for the timer, and it lives only as long as
---somebody else holds its handle: when that is collected, it never runs again.
---@return coev.Timer timer itself
function Timer:weaken() end

---One wait for many things. Source: Lubyk's poll object. Also `require "coev.poll"`.
---@class coev.poll
local poll = {}

coev.poll = poll

---What a task can wait for: a descriptor; a socket, a task, a timer, a poll, a thread, a
---channel of either kind; a mutex, semaphore, rwlock, condition, event or waitgroup; any
---object with a method `getfd` or `pollfd` that returns a descriptor, as LuaSocket's and
---cqueues' have it.
---
---A descriptor is ready as poll(2) says, and a file always is. A task or thread is ready
---when it has ended, a timer once after each of its runs, a poll when something in it is
---ready; a channel when one need not wait to receive ("r") or to send ("w"), and the like
---of all others.
---@alias coev.Pollable integer|coev.socket.Socket|coev.Task|coev.Timer|coev.Poll|coev.thread.Thread|coev.thread.Channel|coev.Channel|coev.Mutex|coev.Semaphore|coev.Rwlock|coev.Condition|coev.Event|coev.Waitgroup|{ getfd: fun(self): integer }|{ pollfd: fun(self): integer }

---What is ready. A thing that is ready as it was before may come with the very same
---event again: do not change it.
---@class coev.poll.Event
---@field [1] coev.Pollable what
---@field [2] "r"|"w"|"rw"|"closed" events those that were asked for and are ready; "closed": it has left the poll
---@field [3] any tag what `add` was given

---An empty poll. *Fails* with what the system says, such as "too many open files".
---@return coev.Poll? poll
---@return string? err
---@nodiscard
function poll.new() end

---Made by `coev.poll.new`. Level-triggered: what is still ready is reported again. One
---thing may be in several polls, in a socket, and in the wait of a task at once. A poll
---that is collected is closed.
---@class coev.Poll
local Poll = {}

---Adds a thing to wait for; who waits already waits for it too. Raises for what cannot be
---waited for, what is no open descriptor, and what is in the poll already.
---@param what coev.Pollable
---@param events? "r"|"w"|"rw" (default "r")
---@param tag? any comes with each event
---@return coev.Poll poll itself
function Poll:add(what, events, tag) end

---Chooses what else to wait for. Raises for what is not in the poll.
---@param what coev.Pollable
---@param events "r"|"w"|"rw"
---@return coev.Poll poll itself
function Poll:modify(what, events) end

---Takes a thing out. Raises for what is not in the poll.
---@param what coev.Pollable
---@return coev.Poll poll itself
function Poll:remove(what) end

---*Waits* until something is ready. What was closed through coev is reported at once as
---"closed", once; a descriptor that was closed otherwise at the start of a later wait, or
---soon after where there are thousands, as far as the system tells. *Fails* with "timeout", and with "closed" when the poll is.
---Raises when another task waits for the poll.
---@param timeout? number seconds; nil waits for ever, 0 or less only asks
---@return coev.poll.Event[]? batch all that is ready, or a part of it where that is much
---@return string? err
function Poll:wait(timeout) end

---Iterates over one batch of `wait`, for which it *waits* when the loop begins. A failure is
---an empty batch.
---@param timeout? number seconds
---@return fun(): coev.Pollable?, string?, any next what, events, tag
function Poll:events(timeout) end

---Closes the poll, as often as it is called; what is in it stays open. Who waits for the
---poll gets nil and "closed".
function Poll:close() end

---Waits for one of several things, of which exactly one takes effect. *Waits* unless
---one of them can be at once. Who begins to be looked at changes from call to call, so
---that each that is ready has its turn. Source: Go's `select`.
---
---A case is a table:
---`{channel, "receive"}`: its results are the value, or nil and "closed";
---`{channel, "send", value}`: true, or nil and "closed";
---`{mutex}` locks it: true, and "abandoned" as `lock`; `{semaphore}` acquires one: true;
---`{event}`: its value; `{waitgroup}`, `{condition}` (without a mutex): true;
---`{task}`, `{thread}`: what `join` returns, and counts as one;
---`{socket, "r"}`, and all else that a poll takes: what `coev.wait` returns. "r" is the default.
---Anything else raises.
---@param cases coev.select.Cases
---@return integer? index of the case that took effect; nil with "timeout" or "default"
---@return any ... its results
function coev.select(cases) end

---The cases; `timeout` in seconds, 0 or less never waits; with `default` it returns nil and
---"default" rather than wait.
---@alias coev.select.Cases { [integer]: any[], timeout?: number, default?: boolean }

---Locks, channels and what else tasks of one state wait for one another with. They
---have in common:
---
---Who waits is served in the order of coming, and is handed what it waits for by the
---one who wakes it: nobody can take it away before its turn. A task that is cancelled
---or dropped by then passes it on to the next one.
---
---A timeout of 0 or less tries once and never waits. Who has been served when the time
---is over is served. A call that need not wait does not look at cancels and deadlines.
---
---An object that nothing else can reach is garbage together with all who wait for it.
---`tostring` says what state an object is in, who holds it and how many wait.

---One task at a time. Also `require "coev.mutex"`.
---@class coev.mutex
local mutex = {}

coev.mutex = mutex

---@return coev.Mutex mutex
---@nodiscard
function mutex.new() end

---Made by `coev.mutex.new`. The code outside of all tasks is one owner, "main".
---@class coev.Mutex
local Mutex = {}

---*Waits* until the caller owns the mutex. *Fails* with "timeout". Raises when it owns
---it already: it would wait for itself.
---@param timeout? number seconds (default: for ever)
---@return true? ok
---@return string? err "timeout"; or, after true, "abandoned": the owner before has ended without unlocking
function Mutex:lock(timeout) end

---Locks if nobody owns it, the caller included.
---@return boolean ok
---@return string? err "abandoned", as `lock`
function Mutex:try_lock() end

---Hands the mutex to the first in line, or frees it. Raises unless the caller owns it.
---The end of a task unlocks what it owns.
function Mutex:unlock() end

---Locks, calls `f` and unlocks, also when `f` fails or is cancelled. *Waits* as `lock`.
---@param f fun(...): ...
---@param ... any arguments of `f`
---@return any ... its results
function Mutex:with(f, ...) end

---Locks, and returns what unlocks: `local guard <close> = mutex:guard()` (Lua 5.4).
---*Waits* as `lock`.
---@return coev.Mutex.Guard guard
---@return string? err "abandoned", as `lock`
---@nodiscard
function Mutex:guard() end

---@return coev.Task|"main"|nil owner nil when nobody owns it
---@nodiscard
function Mutex:owner() end

---`lock`. Source: OiL.
---@param timeout? number seconds
---@return true? ok
---@return string? err
function Mutex:enter(timeout) end

---`unlock`. Source: OiL.
function Mutex:leave() end

---Made by `mutex:guard`.
---@class coev.Mutex.Guard
local Guard = {}

---Unlocks, unless that has been done already.
function Guard:close() end

---`close`.
function Guard:unlock() end

---A number of permits. Also `require "coev.semaphore"`.
---@class coev.semaphore
local semaphore = {}

coev.semaphore = semaphore

---@param n integer permits, from 0 on
---@return coev.Semaphore semaphore
---@nodiscard
function semaphore.new(n) end

---Made by `coev.semaphore.new`.
---@class coev.Semaphore
local Semaphore = {}

---*Waits* until there are `n` permits and all who came before are served. *Fails* with
---"timeout".
---@param n? integer from 1 on (default 1)
---@param timeout? number seconds (default: for ever)
---@return true? ok
---@return string? err
function Semaphore:acquire(n, timeout) end

---Acquires if nobody has to wait.
---@param n? integer from 1 on (default 1)
---@return boolean ok
function Semaphore:try_acquire(n) end

---Gives permits back, or more of them. Nobody owns a permit: any task may do so.
---@param n? integer from 1 on (default 1)
function Semaphore:release(n) end

---@return integer permits that are free
---@nodiscard
function Semaphore:count() end

---Many readers or one writer, in the order of coming; readers in a row go together, and
---none overtakes a writer. Also `require "coev.rwlock"`.
---@class coev.rwlock
local rwlock = {}

coev.rwlock = rwlock

---@return coev.Rwlock rwlock
---@nodiscard
function rwlock.new() end

---Made by `coev.rwlock.new`.
---@class coev.Rwlock
local Rwlock = {}

---*Waits* until the caller may read. *Fails* with "timeout". Raises when it has the lock
---already, in whatever way.
---@param timeout? number seconds (default: for ever)
---@return true? ok
---@return string? err "timeout"; or, after true, "abandoned": the last writer has ended without unlocking
function Rwlock:read(timeout) end

---*Waits* until the caller may write. Otherwise as `read`.
---@param timeout? number seconds (default: for ever)
---@return true? ok
---@return string? err
function Rwlock:write(timeout) end

---Ends reading or writing. Raises unless the caller does either. The end of a task does
---it, too.
function Rwlock:unlock() end

---Tasks that wait for a signal. Also `require "coev.condition"`.
---@class coev.condition
local condition = {}

coev.condition = condition

---@param mutex? coev.Mutex that whoever waits owns, gives away meanwhile and has again when it goes on
---@return coev.Condition condition
---@nodiscard
function condition.new(mutex) end

---Made by `coev.condition.new`. A signal that nobody waits for is lost; one whose task is
---cancelled before its turn is given to the next one.
---@class coev.Condition
local Condition = {}

---*Waits* for a signal. *Fails* with "timeout". However it ends, also by a cancel, the
---caller owns the mutex again. Raises unless it does so before.
---@param timeout? number seconds (default: for ever)
---@return true? ok
---@return string? err
function Condition:wait(timeout) end

---*Waits* until `predicate` returns something true: calls it at once, after each signal
---and when the time is over. *Fails* with "timeout".
---@param predicate fun(): any
---@param timeout? number seconds (default: for ever)
---@return any result of `predicate`
---@return string? err
function Condition:wait_for(predicate, timeout) end

---Wakes those who have waited longest.
---@param n? integer how many (default 1)
---@return integer woken how many there were
function Condition:signal(n) end

---Wakes all.
---@return integer woken how many there were
function Condition:broadcast() end

---A flag with a value. Also `require "coev.event"`.
---@class coev.event
local event = {}

coev.event = event

---@param set? any the value, when it is set from the start
---@return coev.Event event
---@nodiscard
function event.new(set) end

---Made by `coev.event.new`.
---@class coev.Event
local Event = {}

---*Waits* until it is set. *Fails* with "timeout".
---@param timeout? number seconds (default: for ever)
---@return any value that it was set with; true when none was given
---@return string? err
function Event:wait(timeout) end

---Sets it and wakes all who wait: they get this value, whatever comes before their turn.
---@param value? any (default true)
function Event:set(value) end

---Sets it back.
function Event:clear() end

---@return boolean
---@nodiscard
function Event:is_set() end

---A count of what is to be done. Source: Go. Also `require "coev.waitgroup"`.
---@class coev.waitgroup
local waitgroup = {}

coev.waitgroup = waitgroup

---@param n? integer what is to be done (default 0)
---@return coev.Waitgroup waitgroup
---@nodiscard
function waitgroup.new(n) end

---Made by `coev.waitgroup.new`.
---@class coev.Waitgroup
local Waitgroup = {}

---Raises when less than nothing would be left.
---@param n? integer more to be done (default 1); less when negative
function Waitgroup:add(n) end

---One is done: `add(-1)`.
function Waitgroup:done() end

---*Waits* until all is done. *Fails* with "timeout".
---@param timeout? number seconds (default: for ever)
---@return true? ok
---@return string? err
function Waitgroup:wait(timeout) end

---A number of tasks that wait for one another, round after round. Also
---`require "coev.barrier"`.
---@class coev.barrier
local barrier = {}

coev.barrier = barrier

---@param n integer how many, from 1 on
---@return coev.Barrier barrier
---@nodiscard
function barrier.new(n) end

---Made by `coev.barrier.new`.
---@class coev.Barrier
local Barrier = {}

---*Waits* until all have come. *Fails* with "timeout": who gives up has not come.
---@param timeout? number seconds (default: for ever)
---@return boolean? last true for one of them, the last one; nil when it failed
---@return string? err
function Barrier:wait(timeout) end

---Values from task to task. Source: Go. Also `require "coev.channel"`.
---@class coev.channel
local channel = {}

coev.channel = channel

---@param capacity? integer values that are kept until somebody receives them (default 0: sender and receiver meet); `math.huge`: any number
---@return coev.Channel channel
---@nodiscard
function channel.new(capacity) end

---Made by `coev.channel.new`. `#channel` is how many values are kept. What was given to
---a receiver that is cancelled before its turn goes to the next one, or to the front.
---@class coev.Channel
local Channel = {}

---*Waits* until the value is received or kept. *Fails* with "timeout" or "closed".
---@param value any but nil; goes by reference
---@param timeout? number seconds (default: for ever)
---@return true? ok
---@return string? err
function Channel:send(value, timeout) end

---*Waits* for a value. *Fails* with "timeout", or "closed" when none is left.
---@param timeout? number seconds (default: for ever)
---@return any value
---@return string? err
function Channel:receive(timeout) end

---Sends if nobody has to wait.
---@param value any but nil
---@return boolean ok
---@return string? err "closed"
function Channel:try_send(value) end

---Receives if nobody has to wait.
---@return boolean ok
---@return any value after true; after false "closed" or nothing
function Channel:try_receive() end

---Nothing can be sent any more, and all who wait to send or receive are woken with
---"closed". What is kept can still be received. Again it does nothing.
function Channel:close() end

---For a loop over what is received: `for value in channel:iter() do`. *Waits* in each
---step; ends when the channel is closed and empty.
---@return fun(channel: coev.Channel): any
---@return coev.Channel channel
function Channel:iter() end

---@return number capacity
---@nodiscard
function Channel:capacity() end

---@return integer length as `#channel`
---@nodiscard
function Channel:len() end

---OS threads, and what they share. Also `require "coev.thread"`.
---@class coev.thread
local thread = {}

coev.thread = thread

---Starts an OS thread with a Lua of its own, at once: the standard libraries, this state's
---`package.path` and `cpath` as they are now, `coev` ready to require. The chunk is the main
---task of a scheduler of its own; the thread ends when all its tasks have. Arguments and
---results are copied: nil, booleans, numbers, strings, tables without metatables (with their
---cycles and shared parts), functions with copies of their upvalues, C functions of the
---standard libraries by name; what threads share (threads, their channels, shared maps) goes
---by reference; sockets move: the sender's is closed. *Raises* for all else, and says where it
---is: `arg 2.cfg.cb: a coroutine cannot be sent`.
---
---A thread whose handle is collected runs on, and tells of its failure on stderr. When this
---state is closed its threads are cancelled, unless they are detached, and waited for, two
---seconds at most; what does not end by then is left.
---@param code string|function|coev.thread.Options
---@param ... any arguments of the chunk
---@return coev.thread.Thread? thread nil when the system has no more threads
---@return string? err
function thread.new(code, ...) end

---@class coev.thread.Options
---@field [1] string|function the chunk
---@field name? string as `thread:name()` answers it; the system shows its first 15 bytes
---@field memory_limit? number bytes that its Lua may take; past them it fails with `not enough memory`
---@field stack_size? number bytes of its C stack (default: 2 MiB)
---@field suspended? boolean it starts at `thread:start()`
local ThreadOptions = {}

---The thread that this is.
---@return coev.thread.Thread? thread nil in the interpreter's own state
---@nodiscard
function thread.self() end

---@return integer count of threads that can run at the same time
---@nodiscard
function thread.cpus() end

---A channel between threads: as `coev.channel.new`, but what is sent is copied, as arguments
---of threads are. Whoever waits parks its task, not its thread. A task that waits for one
---counts as one that the outside can wake: no deadlock is reported for it.
---@param capacity? integer values that are kept until somebody receives them (default 0: sender and receiver meet); `math.huge`: any number
---@return coev.thread.Channel channel
---@nodiscard
function thread.channel(capacity) end

---Makes threads that take jobs, one at a time each. A job that fails, fails alone; a thread
---whose memory is taken, or whose job waits for ever, begins again with a fresh state. A pool
---that nobody holds any more is closed.
---@param n integer threads
---@param init? string|function|coev.thread.Options run first in each: a table that it returns has the operations that can be called by name
---@return coev.thread.Pool? pool nil when the system has no more threads
---@return string? err
function thread.pool(n, init) end

---*Waits.* Serves a port on several threads, each with a listener of its own (`SO_REUSEPORT`)
---and `coev.socket.serve`, until it is cancelled: then it accepts no more, and returns when
---the clients that there are have been served. *Raises* the error of a thread that fails.
---@param host string
---@param port integer 0: any, see `onlisten`
---@param code string|function run in each thread: returns the function that gets each client
---@param options? coev.thread.ServeOptions
---@return 1? done
---@return string? err why it cannot listen
function thread.serve(host, port, code, options) end

---@class coev.thread.ServeOptions
---@field threads? integer (default: as many as can run at the same time)
---@field max? integer clients at a time in each thread (default: any number)
---@field onlisten? fun(host: string, port: integer) called when it listens
local ServeOptions = {}

---Made by `coev.thread.new`. Can be sent to other threads.
---@class coev.thread.Thread
local Thread = {}

---Starts one that was made suspended.
---@return boolean? news whether it has not been started before; nil when the system has no more threads
---@return string? err
function Thread:start() end

---*Waits* for its end; any number may, also later.
---@param timeout? number seconds
---@return boolean ok
---@return any ... results; or the error, as copied, and the thread's traceback; or "timeout"
function Thread:join(timeout) end

---*Waits* as `join` does. *Raises* the thread's error, or "timeout".
---@param timeout? number seconds
---@return any ... results
function Thread:await(timeout) end

---Ends it: every wait in it raises a cancelled error, and so does Lua code that computes (by a
---hook, which is set only now), once and then each million instructions; `coev.shield` holds
---that off. Out of reach: C functions, compiled traces of LuaJIT (`jit.off()` helps), and a
---coroutine that coev has not resumed, before it yields.
---@param reason? any copied (default "cancelled")
---@return boolean alive false when it has ended
function Thread:cancel(reason) end

---Lets it stand still at its next wait, or in Lua code that computes.
---@return boolean alive false when it has ended
function Thread:pause() end

---@return boolean alive false when it has ended
function Thread:resume() end

---Starts another task in it.
---@param code string|function
---@param ... any arguments
---@return coev.thread.Job job
function Thread:spawn(code, ...) end

---@return "suspended"|"running"|"paused"|"done"|"failed"|"cancelled" status
---@nodiscard
function Thread:status() end

---@return string name
---@nodiscard
function Thread:name() end

---Lets it outlive this state.
---@return coev.thread.Thread self
function Thread:detach() end

---Made by `thread:spawn` and `pool:submit`. Its failure, when nobody joins it, goes to stderr.
---@class coev.thread.Job
local Job = {}

---*Waits* for its end.
---@param timeout? number seconds
---@return boolean ok
---@return any ... results; or the error and its traceback; or "timeout"; or "the thread has ended"
function Job:join(timeout) end

---*Waits* as `join` does. *Raises* the job's error, or "timeout".
---@param timeout? number seconds
---@return any ... results
function Job:await(timeout) end

---Cancels its task. A job of a pool is not done when it has not begun; one that has begun goes
---on, and nobody learns how it ends.
---@param reason? any copied
---@return boolean alive false when it has ended
function Job:cancel(reason) end

---@return "running"|"done"|"failed"|"cancelled" status
---@nodiscard
function Job:status() end

---Made by `coev.thread.pool`.
---@class coev.thread.Pool
local Pool = {}

---*Waits.* Runs a function, or an operation by its name, in one of the threads. A function is
---sent to each thread once: its upvalues are those of its first call. *Raises* the job's error.
---@param f function|string
---@param ... any arguments
---@return any ... results
function Pool:call(f, ...) end

---As `call`, without waiting.
---@param f function|string
---@param ... any arguments
---@return coev.thread.Job job
function Pool:submit(f, ...) end

---*Waits.* Calls the function for each item. *Raises* the first error in the array's order.
---@param array any[]
---@param f function|string
---@return any[] results the first result of each call, in order
function Pool:map(array, f) end

---Takes no more jobs; those that are queued are still done, and then its threads end.
function Pool:close() end

---*Waits* until its threads have ended.
---@param timeout? number seconds
---@return true? ended
---@return "timeout"? err
function Pool:join(timeout) end

---Made by `coev.thread.channel`. `#channel` is how many values are kept. What was given to
---somebody who is cancelled before its turn is passed on: nothing is lost, nothing comes twice.
---@class coev.thread.Channel
local ThreadChannel = {}

---*Waits* for room. *Raises* for what cannot be copied.
---@param value any not nil
---@param timeout? number seconds
---@return true? sent
---@return "timeout"|"closed"? err
function ThreadChannel:send(value, timeout) end

---*Waits* for a value.
---@param timeout? number seconds
---@return any value nil and why there is none
---@return "timeout"|"closed"? err
function ThreadChannel:receive(timeout) end

---@param value any not nil
---@return boolean sent
---@return "closed"? err
function ThreadChannel:try_send(value) end

---@return boolean received
---@return any value or "closed", after false
function ThreadChannel:try_receive() end

---What is queued is still received; then, and for all who wait now, it is `nil, "closed"`.
function ThreadChannel:close() end

---*Waits* at each step; ends with the channel.
---@return fun(): any
function ThreadChannel:iter() end

---@return number capacity `math.huge` where there is no bound
---@nodiscard
function ThreadChannel:capacity() end

---@return integer count of values, as `#channel`
---@nodiscard
function ThreadChannel:len() end

---A map that threads share: it crosses to them by reference.
---@param contents? table copied, without a look at its metatable: keys and values as for `set`
---@return coev.thread.Shared map
---@nodiscard
function thread.shared(contents) end

---Made by `coev.thread.shared`. Keys are strings, numbers and booleans; numbers that are
---equal are one key. Values are copies, as of arguments of a thread, and each `get` makes
---a new one: to change a table in it, get it, change it, set it. What threads share (other
---maps, channels, threads) is in it by reference; sockets, which move, cannot be in it. A
---map that is in itself is never freed.
---
---Each method is one step for all threads, and none waits. `map.key`, `map.key = value` and
---`#map` are `get`, `set` and `len`, but for keys that are names of methods: `map.get` is the
---method, and to set it raises. From Lua 5.2 on, `pairs(map)` walks over the keys of its
---start. `==` compares which map it is.
---@class coev.thread.Shared
local Shared = {}

---@param key string|number|boolean
---@return any value nil where there is none
---@nodiscard
function Shared:get(key) end

---*Raises* for what cannot be copied, and says where in the value it is.
---@param key string|number|boolean
---@param value any nil takes away what is there
function Shared:set(key, value) end

---Adds to a number; nothing counts as 0. *Raises* when something else is there. Integers
---wrap around, as in Lua.
---@param key string|number|boolean
---@param number? number (default 1)
---@return number sum
function Shared:add(key, number) end

---Puts `desired` there if `expected` is there ("compare and set").
---@param key string|number|boolean
---@param expected nil|boolean|number|string nil: nothing is there
---@param desired any as of `set`
---@return boolean done
---@return any found what is there instead, after false
function Shared:cas(key, expected, desired) end

---All keys, in no order.
---@return (string|number|boolean)[] keys
---@nodiscard
function Shared:keys() end

---@return integer count of keys, as `#map`
---@nodiscard
function Shared:len() end

---LuaSocket's module, cooperative: names, shapes and error strings follow
---LuaSocket 3.1. Also `require "coev.socket"`. It differs from LuaSocket's C source where
---that does harm, and so:
--- - What is not open answers `nil, "closed"` to everything but `close`, `getfd`, `setfd`,
---   `dirty`, `getfamily`, `getstats`, `setstats`, `settimeout` and `gettimeout`; LuaSocket
---   says something else in each place, makes a socket anew, or says that it is done.
--- - Numbers are integers where they count or name something.
--- - A port that no socket can have *raises*, and so does an option's number that is none, and a
---   time that is NaN. LuaSocket takes the rest of a division, 0, and what C makes of it.
--- - Options hold once there is an address, though they were set before, or after an attempt
---   that failed; LuaSocket fails with "setsockopt failed" there, or forgets them.
--- - `receive` and `receivefrom` of UDP *fail* with "Bad file descriptor" before there is an
---   address, where LuaSocket returns an empty message.
--- - A socket of paths whose `bind` or `connect` has failed is still open.
--- - Sockets of paths also have `getfamily`, `gettimeout` and `getoption`, and the options
---   "recv-buffer-size", "send-buffer-size" and "error".
--- - "ipv6-multicast-hops" is not "ipv6-unicast-hops"; `connect4` and `connect6` heed the
---   family of whom they connect to, not only of the local address.
--- - A finalizer of `newtry` that fails does not hide the error that it is called for.
---@class coev.socket
local socket = {}

coev.socket = socket

---A TCP socket that is not connected yet, of the family of its first address.
---Source: LuaSocket 3.1.
---@return coev.socket.Master? master
---@return string? err
---@nodiscard
function socket.tcp() end

---Like `tcp`, for IPv4. Source: LuaSocket 3.1.
---@return coev.socket.Master? master
---@return string? err
---@nodiscard
function socket.tcp4() end

---Like `tcp`, for IPv6. Source: LuaSocket 3.1.
---@return coev.socket.Master? master
---@return string? err
---@nodiscard
function socket.tcp6() end

---*Waits* until a connection is made. The addresses of a name are tried as RFC 8305 says:
---both families in turn, the next one after 250 ms or as soon as one has failed; the
---first that answers wins, the others are closed. *Fails* with "connection refused",
---"timeout", "host or service not provided, or not known" or what else the system says:
---where all addresses fail, of the last one. Source: LuaSocket 3.1.
---@param address string a host name, or an IPv4 or IPv6 address
---@param port integer|string a port, or the name of a service
---@param local_address? string the address to connect from
---@param local_port? integer|string the port to connect from
---@param family? "inet"|"inet6"|"unspec" the family of addresses to try (default: any)
---@return coev.socket.Client? client
---@return string? err
function socket.connect(address, port, local_address, local_port, family) end

---Like `connect`, to IPv4 addresses only. Source: LuaSocket 3.1.
---@param address string
---@param port integer|string
---@param local_address? string
---@param local_port? integer|string
---@return coev.socket.Client? client
---@return string? err
function socket.connect4(address, port, local_address, local_port) end

---Like `connect`, to IPv6 addresses only. Source: LuaSocket 3.1.
---@param address string
---@param port integer|string
---@param local_address? string
---@param local_port? integer|string
---@return coev.socket.Client? client
---@return string? err
function socket.connect6(address, port, local_address, local_port) end

---A socket that listens, with the option `reuseaddr` set. *Waits* for a name. *Fails* with "address
---already in use", "permission denied" or what else the system says.
---Source: LuaSocket 3.1.
---@param address string an address of this machine, a host name, or "*" for all IPv4 addresses
---@param port integer|string a port, or the name of a service; 0 is any free port
---@param backlog? integer connections that may wait to be accepted (default 32)
---@return coev.socket.Server? server
---@return string? err
function socket.bind(address, port, backlog) end

---"LuaSocket 3.1.0": what it answers like.
socket._VERSION = "LuaSocket 3.1.0"
---False: no call returns the time that it took.
socket._DEBUG = false
---What `getfd` returns without a descriptor.
socket._SOCKETINVALID = -1
---Bytes that a datagram may have where `receive` is not told more.
socket._DATAGRAMSIZE = 8192
---Bytes that a source asks for at once.
socket.BLOCKSIZE = 2048

---Seconds since 1970, by the clock of the calendar. Source: LuaSocket 3.1.
---@return number seconds
function socket.gettime() end

---*Waits* so many seconds: `coev.sleep`. Source: LuaSocket 3.1.
---@param seconds number
function socket.sleep(seconds) end

---Its arguments without the first `count` after it. Source: LuaSocket 3.1.
---@param count integer
---@param ... any
---@return any ...
function socket.skip(count, ...) end

---A function that returns its arguments, or, where the first is false or nil, calls
---`finalizer` and raises the second for `protect`. Source: LuaSocket 3.1.
---@param finalizer? fun()
---@return fun(...): any ...
function socket.newtry(finalizer) end

---`newtry()`. Source: LuaSocket 3.1.
---@param ... any
---@return any ...
function socket.try(...) end

---A function that calls `f` and returns `nil, err` for what `try` raises; other errors
---and cancels pass. `f` may wait. Source: LuaSocket 3.1.
---@param f function
---@return function
function socket.protect(f) end

---A function that calls the function of `kinds` whose name is its first argument, or
---`kinds.default` where that is no string, with the next two. Source: LuaSocket 3.1.
---@param kinds table<string, function>
---@return function
function socket.choose(kinds) end

---An LTN12 source that reads a socket: "by-length" or "until-closed" (default).
---@param kind? string a key of `sourcet`
---@param sock coev.socket.Client
---@param length? integer
---@return function source
function socket.source(kind, sock, length) end

---An LTN12 sink that writes to a socket: "keep-open" (default) or "close-when-done".
---@param kind? string a key of `sinkt`
---@param sock coev.socket.Client
---@return function sink
function socket.sink(kind, sock) end

---The kinds of sources. Source: LuaSocket 3.1.
---@type table<string, function>
socket.sourcet = {}
---The kinds of sinks. Source: LuaSocket 3.1.
---@type table<string, function>
socket.sinkt = {}

---What the system knows of hosts, asked in other threads.
---@class coev.socket.dns
local dns = {}

socket.dns = dns

---@alias coev.socket.Host { name: string, alias: string[], ip: string[] }

---*Waits* for the IPv4 address of a host. *Fails* with "host not found".
---Source: LuaSocket 3.1.
---@param host string a name, or an address
---@return string? ip the first one
---@return coev.socket.Host|string all_or_err
function dns.toip(host) end

---*Waits* for the name of a host. Source: LuaSocket 3.1.
---@param host string a name, or an address
---@return string? name
---@return coev.socket.Host|string all_or_err
function dns.tohostname(host) end

---*Waits* for all addresses of a host. Source: LuaSocket 3.1.
---@param host string
---@return { family: "inet"|"inet6", addr: string }[]? addresses
---@return string? err
function dns.getaddrinfo(host) end

---*Waits* for the names of a host's addresses, and of a service. Source: LuaSocket 3.1.
---@param host? string
---@param service? string|integer
---@return string[]? names
---@return string? service_or_err
function dns.getnameinfo(host, service) end

---The name of this host. Source: LuaSocket 3.1.
---@return string? name
---@return string? err
function dns.gethostname() end

---A UDP socket, of the family of its first address. Source: LuaSocket 3.1.
---@return coev.socket.UDP? udp
---@return string? err
---@nodiscard
function socket.udp() end

---Like `udp`, for IPv4. Source: LuaSocket 3.1.
---@return coev.socket.UDP? udp
---@return string? err
---@nodiscard
function socket.udp4() end

---Like `udp`, for IPv6. Source: LuaSocket 3.1.
---@return coev.socket.UDP? udp
---@return string? err
---@nodiscard
function socket.udp6() end

---Sockets whose addresses are paths: `stream` (also `tcp`, and a call of the table
---itself) and `dgram` (also `udp`). What `require "socket.unix"` returns after
---`coev.patch`. Addresses are paths in `bind`, `connect`, `sendto`, `receivefrom`,
---`getsockname` and `getpeername`. Source: LuaSocket 3.1.
socket.unix = {}

---The most that a descriptor may be for `select`, and one more. Source: LuaSocket 3.1.
socket._SETSIZE = 1048576

---*Waits* until one of the sockets is ready. What has only `getfd`, and perhaps `dirty`,
---will do as well. Both results hold the objects by their places, and the places by the
---objects. *Raises* "select failed" when a descriptor is not open. Source: LuaSocket 3.1.
---@param readers? table[] what to read from
---@param writers? table[] what to write to
---@param seconds? number nil or less than 0: no bound; 0: the others get one turn
---@return table readable
---@return table writable
---@return "timeout"? err when both are empty
function socket.select(readers, writers, seconds) end

---A socket that listens, like `bind`; *waits* for a name.
---@param address string an address of this machine, a host name, or "*" for all IPv4 addresses
---@param port integer|string
---@param options? { backlog?: integer, reuseport?: boolean, v6only?: boolean } `v6only = false`: IPv4 clients of an IPv6 listener, too
---@return coev.socket.Server? server
---@return string? err
function socket.listen(address, port, options) end

---*Waits*, and accepts, until the listener is closed: then it returns 1. Each client gets
---a task that runs `handler(client)` and closes it at the end. When it is cancelled it
---accepts no more, closes the listener, and waits for the handlers to end. What goes wrong
---while it accepts is told once a second at most, and it goes on.
---@param listener coev.socket.Server
---@param handler fun(client: coev.socket.Client)
---@param options? { max?: integer, log?: fun(message: string) } `max`: clients at the same time; `log`: instead of stderr
---@return 1
function socket.serve(listener, handler, options) end

---*Waits* until all that comes from one stream has gone to the other. Without timeouts
---the bytes stay in the kernel where it can do that (Linux), and what has not been passed
---on when the call ends early is input of `from` again.
---@param from coev.socket.Client
---@param to coev.socket.Client
---@return integer? bytes
---@return string? err
---@return integer? copied
function socket.copy(from, to) end

---Two connected streams. *Fails* with "too many open files".
---@return coev.socket.Client? near
---@return coev.socket.Client|string far_or_err
function socket.pair() end

---An object for an open descriptor of a socket, of the class that fits. The descriptor
---is the object's from now on.
---@param fd integer
---@param unread? string what had been read from it: the second result of `detach`
---@return coev.socket.Socket? socket
---@return string? err
function socket.fdopen(fd, unread) end

---What all sockets do, whatever their class. `tostring` shows the class as
---LuaSocket does: `tcp{master}: 0x…`. A socket that is collected is closed.
---@class coev.socket.Socket
---@field class string what the object is at the moment: "tcp{master}", "tcp{server}", "tcp{client}", "udp{connected}", "udp{unconnected}", or the same with unixstream or unixdgram
local Socket = {}

---Closes the socket, as often as it is called. What waits on it is woken and gets
---"closed". Source: LuaSocket 3.1.
---@return 1
function Socket:close() end

---Bounds the calls that wait. Source: LuaSocket 3.1.
---@param seconds? number nil or less than 0: no bound; 0: such calls never wait
---@param mode? "b"|"t" "b" (default) bounds each wait, counted from the start of the call; "t" bounds the whole call
---@return 1
function Socket:settimeout(seconds, mode) end

---The bounds set by `settimeout`. Source: LuaSocket 3.1.
---@return number block seconds of mode "b"; less than 0 for none
---@return number total seconds of mode "t"; less than 0 for none
---@nodiscard
function Socket:gettimeout() end

---The local address. *Fails* on a socket that is not open. Source: LuaSocket 3.1.
---@return string? address with the network device where it belongs to one: `fe80::1%eth0`
---@return string port_or_err the port as a string of digits
---@return "inet"|"inet6"|"unspec"|nil family "unspec" where `bind` or `connect` has failed
function Socket:getsockname() end

---The address of the peer. *Fails* on a socket that is not connected.
---Source: LuaSocket 3.1.
---@return string? address
---@return integer|string port_or_err
---@return "inet"|"inet6"|"unspec"|nil family
function Socket:getpeername() end

---Sockets of paths have "reuseaddr", "recv-buffer-size", "send-buffer-size" and "error";
---their streams also "keepalive" and "linger".
---@alias coev.socket.Option
---| "tcp-nodelay" # send small packets at once
---| "keepalive" # ask a silent peer whether it is still there; "tcp-keepidle", "tcp-keepintvl" and "tcp-keepcnt" say when
---| "linger" # a table { on = boolean, timeout = seconds }
---| "reuseaddr" # bind to an address that was in use a moment ago
---| "reuseport" # bind to an address that others listen on, too
---| "ipv6-v6only" # IPv6 alone
---| "recv-buffer-size" # bytes
---| "send-buffer-size" # bytes
---| "error" # only asked for: the error that waits to be told, or nil
---| "bindtodevice" # the name of a network device
---| "tcp-defer-accept" # only set: seconds
---| "tcp-fastopen" # only set
---| "tcp-fastopen-connect" # only set
---| "broadcast" # UDP, as those below
---| "dontroute"
---| "ip-multicast-if" # an address, or "*"
---| "ip-multicast-ttl" # only set
---| "ip-multicast-loop"
---| "ip-add-membership" # only set: { multiaddr = address, interface = address or "*" }
---| "ip-drop-membership"
---| "ipv6-unicast-hops"
---| "ipv6-multicast-hops"
---| "ipv6-multicast-loop"
---| "ipv6-add-membership" # only set: { multiaddr = address, interface = number or nil }
---| "ipv6-drop-membership"

---*Fails* with "setsockopt failed". Source: LuaSocket 3.1.
---@param option coev.socket.Option
---@param value boolean|number|string|table
---@return 1? ok
---@return string? err
function Socket:setoption(option, value) end

---*Fails* with "getsockopt failed". Source: LuaSocket 3.1.
---@param option coev.socket.Option
---@return any value
---@return string? err
function Socket:getoption(option) end

---The descriptor, which stays the socket's own. Source: LuaSocket 3.1.
---@return integer fd -1 when the socket is not open, or has no address yet
---@nodiscard
function Socket:getfd() end

---Takes another descriptor in place of its own, which stays open. Source: LuaSocket 3.1.
---@param fd integer -1 for none
function Socket:setfd(fd) end

---The family of its addresses. Source: LuaSocket 3.1.
---@return "inet4"|"inet6"|"unix" family
function Socket:getfamily() end

---Is there something that was read and that no call has returned yet? Source: LuaSocket 3.1.
---@return boolean
function Socket:dirty() end

---Lets the descriptor go: the object is closed, the descriptor stays open.
---@return integer? fd
---@return string unread_or_err what had been read from it and not been asked for
function Socket:detach() end

---What streams do, be they of TCP or of paths.
---@class coev.socket.TCP: coev.socket.Socket
local TCP = {}

---Sets the longest line that `receive` returns; without an argument it only tells.
---@param bytes? integer nil restores 1 MiB; `math.huge` is without end
---@return integer before
function TCP:setmaxline(bytes) end

---`connect`, by its other name. Source: LuaSocket 3.1.
---@param address string
---@param port integer|string
---@return 1? ok
---@return string? err
function TCP:setpeername(address, port) end

---`bind`, by its other name. Source: LuaSocket 3.1.
---@param address string
---@param port integer|string
---@return 1? ok
---@return string? err
function TCP:setsockname(address, port) end

---*Waits* until a connection is made; the object is a client from then on, even
---after a failure. A socket that is not bound and has no family yet (`socket.tcp`) tries
---the addresses of a name as `socket.connect` does, others try one after the other. The
---timeout is one for the name and all attempts; after it one attempt goes on by itself.
---Under `settimeout(0)` names are waited for, as in LuaSocket, but no connection.
---*Fails* as `socket.connect` does, with "timeout" while the connection is being made,
---and with "already connected"; after a failure the descriptor is still there, until the next
---call takes another. Source: LuaSocket 3.1.
---@param address string
---@param port integer|string
---@return 1? ok
---@return string? err
function TCP:connect(address, port) end

---A TCP socket that neither listens nor is connected.
---@class coev.socket.Master: coev.socket.TCP
local Master = {}

---Gives the socket a local address. *Fails* as `socket.bind` does.
---Source: LuaSocket 3.1.
---@param address string an address of this machine, or "*" for all
---@param port integer|string 0 is any free port
---@return 1? ok
---@return string? err
function Master:bind(address, port) end

---Makes the object a server. *Fails* with what the system says.
---Source: LuaSocket 3.1.
---@param backlog? integer connections that may wait to be accepted (default 32)
---@return 1? ok
---@return string? err
function Master:listen(backlog) end

---A TCP socket that listens.
---@class coev.socket.Server: coev.socket.TCP
local Server = {}

---*Waits* for a connection. Tasks that accept at the same time are served in the
---order in which they came. *Fails* with "timeout", "closed", "too many open files".
---Source: LuaSocket 3.1.
---@return coev.socket.Client? client
---@return string? err
function Server:accept() end

---A TCP socket that is, or was, connected. One task may read while another writes;
---two that read, or two that write, are served in the order in which they came.
---@class coev.socket.Client: coev.socket.TCP
local Client = {}

---*Waits* for data. *Fails* with "closed" or "timeout", and the part that came
---before as the third result; with "oversized" where the result would have more than
---`max_size` bytes, and as many of them. Source: LuaSocket 3.1, which knows "*l" and
---"*a" only with the star, and no `max_size`.
---@param pattern? "*l"|"l"|"*a"|"a"|integer "*l" (default): a line, without its end, and without any carriage return; "*a": all up to the end; a number: that many bytes
---@param prefix? string put in front of the result; counts for a number of bytes
---@param max_size? integer bytes, the prefix among them (default: `setmaxline` for lines, no bound for others)
---@return string? data
---@return string? err
---@return string? partial
function Client:receive(pattern, prefix, max_size) end

---*Waits* for data, and returns what there is. *Fails* as `receive` does.
---@param max integer bytes
---@return string? data
---@return string? err
---@return string? partial
function Client:receiveany(max) end

---A function that *waits* for all up to a string, and returns that; called with a size,
---it returns pieces of so many bytes, and nil after the last one. *Fails* as `receive`
---does, with "oversized" as a line would. Source: OpenResty.
---@param pattern string not a Lua pattern
---@param options? { inclusive?: boolean } `inclusive`: the result ends with the string
---@return fun(size?: integer): string?, string?, string?
function Client:receiveuntil(pattern, options) end

---*Waits*, and reads as `file:read` does: nil at the end. Formats: a number of bytes, "l"
---(default; the end of the line, LF or CR LF, is dropped), "L" (it is kept), "a", and "n",
---a numeral after any space: nil where there is none, and what could have begun one is
---gone. A numeral ends where a byte comes that cannot belong to it, or the stream ends.
---@param ... "l"|"L"|"a"|"n"|integer
---@return string|number|nil ...
function Client:read(...) end

---An iterator over what `read` returns for the format. *Raises* what fails but the end.
---On Lua 5.1 a `for` cannot park its task: a wait in it drives the others in place, and
---comes back no sooner than waits that began later so, so that two of them that wait for
---each other never do. There, call `read` in a `while`.
---@param format? "l"|"L"|"n"|integer (default "l")
---@return fun(): (string|number)?
function Client:lines(format) end

---*Waits*, and writes strings and numbers, as `file:write` does. *Fails* as `send` does.
---@param ... string|number
---@return coev.socket.Client? self
---@return string? err
---@return integer? last_sent
function Client:write(...) end

---*Waits* until a file, or a part of it, is sent, by the kernel alone. *Fails* with what
---the system says of the file, or as `send` does with the bytes that were sent.
---@param path string
---@param offset? integer bytes to leave out at the front (default 0)
---@param length? integer bytes at most (default: to the end)
---@return integer? bytes
---@return string? err
---@return integer? sent
function Client:sendfile(path, offset, length) end

---*Waits* until values are sent, as `coev.pack` copies them, but without functions: their
---length in four bytes, the lowest first, and that many bytes. *Raises* for what cannot be
---sent. *Fails* with "closed" or "timeout", and whether the message has begun to go out:
---if not, nothing of it does; if so, the rest goes out before whatever is sent next (if
---only `send("")`), and it is not to be sent again. The same holds after a cancel.
---@param ... any
---@return true? ok
---@return string? err
---@return boolean? begun
function Client:sendmessage(...) end

---*Waits* for the values of one `sendmessage`. Lines and counted reads may come between.
---*Fails* with "closed" or "timeout", and keeps what has come: the next call goes on with it;
---with "oversized" and the size of the message, which stays where it is; with what
---`coev.unpack` says of bad ones, which are gone then.
---@param max_size? integer bytes (default 16 MiB); what is made of them takes up to forty times as much memory
---@return any ... the values; nil and what is wrong
function Client:receivemessage(max_size) end

---Bytes received, bytes sent, seconds since it was made. Source: LuaSocket 3.1.
---@return integer received
---@return integer sent
---@return number age
function Client:getstats() end

---Sets what `getstats` returns. Source: LuaSocket 3.1.
---@param received? integer
---@param sent? integer
---@param age? number
---@return 1
function Client:setstats(received, sent, age) end

---*Waits* until all is sent. *Fails* with "closed" or "timeout", and the index of the
---last byte sent as the third result: to go on, send from the next one.
---Source: LuaSocket 3.1.
---@param data string|string[] a list is sent as if it were one string
---@param i? integer index of the first byte (default 1), as in `string.sub`
---@param j? integer index of the last byte (default -1), as in `string.sub`
---@return integer? last index of the last byte sent
---@return string? err
---@return integer? last_sent
function Client:send(data, i, j) end

---Ends one direction of the connection, or both. Source: LuaSocket 3.1.
---@param how? "receive"|"send"|"both" (default "both")
---@return 1
function Client:shutdown(how) end

---A UDP socket. Its peer, if any, is set by `setpeername`.
---@class coev.socket.UDP: coev.socket.Socket
local UDP = {}

---*Waits* for a message. *Fails* with "timeout", "closed", or "connection refused" on a
---connected socket. Source: LuaSocket 3.1.
---@param size? integer bytes at most (default 8192); the rest of a longer message is lost
---@return string? message
---@return string? err
function UDP:receive(size) end

---Like `receive`, with the sender; unconnected sockets only. Source: LuaSocket 3.1.
---@param size? integer
---@return string? message
---@return string ip_or_err
---@return integer? port
function UDP:receivefrom(size) end

---Sends a message to the peer; connected sockets only. *Waits* for room.
---Source: LuaSocket 3.1.
---@param message string
---@return integer? bytes
---@return string? err
function UDP:send(message) end

---Sends a message; unconnected sockets only. *Fails* with what the system says: "Name or
---service not known" for a name. Source: LuaSocket 3.1.
---@param message string
---@param ip string an address in each form that the system knows (`127.1`), no name; "*" is this host
---@param port integer|string no name of a service
---@return integer? bytes
---@return string? err
function UDP:sendto(message, ip, port) end

---Connects to a peer, or, with "*", to nobody again. *Waits* for a name.
---Source: LuaSocket 3.1.
---@param address string
---@param port? integer|string
---@return 1? ok
---@return string? err
function UDP:setpeername(address, port) end

---Gives the socket a local address. *Waits* for a name. Source: LuaSocket 3.1.
---@param address string an address of this machine, a host name, or "*" for all
---@param port integer|string 0 is any free port
---@return 1? ok
---@return string? err
function UDP:setsockname(address, port) end

---A socket of messages between paths. `receive`, `receivefrom` and `send` are those of
---UDP; the sender is a path, empty where it has none.
---@class coev.socket.Dgram: coev.socket.Socket
local Dgram = {}

---@param size? integer
---@return string? message
---@return string? err
function Dgram:receive(size) end

---@param size? integer
---@return string? message
---@return string path_or_err
function Dgram:receivefrom(size) end

---@param message string
---@return integer? bytes
---@return string? err
function Dgram:send(message) end

---@param message string
---@param path string
---@return integer? bytes
---@return string? err
function Dgram:sendto(message, path) end

---@param path string
---@return 1? ok
---@return string? err
function Dgram:bind(path) end

---@param path string
---@return 1? ok
---@return string? err
function Dgram:connect(path) end

---`bind`, by its other name.
---@param path string
---@return 1? ok
---@return string? err
function Dgram:setsockname(path) end

---`connect`, by its other name.
---@param path string
---@return 1? ok
---@return string? err
function Dgram:setpeername(path) end

return coev
