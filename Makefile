# Another interpreter: make test PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3
VENV   ?= .venv
APP    ?= examples.hello:app
BIND   ?= 127.0.0.1:8000
# Tests at a time: most wait rather than compute. All in one process, as a debugger needs it: make test JOBS=0
JOBS   ?= 6
BIN    := $(VENV)/bin
# Tests start servers by the hundred: none of them is to compile the package anew.
PYTEST := $(BIN)/python -m compileall -q pyserve && $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
export PIP_DISABLE_PIP_VERSION_CHECK = 1
.PHONY: help run test check lossless fuzz conformance bench build clean
help:
	@echo "make run [APP=module:app]  serve the examples, or another application, at http://$(BIND)/"
	@echo "make test                  the whole test suite"
	@echo "make check                 lint, format, types, layers"
	@echo "make lossless              reloads, stops and the like under load, ten times: no request may be lost"
	@echo "make fuzz [SECONDS=60]     what must hold for any octets and any application, tried for so long"
	@echo "make conformance           other projects' cases, from the folder CONFORMANCE (needs slowhttptest)"
	@echo "make bench                 requests/s and CPU per request beside other servers (needs wrk)"
	@echo "make build                 the wheel and the source archive, in dist/"

run: $(VENV)/.installed
	@echo "pyserve serves $(APP) at http://$(BIND)/ (Ctrl-C stops it)"
	@exec $(BIN)/pyserve --bind $(BIND) --access-logfile - $(ARGS) $(APP)

test: $(VENV)/.installed-test
	$(PYTEST) $(ARGS)
fuzz conformance: $(VENV)/.installed-test
	$(BIN)/python -m tests.$@ $(if $(filter fuzz,$@),--seconds $(or $(SECONDS),60)) $(ARGS)
lossless: $(VENV)/.installed-test
	export LOSSLESS_ROUNDS=10; $(PYTEST) tests/lossless $(ARGS)
bench: $(VENV)/.installed-bench
	$(BIN)/python -m bench $(ARGS)
check: $(VENV)/.installed-test $(VENV)/.installed-lint
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy --strict -p pyserve && $(BIN)/python -m pytest -q tests/test_layers.py

build: $(BIN)/python
	$(BIN)/pip install --quiet build && $(BIN)/python -m build
clean:
	rm -rf .venv .venv-* build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --editable . && touch $@
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --editable '.[$*]' && touch $@
