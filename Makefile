# make train    create the environment and train on MNIST with the default configuration
# make test     create the environment; lint, types and tests, as CI runs them
# make test-all the same with the slow tests
# make test-matrix  the fast tests with the other versions of Python, and with the oldest NumPy
# make attack   hostile files, a failing disk, killed writers and hosts: docs/security.md; test-all has a short part
# make bench    microseconds per training step, ours beside the peers that are installed
# make docs     the documentation as a site in site/; a broken link fails
# make release  build dist/, install the wheel into a fresh environment, and try it
# make lock     write requirements.lock anew from pyproject.toml
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: train test test-all test-matrix attack bench lint lock docs release clean

train: .venv/runtime
	$(BIN)/python train.py $(ARGS)

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(ARGS)

test-all: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# Those of the versions of Python that this machine has; a command that pyenv has not enabled does not start.
test-matrix:
	for version in 3.11 3.12 3.13; do \
	  python$$version -c '' 2> /dev/null || { echo "python$$version: not here"; continue; }; \
	  python$$version -m venv .venv-$$version && \
	  .venv-$$version/bin/python -m pip install --quiet -c requirements.lock -e '.[dev]' && \
	  .venv-$$version/bin/python -m pytest -n 2 --dist worksteal -m "not slow" $(ARGS) || exit 1; \
	done
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet -e '.[dev]' 'numpy==2.0.*'
	.venv-oldest/bin/python -m pytest -n 2 --dist worksteal -m "not slow" $(ARGS)

attack: .venv/dev
	cd tests && nice -n 15 ../$(BIN)/python -m attack.campaign --pickles 200000 --mutations 50000 \
		--lines 2000 --directories 500 $(ARGS)
	ATTACK=1 nice -n 15 $(BIN)/python -m pytest tests/attack -n 2 --dist worksteal --timeout 0

bench: .venv/runtime
	$(BIN)/python benchmarks/compare.py $(ARGS)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or later is needed. Say which: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/runtime: .venv/bin/python pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e .
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev]'
	@touch $@ .venv/runtime

lock: .venv/dev
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-header --no-emit-index-url \
	  --output-file requirements.lock pyproject.toml

docs: .venv/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build $(ARGS)

# The archive of the sources builds the wheel, so both are tried.
release: .venv/dev
	rm -rf dist && $(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build --outdir dist
	$(PYTHON) -m venv dist/venv
	dist/venv/bin/python -m pip install --quiet -c requirements.lock dist/*.whl
	mkdir dist/try && cd dist/try && export WANDB_MODE=offline && \
	  ../venv/bin/mlp train -d digits -e 2 -msp best_model.npy && \
	  ../venv/bin/mlp inference && \
	  ../venv/bin/mlp train -m -d digits -e 2 seed=1,2 search.name=seeds && \
	  ../venv/bin/mlp search show multirun_outputs/seeds && \
	  ../venv/bin/mlp profile -d digits

clean:
	rm -rf dist .venv .mypy_cache .ruff_cache .pytest_cache
