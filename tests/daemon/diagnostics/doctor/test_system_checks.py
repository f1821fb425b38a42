"""`soundwatch doctor` about the clock and the time zone."""

from __future__ import annotations

import time

import pytest

from soundwatch.daemon.app.detached_view import detached_view
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput
from soundwatch.daemon.diagnostics.doctor.system_checks import check_clock


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Asia/Kathmandu", "Times of day: 13:45 +0545 now (Asia/Kathmandu)."),
        (None, "now (of the system; place.time_zone sets another)."),
    ],
)
def test_the_time_zone_of_times_of_day_is_named(zone: str | None, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_796_025_600.0)  # 2026-11-30T08:00Z
    config = Config(place=PlaceConfig(time_zone=zone))
    found = list(check_clock(CheckInput(config, None, None, listens=False, view=detached_view)))
    assert text in found[-1].seen


def test_a_clock_that_was_never_set_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 60.0)
    [found] = check_clock(CheckInput(Config(), None, None, listens=False, view=detached_view))
    assert (found.state, found.seen) == ("fault", "The clock shows 1970-01-01T00:01:00Z.")
