"""Every figure in the documentation is one that a benchmark wrote down."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scan_figures import scan_model

ROOT = Path(__file__).resolve().parents[1]
PAGE = "# A page\n\n<!-- figures: stages -->\n<!-- end figures -->\n\nand so on\n"
RUNTIME = {
    "stages": {
        "core": {"giga_operations_s": 100, "giga_bytes_s": 10.0},
        "ms_a_second": [
            {"name": "mel", "median": 2.0, "min": 1.5, "max": 3.0, "million_operations": 4, "mb": 1.0, "floor_ms": 0.5},
            {"name": "all", "median": 3.0, "min": 2.5, "max": 4.0},
        ],
    }
}


def figures(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "scripts" / "figures.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The script with a page of its own."""
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


def test_missing_measurements_are_marked(project: Path) -> None:
    assert figures(project, "--check").returncode == 1
    assert figures(project).returncode == 0
    page = (project / "docs" / "performance.md").read_text()
    assert "Not measured yet: there is no `benchmarks/results/runtime.json`." in page
    assert page.startswith("# A page\n")
    assert page.endswith("\nand so on\n")
    assert figures(project, "--check").returncode == 0


def test_a_new_measurement_makes_a_page_stale_until_it_is_written_again(project: Path) -> None:
    figures(project)
    (project / "benchmarks" / "results" / "runtime.json").write_text(json.dumps(RUNTIME))
    stale = figures(project, "--check")
    assert stale.returncode == 1
    assert stale.stderr == "Figures differ from benchmarks/results in docs/performance.md; run `make figures`.\n"
    assert figures(project).returncode == 0
    assert "| mel | 2.000 (1.500 to 3.000) |" in (project / "docs" / "performance.md").read_text()
    assert figures(project, "--check").returncode == 0


def test_a_region_of_an_unknown_name_is_refused_with_those_that_are_known(project: Path) -> None:
    (project / "docs" / "performance.md").write_text(PAGE.replace("stages", "stagse"))
    done = figures(project)
    assert done.returncode == 1
    assert "no figures called stagse; known: accuracy-summary" in done.stderr


def test_a_thousand_machines_score_fast_and_wait_for_the_one_that_judges() -> None:
    alone = {"engine": "local", "workers": 1, "cpu_s": 18.0, "worker_mb": 100.0, "coordinator_mb": 200.0}
    measured = {
        "scans": [alone],
        "audio_h": 1.0,
        "archive_bytes": 345_600_000,
        "judged_windows_a_second": 20_000,
    }
    rows = scan_model(measured).splitlines()
    assert rows[2] == "| 1 | 1,280 | 78.1 h | 123 MB/s | 1.0 GB | 5.0 h |"
    assert rows[4] == "| 1,000 | 1,280,000 | 5 min | 122,880 MB/s | 1.0 GB | 5.0 h |"
