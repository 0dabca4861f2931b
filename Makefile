# Two commands matter: `make` runs the workflow on config.yaml, `make test` tests it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := run
.PHONY: run preview status adopt real test test-portable test-slow mutants lint bench schema pictures lock clean

FOLDER ?= evaluation
N ?= 40
SEED ?= 0
BIN := .venv/bin
RUN := PATH="$$PWD/$(BIN):$$PATH"
INSTALLED := .venv/.installed
SCHEMA := workflow/schemas/config.schema.yaml
# Of one's own: one file of any name, or several with blanks between them; the demo's without.
export CONFIG
OF_CONFIG := files=(); if [ -e "$${CONFIG:-}" ]; then files=(--configfile "$$CONFIG"); \
  elif [ -n "$${CONFIG:-}" ]; then read -ra files <<< "--configfile $$CONFIG"; fi
export PYTHONPATH := $(CURDIR)/workflow
export LUNGAUG_REAL_DATA ?= $(abspath ../shared/data)

run: $(INSTALLED)  ## the workflow on config.yaml
	$(RUN) snakemake

status: $(INSTALLED)  ## what a run would do and why (CONFIG=mine.yaml for one of your own)
	$(OF_CONFIG)
	$(RUN) python -m lungaug.status "$${files[@]}"

preview: $(INSTALLED)  ## look at the data before anybody gets a role (CONFIG=mine.yaml): a private page
	$(OF_CONFIG)
	$(RUN) python -m lungaug.preview "$${files[@]}"

adopt: $(INSTALLED)  ## results from elsewhere: take what matches, run what does not (CONFIG=…)
	$(RUN)
	$(OF_CONFIG)
	python -m lungaug.status --adopt "$${files[@]}"
	snakemake "$${files[@]}"

real: $(INSTALLED)  ## the whole path on LIDC-IDRI excerpts in $LUNGAUG_REAL_DATA
	$(RUN) snakemake --configfile workflow/presets/lidc.yaml

test: $(INSTALLED)  ## the test suite
	$(RUN) OMP_NUM_THREADS=1 python -m pytest -n 2 -m "not slow"

# The plainest instruction sets of torch, oneDNN and MKL: other sums in other orders.
test-portable: $(INSTALLED)  ## what is learned, as on a processor without AVX
	$(RUN) ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE \
	  OMP_NUM_THREADS=1 python -m pytest -n 2 -m "learning and not slow"

test-slow: $(INSTALLED)  ## whole runs of the workflow
	$(RUN) OMP_NUM_THREADS=1 python -m pytest -n 3 --dist loadfile -m slow

mutants: $(INSTALLED)  ## lines of FOLDER=evaluation broken at random: which do tests notice? (N=40 SEED=0)
	$(RUN) PYTHONPATH=tests nice python -m mutants --folder $(FOLDER) --n $(N) --seed $(SEED)

lint: $(INSTALLED)  ## style, types, rules, floors, schema
	$(RUN)
	ruff check .
	ruff format --check .
	mypy workflow/lungaug
	snakefmt --check Snakefile workflow/rules
	snakemake --lint
	lint-imports
	python -m pytest tests/test_environments.py -p no:cacheprovider
	python -m lungaug schema --output .schema.new
	diff $(SCHEMA) .schema.new || { echo "$(SCHEMA) is out of date: make schema"; exit 1; }
	rm .schema.new

bench: $(INSTALLED)  ## speed and memory beside peers
	$(RUN) python -m benchmarks.run

schema: $(INSTALLED)  ## the configuration's schema from the stages' settings
	$(RUN) python -m lungaug schema --output $(SCHEMA)

pictures: run  ## the README's pictures, from the demo
	cp results/phantom/figures/{main,predictions,metalung,inserted,realism}.png docs/

lock:  ## pin every dependency anew
	uv pip compile pyproject.toml --group dev --universal --generate-hashes \
	  --python-version 3.11 --no-emit-index-url --no-header --upgrade -q -o requirements.lock

clean:  ## what was made, but for .venv
	rm -rf results/* .snakemake .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLED): requirements.lock
	@python=""
	for candidate in $${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	    python="$$candidate"; break
	  fi
	done
	[ -n "$$python" ] || { echo "lungaug needs Python 3.11 or newer (set PYTHON=…)" >&2; exit 1; }
	rm -rf .venv
	if command -v uv >/dev/null; then
	  uv venv --quiet --python "$$python" .venv
	  uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	else
	  "$$python" -m venv .venv
	  $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	fi
	touch $@
