"""A scan that signals stop."""

from __future__ import annotations

from soundwatch.daemon.app.scan import ScanStop
from support.memory_logger import MemoryLogger


def test_the_first_signal_is_reported_once_and_the_second_ends_the_scan_at_once() -> None:
    log, ends = MemoryLogger(), list[str]()
    stop = ScanStop(log, lambda: ends.append("end"))
    assert not stop.requested()
    stop.stop()
    assert [stop.requested(), stop.requested()] == [True, True]
    assert len(log.fields("scan_stopping")) == 1
    assert "A second signal ends the scan at once." in log.fields("scan_stopping")[0]["detail"]
    assert ends == []
    stop.stop()
    assert ends == ["end"]
