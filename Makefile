# Two commands: `make demo` and `make test`. Each makes .venv and installs what is pinned, and no more than it needs.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
# An index of torch builds to take torch from first, such as https://download.pytorch.org/whl/cpu
PIP_TORCH ?=
PYTHONS ?= 3.11 3.12 3.13 3.14
OLDEST_TORCH := 2.8.0
BIN := $(VENV)/bin
PACKAGE := $(VENV)/.package
STAMP := $(VENV)/.installed
NNUNET := nnunetv2 acvl-utils dynamic-network-architectures batchgenerators batchgeneratorsv2
# The archives hold this time, so that they are the same bytes whenever and wherever they are built.
export SOURCE_DATE_EPOCH ?= 1767225600

.PHONY: install demo docs test suite test-all matrix matrix-oldest lint dist wheel clean

install: $(STAMP)

# The package and what it needs to run: enough for the demo.
$(PACKAGE): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "aleaseg needs Python >= 3.11; call: make PYTHON=python3.11 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(PIP_TORCH),$(BIN)/python -m pip install --index-url $(PIP_TORCH) "$$(grep '^torch==' $(CONSTRAINTS))")
	$(BIN)/python -m pip install -c $(CONSTRAINTS) -e .
	touch $(PACKAGE)

# What tests, linters and the optional parts need beside it.
$(STAMP): $(PACKAGE)
	$(BIN)/python -m pip install -c $(CONSTRAINTS) -e '.[dev]'
	$(BIN)/python -m pip install --no-deps -c $(CONSTRAINTS) $(NNUNET)
	touch $(STAMP)

demo: $(PACKAGE)
	$(BIN)/aleaseg demo -o demo
	@echo "To type these commands: . $(BIN)/activate"

# The documentation as a site that opens from disk; a link that leads nowhere is an error.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "Open $(CURDIR)/site/index.html"

test: lint suite

suite: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

test-all: $(STAMP) lint
	$(BIN)/python -m pytest

# The tests with every Python that is claimed and that this machine has, each in an environment of its own.
matrix:
	@failed=; \
	for version in $(PYTHONS); do \
	  if python$$version -c '' 2>/dev/null; then \
	    echo "== Python $$version"; \
	    $(MAKE) suite PYTHON=python$$version VENV=.matrix/$$version || failed="$$failed $$version"; \
	  else \
	    echo "== Python $$version is not on this machine"; \
	  fi; \
	done; \
	test -z "$$failed" || { echo "failed with Python$$failed"; exit 1; }

# The same with the oldest torch that is claimed.
matrix-oldest: .matrix/oldest.txt
	$(MAKE) suite VENV=.matrix/oldest CONSTRAINTS=.matrix/oldest.txt

.matrix/oldest.txt: constraints.txt Makefile
	mkdir -p .matrix
	sed 's/^torch==.*/torch==$(OLDEST_TORCH)/' constraints.txt > $@

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/oxlint src/aleaseg tests

dist: $(STAMP)
	$(BIN)/python -m build

wheel: $(STAMP)
	$(BIN)/python -m build --wheel

clean:
	rm -rf .venv .matrix demo dist site
