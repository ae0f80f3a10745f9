# Set-up, tests and the demo. `make help` lists the targets.

PYTHON = python3.11
# More arguments for pytest or the demo: make test ARGS="-k attacks"
ARGS =
# Processes that share the tests, file by file; each takes about 3 GiB.
WORKERS = 2
# Moments at which `make test-faults` kills; SEED draws others.
KILLS = 100
SEED = 0
# Folder of the API reference.
DOCS = .cache/docs

VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --disable-pip-version-check --no-input --no-deps --require-hashes
# Copies of the requirements that the environment holds, written when an install has ended well.
STAMP := $(VENV)/.installed-requirements.txt
TEST_STAMP := $(VENV)/.installed-requirements-test.txt
IS_311 := import sys; sys.exit(sys.version_info[:2] != (3, 11))

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup setup-test test test-slow test-faults lint demo docs tutorial build-files bazel clean distclean

# What is on the caller's path must not shadow what is pinned here.
unexport PYTHONPATH PYTHONHOME

help: ## list the targets
	@echo "make TARGET, with TARGET one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile
	@echo "Python 3.11 is looked for as python3.11; elsewhere: make TARGET PYTHON=/path/to/python"

setup: ## create .venv and install the pinned requirements.txt, if not done yet
	@set -e; \
	if cmp -s requirements.txt $(STAMP) && $(PY) -c '$(IS_311)' 2>/dev/null; then \
	  echo "setup: $(VENV) holds what requirements.txt pins"; exit 0; \
	fi; \
	if ! "$(PYTHON)" -c '$(IS_311)' 2>/dev/null; then \
	  found=$$("$(PYTHON)" --version 2>/dev/null) || found="not usable"; \
	  echo "setup: Python 3.11 is needed, but $(PYTHON) is $$found:" \
	    "install Python 3.11 or name it, make PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	echo "setup: creating $(VENV) with $$("$(PYTHON)" --version)"; \
	rm -f $(STAMP) $(TEST_STAMP); \
	if ! "$(PYTHON)" -m venv --clear $(VENV); then \
	  echo "setup: $(PYTHON) can't create a virtual environment:" \
	    "install its venv module (Debian: apt install python3.11-venv)" >&2; exit 1; \
	fi; \
	echo "setup: installing requirements.txt, some minutes when nothing is cached"; \
	$(PIP_INSTALL) -r requirements.txt; \
	cp requirements.txt $(STAMP).part; mv $(STAMP).part $(STAMP); \
	echo "setup: done"

# --ignore-installed: a package that an interrupted install left half there is written anew.
setup-test: setup ## the same, with what the tests need
	@set -e; \
	if cmp -s requirements-test.txt $(TEST_STAMP); then exit 0; fi; \
	echo "setup: installing requirements-test.txt"; \
	rm -f $(TEST_STAMP); \
	$(PIP_INSTALL) --ignore-installed -r requirements-test.txt; \
	cp requirements-test.txt $(TEST_STAMP).part; mv $(TEST_STAMP).part $(TEST_STAMP); \
	echo "setup: done"

test: setup-test ## run the tests, except those marked slow or faults, in WORKERS processes
	$(PY) -m pytest -m "not slow and not faults" -n $(WORKERS) --dist loadfile \
	  --no-loadscope-reorder $(ARGS)

test-slow: setup-test ## run the tests marked slow
	$(PY) -m pytest -m slow $(ARGS)

test-faults: setup-test ## kill runs at KILLS drawn moments, and give them hostile files: half an hour or more
	FEDSAFE_KILLS=$(KILLS) FEDSAFE_FAULT_SEED=$(SEED) $(PY) -m pytest -m faults $(ARGS)

lint: setup-test ## check style with ruff
	$(PY) -m ruff check .

demo: setup ## compare three defences on the embedded data, into a new folder under runs/
	$(PY) -m experiments.demo \
	  --run_dir="runs/demo-$$(date +%Y%m%d-%H%M%S)-$$$$" $(ARGS)

docs: setup-test ## make the API reference of the library from its docstrings, in .cache/docs
	$(PY) -m pdoc --docformat google --no-show-source --output-directory $(DOCS) \
	  fedsafe_tff '!fedsafe_tff.commands' '!fedsafe_tff.paper' '!fedsafe_tff.runs'
	@echo "docs: open $(DOCS)/index.html"

tutorial: setup-test ## run docs/tutorial.ipynb and store what it gives; some minutes on two cores
	$(PY) -m tests.notebook docs/tutorial.ipynb --write

build-files: setup ## write Bazel's BUILD files anew from the imports
	$(PY) -m tests.build_files --write

bazel: setup-test ## analyse all BUILD files and run some tests with Debian's bazel-bootstrap
	$(PY) -m tests.bazel_check $(ARGS)

clean: ## remove caches and build outputs; keeps .venv and runs/
	rm -rf .cache .pytest_cache .ruff_cache build dist *.egg-info
	find . -name $(VENV) -prune -o -name .git -prune -o -type d -name __pycache__ -exec rm -rf {} +

distclean: clean ## clean, and remove .venv
	rm -rf $(VENV)
