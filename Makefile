# Two commands: `make demo` and `make test`. Each makes .venv and installs what is pinned, and no more than it needs.
PYTHON ?= python3
BIN := .venv/bin
PACKAGE := .venv/.package
STAMP := .venv/.installed
NNUNET := nnunetv2 acvl-utils dynamic-network-architectures batchgenerators batchgeneratorsv2

.PHONY: install demo docs test test-all lint wheel clean

install: $(STAMP)

# The package and what it needs to run: enough for the demo.
$(PACKAGE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "aleaseg needs Python >= 3.11; call: make PYTHON=python3.11 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e .
	touch $(PACKAGE)

# What tests, linters and the optional parts need beside it.
$(STAMP): $(PACKAGE)
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --no-deps -c constraints.txt $(NNUNET)
	touch $(STAMP)

demo: $(PACKAGE)
	$(BIN)/aleaseg demo -o demo

# The documentation as a site that opens from disk; a link that leads nowhere is an error.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "Open $(CURDIR)/site/index.html"

test: $(STAMP) lint
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

test-all: $(STAMP) lint
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: $(STAMP)
	$(BIN)/python -m build --wheel

clean:
	rm -rf .venv demo dist site
