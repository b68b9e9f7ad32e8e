# Two commands for a newcomer: `make demo` and `make test`. Needs Python 3.11 or later and GNU make 3.81 or later.
PYTHON ?= python3
ARGS ?=
DATA ?=
# What reads files of the package, without a broker and without what only a checkout has.
WHEEL_TESTS ?= tests/contracts tests/rules tests/load tests/test_jars.py tests/test_logs.py tests/test_settings.py
VENV := .venv
BENCH_VENV := .venv-bench
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes -r
PIP_COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs pictures bench chaos evaluate wheel lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

demo: $(VENV)/.runtime ## the whole chain on a real broker with a simulated plant; ARGS="--for 60" without a terminal
	@$(BIN)/python -m streams demo $(ARGS)

test: lint ## lint, types, then all tests (about 13 minutes on 2 cores); ARGS goes to pytest
	$(BIN)/python -m pytest -n 3 --dist loadgroup $(ARGS)

lint: $(VENV)/.dev ## ruff (rules and format) and mypy (strict)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## let ruff format and repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.runtime ## write diagram and tables of README.md anew from streams/topology.py
	$(BIN)/python -m streams.diagram

pictures: $(VENV)/.dev ## draw the pictures of docs anew, from runs of the services
	$(BIN)/python -m tests.pictures.run

bench: $(BENCH_VENV)/.bench ## rates, CPU and latency against the peers -> build/bench.json
	PYTHONPATH=. $(BENCH_VENV)/bin/python tests/bench/run.py $(ARGS)

chaos: $(VENV)/.dev ## kills, stops, broker restarts; edges offline, late and repeated data -> build/chaos.json
	$(BIN)/python tests/chaos/run.py $(ARGS)

evaluate: $(VENV)/.dev ## recorded data through the broker, DATA=folder -> build/evaluation.json
	@test -n "$(DATA)" || { echo 'Give the folder of the recorded data: make evaluate DATA=../shared/data' >&2; exit 2; }
	$(BIN)/python tests/evaluation/run.py --data "$(DATA)" $(ARGS)

# The tests run from a copy without the sources: what they import is what a user gets (its schemas included).
wheel: $(VENV)/.dev ## build the wheel, install it in an environment of its own and run tests on it
	rm -rf build/wheel
	$(BIN)/python -m build --no-isolation --wheel --outdir build/wheel/dist
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python $(PIP_INSTALL) requirements/runtime.txt
	build/wheel/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps build/wheel/dist/*.whl
	build/wheel/venv/bin/python -P tests/contracts/import_all.py
	build/wheel/venv/bin/python $(PIP_INSTALL) requirements/dev.txt
	outside=$$(mktemp -d) && trap 'rm -rf "$$outside"' EXIT && cp -R pyproject.toml schemas tests "$$outside" && cd "$$outside" && \
		$(CURDIR)/build/wheel/venv/bin/python -m pytest --quiet -n 2 -p no:cacheprovider $(WHEEL_TESTS)

# One lock serves every supported Python; it is resolved on the oldest one.
lock: $(VENV)/.dev ## resolve requirements/*.txt anew from pyproject.toml (uses the network)
	CUSTOM_COMPILE_COMMAND="make lock" $(PIP_COMPILE) $(ARGS) --only-build-deps --build-deps-for wheel \
		-o requirements/build.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(PIP_COMPILE) $(ARGS) --extra dev -o requirements/dev.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(PIP_COMPILE) $(ARGS) -c requirements/dev.txt -o requirements/runtime.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(PIP_COMPILE) $(ARGS) --extra bench -o requirements/bench.txt pyproject.toml
	sed 's/^\(bytewax==[0-9.]*\) /\1 ; python_version < "3.13" /' requirements/bench.txt > requirements/bench.tmp
	mv requirements/bench.tmp requirements/bench.txt

clean: ## remove environments, caches and results
	rm -rf $(VENV) $(BENCH_VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Plantweave needs Python 3.11 or later: make PYTHON=/path/to/python3.11 ...' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/runtime.txt | $(BIN)/python
	@echo 'Installing the runtime requirements into $(VENV) (once) ...'
	$(BIN)/python $(PIP_INSTALL) requirements/runtime.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo 'Installing the development requirements into $(VENV) (once) ...'
	$(BIN)/python $(PIP_INSTALL) requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@ $(VENV)/.runtime

$(BENCH_VENV)/.bench: requirements/bench.txt
	@echo 'Installing the benchmark and its peers into $(BENCH_VENV) (once) ...'
	test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python $(PIP_INSTALL) requirements/bench.txt
	@touch $@
