# Without PY these make a virtual environment in .venv; `make test PY=python` uses yours.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
TYPED := mmma/taxonomy.py mmma/protocols.py mmma/structures \
	$(addprefix mmma/evaluation/,recognition.py detection.py errors.py bootstrap.py)

ifeq ($(origin PY), undefined)
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
endif

# The quickstart: simulated skeletons; one small recognizer and one small detector,
# trained on lab and tested under every protocol of theirs.
DATA ?= data/mma82
RUN ?= work_dirs/quickstart

# The first evening: from a converted data root to the table (docs/first_evening.md).
PRESET ?= 1gpu
OUT ?= work_dirs/real
SKIP ?=
REAL_ARGS ?=

.PHONY: venv quickstart real test fuzz crash faults soak lint docs

venv: $(INSTALLED)

$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]' -c constraints.txt
	touch $@

quickstart: $(INSTALLED)
	@$(PY) tools/quickstart.py --data $(DATA) --out $(RUN)

real: $(INSTALLED)
	$(PY) tools/real.py $(DATA) --out $(OUT) --preset $(PRESET) \
		$(if $(SKIP),--skip $(SKIP)) $(REAL_ARGS)

# One thread each: the workers share the cores.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal

# Wrong files for every reader of files of others; a table of what came of them.
CASES ?= 300

fuzz: $(INSTALLED)
	OMP_NUM_THREADS=1 $(PY) tests/fuzz/run.py --cases $(CASES) --workers $(WORKERS)

# Every command, killed at every change of a file and given again; a table of them.
crash: $(INSTALLED)
	OMP_NUM_THREADS=1 $(PY) tests/crash/run.py --workers $(WORKERS)

# Every command: interrupted, on a full disk, on one that is read only, twice at once.
faults: $(INSTALLED)
	FAULTS=all OMP_NUM_THREADS=1 $(PY) -m pytest tests/faults

# The memory of 10,000 clips.
soak: $(INSTALLED)
	SOAK=10000 OMP_NUM_THREADS=1 $(PY) -m pytest -s tests/faults/test_soak.py

# The site, docs/_build/index.html, which needs neither a server nor a network.
docs: $(INSTALLED)
	@$(PY) -m sphinx --version 2>/dev/null || \
		$(PY) -m pip install --quiet --editable '.[docs]' -c constraints.txt
	$(PY) -m sphinx -W --keep-going -q docs docs/_build
	@echo written to docs/_build/index.html

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy $(TYPED)
