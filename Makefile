# Exhibit. A bare `make` tells what there is.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

export EXHIBIT_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/exhibit
# The demo's state, all of it: keys, ledger, TPM, recordings, bundle.
export DEMO_STATE ?= $(CURDIR)/.demo
# What the demo plays: vtest.avi of Debian's opencv-doc unless SOURCE names a file or an rtsp:// address.
export SOURCE ?=

# RocksDB is built once, outside the checkout, for every profile and clone (scripts/rocksdb.sh says why); mold links in a second.
# An assignment of its own, so that nothing goes on where RocksDB could not be built.
CARGO = rocksdb="$$(scripts/rocksdb.sh)" && ROCKSDB_LIB_DIR="$$rocksdb" ROCKSDB_STATIC=1 RUSTFLAGS="$(RUSTFLAGS) -Clink-arg=-fuse-ld=mold" cargo

.PHONY: help
help: ## this text
	@echo 'Exhibit: signed, encrypted and ledgered video evidence.'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Start with `make demo`. README.md tells the rest.'

.PHONY: packages
packages: ## installs the Debian packages that are missing (sudo when not root)
	@scripts/packages.sh

.PHONY: build
build: packages ## builds every program, optimised, into target/release
	@export EXHIBIT_COMMIT="$$(git describe --always --dirty 2>/dev/null || echo unknown)"; $(CARGO) build --release --locked --workspace --bins

.PHONY: demo
demo: packages ## real footage from a camera to a verdict, in about three minutes after the build
	@scripts/demo.sh

.PHONY: clean-demo
clean-demo: ## removes everything that the demo made
	@scripts/demo.sh --clean

.PHONY: test
test: packages ## everything that must hold
	@# Where it can not be had, what needs it says that it was skipped.
	@scripts/wasm-targets.sh || true
	@export EXHIBIT_TEST_ALL=1; $(CARGO) build --locked --workspace --bins
	@export EXHIBIT_TEST_ALL=1; $(CARGO) test --locked --workspace

.PHONY: bench
bench: packages ## every figure against its baseline, a line of JSON each; BENCH=verify runs one
	@$(CARGO) build --release --locked -p exhibit-appliance -p exhibit-authority -p exhibit-cli -p exhibit-bench
	@export EXHIBIT_NGINX="$$(scripts/nginx.sh)"; "$${CARGO_TARGET_DIR:-target}/release/exhibit-bench" $(BENCH)

# What a load is made of: `exhibit-load --help` tells.
LOAD ?=

.PHONY: load
load: packages ## virtual cameras against an appliance, 10 to 2,000 of them, judged by the oracle; LOAD="--cameras 500 --links mixed" changes it
	@$(CARGO) build --release --locked -p exhibit-appliance -p exhibit-authority -p exhibit-cli -p exhibit-load
	@# A socket for each camera, on both sides, and two for each link.
	@ulimit -n "$$(ulimit -Hn)"; "$${CARGO_TARGET_DIR:-target}/release/exhibit-load" $(LOAD)

.PHONY: fuzz
fuzz: ## every parser under libFuzzer, FUZZ_SECONDS each (default 300); needs a nightly toolchain
	@scripts/fuzz.sh

.PHONY: mutants
mutants: packages ## changes what judges evidence, thing by thing, to see that a test notices: hours; MUTANTS="<files>" for some
	@scripts/mutants.sh

.PHONY: check
check: packages ## format, clippy without warnings, licences, documentation, tidy
	@cargo fmt --check
	@$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	@scripts/deny.sh
	@# The comments of a program's arguments are its --help, where <id> is a place holder and no HTML.
	@export RUSTDOCFLAGS='-D warnings -A rustdoc::invalid-html-tags'; $(CARGO) doc --locked --workspace --no-deps --document-private-items
	@$(CARGO) test --locked -p exhibit-tidy

# Steps of a soak, such as STEPS="kills seeds"; scripts/soak.sh tells which there are, and the numbers that can be set.
STEPS ?=

.PHONY: soak
soak: packages ## thousands of kills, power cuts, failing writes and cameras, and a scanner of TLS: about two hours; STEPS="kills seeds" for some
	@scripts/soak.sh $(STEPS)
