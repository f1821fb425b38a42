# The two commands are `make run` and `make test`; each sets up all that it needs.
.DELETE_ON_ERROR:
.PHONY: run test lint format demo figures pictures clean help

PYTHON ?= python3
BIN := .venv/bin
OPTIONS ?=

help:  ## Say what there is.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/run.stamp  ## Listen to the microphone; without one, say so and play the demo scene.
	$(BIN)/soundwatch run --config config.yaml --or-demo $(OPTIONS)

demo: .venv/run.stamp  ## Play the demo scene in real time through the pipeline.
	$(BIN)/soundwatch run --device demo $(OPTIONS)

test: lint  ## Run everything that CI runs.
	$(BIN)/pytest $(OPTIONS)

lint: .venv/test.stamp  ## Check style, types and formatting.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy daemon training export benchmarks scripts

format: .venv/test.stamp  ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

figures: .venv/run.stamp  ## Write the documentation's tables from benchmarks/results.
	$(BIN)/python scripts/figures.py

pictures: .venv/test.stamp  ## Draw the documentation's pictures, and run for its example lines, with the default model.
	$(BIN)/python scripts/pictures.py
	$(BIN)/python scripts/examples.py

clean:  ## Remove the virtual environment and all caches.
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "soundwatch needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh scripts/system-packages python3-venv
	$(PYTHON) -m venv .venv

.venv/run.stamp: pyproject.toml | .venv/bin/python
	@sh scripts/system-packages libportaudio2
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/test.stamp: pyproject.toml | .venv/bin/python
	@sh scripts/system-packages libportaudio2 libasound2-plugins pulseaudio pulseaudio-utils ffmpeg mosquitto
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[training,teacher,dev]'
	@touch $@ .venv/run.stamp
