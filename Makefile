# One line a task. Everything installs into .venv by itself; needs Python 3.11, git and make.
SHELL := /bin/sh
VENV ?= .venv
RUN := $(VENV)/bin
LOCKS := requirements/runtime.txt requirements/dev.txt requirements/uv.txt
JOBS ?= auto

.PHONY: demo test check bench faults fuzz replicas mutants attacks format generate lock clean help

help:  ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/.runtime  ## the main job from nothing, narrated; make demo CSV=path for your own file
	@$(RUN)/callboard demo $(if $(CSV),--csv "$(CSV)")

test: $(VENV)/.dev  ## the whole embedded suite
	@$(RUN)/pytest -n $(JOBS) --dist loadgroup -m "not alone"
	@$(RUN)/pytest -m alone

check: $(VENV)/.dev  ## lint, types, import layers, generated files
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/mypy
	@$(RUN)/lint-imports
	@$(RUN)/python tools/generate.py --check

bench: $(VENV)/.dev  ## figures beside their baselines; writes build/bench.json
	@$(RUN)/python tests/bench/run.py $(ARGS)

faults: $(VENV)/.dev  ## 500 kills and 10,000 injected faults; writes build/faults.md
	@$(RUN)/pytest tests/faults
	@$(RUN)/python tools/faults.py $(ARGS)
	@$(RUN)/python tools/replicas.py

replicas: $(VENV)/.dev  ## three replicas, an outsider and a kill; writes build/replicas.md
	@$(RUN)/python tools/replicas.py $(ARGS)

fuzz: $(VENV)/.dev  ## 30 minutes of walks through the API as everybody; writes build/fuzz.md
	@$(RUN)/python tools/fuzz.py $(ARGS)

attacks: $(VENV)/.dev  ## each kind of hostile input on a socket, and its guards taken out one by one
	@$(RUN)/python tools/attacks.py $(ARGS)

mutants: $(VENV)/.dev  ## takes out each guard and sees its test red
	@$(RUN)/python tools/mutants.py $(ARGS)

format: $(VENV)/.dev  ## put the code into shape
	@$(RUN)/ruff check --fix --quiet . ; $(RUN)/ruff format --quiet .

generate: $(VENV)/.dev  ## write what is generated: OpenAPI, references, schemas
	@$(RUN)/python tools/generate.py

lock: $(VENV)/.dev  ## resolve the locks again (needs uv)
	@tools/lock

clean:  ## remove what make made
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/.runtime: $(LOCKS) tools/bootstrap pyproject.toml
	@[ -f $(VENV)/.dev ] || tools/bootstrap $(VENV) runtime
	@touch $@

$(VENV)/.dev: $(LOCKS) tools/bootstrap pyproject.toml
	@tools/bootstrap $(VENV) dev
	@touch $@
