# make demo      on a fresh machine: sets up, trains and audits on scikit-learn's digits, prints the report's path
# make test      on a fresh machine: sets up, runs the tests       make test-slow   the long ones as well
# make check     format, lint, types, import floors and circles, docs freshness
# make benchmarks  how fast it is, beside its peers, as ratios
# make format    rewrites the code and the generated docs as `make check` wants them
# make lock      resolves the exact versions again (needs uv)

PYTHON ?= python3
CACHE  ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/seewhy
# One environment for each content of the lock, outside the checkout, so that clones share it and a change of the
# lock makes a new one. `.venv` is a thin layer over it that holds this checkout alone.
LOCK   := $(shell $(PYTHON) -c "import hashlib,sys; print(hashlib.sha256(open('requirements.lock','rb').read()+sys.version.encode()).hexdigest()[:12])")
ENV    := $(CACHE)/env-$(LOCK)
BIN    := $(ENV)/bin
RUN    := .venv/bin
PAGES  := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
SHEETS := $(shell command -v soffice)
MISSING := $(strip $(if $(PAGES),,chromium) $(if $(SHEETS),,libreoffice-calc-nogui))

.PHONY: python demo test test-slow benchmarks check format docs lock wheel setup programs clean

demo: setup
	$(RUN)/seewhy audit digits

test: setup programs
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -n 2 -m "not slow" --durations 8

test-slow: setup programs
	$(RUN)/python -m pytest -m "slow" --durations 20

benchmarks: setup
	$(RUN)/python benchmarks

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(RUN)/python -m mypy
	$(RUN)/lint-imports
	$(RUN)/python docs/generate.py --check

format: setup docs
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: setup
	$(RUN)/python docs/generate.py

lock:
	uv pip compile --universal --python-version 3.11 --extra dev --extra onnx --extra tensorboard --extra benchmarks pyproject.toml --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links -o requirements.lock

wheel: setup
	rm -rf dist && $(RUN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null

# The tests open the report in a real browser, and workbooks in a real spreadsheet; without them those tests skip.
programs:
	@if [ -n "$(MISSING)" ]; then \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    echo "installing $(MISSING) for the tests of pages and workbooks"; \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(MISSING) >/dev/null; } \
	      || echo "$(MISSING) could not be installed: the tests that open pages or workbooks in them will be skipped."; \
	  else echo "Not installed: $(MISSING). The tests that open pages or workbooks in them will be skipped (install them with your package manager)."; fi; fi

setup: .venv/ready-$(LOCK)

# No prerequisite: the name holds the hash of the lock, and a fresh clone is newer than an environment it can share.
$(ENV)/ready:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed"; exit 2; }
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "SeeWhy needs Python 3.11 or newer; $$($(PYTHON) --version) is $(PYTHON). Set PYTHON=..."; exit 2; }
	@echo "installing the locked versions into $(ENV) (once, some minutes)"
	@rm -rf $(ENV) && mkdir -p $(CACHE)
	@# environments of other locks that nobody has used for two weeks
	@find $(CACHE) -maxdepth 1 -name 'env-*' -mtime +14 -exec rm -rf {} + 2>/dev/null || true
	$(PYTHON) -m venv $(ENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements.lock
	@touch $@

.venv/ready-$(LOCK): $(ENV)/ready pyproject.toml
	@rm -rf .venv && $(PYTHON) -m venv --without-pip .venv
	@touch $(ENV)
	@$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > \
	  "$$(.venv/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/locked.pth"
	@$(BIN)/python -m pip --python .venv/bin/python install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@for tool in lint-imports; do printf '#!/bin/sh\nexec "%s" "%s" "$$@"\n' "$(CURDIR)/.venv/bin/python" "$(BIN)/$$tool" > .venv/bin/$$tool; chmod +x .venv/bin/$$tool; done
	@touch $@

python: $(ENV)/ready
	@echo $(BIN)/python

clean:
	rm -rf .venv dist build runs
