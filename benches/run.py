#!/usr/bin/env python3
"""Runs coev, its peers and the reference programs side by side and prints what it found.

Every figure is a ratio between programs that ran in turn (A B C A B C ...), because this machine's
speed changes from minute to minute: per round a ratio, over the rounds their median.
"""

import argparse
import ctypes
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUILD = ROOT / "build" / "bench"
PEERS = BUILD / "peers"
LUAS = ["5.1", "5.2", "5.3", "5.4", "5.5", "luajit"]
NEEDS = {
    "cjson": 'require "cjson"',
    "cmsgpack": 'require "cmsgpack"',
    "coev": 'require "coev"',
    "cqueues": 'require "cqueues"',
    "cqueues_sleep": 'require "cqueues"',
    "luv": 'require "luv"',
    "luasocket": 'require "socket"',
    "copas": 'assert(require("copas").pause, "copas is older than 4")',
    "luaevent": 'require "luaevent.core"',
    "after": 'require "coev"',
    "dropped": 'require "coev"',
    "kept": 'require "coev"',
    "plain": 'require "coev"',
    "timed": 'require "coev"',
    "idle": 'require "coev"',
    "items_copas": 'require "copas.queue"',
    "items_cqueues": 'require "cqueues"',
    "switching": 'require "coev"',
}
CONNECTIONS = 64
CPUS = sorted(os.sched_getaffinity(0))
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1

options = None
kept_limits = []
over_limit = []


# Children: each has a time limit of its own and dies with this process.


class Failed(Exception):
    """A child ended badly; the message says which and how."""


def lua_command(lua):
    """The interpreter: from PATH, else the one that `make` has built, else None."""
    name = "luajit" if lua == "luajit" else "lua" + lua
    built = ROOT / "build" / "host" / name
    return shutil.which(name) or (built if os.access(built, os.X_OK) else None)


def environment(lua):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LUA_PATH", "LUA_CPATH", "LUA_INIT"))}
    env["LUA_PATH"] = f"{PEERS}/?.lua;{PEERS}/?/init.lua;" + os.environ.get("LUA_PATH", ";;")
    env["LUA_CPATH"] = f"{ROOT}/build/{lua}/?.so;" + os.environ.get("LUA_CPATH", ";;")
    return env


def start(command, lua=None, cpu=None):
    """Starts a child in a process group of its own, on one CPU when `cpu` is given."""

    def before_exec():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.alarm(options.limit)
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    return subprocess.Popen(
        [str(part) for part in command],
        cwd=HERE,
        env=environment(lua) if lua else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=before_exec,
    )


def reap(child):
    """Waits for a child; returns its remaining output and the CPU seconds it has used."""
    output = child.stdout.read().decode()
    errors = child.stderr.read().decode().strip()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    child.stderr.close()
    if child.returncode != 0:
        raise Failed(f"{' '.join(child.args)}: exit {child.returncode}: {errors[:400]}")
    return output, usage.ru_utime + usage.ru_stime


def kill(child):
    """Ends what is left of a child's process group, whatever has happened before."""
    if child is not None and child.returncode is None:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
        child.stdout.close()
        child.stderr.close()


def call_all(command, lua=None):
    """Runs a program that prints numbers."""
    child = None
    try:
        child = start(command, lua, CPUS[0])
        return [float(word) for word in reap(child)[0].split()]
    finally:
        kill(child)


def call(command, lua=None):
    """Runs a program that prints one number."""
    (number,) = call_all(command, lua)
    return number


# Rounds and tables.


def interleave(cases):
    """Measures all cases in turn, `rounds` times; a case that fails is named and dropped."""
    values = {name: [] for name in cases}
    for _ in range(options.rounds):
        for name in list(values):
            try:
                values[name].append(cases[name]())
            except (Failed, ValueError) as failure:
                print(f"FAILED {' '.join(name)}: {failure}")
                over_limit.append(f"{' '.join(name)} failed")
                del values[name]
    return values


def ratio(values, above, below):
    """The per-round ratios of two cases, or None when one of them is missing."""
    if above not in values or below not in values:
        return None
    return [a / b for a, b in zip(values[above], values[below])]


def spread(numbers, digits):
    return f"{statistics.median(numbers):.{digits}f} ({min(numbers):.{digits}f}-{max(numbers):.{digits}f})"


def verdict(what, ratios, limit, at_least=False):
    """A cell with the median ratio, its spread, the limit and whether it is kept."""
    if not ratios:
        return "-"
    cell = spread(ratios, 2)
    if limit is None:
        return cell
    middle = statistics.median(ratios)
    kept = middle >= limit if at_least else middle <= limit
    (kept_limits if kept else over_limit).append(f"{what}: {middle:.2f}, limit {limit}")
    return f"{cell} {'>=' if at_least else '<='}{limit} {'ok' if kept else 'OVER'}"


def table(title, header, rows):
    print(f"\n{title}")
    widths = [max(len(str(row[i])) for row in [header] + rows) for i in range(len(header))]
    for row in [header] + rows:
        print("  " + "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())
    sys.stdout.flush()


usable_cache = {}


def usable(lua, kind):
    """Whether this Lua can run this kind; says so, once, when it cannot."""
    if (lua, kind) not in usable_cache:
        reason = None
        if kind in NEEDS:
            child = None
            try:
                child = start([lua_command(lua), "-e", NEEDS[kind]], lua)
                reap(child)
            except Failed as failure:
                # "lua5.4: (command line):1: module 'x' not found:" and its search path
                said = str(failure).partition(": exit ")[2].splitlines()[0]
                reason = re.sub(r"^.*?: .*?:\d+: ", "", said).rstrip(":")
            finally:
                kill(child)
        if reason:
            print(f"SKIPPED {lua} {kind}: {reason}")
        usable_cache[lua, kind] = reason is None
    return usable_cache[lua, kind]


def chosen(default):
    """The Luas of a bench: those asked for, else its default ones."""
    found = [lua for lua in options.luas or default if lua_command(lua)]
    for lua in options.luas or default:
        if lua not in found:
            print(f"SKIPPED {lua}: no such interpreter")
    return found


def kinds_of(lua, kinds):
    return [kind for kind in kinds if usable(lua, kind)]


def against_bare(title, unit, program, luas, kinds, arguments, limit=None, factor=None):
    """A table of programs that print one number each, as ratios to bare and to coev.

    `limit` is what coev/bare may be at most, `factor` what peer/coev must be at least.
    """
    cases = {
        (lua, kind): (lambda lua=lua, kind=kind: call([lua_command(lua), program, kind, *arguments(kind)], lua))
        for lua in luas
        for kind in kinds_of(lua, kinds)
    }
    values = interleave(cases)
    rows = []
    for lua, kind in values:
        name, own, peer = f"{title.partition(':')[0]} {lua} {kind}", kind == "coev", kind not in ("bare", "coev")
        to_bare, to_coev = (ratio(values, (lua, kind), (lua, below)) for below in ("bare", "coev"))
        rows.append([
            lua, kind, spread(values[lua, kind], 0),
            verdict(f"{name}/bare", to_bare, limit if own else None) if kind != "bare" else "-",
            verdict(f"{name}/coev", to_coev, factor if peer else None, True) if not own else "-",
        ])
    table(title, ["lua", "kind", unit, "/bare", "/coev"], rows)


# The benches.


def bench_switch():
    """ns per switch: coev against a bare loop of resume and yield, cqueues and copas"""
    peers = ["cqueues", "cqueues_sleep", "copas"]
    for tasks in (10, 1000, 100_000):
        cases = {}
        for lua in chosen(["5.4", "luajit"]):
            for kind in kinds_of(lua, ["bare", "coev", *peers]):
                switches = 1_000_000 if kind in peers else 4_000_000
                command = [lua_command(lua), "switch.lua", kind, tasks, switches // tasks]
                cases[lua, kind] = lambda command=command, lua=lua: call(command, lua)
        values = interleave(cases)
        rows = []
        for lua, kind in values:
            limit = {("5.4", 1000): 0.75, ("luajit", 1000): 1.0}.get((lua, tasks), 1.1) if kind == "coev" else None
            factor = None if kind == "cqueues_sleep" else 4
            name = f"switch {lua} {tasks} {kind}"
            rows.append([
                lua, kind, spread(values[lua, kind], 1),
                verdict(f"{name}/bare", ratio(values, (lua, kind), (lua, "bare")), limit) if kind != "bare" else "-",
                verdict(f"{name}/coev", ratio(values, (lua, kind), (lua, "coev")), factor, True) if kind in peers else "-",
            ])
        table(f"switch: {tasks} tasks", ["lua", "kind", "ns/switch", "/bare", "peer/coev"], rows)


def serve(command, lua, connections, messages, parallel, size=64, traced=None):
    """One server and its load; returns the server's CPU seconds. Every echo is accounted for."""
    server = load = None
    try:
        # Under strace the server gets a limit of its own: it would outlive its tracer.
        wrapper = ["strace", "-c", "-f", "-o", traced, "timeout", options.limit] if traced else []
        server = start([*wrapper, *command], lua, CPUS[0])
        port = server.stdout.readline().decode().strip()
        if not port:
            reap(server)
            raise Failed(f"{' '.join(server.args)}: printed no port")
        load = start([BUILD / "echo_load", port, connections, messages, parallel, size], cpu=CPUS[-1])
        echoed = int(reap(load)[0])
        output, cpu = reap(server)
        if not echoed == int(output) == connections * messages:
            raise Failed(f"{' '.join(server.args)}: served {output.strip()}, echoed {echoed}")
        return cpu
    finally:
        kill(load)
        kill(server)


def compile_c():
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("echo_server", "echo_load", "http_server", "oversleep"):
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", BUILD / name, HERE / (name + ".c")], check=True)


def servers(kinds, *extra):
    """The commands of all servers that can run here, the C reference first."""
    compile_c()
    found = {("C", "epoll"): lambda connections: ([BUILD / "echo_server", connections, *extra], None)}
    for lua in chosen(["luajit", "5.4"]):
        for kind in kinds_of(lua, kinds):
            found[lua, kind] = lambda connections, lua=lua, kind=kind: (
                [lua_command(lua), "echo_server.lua", kind, connections, *extra], lua)
    return found


def system_calls(command, lua, connections, messages, size):
    """System calls a message, counted by strace, those of an idle run subtracted."""
    totals = []
    for count in (messages, 0):
        with tempfile.NamedTemporaryFile(mode="r") as trace:
            serve(command, lua, connections, count, connections, size, traced=trace.name)
            found = re.search(r"^\s*100\.00\s+(?:[\d.]+\s+){2}(\d+)", trace.read(), re.MULTILINE)
            if not found:
                raise Failed("strace printed no total")
            totals.append(int(found.group(1)))
    return (totals[0] - totals[1]) / (connections * messages)


def overhead(values, lua, peers):
    """Per round, coev's CPU beyond C's as a share of what the best peer has beyond it."""
    measured = [values[lua, peer] for peer in peers if (lua, peer) in values]
    if (lua, "coev") not in values or ("C", "epoll") not in values or not measured:
        return None
    rounds = zip(values["C", "epoll"], values[lua, "coev"], *measured)
    return [(own - least) / max(min(others) - least, 1e-9) for least, own, *others in rounds]


def echo(title, kinds, limits, connections, messages, size, *extra):
    found = servers(kinds, size, *extra)
    cases = {}
    for name, command in found.items():

        def measure(command=command(connections)):
            idle = serve(*command, connections, 0, connections, size)
            busy = serve(*command, connections, messages, connections, size)
            return (busy - idle) * 1e6 / (connections * messages)

        cases[name] = measure
    values = interleave(cases)
    traced = shutil.which("strace")
    if not traced:
        print("SKIPPED system calls: no strace")
    title = f"{title} {connections} x {size}"
    rows = []
    for name in values:
        lua, kind = name
        calls = share = "-"
        if kind == "coev":
            share = verdict(f"{title} {lua} overhead", overhead(values, lua, kinds[1:]), 0.33)
        if traced:
            try:
                count = system_calls(*found[name](connections), connections, max(3, 6000 // connections), size)
                calls = verdict(f"{title} {lua} {kind} system calls", [count], 2.1 if kind == "coev" else None)
            except Failed as failure:
                print(f"FAILED strace {lua} {kind}: {failure}")
        own = (lua, "coev")
        rows.append([
            lua, kind, spread(values[name], 2),
            verdict(f"{title} {lua} coev/C", ratio(values, name, ("C", "epoll")), limits.get(lua) if kind == "coev" else None),
            verdict(f"{title} {lua} {kind}/coev", ratio(values, name, own), 1.0, True) if kind not in ("coev", "epoll") else "-",
            share, calls,
        ])
    table(f"{title}: so many connections, {messages} messages of so many bytes each, server CPU",
          ["lua", "kind", "us/message", "/C", "peer/coev", "overhead/best peer's", "system calls"], rows)


def bench_echo():
    """server CPU and system calls per message of 64 bytes and 16 KiB, 64 and 1,000 connections: C, coev, peers"""
    limits = {"luajit": 1.15, "5.4": 1.25}
    for connections, messages, size in ((64, 3000, 64), (1000, 150, 64), (64, 1000, 16384), (1000, 40, 16384)):
        # A select loop is bound to 1,024 descriptors, the server's own among them.
        kinds = ["coev", "luv", "cqueues"] + (["copas", "luasocket"] if connections < 1000 else [])
        echo("echo", kinds, limits, connections, messages, size)


def bench_line():
    """the echo bench with 64 connections, read by lines"""
    for messages, size in ((3000, 64), (1000, 16384)):
        echo("line", ["coev", "cqueues", "copas", "luasocket"], {"luajit": 1.3, "5.4": 1.3}, 64, messages, size, "line")


def bench_accept():
    """server CPU per connection that is made, brings one message and ends: C, coev, peers"""
    count, parallel = 8000, 32
    found = servers(["coev", "luv", "cqueues", "copas", "luasocket"])
    cases = {
        name: (lambda command=command(count): serve(*command, count, 1, parallel) * 1e6 / count)
        for name, command in found.items()
    }
    values = interleave(cases)
    rows = []
    for lua, kind in values:
        own = kind == "coev"
        rows.append([
            lua, kind, spread(values[lua, kind], 1),
            verdict(f"accept {lua} {kind}/C", ratio(values, (lua, kind), ("C", "epoll")), 1.2 if own else None),
            verdict(f"accept {lua} {kind}/coev", ratio(values, (lua, kind), (lua, "coev")), 1.0, True)
            if kind not in ("coev", "epoll") else "-",
        ])
    table(f"accept: {count} connections of one message each, {parallel} at a time, server CPU",
          ["lua", "kind", "us/connection", "/C", "peer/coev"], rows)


def cpu_so_far(child):
    """The CPU seconds of the first thread of a child that lives."""
    return int(Path(f"/proc/{child.pid}/schedstat").read_text().split()[0]) / 1e9


def web(command, lua):
    """One web server under wrk; returns its CPU microseconds a request, without its start."""
    server = load = None
    try:
        server = start(command, lua, CPUS[0])
        port = server.stdout.readline().decode().strip().rpartition(":")[2]
        if not port:
            reap(server)
            raise Failed(f"{' '.join(server.args)}: printed no port")
        before = cpu_so_far(server)
        load = start(["wrk", "-t1", f"-c{CONNECTIONS}", "-d2s", f"http://127.0.0.1:{port}/"], cpu=CPUS[-1])
        output = reap(load)[0]
        requests = re.search(r"(\d+) requests in", output)
        if not requests or "Non-2xx" in output or "Socket errors" in output:
            raise Failed(f"wrk says: {output}")
        os.killpg(server.pid, signal.SIGKILL)
        _, _, usage = os.wait4(server.pid, 0)
        server.returncode = 0
        server.stdout.close()
        server.stderr.close()
        return (usage.ru_utime + usage.ru_stime - before) * 1e6 / int(requests.group(1))
    finally:
        kill(load)
        kill(server)


def bench_http():
    """server CPU per request: examples/http_server.lua under wrk with 64 kept connections, beside a C server"""
    if not shutil.which("wrk"):
        print("SKIPPED http: no wrk")
        return
    compile_c()
    cases = {("C", "epoll"): lambda: web([BUILD / "http_server"], None)}
    for lua in chosen(["luajit", "5.4"]):
        program = ROOT / "examples" / "http_server.lua"
        cases[lua, "coev"] = lambda lua=lua, program=program: web([lua_command(lua), program], lua)
    values = interleave(cases)
    limits = {"luajit": 1.15, "5.4": 1.4}
    rows = [[lua, kind, spread(values[lua, kind], 2),
             verdict(f"http {lua} coev/C", ratio(values, (lua, kind), ("C", "epoll")), limits.get(lua))]
            for lua, kind in values]
    table(f"http: GET / with {CONNECTIONS} kept connections, server CPU", ["lua", "kind", "us/request", "/C"], rows)


def idle(command, lua, connections):
    """Bytes a connection, when so many of them are open and do nothing."""
    server, sockets = None, []
    try:
        server = start(command, lua, CPUS[0])
        port = int(server.stdout.readline() or 0)
        if not port:
            reap(server)
            raise Failed(f"{' '.join(server.args)}: printed no port")
        for _ in range(connections):
            sockets.append(socket.create_connection(("127.0.0.1", port), timeout=10))
        return float(reap(server)[0])
    except OSError as problem:
        raise Failed(f"{' '.join(server.args)}: {problem}") from problem
    finally:
        for each in sockets:
            each.close()
        kill(server)


def bench_idle():
    """bytes for each of 10,000 open connections on which a reader waits: coev, luv, cqueues"""
    connections, page = 10_000, os.sysconf("SC_PAGE_SIZE")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < connections + 100:
        print(f"SKIPPED idle: fewer than {connections + 100} descriptors")
        return
    cases = {
        (lua, kind): (lambda lua=lua, kind=kind: idle([lua_command(lua), "idle.lua", kind, connections, page], lua, connections))
        for lua in chosen(["5.4", "luajit"])
        for kind in kinds_of(lua, ["coev", "luv", "cqueues"])
    }
    values = interleave(cases)
    limits = {"luajit": 1434, "5.4": 1843}
    rows = [[lua, kind, verdict(f"idle {lua} {kind}", values[lua, kind], limits.get(lua) if kind == "coev" else None)]
            for lua, kind in values]
    table(f"idle: {connections} connections with a reader each, resident set", ["lua", "kind", "bytes/connection"], rows)


def bench_memory():
    """bytes per sleeping task, beyond what a parked bare coroutine takes"""
    tasks, page = 100_000, os.sysconf("SC_PAGE_SIZE")
    cases = {
        (lua, kind): (lambda lua=lua, kind=kind: call([lua_command(lua), "memory.lua", kind, tasks, page], lua))
        for lua in chosen(LUAS)
        for kind in kinds_of(lua, ["bare", "dropped", "kept", "cqueues", "copas"])
    }
    values = interleave(cases)
    rows = []
    for lua, kind in values:
        bare = values.get((lua, "bare"))
        limit = 200 if kind in ("dropped", "kept") else None
        extra = [a - b for a, b in zip(values[lua, kind], bare)] if bare and kind != "bare" else None
        rows.append([lua, kind, spread(values[lua, kind], 0), verdict(f"memory {lua} {kind}", extra, limit)])
    table(f"memory: {tasks} sleeping tasks (coev: handles dropped, handles kept)",
          ["lua", "kind", "bytes/task", "beyond bare"], rows)


def bench_spawn():
    """ns per task that is created, runs once and ends: coev against a bare loop, cqueues and copas"""
    against_bare("spawn: create, run, end", "ns/task", "spawn.lua", chosen(["5.4", "luajit"]),
                 ["bare", "coev", "cqueues", "copas"], lambda _: [200_000], limit=1.6, factor=2)


def bench_timeout():
    """ns that coev.timeout adds to a wait that does not expire"""
    for tasks in (1, 1000):
        cases = {
            (lua, kind): (lambda lua=lua, kind=kind: call(
                [lua_command(lua), "timeout.lua", kind, tasks, 2_000_000 // tasks], lua))
            for lua in chosen(["5.4", "luajit"])
            for kind in kinds_of(lua, ["plain", "timed"])
        }
        values = interleave(cases)
        rows = []
        for lua, kind in values:
            pairs = zip(values[lua, kind], values.get((lua, "plain"), []))
            added = [a - b for a, b in pairs] if kind == "timed" else None
            limit = 150 if lua == "luajit" else None
            rows.append([lua, kind, spread(values[lua, kind], 1), verdict(f"timeout {lua} {tasks}", added, limit)])
        table(f"timeout: yields of {tasks} task{'s' if tasks > 1 else ''}, plain and within coev.timeout",
              ["lua", "kind", "ns/yield", "ns added"], rows)


def bench_supervisor():
    """ns per dispatch of an event: coev's supervisor against the wiki's"""
    for processes in (1, 100):
        cases = {
            (lua, kind): (lambda lua=lua, kind=kind: call(
                [lua_command(lua), "supervisor.lua", kind, processes, 1_000_000 // processes], lua))
            for lua in chosen(["5.4", "luajit"])
            for kind in kinds_of(lua, ["bare", "wiki", "coev"])
        }
        values = interleave(cases)
        rows = []
        for lua, kind in values:
            own = kind == "coev"
            share = 0.3 if own and lua == "luajit" else None
            name = f"supervisor {lua} {processes}"
            rows.append([
                lua, kind, spread(values[lua, kind], 0),
                verdict(f"{name} bare/{kind}", ratio(values, (lua, "bare"), (lua, kind)), share, True)
                if kind != "bare" else "-",
                verdict(f"{name} wiki/{kind}", ratio(values, (lua, "wiki"), (lua, kind)), 2, True) if own else "-",
            ])
        table(f"supervisor: events to {processes} process{'es' if processes > 1 else ''}",
              ["lua", "kind", "ns/dispatch", "bare/kind", "wiki/kind"], rows)


def bench_sync():
    """ns per lock, hand-over, message and item of coev's mutexes and channels; copas' queue, cqueues' conditions"""
    # Each: what is measured, what it is compared with, and how much of that it may be, or how often it must fit in.
    compared = [
        ("lock", "c_call", 3, False), ("hand_over", "switches", 1.5, False), ("ping_pong", "switches", 1.5, False),
        ("items_copas", "items", 3, True), ("items_cqueues", "items", 3, True),
        ("select", "receive", 3, False), ("select_waiting", "receive_waiting", 3, False),
    ]
    kinds = sorted({kind for case in compared for kind in case[:2]})
    cases = {
        (lua, kind): (lambda lua=lua, kind=kind: call([lua_command(lua), "sync.lua", kind, 1_000_000], lua))
        for lua in chosen(["5.4", "luajit"])
        for kind in kinds_of(lua, kinds)
    }
    values = interleave(cases)
    rows = []
    for lua in dict.fromkeys(lua for lua, _ in values):
        for above, below, limit, at_least in compared:
            if (lua, above) in values:
                rows.append([
                    lua, f"{above}/{below}", spread(values[lua, above], 0), spread(values[lua, below], 0),
                    verdict(f"sync {lua} {above}/{below}", ratio(values, (lua, above), (lua, below)), limit, at_least),
                ])
    table("sync: locks, channels and select", ["lua", "what", "ns", "ns of the other", "ratio"], rows)


def interrupted(command, lua):
    """Milliseconds from SIGINT until the program is gone, with the message that an interpreter has for it."""
    child = None
    try:
        child = start(command, lua, CPUS[0])
        if child.stdout.readline() != b"ready\n":
            reap(child)
            raise Failed(f"{' '.join(child.args)}: never got ready")
        # Until it is where it stays: in its poll, or among its tasks.
        time.sleep(0.05)
        began = time.perf_counter()
        child.send_signal(signal.SIGINT)
        try:
            reap(child)
        except Failed as failure:
            # It may also have died of its own limit, of a crash, or of another error.
            if ": exit 1: " not in str(failure) or "interrupted!" not in str(failure):
                raise
            return (time.perf_counter() - began) * 1000
        raise Failed(f"{' '.join(child.args)}: ended as if nothing had happened")
    finally:
        kill(child)


def bench_interrupt():
    """ms from SIGINT to the end of the process: idle in the loop, and switching between tasks"""
    cases = {
        (lua, kind): (lambda lua=lua, kind=kind: interrupted([lua_command(lua), "interrupt.lua", kind], lua))
        for lua in chosen(["5.4", "luajit"])
        for kind in kinds_of(lua, ["bare", "idle", "switching"])
    }
    values = interleave(cases)
    rows = [[lua, kind, verdict(f"interrupt {lua} {kind}", values[lua, kind], 100 if kind != "bare" else None)]
            for lua, kind in values]
    table("interrupt: SIGINT until the process is gone", ["lua", "kind", "ms"], rows)


def bench_sleep():
    """CPU per sleep of 0 to 0.2 s, 100,000 tasks at once (informative)"""
    against_bare("sleep: 100000 tasks, 3 random sleeps each, CPU", "ns/sleep", "sleep.lua", chosen(["5.4", "luajit"]),
                 ["coev", "luv", "cqueues", "copas"], lambda _: [100_000])


def against_best(values, lua, own, peers):
    """Per round, what `own` takes as a share of what the best of the peers takes."""
    measured = [values[lua, peer] for peer in peers if (lua, peer) in values]
    if (lua, own) not in values or not measured:
        return None
    return [mine / min(others) for mine, *others in zip(values[lua, own], *measured)]


def bench_timers():
    """CPU per timer, a million armed at once, then fired or stopped, and memory: coev, lua-event, luv, cqueues, copas"""
    page = os.sysconf("SC_PAGE_SIZE")
    for what, unit, count, kinds, limit in (
        ("fired", "ns/timer", 1_000_000, ["luaevent", "luv", "cqueues", "copas"], 0.4),
        ("stopped", "ns/timer", 1_000_000, ["luaevent", "luv", "cqueues", "copas"], 0.4),
        ("memory", "bytes/timer", 200_000, ["luv"], 1.0),
    ):
        cases = {
            (lua, kind): (lambda lua=lua, kind=kind, what=what, count=count: call(
                [lua_command(lua), "timers.lua", kind, what, count, page], lua))
            for lua in chosen(["5.4", "luajit"])
            for kind in kinds_of(lua, ["coev", *kinds])
        }
        values = interleave(cases)
        rows = [
            [
                lua, kind, spread(values[lua, kind], 0),
                verdict(f"timers {what} {lua} coev/best peer", against_best(values, lua, "coev", kinds), limit)
                if kind == "coev" else "-",
                verdict("", ratio(values, (lua, kind), (lua, "coev")), None) if kind != "coev" else "-",
            ]
            for lua, kind in values
        ]
        table(f"timers: {count}, random delays, {what}", ["lua", "kind", unit, "coev/best peer", "peer/coev"], rows)


def bench_oversleep():
    """how much longer sleep(0.0005) takes than asked, median and 99th percentile, against epoll_pwait2 in C"""
    compile_c()
    times = 2000
    cases = {("C", "epoll"): lambda: call_all([BUILD / "oversleep", 500_000, times])}
    for lua in chosen(["5.4", "luajit"]):
        for kind in kinds_of(lua, ["coev", "after", "luv", "cqueues", "copas"]):
            cases[lua, kind] = lambda lua=lua, kind=kind: call_all(
                [lua_command(lua), "oversleep.lua", kind, 0.0005, times], lua)
    both = interleave(cases)
    for index, what in enumerate(("median", "99th percentile")):
        values = {name: [pair[index] for pair in pairs] for name, pairs in both.items()}
        rows = [
            [
                lua, kind, spread(values[lua, kind], 0),
                verdict(f"oversleep {what} {lua} {kind}/C", ratio(values, (lua, kind), ("C", "epoll")),
                        1.3 if kind == "coev" else None) if lua != "C" else "-",
            ]
            for lua, kind in values
        ]
        table(f"oversleep: sleep(0.0005), {what} of {times}", ["lua", "kind", "us too long", "/C"], rows)


def bench_poll():
    """CPU per event of 1,000 sockets that are always ready: poll:wait against luv's poll handles"""
    cases = {
        (lua, kind): (lambda lua=lua, kind=kind: call([lua_command(lua), "poll.lua", kind, 1000, 2_000_000], lua))
        for lua in chosen(["5.4", "luajit"])
        for kind in kinds_of(lua, ["coev", "luv"])
    }
    values = interleave(cases)
    rows = [
        [
            lua, kind, spread(values[lua, kind], 0),
            verdict(f"poll {lua} coev/luv", ratio(values, (lua, kind), (lua, "luv")), 1.0) if kind == "coev" else "-",
        ]
        for lua, kind in values
    ]
    table("poll: 1000 sockets ready to read", ["lua", "kind", "ns/event", "coev/luv"], rows)


def bench_pack():
    """ns for a value that becomes bytes and a value again: coev, Lua source, cjson and cmsgpack"""
    for value, count in (("fields", 300_000), ("string", 1_000_000), ("integers", 6000), ("records", 6000)):
        cases = {}
        for lua in chosen(["5.4", "luajit"]):
            for kind in kinds_of(lua, ["coev", "lua", "cjson", "cmsgpack"]):
                times = count // 10 if kind == "lua" else count
                command = [lua_command(lua), "pack.lua", kind, value, times]
                cases[lua, kind] = lambda command=command, lua=lua: call(command, lua)
        values = interleave(cases)
        rows = []
        for lua, kind in values:
            own, name = kind == "coev", f"pack {value} {lua} {kind}"
            to_coev = ratio(values, (lua, kind), (lua, "coev"))
            factor = {"lua": 3, "cmsgpack": 1}.get(kind) if value == "fields" else None
            rows.append([
                lua, kind, spread(values[lua, kind], 0),
                "-" if own else verdict(f"{name}/coev", to_coev, factor, True),
            ])
        table(f"pack: {value}", ["lua", "kind", "ns", "peer/coev"], rows)


def on_all_processors(command, lua=None):
    """Runs a program that prints one number, on any CPU."""
    child = start(command, lua)
    try:
        return float(reap(child)[0])
    finally:
        kill(child)


def bench_threads():
    """ns to start and join a thread, and for what passes between two; C does the same without coev"""
    BUILD.mkdir(parents=True, exist_ok=True)
    counts = {"start": 200, "ping_pong": 20_000, "strings": 300_000, "tables": 100_000, "map_one": 400, "map_two": 400}
    limits = {"start": 1.3, "ping_pong": 1.3, "strings": 1 / 0.6}
    cases = {}
    for lua in chosen(["5.1", "5.4", "luajit"]):
        library = "libluajit-5.1.so.2" if lua == "luajit" else f"liblua{lua}.so.0"
        reference = BUILD / f"threads-{lua}"
        source = HERE / "threads.c"
        linked = subprocess.run(
            ["cc", "-O2", "-Wall", "-Wextra", "-o", reference, source, "-lpthread", f"-l:{library}"], check=False)
        for kind, count in counts.items():
            cases[lua, kind, "coev"] = lambda lua=lua, kind=kind, count=count: on_all_processors(
                [lua_command(lua), "threads.lua", kind, count], lua)
            if kind in limits and linked.returncode == 0:
                cases[lua, kind, "C"] = lambda reference=reference, kind=kind, count=count: on_all_processors(
                    [reference, kind, count])
    values = interleave(cases)
    rows = [
        [
            lua, kind, who, spread(values[lua, kind, who], 0),
            verdict(f"threads {kind} {lua} coev/C", ratio(values, (lua, kind, who), (lua, kind, "C")), limits.get(kind))
            if who == "coev" else "-",
            spread(ratio(values, (lua, "map_one", who), (lua, kind, who)), 2) if kind == "map_two" else "-",
        ]
        for lua, kind, who in values
    ]
    table("threads", ["lua", "kind", "who", "ns", "coev/C", "against one thread"], rows)


BENCHES = {name[6:]: value for name, value in list(globals().items()) if name.startswith("bench_")}


def facts():
    def said(*command):
        try:
            return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:
            return ""

    commit = said("git", "rev-parse", "--short", "HEAD") or "unknown"
    if said("git", "--no-optional-locks", "status", "--porcelain"):
        commit += " with uncommitted changes"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = re.search(r"^model name\s*: (.*)$", info.read(), re.MULTILINE)
    load = os.getloadavg()[0]
    print(f"commit   {commit}")
    print(f"machine  {len(CPUS)} x {model.group(1) if model else os.uname().machine}, Linux {os.uname().release}, load {load:.1f}")
    print(f"rounds   {options.rounds}; figures are: median (least-most); ratios are taken within a round")
    if load > 0.5 * len(CPUS):
        print("WARNING  the machine is busy: trust no figure whose spread is wide")


def main():
    global options
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listing = "\n".join(f"  {name:12} {bench.__doc__}" for name, bench in BENCHES.items())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="benches:\n" + listing,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benches", nargs="*", metavar="BENCH", help="default: all")
    parser.add_argument("--lua", action="append", dest="luas", choices=LUAS, help="only this Lua; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each bench (default 5)")
    parser.add_argument("--limit", type=int, default=120, help="seconds after which a child is killed (default 120)")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a limit is not kept")
    options = parser.parse_args()
    for name in options.benches:
        if name not in BENCHES:
            parser.error(f"no bench {name!r}; there are: {', '.join(BENCHES)}")
    # Ended by a signal, it still ends and reaps its children on the way out.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _: sys.exit(128 + number))
    facts()
    for name in options.benches or BENCHES:
        BENCHES[name]()
    print()
    for line in over_limit:
        print("OVER   ", line)
    print(f"{len(kept_limits)} limits kept, {len(over_limit)} not")
    return 1 if options.check and over_limit else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
