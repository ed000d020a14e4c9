# The two commands are `make up` and `make test`; both do all the set-up themselves.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed

.PHONY: up test test-slow test-native lint docs install lock clean

up: install
	$(VENV)/bin/partyline up

# Two at a time, each with servers of its own; the slow ones one after the other, because they load the machine.
test: install lint
	$(VENV)/bin/pytest -n 2 --dist loadfile -m "not slow"

test-slow: install
	$(VENV)/bin/pytest -m slow

# The same suite on native partitions, without the tests that touch no database. MARKS=slow for the slow ones.
MARKS ?= not slow
TESTS ?=
AT_ONCE ?= 2
test-native: install
	PARTYLINE_TEST_PARTITIONS=native $(VENV)/bin/pytest -n $(AT_ONCE) --dist loadfile -m "$(MARKS)" $(TESTS)

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/squawk 'db/migrations/sql/**/*.sql'
	$(VENV)/bin/squawk --config .squawk-down.toml 'db/migrations/sql/**/*.down.sql'

# Writes what docs/ says of the database: the access matrix, the diagrams, the schema.
docs: install
	$(VENV)/bin/python -m db.describe

install: $(STAMP)

$(STAMP): requirements/runtime.txt requirements/dev.txt pyproject.toml scripts/install
	PYTHON=$(PYTHON) scripts/install $(VENV)
	touch $@

# Rewrites the lock files from the .in files (needs pip-tools).
lock:
	pip-compile -q --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--strip-extras --allow-unsafe --upgrade -o requirements/runtime.txt requirements/runtime.in
	pip-compile -q --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--strip-extras --allow-unsafe --upgrade -c requirements/runtime.txt -o requirements/dev.txt requirements/dev.in

clean:
	rm -rf $(VENV) build *.egg-info
