# Every target sets up .venv by itself; nothing else has to be installed first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := build/training/run
PEERS := .venv-peers/.ready .venv-backends/.ready .venv-flag/.ready .venv-infinity/.ready

.PHONY: run test test-fast lint docs notebooks bench bench-cuda bench-hosted bench-serve bench-bulk bundled bundled-finish clean

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

# Local scoring on a GPU: needs a CUDA device, and TOKENIZERS with llama.json, xlmr.json and minilm.json.
bench-cuda: $(VENV)/.bench
	cd shared && ../$(BIN)/python -m bench.cuda --out ../build/cuda.json --tokenizers $(TOKENIZERS) $(BENCH)

# on 127.0.0.1 against the tests' fake NIM; beside the official classes where they are installed
bench-hosted: $(VENV)/.test
	cd shared && PYTHONPATH=../tests ../$(BIN)/python -m bench.hosted

# `nvrerank serve` under load on 127.0.0.1; quiet the machine first
bench-serve: $(VENV)/.test
	cd shared && ../$(BIN)/python -m bench.serve

# Millions of pairs, on this machine and on Ray; quiet the machine first. BENCH="memory overhead" measures a part.
bench-bulk: $(VENV)/.test
	cd shared && PYTHONPATH=$$PWD ../$(BIN)/python -m bench.bulk $(BENCH)

# Fetches, mines and trains the bundled model, then finishes it; DATA holds train/ and eval/. Days on two cores;
# TRAIN="--device cuda --per-step 64 --minutes 10" has a GPU go on with a run.
bundled: $(VENV)/.training
	@test -n "$(DATA)" || { echo "usage: make bundled DATA=path/to/data"; exit 2; }
	PYTHONPATH=shared $(BIN)/python -m training.weak --out build/training/weak
	PYTHONPATH=shared OMP_NUM_THREADS=1 $(BIN)/python -m training.train \
		--data $(DATA) --weak build/training/weak --out $(RUN) $(TRAIN)
	$(MAKE) bundled-finish

# From RUN's checkpoint to what ships: calibration, weights, figures, card. FINISH="--queries 20" asks fewer.
bundled-finish: $(VENV)/.training
	@test -n "$(DATA)" || { echo "usage: make bundled-finish DATA=path/to/data [RUN=folder]"; exit 2; }
	PYTHONPATH=shared $(BIN)/python -m training.finish --data $(DATA) --report build/training/report \
		--checkpoint $(RUN)/mean.pt --tokenizer $(RUN)/tokenizer.json --held-out $(RUN)/held-out.jsonl \
		--model shared/nvrerank/local/bundled/weights \
		--card shared/nvrerank/local/bundled/MODEL_CARD.md --page docs/bundled-model.md $(FINISH)

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
