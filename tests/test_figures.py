"""Every figure in the documentation is one that a benchmark wrote down."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soundwatch.daemon import __version__
from soundwatch.training.model.code_version import code_version

ROOT = Path(__file__).resolve().parents[1]
PAGE = "# A page\n\n<!-- figures: stages -->\n<!-- end figures -->\n\nand so on\n"
RUNTIME = {"tables": {"stages": ["| stage | ms |", "| --- | --- |", "| mel | 2.000 (1.500 to 3.000) |"]}}


def figures(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "scripts" / "figures.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Run the script with its own page."""
    for folder in ("scripts", "docs", "benchmarks/results"):
        (tmp_path / folder).mkdir(parents=True)
    for script in (ROOT / "scripts").glob("*.py"):
        shutil.copy(script, tmp_path / "scripts")
    (tmp_path / "README.md").write_text("# Nothing measured here\n")
    (tmp_path / "docs" / "performance.md").write_text(PAGE)
    return tmp_path


def test_the_documentation_has_the_figures_of_the_benchmarks() -> None:
    done = figures(ROOT, "--check")
    assert done.returncode == 0, done.stderr


def test_a_new_measurement_makes_a_page_stale_until_it_is_written_again(project: Path) -> None:
    (project / "benchmarks" / "results" / "runtime.json").write_text(json.dumps(RUNTIME))
    stale = figures(project, "--check")
    assert stale.returncode == 1
    assert stale.stderr == "Figures differ from benchmarks/results in docs/performance.md; run `make figures`.\n"
    assert figures(project).returncode == 0
    page = (project / "docs" / "performance.md").read_text()
    assert "| mel | 2.000 (1.500 to 3.000) |" in page
    assert page.startswith("# A page\n")
    assert page.endswith("\nand so on\n")
    assert figures(project, "--check").returncode == 0


def test_a_table_that_no_results_file_has_is_refused_with_those_that_are_known(project: Path) -> None:
    (project / "benchmarks" / "results" / "runtime.json").write_text(json.dumps(RUNTIME))
    (project / "docs" / "performance.md").write_text(PAGE.replace("stages", "stagse"))
    done = figures(project)
    assert done.returncode == 1
    assert "No results file has a table called stagse; known: stages. Correct the name" in done.stderr


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a benchmark."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


@pytest.mark.parametrize("name", ["scan", "runtime", "web"])
def test_the_tables_of_a_results_file_are_those_that_its_benchmark_writes(
    benchmark: Callable[[str], Any], name: str
) -> None:
    results = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8"))
    written = results.pop("tables")
    assert {key: render(results) for key, render in benchmark(name).TABLES[name].items()} == written


def test_a_thousand_machines_score_fast_and_wait_for_the_one_that_judges(benchmark: Callable[[str], Any]) -> None:
    alone = {"engine": "local", "workers": 1, "cpu_s": 18.0, "worker_mb": 100.0, "coordinator_mb": 200.0}
    measured = {
        "scans": [alone],
        "audio_h": 1.0,
        "archive_bytes": 345_600_000,
        "judged_windows_a_second": 20_000,
    }
    rows = benchmark("scan").scan_model_table(measured)
    assert rows[2] == "| 1 | 1,280 | 78.1 h | 123 MB/s | 1.0 GB | 5.0 h |"
    assert rows[4] == "| 1,000 | 1,280,000 | 5 min | 122,880 MB/s | 1.0 GB | 5.0 h |"


def test_each_measured_stage_is_a_function_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for module, attribute in importlib.import_module("stages").STAGES.values():
        assert callable(getattr(module, attribute, None)), f"{module.__name__}.{attribute}"


def test_results_and_models_name_the_commit_and_a_change_of_the_code_after_it(tmp_path: Path) -> None:
    assert code_version(tmp_path) == __version__
    (tmp_path / ".git").touch()
    assert code_version(tmp_path) == __version__, "git refuses the folder"
    (tmp_path / ".git").unlink()

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    for folder in ("daemon", "benchmarks/results"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "daemon" / "code.py").write_text("")
    git("add", "daemon")
    git("commit", "--quiet", "--message", "Begin")
    commit = git("rev-parse", "--short=9", "HEAD")
    (tmp_path / "benchmarks" / "results" / "live.json").write_text("{}")
    assert code_version(tmp_path) == f"commit {commit}"
    (tmp_path / "daemon" / "code.py").write_text("changed = True\n")
    assert code_version(tmp_path) == f"commit {commit}, changed"
