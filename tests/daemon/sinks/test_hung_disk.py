"""A file of events on a file system that hangs: it holds up neither the start, nor a reload, nor the end."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from soundwatch.daemon.sinks import place, worker
from support.hung_disk import hung_disk
from support.mosquitto import wait_until
from support.sink_harness import SinkHarness


def test_a_share_that_hangs_delays_nothing_and_gets_all_lines_once_it_is_back(
    tmp_path: Path, harness: SinkHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "LIMIT_S", 0.2)
    monkeypatch.setattr(worker, "CLOSING_S", 0.2)
    share = tmp_path / "share"
    share.mkdir()
    left: Future[dict[str, int]] = Future()

    def start_and_stop() -> None:
        for name in ("a", "b"):  # as at the start, and at a reload
            harness.dispatcher.add(harness.prepare(f"json:{share}/{name}"), harness.journal)
        harness.event("start")
        harness.journal.flush()
        left.set_result(harness.dispatcher.close(0.2))

    try:
        with hung_disk(share):
            threading.Thread(target=start_and_stop, daemon=True).start()
            assert left.result(60) == {f"{share}/a": 1, f"{share}/b": 1}
    except PermissionError as error:
        pytest.skip(str(error))
    again = harness.open(f"json:{share}/a")
    wait_until(lambda: again.backlog_lines == 0)
    assert (share / "a").read_bytes().count(b"\n") == 1
