# What one does with coev. LUA says for which Lua: 5.1 5.2 5.3 5.4 5.5 luajit.
# `make help` lists the targets.

LUA = 5.4
LUAS := 5.1 5.2 5.3 5.4 5.5 luajit
# More words for busted (make spec) or for the script (make run).
ARGS =
# Seconds that one run of the specs may take.
SPEC_LIMIT = 600

FEATURE := $(if $(filter luajit,$(LUA)),luajit,lua$(subst .,,$(LUA)))
INTERPRETER := $(if $(filter luajit,$(LUA)),luajit,lua$(LUA))
SYSTEM := $(shell uname -s)
LIBRARY := libcoev.$(if $(filter Darwin,$(SYSTEM)),dylib,so)

# Lua 5.5, which few systems package, is built here.
export PATH := $(CURDIR)/build/host:$(PATH)
# Paths set for one version would hide the ones below.
unexport LUA_INIT LUA_INIT_5_2 LUA_INIT_5_3 LUA_INIT_5_4 LUA_INIT_5_5
unexport LUA_PATH_5_2 LUA_PATH_5_3 LUA_PATH_5_4 LUA_PATH_5_5
unexport LUA_CPATH_5_2 LUA_CPATH_5_3 LUA_CPATH_5_4 LUA_CPATH_5_5

# A script run so finds this checkout's library first.
BUILT = $(CURDIR)/build/$(LUA)
ENVIRONMENT = LUA_CPATH="$(BUILT)/?.so;;"
PRELOAD :=
ifeq ($(LUA),5.5)
  # busted for 5.4 serves 5.5 too, with stand-ins for what it has in C.
  SHIMS := $(CURDIR)/spec/support/lua55
  LUA54_MODULES ?= /usr/share/lua/5.4
  ENVIRONMENT += LUA_PATH="$(SHIMS)/?.lua;$(LUA54_MODULES)/?.lua;$(LUA54_MODULES)/?/init.lua;;"
  PRELOAD := -l loop_variables
endif
BOUNDED = $(if $(shell command -v timeout 2>/dev/null),timeout --foreground --kill-after=5 $(SPEC_LIMIT))

.DEFAULT_GOAL := build

## Install

# What a machine needs beside Rust and a C compiler: commands, each with its Debian package.
TOOLS := $(foreach lua,5.1 5.2 5.3 5.4,lua$(lua):lua$(lua)) luajit:luajit busted:lua-busted \
	luacheck:lua-check luarocks:luarocks redis-server:redis-server
# Programs of others that spec/dropin_spec.lua runs over coev; what is not installed is left out there.
DROPIN_PACKAGES := lua-socket lua-redis lua-copas lua-xmlrpc
BENCH_PACKAGES := lua-cqueues lua-luv lua-event lua-copas lua-socket wrk

deps: ## install what building and testing need
	@missing=; for tool in $(TOOLS); do \
		command -v $${tool%%:*} >/dev/null || missing="$$missing $${tool#*:}"; done; $(install)

dropin-deps: ## install the programs that the specs run over coev
	@missing=; for package in $(DROPIN_PACKAGES); do \
		dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || \
		missing="$$missing $$package"; done; $(install)

bench-deps: deps ## install what the benchmarks compare with
	@missing=; for package in $(BENCH_PACKAGES); do \
		dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || \
		missing="$$missing $$package"; done; $(install)

# Installs the Debian packages in $missing, or says what to install elsewhere.
define install
[ -z "$$missing" ] && exit 0; \
if ! command -v apt-get >/dev/null; then \
	echo "please install (names as in Debian):$$missing" >&2; exit 1; fi; \
root=; if [ "$$(id -u)" != 0 ]; then root=sudo; fi; \
if [ -n "$$root" ] && ! command -v sudo >/dev/null; then \
	echo "please install, as root: apt-get install$$missing" >&2; exit 1; fi; \
echo "installing$$missing"; \
apt="$$root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0"; \
$$apt update && $$apt install -y --no-install-recommends $$missing </dev/null
endef

## Build

build: ## build/$(LUA)/coev.so
	cargo build --release --features $(FEATURE) --target-dir target/$(LUA)
	@$(call put,target/$(LUA)/release/$(LIBRARY),build/$(LUA)/coev.so)

build-all: $(LUAS:%=build-%) ## the library for every Lua

$(LUAS:%=build-%): build-%:
	@$(MAKE) --no-print-directory build LUA=$*

# The library for Lua 5.4 with the poller of other systems, so that the specs run on that, too.
PORTABLE := $(CURDIR)/target/portable/lib
build-portable:
	RUSTFLAGS="$(RUSTFLAGS) --cfg coev_portable_poller" \
		cargo build --release --features lua54 --target-dir target/portable
	@$(call put,target/portable/release/$(LIBRARY),$(PORTABLE)/coev.so)

host: ## build/host/lua5.5, a stock Lua 5.5 for the specs
	cargo build --release --manifest-path hosts/lua55/Cargo.toml --target-dir target/host
	@$(call put,target/host/release/lua55,build/host/lua5.5)

# A copy that is moved into place leaves the file that a running process has mapped alone.
put = mkdir -p $(dir $(2)) && { cmp -s $(1) $(2) || { cp $(1) $(2).new && mv -f $(2).new $(2); }; }

## Try

run: build ## run SCRIPT (with ARGS) against the library
	$(ENVIRONMENT) $(INTERPRETER) $(SCRIPT) $(ARGS)

demo: deps build ## run the demonstration
	$(ENVIRONMENT) $(INTERPRETER) examples/demo.lua

examples: ARGS := spec/examples_spec.lua
examples: spec ## run every example

## Test

test: ## everything, on a machine with nothing but Rust, a C compiler and Python
	@$(MAKE) --no-print-directory deps
	-@$(MAKE) --no-print-directory dropin-deps
	@$(MAKE) --no-print-directory -j2 build-all build-portable host
	@$(MAKE) --no-print-directory unit model
	@spec/run $(LUAS) portable

check: lint unit spec ## the gate before a commit

# Lua's symbols come from the interpreter, and no test in src/ calls one: they stay open. GNU ld
# leaves them at zero; other linkers make the loader look for them at the start.
ifeq ($(SYSTEM),Darwin)
  OPEN_SYMBOLS := -C link-arg=-undefined -C link-arg=dynamic_lookup
else
  OPEN_SYMBOLS := -C link-arg=-fuse-ld=bfd -C link-arg=-Wl,--unresolved-symbols=ignore-all
endif

unit: ## the tests in src/, which need no Lua
	RUSTFLAGS="$(RUSTFLAGS) $(OPEN_SYMBOLS)" cargo test --features lua54 --target-dir target/unit

# Loom runs every order in which threads may meet, in models of what they share.
model: ## models of the queues, lines and wake-ups between threads
	RUSTFLAGS="$(RUSTFLAGS) --cfg loom $(OPEN_SYMBOLS)" LOOM_MAX_PREEMPTIONS=3 \
		cargo test --profile checked --features lua54 --target-dir target/model model::

spec: build $(if $(filter 5.5,$(LUA)),host) ## the specs for $(LUA), e.g. make spec LUA=5.1 ARGS="--filter=timeout"
	@$(busted)

spec-all: build-all host ## the specs for every Lua, and their sum
	@spec/run $(LUAS)

# What spec/run calls: the specs for $(LUA), as built.
busted:
	@$(busted)

busted-portable: BUILT := $(PORTABLE)
busted-portable: LUA := 5.4
busted-portable:
	@$(busted)

busted = $(ENVIRONMENT) $(BOUNDED) $(INTERPRETER) $(PRELOAD) "$$(command -v busted)" $(ARGS)

# Nothing in them depends on when garbage is collected, or on how long it takes.
STRESS_SPECS := $(patsubst %,spec/%_spec.lua,cancel errors group inspection life lubyk scheduler \
	$(patsubst %,socket_%,beyond connect module names options receive select send states stream udp unix) \
	supervisor suspend task mutex semaphore rwlock condition event waitgroup barrier channel select pack message \
	shared)
stress: INTERPRETER := $(CURDIR)/build/host-stress/lua5.5
stress: LUA := 5.5
stress: ## those specs on a Lua 5.5 that collects at each allocation, moves its stacks, checks its callers
	@$(MAKE) --no-print-directory build LUA=5.5
	CFLAGS="-DHARDMEMTESTS=1 -DHARDSTACKTESTS=1" cargo build --release --features apicheck \
		--manifest-path hosts/lua55/Cargo.toml --target-dir target/host-stress
	@$(call put,target/host-stress/release/lua55,build/host-stress/lua5.5)
	$(ENVIRONMENT) MALLOC_PERTURB_=165 SPEC_PATIENCE=20 $(INTERPRETER) \
		spec/support/bare.lua $(if $(ARGS),$(ARGS),$(STRESS_SPECS))

soak: build ## start and join 100,000 threads, at constant memory
	$(ENVIRONMENT) $(INTERPRETER) spec/support/thread_soak.lua $(ARGS)

# Helgrind knows no locks but those of pthreads, and Rust's are none: the orders are what `make model` is for.
memcheck: build ## what threads share, under valgrind's watch: no memory is misused, or lost
	$(ENVIRONMENT) valgrind --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=1 \
		$(INTERPRETER) spec/support/thread_stress.lua $(if $(ARGS),$(ARGS),3)

# With a seed of one's own: make fuzz FUZZ_SEED=7 FUZZ_ROUNDS=1000000.
fuzz: build ## messages that have been damaged, millions of them
	FUZZ_SEED=$(or $(FUZZ_SEED),$$(date +%s)) FUZZ_ROUNDS=$(or $(FUZZ_ROUNDS),2000000) SPEC_PATIENCE=200 $(ENVIRONMENT) $(INTERPRETER) "$$(command -v busted)" \
		--filter="never do harm" spec/pack_spec.lua

lint: ## formatting, clippy, luacheck, the rockspec
	cargo fmt --check
	cargo fmt --check --manifest-path hosts/lua55/Cargo.toml
	cargo clippy --all-targets --features lua54 --target-dir target/lint -- -D warnings
	cargo clippy --all-targets --features luajit --target-dir target/lint -- -D warnings
	cargo clippy --manifest-path hosts/lua55/Cargo.toml --target-dir target/lint -- -D warnings
	luacheck --quiet $(wildcard spec examples src benches .busted rockspec/*.rockspec)
	luarocks lint rockspec/coev-scm-1.rockspec

# LuaRocks wants to see a Lua header of its version, whatever a rock is made of.
ROCK_LUA := $(if $(filter luajit,$(LUA)),5.1,$(LUA))
ROCK_TREE := $(CURDIR)/build/rock/$(LUA)
rock: ## install the rock into build/rock/$(LUA), and load it from there
	rm -rf $(ROCK_TREE) && mkdir -p $(ROCK_TREE)/include
	echo '#define LUA_VERSION_NUM $(subst .,0,$(ROCK_LUA))' >$(ROCK_TREE)/include/lua.h
	luarocks --lua-version=$(ROCK_LUA) --tree=$(ROCK_TREE) make rockspec/coev-scm-1.rockspec \
		LUA_INCDIR=$(ROCK_TREE)/include LUA=$$(command -v $(INTERPRETER))
	LUA_CPATH="$(ROCK_TREE)/lib/lua/$(ROCK_LUA)/?.so" $(INTERPRETER) \
		-e 'assert(require "coev".now() > 0 and require "coev.socket") print "the rock loads"'

# What the rockspec calls: LUA_EXE is the interpreter that LuaRocks installs for.
ROCK_FOR = $$($(LUA_EXE) -e 'io.write(jit and "luajit" or _VERSION:match("%d.%d"))')
rock-build:
	@$(MAKE) --no-print-directory build LUA="$(ROCK_FOR)"
rock-install:
	mkdir -p "$(LIBDIR)" && cp "build/$(ROCK_FOR)/coev.so" "$(LIBDIR)/coev.so"

bench: bench-deps build-all host ## the benchmarks: coev, its peers and the limits
	python3 benches/run.py $(ARGS)

clean: ## remove what was built
	rm -rf build target hosts/lua55/target

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r target what; do printf '%-12s %s\n' "$$target" "$$what"; done

.PHONY: deps dropin-deps bench-deps build build-all build-portable busted-portable $(LUAS:%=build-%) host run demo examples test check unit model \
	spec spec-all busted stress soak memcheck fuzz lint rock rock-build rock-install bench clean help
