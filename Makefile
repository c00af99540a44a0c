# make run needs Python 3.11 or newer and make, nothing else. Everything it installs goes into .venv.

BIN := .venv/bin
# A set of installed packages is named by the lock file it came from: another lock, another installation.
RUN_STAMP = .venv/installed-$(shell cat requirements.txt pyproject.toml | cksum | cut -d ' ' -f 1)
DEV_STAMP = .venv/installed-dev-$(shell cat requirements-dev.txt pyproject.toml | cksum | cut -d ' ' -f 1)
FUZZ_STAMP = .fuzz/installed-$(shell cksum < requirements-fuzz.txt | cut -d ' ' -f 1)
PEERS_STAMP = .peers/installed-$(shell cksum < requirements-peers.txt | cut -d ' ' -f 1)
TRAIN_STAMP = .train/installed-$(shell cksum < requirements-train.txt | cut -d ' ' -f 1)
TOOLS_STAMP = .venv-tools/installed-$(shell cksum < requirements-tools.txt | cut -d ' ' -f 1)
PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input

.PHONY: run test test-fuzz check tools bench-line bench-archive bench-polls bench-feeds bench-cadence bench-extract train-extraction screenshots lock clean
.DELETE_ON_ERROR:

run: $(RUN_STAMP)
	@exec $(BIN)/newsmill up --sample

test: $(DEV_STAMP)
	@$(BIN)/python -m pytest -n 4 --dist worksteal  # of two cores: many tests wait rather than work

# What strangers send, mutated for an hour: make test-fuzz ARGS="--seconds 60", ARGS=url for one kind alone; CI tries the
# same few thousand each time (ARGS="--runs 500"), so that a change answers for what it broke.
test-fuzz: $(DEV_STAMP) $(FUZZ_STAMP)
	@PYTHONPATH=.fuzz/lib $(BIN)/python -m tests.fuzz $(ARGS)

check: $(DEV_STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# How many articles a second, and what one costs: make bench-line ARGS=--short
bench-line: $(DEV_STAMP) $(PEERS_STAMP)
	@PYTHONPATH=.peers/lib $(BIN)/python -m bench.line $(ARGS)

# What writing, compacting, verifying and importing an archive costs: make bench-archive ARGS=--short
bench-archive: $(DEV_STAMP)
	@$(BIN)/python -m bench.archive $(ARGS)

# What reading a feed costs, beside feedparser: make bench-feeds ARGS=--short
bench-feeds: $(DEV_STAMP)
	@$(BIN)/python -m bench.feeds $(ARGS)

# How often feeds are asked and how long their items wait, a year in simulated time: make bench-cadence ARGS=--short
bench-cadence: $(DEV_STAMP)
	@$(BIN)/python -m bench.cadence $(ARGS)

# Conditional polls, very many feeds, the seen-check among millions (10 GB for a while): make bench-polls ARGS=--short
bench-polls: $(DEV_STAMP)
	@$(BIN)/python -m bench.polls $(ARGS)

# How much of an article is read out of its page, and at what cost, beside other libraries: make bench-extract ARGS=--short
bench-extract: $(DEV_STAMP) $(PEERS_STAMP)
	@PYTHONPATH=.peers/lib $(BIN)/python -m bench.extraction $(ARGS)

# worker/extract/model.json anew from the recorded pages; or what it is worth on hosts it never saw: ARGS=--try
train-extraction: $(DEV_STAMP) $(TRAIN_STAMP)
	@PYTHONPATH=.train/lib $(BIN)/python -m bench.train_extraction $(ARGS)

# The pictures in docs/, of the sample newsroom; needs chromium.
screenshots: $(DEV_STAMP) $(TOOLS_STAMP)
	@$(BIN)/python -m tests.tools.screenshots

# pywb and other readers of web archives, for the tests that let them read ours.
tools: $(TOOLS_STAMP)

lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements-tools.in -o requirements-tools.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements-fuzz.in -o requirements-fuzz.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements-dev.txt requirements-peers.in -o requirements-peers.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements-dev.txt requirements-train.in -o requirements-train.txt

# What was installed and what tools left; never var/, where articles are.
clean:
	rm -rf .venv .venv-tools .fuzz .peers .train .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A name on the PATH is no promise: version managers leave commands that only print an error. So each is tried.
$(BIN)/python:
	@for python in python3.12 python3.11 python3.13 python3.14 python3 python; do \
	  if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    echo "Making .venv with $$python."; exec $$python -m venv .venv; \
	  fi; \
	done; \
	echo "No Python 3.11 or newer with its venv module was found: install one (on Debian and Ubuntu: python3 and" \
	     "python3-venv)." >&2; exit 1

$(RUN_STAMP): | $(BIN)/python
	@echo "Installing what requirements.txt pins: a minute or two, once."
	@$(PIP) install --require-hashes -r requirements.txt
	@$(install_newsmill)
	@rm -f .venv/installed-[0-9]*; touch $@

$(DEV_STAMP): | $(BIN)/python
	@echo "Installing what requirements-dev.txt pins: a minute or two, once."
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@$(install_newsmill)
	@rm -f .venv/installed-dev-*; touch $@

$(TOOLS_STAMP): | $(BIN)/python
	@echo "Installing what requirements-tools.txt pins: a minute, once."
	@$(BIN)/python -m venv .venv-tools
	@.venv-tools/bin/python -m pip --quiet --disable-pip-version-check --no-input install --require-hashes -r requirements-tools.txt
	@rm -f .venv-tools/installed-*; touch $@

$(FUZZ_STAMP): | $(BIN)/python
	@echo "Installing what requirements-fuzz.txt pins, once."
	@$(PIP) install --require-hashes --target .fuzz/lib --upgrade -r requirements-fuzz.txt
	@rm -f .fuzz/installed-*; touch $@

# --no-deps: the lock names everything, and the pip of Python 3.11 fails on two spellings of one extra (lxml[html_clean]).
$(PEERS_STAMP): | $(BIN)/python
	@echo "Installing what requirements-peers.txt pins, once."
	@$(PIP) install --require-hashes --no-deps --target .peers/lib --upgrade -r requirements-peers.txt
	@rm -f .peers/installed-*; touch $@

$(TRAIN_STAMP): | $(BIN)/python
	@echo "Installing what requirements-train.txt pins, once."
	@$(PIP) install --require-hashes --no-deps --target .train/lib --upgrade -r requirements-train.txt
	@rm -f .train/installed-*; touch $@

# setuptools is in the lock only where a dependency needs it; elsewhere pip fetches it for the moment of building.
install_newsmill = \
  if $(BIN)/python -c 'import setuptools, sys; sys.exit(int(setuptools.__version__.split(".")[0]) < 83)' 2>/dev/null; \
  then $(PIP) install --no-deps --no-build-isolation --editable .; \
  else $(PIP) install --no-deps --editable .; fi
