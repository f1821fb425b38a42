"""Responses about the daemon's state."""

from __future__ import annotations

import dataclasses
import time
from datetime import datetime

from soundwatch.daemon.web.api.responses import health
from support.web_harness import Site


def test_a_start_time_is_not_after_the_present_of_a_clock_that_was_set_back(site: Site) -> None:
    now_ns = time.time_ns()
    view = dataclasses.replace(site.view, started_unix_ns=now_ns + 86_400 * 10**9)
    found = health(view, token_wanted=False, language="en")
    started_s = datetime.fromisoformat(found.started).timestamp()
    assert found.uptime_s == 0
    assert now_ns / 1e9 - 1 < started_s <= time.time_ns() / 1e9
