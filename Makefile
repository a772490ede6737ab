# Every target sets up the virtual environment it needs: only Python >= 3.11 and pip are assumed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MIN_VENV ?= .venv-min
MIN_BIN := $(MIN_VENV)/bin
LAB_VENV ?= .venv-lab
LAB_BIN := $(LAB_VENV)/bin
PYTHONS ?= python3.11 python3.12 python3.13

# Byte code is made of what is used, not of all that is installed.
INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile

TESTS := test test-min test-min-fast test-pythons test-lab

# Tests run on all cores; threads of their matrix products would wait for each other.
$(TESTS): export OPENBLAS_NUM_THREADS = 1
$(TESTS): export OMP_NUM_THREADS = 1
# They start many processes, which read byte code instead of making it anew, also where the caller
# has this set.
$(TESTS): export PYTHONDONTWRITEBYTECODE =

.PHONY: help demo $(TESTS) lint docs bench fuzz mutants clean

help:
	@echo "make demo   the whole RLHF loop on real code, results in ./codex-demo/"
	@echo "make test   all tests and doctests"
	@echo "make test-min      all tests with the oldest versions that pyproject.toml allows"
	@echo "make test-pythons  all tests with each of $(PYTHONS) that is installed"
	@echo "make test-lab      the tests that need torch and TRL, and one short training with TRL"
	@echo "make lint   ruff and mypy"
	@echo "make docs   the documentation, in docs/_build/html"
	@echo "make bench  all benchmarks against their peers, about half an hour"
	@echo "make fuzz   hostile and odd input against the whole package, in minutes"
	@echo "make mutants  faults planted in formulas, which named tests have to notice, in minutes"
	@echo "make clean  remove the virtual environments and caches"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"sklearn-codex needs Python >= 3.11; {sys.executable} is {sys.version.split()[0]}. Name another one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml
	$(BIN)/python $(INSTALL) -e ".[all]"
	@touch $@

$(VENV)/.installed-test: $(BIN)/python pyproject.toml
	$(BIN)/python $(INSTALL) -e ".[test]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-lint: $(BIN)/python pyproject.toml
	$(BIN)/python $(INSTALL) -e ".[lint]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: $(BIN)/python pyproject.toml
	$(BIN)/python $(INSTALL) -e ".[docs]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(BIN)/python pyproject.toml benchmarks/requirements.txt
	$(BIN)/python $(INSTALL) -e ".[all]" -r benchmarks/requirements.txt
	@touch $@ $(VENV)/.installed

$(MIN_VENV)/.installed: pyproject.toml .ci/minimum_versions.py
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 13) else f"The oldest versions are built for Python 3.11 and 3.12; {sys.executable} is {sys.version.split()[0]}. Name another one: make test-min PYTHON=python3.11")'
	$(PYTHON) -m venv --clear $(MIN_VENV)
	$(PYTHON) .ci/minimum_versions.py > $(MIN_VENV)/constraints.txt
	$(MIN_BIN)/python $(INSTALL) -e ".[test]" -c $(MIN_VENV)/constraints.txt
	@touch $@

# torch has one version, the oldest that is allowed, so that pip takes a build for the processor alone
# where one is at hand: of the newest it may find only one that brings gigabytes for graphics cards.
$(LAB_VENV)/.installed: pyproject.toml .ci/minimum_versions.py
	$(PYTHON) -m venv --clear $(LAB_VENV)
	$(PYTHON) .ci/minimum_versions.py lab | grep "^torch==" > $(LAB_VENV)/constraints.txt
	$(LAB_BIN)/python $(INSTALL) -c $(LAB_VENV)/constraints.txt \
		-e ".[lab]" $$($(PYTHON) .ci/minimum_versions.py test | grep "^pytest==\|^hypothesis==" | sed "s/==/>=/") \
		|| { echo "test-lab: the extra lab could not be installed, so nothing of TRL was tested."; exit 1; }
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/sklearn-codex demo $(ARGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

test-min: $(MIN_VENV)/.installed
	$(MIN_BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

# Examples of docstrings visit every public name; the files are for what they leave out: data frames,
# Dask, model files, the command line and the demo.
test-min-fast: $(MIN_VENV)/.installed
	$(MIN_BIN)/python -m pytest -n auto --dist worksteal $(ARGS) sklearn_codex tests/test_token_columns.py \
		tests/test_documents.py tests/test_partitions.py tests/test_persistence.py tests/test_cli.py \
		tests/test_demo.py::test_demo_writes_a_model_that_predicts_and_all_figures

# Tests that need the extra are skipped without it, so it is imported first, and has to be there.
test-lab: $(LAB_VENV)/.installed
	$(LAB_BIN)/python -c "import torch, transformers, trl"
	$(LAB_BIN)/python -m pytest -m lab -k "not bigram_model" $(ARGS) tests/test_lab_torch.py

test-pythons:
	@missing=; tested=; for python in $(PYTHONS); do \
		if $$python -c "" 2>/dev/null; \
		then $(MAKE) test PYTHON=$$python VENV=.venv-$$python || exit 1; tested=1; \
		else missing="$$missing $$python"; fi; \
	done; \
	if [ -n "$$missing" ]; then echo "Not installed, so not tested:$$missing"; fi; \
	test -n "$$tested"

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# From nothing each time: pictures of an older version would be wrong, and pages of removed names
# would be warnings, which are errors here.
docs: $(VENV)/.installed-docs
	rm -rf docs/_build docs/generated docs/auto_examples
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html docs docs/_build/html $(ARGS)
	@echo "docs/_build/html/index.html"

bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/text_counts.py
	$(BIN)/python benchmarks/unigram_fit.py
	$(BIN)/python benchmarks/ngrams.py
	$(BIN)/python benchmarks/reward_fit.py
	$(BIN)/python benchmarks/embeddings.py
	$(BIN)/python benchmarks/group_cv.py
	$(BIN)/python benchmarks/search.py
	$(BIN)/python benchmarks/preferences.py
	$(BIN)/python benchmarks/health_time.py
	$(BIN)/python benchmarks/policy.py
	$(BIN)/python benchmarks/out_of_core.py
	$(BIN)/python benchmarks/parallel_counts.py
	$(BIN)/python benchmarks/ngram_optimum.py

fuzz: $(VENV)/.installed-test
	$(BIN)/python -m fuzz $(ARGS)

mutants: $(VENV)/.installed-test
	$(BIN)/python -m mutants $(ARGS)

clean:
	rm -rf $(VENV) .venv-* docs/_build docs/generated docs/auto_examples .pytest_cache .ruff_cache .mypy_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
