# Without PY these make a virtual environment in .venv; `make test PY=python` uses yours.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
TYPED := mmma/taxonomy.py mmma/protocols.py mmma/structures mmma/evaluation/functional

ifeq ($(origin PY), undefined)
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
endif

.PHONY: venv test lint

venv: $(INSTALLED)

$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]' -c constraints.txt
	touch $@

# One thread each: the workers share the cores.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy $(TYPED)
