"""Faults of benchmarks/fault_injection.py, with fewer repetitions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from support import fault_injection
from support.fault_harness import Outcome, Place

FAULTS: list[Callable[[Place], Outcome]] = [partial(fault_injection.kills, times=6), *fault_injection.FAULTS]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: getattr(fault, "__name__", "kills"))
def test_a_fault_loses_no_line_and_shows_no_traceback(fault: Callable[[Place], Outcome], tmp_path: Path) -> None:
    try:
        outcome = fault(Place(tmp_path))
    except PermissionError as error:
        pytest.skip(str(error))
    assert outcome.claims
    assert outcome.broken == [], (outcome, (tmp_path / "run.log").read_text(errors="replace")[-2000:])
