# Every target sets up .venv by itself; nothing else has to be installed first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers/.ready .venv-backends/.ready .venv-flag/.ready .venv-infinity/.ready

.PHONY: run test test-fast lint docs notebooks bench bench-hosted bench-serve bench-bulk bundled clean

run: $(VENV)/.demo
	$(BIN)/python shared/demo/run.py

test: $(VENV)/.test
	$(BIN)/python -m pytest

test-fast: $(VENV)/.test
	$(BIN)/python -m pytest -m 'not slow'

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site, into build/docs: a page with a broken link or an unknown name fails.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Executes them in place, offline.
notebooks: $(VENV)/.notebook
	$(BIN)/python notebooks/execute.py

# Local scoring beside its peers, each in an environment of its own; quiet the machine first. BENCH="--contended",
# BENCH="--workloads minilm-1x24 --peers flashrank": see --help. The report names a peer that can't be installed.
bench: $(VENV)/.bench
	-$(MAKE) --keep-going $(PEERS)
	cd shared && ../$(BIN)/python -m bench.local $(BENCH)

# on 127.0.0.1 against the tests' fake NIM; beside the official classes where they are installed
bench-hosted: $(VENV)/.test
	cd shared && PYTHONPATH=../tests ../$(BIN)/python -m bench.hosted

# `nvrerank serve` under load on 127.0.0.1; quiet the machine first
bench-serve: $(VENV)/.test
	cd shared && ../$(BIN)/python -m bench.serve

# Millions of pairs, on this machine and on Ray; quiet the machine first. BENCH="memory overhead" measures a part.
bench-bulk: $(VENV)/.test
	cd shared && PYTHONPATH=$$PWD ../$(BIN)/python -m bench.bulk $(BENCH)

# Mines, trains, exports and measures the bundled model; DATA holds train/ and eval/. Takes hours.
bundled: $(VENV)/.demo
	@test -n "$(DATA)" || { echo "usage: make bundled DATA=path/to/data"; exit 2; }
	PYTHONPATH=shared OMP_NUM_THREADS=1 $(BIN)/python -m training.train \
		--data $(DATA) --cache build/training/cache --out build/training/run
	PYTHONPATH=shared $(BIN)/python -m training.export build/training/run/mean.pt \
		--cache build/training/cache --out shared/nvrerank/local/embedded
	$(BIN)/nvrerank eval $(DATA)/eval/* --retriever bm25 --retriever embedding:all-MiniLM-L6-v2 --scorer bundled \
		--query-languages en --passage-languages en --limit-queries 75 --out build/training/report

clean:
	rm -rf $(VENV) .venv-* .cache build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# torch's exact pin comes first: the extras' range would take a build with several GB of CUDA packages.
$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	touch $@

# The site is built from the source as text: without torch.
$(VENV)/.docs: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

# A peer's environment, from its list.
.venv-%/.ready: shared/bench/local/requirements/%.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet torch==2.13.0
	.venv-$*/bin/python -m pip install --quiet --constraint shared/bench/local/requirements/torch.txt --requirement $<
	touch $@

# One rule for each extra that a target needs: `.venv/.demo` is there once '.[demo]' is installed.
$(VENV)/.%: pyproject.toml $(VENV)/.torch
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@
