# Without PY these make a virtual environment in .venv; `make test PY=python` uses yours.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
TYPED := mmma/taxonomy.py mmma/protocols.py mmma/evaluation/functional

ifeq ($(origin PY), undefined)
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
endif

# The quickstart: simulated skeletons, one small model trained on lab, three protocols.
DATA ?= data/mma82
RUN ?= work_dirs/quickstart
MODEL := configs/recog/skeletontcn-tiny_mma82
TEST := tools/test.py $(MODEL)_indomain.py $(RUN)/best.pth --data-root $(DATA)

.PHONY: venv quickstart test lint

venv: $(INSTALLED)

$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]' -c constraints.txt
	touch $@

quickstart: $(INSTALLED)
	$(PY) tools/data/simulate.py $(DATA) --scale small --tasks rec
	$(PY) tools/data/simulate.py $(DATA)-video --scale tiny --modality video --tasks rec \
		--videos 24
	$(PY) tools/train.py $(MODEL)_zeroshot.py --data-root $(DATA) --work-dir $(RUN)
	cp $(RUN)/best_*.pth $(RUN)/best.pth
	$(PY) $(TEST) --protocol indomain --domain lab --work-dir $(RUN)/indomain
	$(PY) $(TEST) --protocol zeroshot --work-dir $(RUN)/zeroshot
	$(PY) $(TEST) --protocol fewshot --shots 5 --work-dir $(RUN)/fewshot
	$(PY) tools/table.py $(RUN)/indomain/results.json $(RUN)/zeroshot/results.json \
		$(RUN)/fewshot/results.json --out $(RUN)/table.txt

# One thread each: the workers share the cores.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy $(TYPED)
