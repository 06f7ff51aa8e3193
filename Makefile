# Everything a fresh clone needs: `make demo` and `make test` set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := anomaly_fpgan data_prep evaluation pipelines

.PHONY: demo test lint format bench quality clean install

install: $(VENV)/.installed

demo: install
	$(BIN)/fpgan demo --output demo --overwrite

# A process for each core, and so one thread in each.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python -m benchmarks.training_step
	$(BIN)/python -m benchmarks.prepare
	$(BIN)/python -m benchmarks.evaluation
	$(BIN)/python -m benchmarks.report

# Hours; QUALITY="--short" ends within twenty minutes, QUALITY="--real FOLDER" adds real patients in BraTS layout.
quality: install
	$(BIN)/python -m benchmarks.quality $(QUALITY)

clean:
	rm -rf $(VENV) build dist *.egg-info demo .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so a broken installation is tried again, and a whole one is not repeated.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[cluster,dev,pdf,tensorboard,video]'
	touch $@
