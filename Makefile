# The one entrance for developers: `make` lists what there is.
#
# Needs git, make and Python 3.11 or newer. Everything else comes into .venv and .make, which are
# this checkout's own; the system's Python is only asked for a virtual environment.

ARGS ?=
# One more than the two cores of a small machine, because many a test waits for something.
WORKERS ?= 3
BENCHMARKS ?= $(sort $(wildcard benchmarks/*.py))
PLATFORMS = x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu aarch64-apple-darwin
VERSIONS = 3.11 3.12 3.13

BIN = .venv/bin
OWN_UV = .make/uv/bin/uv
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo $(OWN_UV))

# The certificates of the machine count, as they do for git: companies add their own.
export UV_SYSTEM_CERTS ?= true
# The Python is the one found below, never one that uv downloads.
export UV_PYTHON_DOWNLOADS = never
# No look-up of newer versions: which pyright checks is in the lock.
export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1

# Prints the path of the first Python that is new enough and passes the test $(1).
find_python = for name in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	"$$name" -c '$(1)' >/dev/null 2>&1 || continue; \
	"$$name" -c 'import sys; print(sys.executable)'; break; done

# Ends the recipe with one line.
give_up = { echo "make: $(1)" >&2; exit 1; }

NO_PYTHON = Python 3.11 or newer was not found; install it, or name it with PYTHON=/path/to/python3
NO_VENV = this Python cannot make virtual environments; install python3-venv (apt-get install python3-venv)
NO_FETCH = uv could not be installed with pip, see above; install uv yourself, or check the network

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-long check conformance bench bench-sessions bench-proxy soak-proxy bench-dispatch bench-sleep docs lock install clean compiled

help: ## List these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | while IFS='	' read -r name line; do \
		printf '  make %-14s %s\n' "$$name" "$$line"; done

demo: install ## Run the demonstration on real Codex, without an account (ARGS="--all")
	@$(BIN)/armarius demo $(ARGS)

test: install ## Run all tests, on both Codex builds (ARGS="tests/gate -x", WORKERS=4)
	@$(BIN)/python tests/support/npm_codex.py .make/codex-npm
	@$(BIN)/pytest -q -n $(WORKERS) $(ARGS)

check: install ## Lint, format, types, order of the parts, freshness of the documents
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || $(call give_up,format with '$(BIN)/ruff format .')
	@$(BIN)/pyright
	@$(BIN)/pytest -q tests/architecture
	@$(BIN)/python docs/generate.py --check

test-long: install ## Run the tests that take minutes (ARGS="-k lease")
	@$(BIN)/pytest -q -n $(WORKERS) --timeout 3600 -m "" tests/long/*.py $(ARGS)
	@$(BIN)/pytest -q -n $(WORKERS) --timeout 3600 -m long $(ARGS)

conformance: install ## Run real Codex of many versions and read what they write (ARGS="-k 0.42")
	@$(BIN)/pytest -q --timeout 3600 tests/conformance/versions.py $(ARGS)

bench: install ## Run the benchmarks (BENCHMARKS=benchmarks/gatebench.py ARGS="--trials 100")
	@set -e; for program in $(BENCHMARKS); do echo "== $$program"; $(BIN)/python $$program $(ARGS); done

bench-sessions: install ## Reading sessions, beside other programs (ARGS="--rounds 3 --only scan")
	@UV="$(UV)" $(BIN)/python benchmarks/sessions/bench.py $(ARGS)

bench-dispatch: install ## What a run costs: alone, detached, sixteen at once (ARGS="--runs 5")
	@$(BIN)/python benchmarks/dispatch_bench.py $(ARGS)

bench-proxy: install ## The recorder beside no proxy, a bare one and LiteLLM (ARGS="--rounds 1 --no-litellm")
	@UV="$(UV)" $(BIN)/python benchmarks/proxy/bench.py $(ARGS)

bench-sleep: install ## Nights beside SkillOpt, GEPA and a rewrite; the gate (ARGS="--quick", ARGS="--only night")
	@UV="$(UV)" $(BIN)/python benchmarks/sleep/bench.py $(ARGS)

soak-proxy: install ## An hour of streams in trouble through the recorder (ARGS="--seconds 60")
	@$(BIN)/python benchmarks/proxy/soak.py $(ARGS)

docs: install ## Write the documents that are made from the code
	@$(BIN)/python docs/generate.py

lock: $(BIN)/python ## Resolve the dependencies anew (ARGS="--upgrade" takes newer versions)
	@$(UV) pip compile --quiet --universal --python-version 3.11 --all-extras --group dev \
		--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
		--output-file requirements.lock $(ARGS) pyproject.toml
	@set -e; for platform in $(PLATFORMS); do for version in $(VERSIONS); do \
		$(UV) pip sync --quiet --dry-run --python $(BIN)/python --require-hashes --only-binary :all: \
			--python-platform $$platform --python-version $$version requirements.lock \
		|| $(call give_up,the lock cannot be installed on $$platform with Python $$version); done; done

install: .make/environment compiled ## Make the environment in .venv, once

clean: ## Remove everything that make has made
	rm -rf .venv .make .ruff_cache .hypothesis dist
	find src tests docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.make/environment: pyproject.toml requirements.lock $(BIN)/python
	@echo "make: installing requirements.lock into .venv"
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Start-up time is measured, and with PYTHONDONTWRITEBYTECODE nobody else would keep byte-code.
compiled: .make/environment
	@$(BIN)/python -m compileall -q src

$(BIN)/python: | $(filter $(OWN_UV),$(UV))
	@mkdir -p .make
	@python=$$($(call find_python,pass)); [ -n "$$python" ] || $(call give_up,$(NO_PYTHON)); \
		rm -rf .venv; $(UV) venv --quiet --no-project --python "$$python" .venv

$(OWN_UV):
	@rm -rf .make/uv && mkdir -p .make
	@any=$$($(call find_python,pass)); [ -n "$$any" ] || $(call give_up,$(NO_PYTHON)); \
		python=$$($(call find_python,import ensurepip)); [ -n "$$python" ] || $(call give_up,$(NO_VENV)); \
		echo "make: fetching uv with pip into .make/uv"; \
		"$$python" -m venv .make/uv && .make/uv/bin/python -m pip install \
			--quiet --disable-pip-version-check uv || $(call give_up,$(NO_FETCH))
