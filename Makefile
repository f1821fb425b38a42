# The two commands are `make run` and `make test`; each sets up all that it needs.
.DELETE_ON_ERROR:
.PHONY: run install extras test all-tests quick check coverage lint format demo figures reference pictures screenshots docs docs-serve dist release-models home-assistant lock audit newcomer test-pythons test-systemd fuzz deb clean help

# Tests start hundreds of Python processes, which would compile the same modules again.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
BIN := .venv/bin
OPTIONS ?=

# The two builds of ONNX Runtime hold the same files, so .venv has one of them: that of `make run CPU=1` stays until `make test`.
SITE := .venv/lib/python3*/site-packages
CPU := $(or $(CPU),$(wildcard $(SITE)/onnxruntime-*.dist-info))
REMOVE_BOTH := $(BIN)/pip uninstall --quiet --yes --disable-pip-version-check onnxruntime onnxruntime-gpu

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/run.stamp  ## Listen to the microphone; without one, report that and play the demo scene.
	$(BIN)/soundwatch run --config config.yaml --or-demo $(OPTIONS)

install: .venv/run.stamp  ## Install or update soundwatch in .venv, without a run.

extras: .venv/run.stamp  ## Install extras into .venv, also after make run CPU=1: make extras EXTRAS=scan,fleet
	$(BIN)/python scripts/extra-requirements '$(EXTRAS)' > .venv/extras.txt
	$(BIN)/pip install --disable-pip-version-check --requirement .venv/extras.txt

demo: .venv/run.stamp  ## Play the demo scene in real time through the pipeline.
	$(BIN)/soundwatch run --device demo $(OPTIONS)

# The types take 40 s of one core, while most tests wait for real programs: both run at a time.
test: .venv/test.stamp .venv/browser.stamp  ## Run everything that CI runs, with two workers a core, at most four.
	$(MAKE) --no-print-directory --jobs 2 lint all-tests

all-tests: .venv/test.stamp .venv/browser.stamp
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal $(OPTIONS)

check: lint quick  ## Run style, types and the fast tests: the inner loop.

quick: .venv/quick.stamp  ## Run the fast tests; no browser, broker or database is needed.
	$(BIN)/pytest -m "not slow and not external" -n logical --maxprocesses 4 --dist worksteal \
	  -p no:schemathesis -p no:playwright -p no:anyio $(OPTIONS)

coverage: .venv/test.stamp  ## Write the coverage of the fast tests to htmlcov/.
	$(BIN)/pytest -m "not slow and not external" -n logical --cov=soundwatch --cov-report=html --cov-report=term

lint: .venv/quick.stamp  ## Check style, types and formatting.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy daemon training export benchmarks scripts tests

format: .venv/quick.stamp  ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

figures: .venv/run.stamp  ## Write the documentation's tables from benchmarks/results.
	$(BIN)/python scripts/figures.py

reference: .venv/quick.stamp  ## Write the documentation's references from the code.
	$(BIN)/python scripts/reference.py

docs: .venv/test.stamp .venv/browser.stamp  ## Build the documentation's site into site/.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: .venv/test.stamp .venv/browser.stamp  ## Show the site on 127.0.0.1:8000 while you write.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

pictures: .venv/test.stamp  ## Draw the documentation's pictures, and run for its example lines, with the default model.
	$(BIN)/python scripts/pictures.py
	$(BIN)/python scripts/examples.py
	$(BIN)/python scripts/terminal_picture.py

dist: .venv/test.stamp  ## Build the wheel and the source distribution into dist/, byte-identical for one commit.
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/hatchling build -d dist

release-models: .venv/quick.stamp  ## Write the default model for other programs into dist/, to attach to a release.
	$(BIN)/soundwatch export urban --waveform --format all --overwrite --out dist
	$(BIN)/soundwatch export urban --waveform --format all --rate 44100 --overwrite --out dist

lock: .venv/test.stamp  ## Rewrite constraints.txt, the releases that the tests run with.
	$(BIN)/python scripts/lock_dependencies.py

audit: .venv/bin/python  ## Ask PyPI for known vulnerabilities of the locked releases; reports if it cannot be reached.
	sh scripts/audit

newcomer:  ## Run every command of README.md in a new clone and a new environment (fifteen minutes).
	$(PYTHON) scripts/newcomer.py --cpu $(OPTIONS)

PYTHONS ?= 3.12 3.13
test-pythons: .venv/test.stamp  ## Run the daemon's tests with other Pythons, without torch: make test-pythons PYTHONS=3.13
	for version in $(PYTHONS); do sh scripts/test-python $$version || exit 1; done

test-systemd: .venv/test.stamp  ## Run the service under a real systemd, in a container (root; five minutes, 400 MB of cache).
	@sh scripts/system-packages debootstrap systemd-container
	SOUNDWATCH_SYSTEMD=1 $(BIN)/pytest tests/release/test_systemd.py -rP $(OPTIONS)

fuzz: .venv/test.stamp  ## Fuzz the readers of outside input for ten minutes: make fuzz MINUTES=60
	$(BIN)/pip install --quiet --disable-pip-version-check --target .venv/atheris atheris
	PYTHONPATH=.venv/atheris $(BIN)/python scripts/fuzz.py --minutes $(or $(MINUTES),10)

deb: dist  ## Build a Debian package of this machine's architecture and release into dist/.
	sh scripts/deb

home-assistant: dist  ## Write the Home Assistant add-on into dist/home-assistant.
	sh scripts/home-assistant-addon

screenshots: docs  ## Take the documentation's pictures of the pages (four minutes).
	$(BIN)/python scripts/screenshots.py
	$(BIN)/python scripts/browser_pictures.py

clean:  ## Remove the virtual environment and all caches.
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist site

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "soundwatch needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh scripts/system-packages python3-venv
	$(PYTHON) -m venv .venv

.venv/run.stamp: pyproject.toml | .venv/bin/python
	@sh scripts/system-packages libportaudio2
ifdef CPU
	@echo "soundwatch: downloading about 30 MB of Python packages (215 MB installed), without GPU support."
	$(BIN)/python scripts/cpu-requirements > .venv/requirements.txt
	$(if $(wildcard $(SITE)/onnxruntime_gpu-*.dist-info),$(REMOVE_BOTH))
	$(BIN)/pip install --disable-pip-version-check --requirement .venv/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
else
	@echo "soundwatch: downloading about 290 MB of Python packages (480 MB installed), 256 MB of them for GPUs; 'make run CPU=1' leaves those out."
	$(BIN)/pip install --disable-pip-version-check --editable .
endif
	@touch $@

# All Python packages, locked: what the linters and the fast tests need.
.venv/quick.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@sh scripts/system-packages libportaudio2
	$(if $(wildcard $(SITE)/onnxruntime-*.dist-info),$(REMOVE_BOTH))
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[training,teacher,tensorboard,scan,ray,triton,fleet,wyoming,apprise,pictures,dev]'
	@touch $@ .venv/run.stamp

# The programs that the other tests talk to: sound servers, a browser, a broker, a database.
.venv/test.stamp: .venv/quick.stamp
	@sh scripts/system-packages libasound2-plugins pulseaudio pulseaudio-utils ffmpeg chromium mosquitto logrotate espeak-ng \
	  gir1.2-gst-rtsp-server-1.0 strace iproute2 gstreamer1.0-plugins-base gstreamer1.0-plugins-good python3-gi postgresql
	@touch $@

# What the page docs/browser runs: ONNX Runtime for browsers, and the default model. Tried again as long as it is missing.
.venv/browser.stamp: scripts/browser-files daemon/soundwatch/daemon/models/urban.onnx | .venv/quick.stamp
	@sh scripts/browser-files
