"""The week of benchmarks/rules_week.py, with fewer events."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


def test_a_week_with_two_outages_loses_and_doubles_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    measured = importlib.import_module("rules_week").run_week(tmp_path, events=150, seed=1, restart=False)
    rules = measured["rules"].values()
    assert [(rule["lost"], rule["doubled"]) for rule in rules] == [(0, 0)] * 5
    assert all(rule["due"] == rule["sent"] + rule["late"] + rule["refused"] for rule in rules)
    assert sum(rule["late"] for rule in rules) > sum(rule["late_requests"] for rule in rules) > 0
    assert sum(rule["sent"] for rule in rules) > 50
    assert measured["failed_requests"] > 0
