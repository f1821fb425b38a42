"""Fixtures that all tests share."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import soundwatch.daemon  # noqa: F401  # switches off the usage reporting of libraries before a test imports one

# `make test` runs more tests than cores at a time: one that trained on all cores would only slow the others down.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts background jobs with SIGINT ignored, and programs under test would inherit that.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for size in ("COLUMNS", "LINES"):  # a terminal of a test has its own; workers of pytest-xdist are started with others
    os.environ.pop(size, None)

# However slow the machine: a test's own deadline is `timeout` in pyproject.toml.
settings.register_profile("soundwatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("soundwatch")

pytest_plugins = ("support.virtual_microphone", "support.mosquitto", "support.sink_harness", "support.postgres")

# Fixtures that start programs which are no part of the Python environment.
EXTERNAL_FIXTURES = {"browser", "camera", "mosquitto_folder", "postgres", "virtual_microphone"}
# Each test there starts programs, builds packages, trains or exports.
SLOW_FOLDERS = {
    Path(__file__).parent / folder
    for folder in (
        *("end_to_end", "release", "untrusted_input", "export"),
        *("training/crossval", "training/distillation", "training/evaluation", "training/fit", "training/sounds"),
    )
}

NUMBERS = itertools.count()
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real recordings next to the checkout, or skip with the missing folder."""
    data = SHARED / "data"
    if not (data / "urbansound8k").is_dir():
        pytest.skip(f"real recordings are not here: no {data / 'urbansound8k'}")
    return data


@pytest.fixture(scope="session", autouse=True)
def _state_of_shared_daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No fixture of a whole module writes to the journal of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIRECTORY", str(tmp_path_factory.getbasetemp() / "state"))
        yield


@pytest.fixture(autouse=True)
def _own_journal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes to its user's journal, or to another test's.

    Only a test with a folder of its own (`tmp_path`) gets one made: a folder for each test takes seconds in all.
    """
    if "tmp_path" in request.fixturenames:
        state = request.getfixturevalue("tmp_path") / "state"
    else:
        state = request.getfixturevalue("tmp_path_factory").getbasetemp() / f"state-{next(NUMBERS)}"
    monkeypatch.setenv("STATE_DIRECTORY", str(state))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that rewrites golden files."""
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden files anew")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected, nor of what that made afterwards.

    Thousands of tests and the modules of torch took a sixth of the time of fast tests, and one collection of them half
    a second in each worker.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return two workers a core for `-n auto`, as most tests wait for real programs, and 1.5 for `-n logical`."""
    cores = os.cpu_count() or 1
    return 2 * cores if config.getoption("numprocesses") == "auto" else -(-3 * cores // 2)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out folders of slow tests where slow tests are not selected: their imports take seconds."""
    unselected = config.getoption("markexpr").startswith("not slow") and collection_path in SLOW_FOLDERS
    return unselected or None  # None: other plugins decide


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make quick` leaves out: tests of external programs, and whole folders of slow ones.

    With several workers, each one's section of the list begins with modules that have slow tests: at the end, when idle
    workers take the tests of others, short ones are left. The tests of a module stay together, with the fixtures that
    they share.
    """
    in_slow_folder = {path: not SLOW_FOLDERS.isdisjoint(path.parents) for path in {item.path for item in items}}
    for item in items:
        if EXTERNAL_FIXTURES & set(getattr(item, "fixturenames", ())) or item.get_closest_marker("microphone"):
            item.add_marker(pytest.mark.external)
        if in_slow_folder[item.path]:
            item.add_marker(pytest.mark.slow)
    slow_modules = {item.path for item in items if item.get_closest_marker("slow")}
    slow = [item for item in items if item.path in slow_modules]
    fast = [item for item in items if item.path not in slow_modules]
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = [
            item
            for worker in range(workers)
            for part in (slow, fast)
            for item in part[len(part) * worker // workers : len(part) * (worker + 1) // workers]
        ]
