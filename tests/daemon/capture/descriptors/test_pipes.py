"""Waits for pipes."""

from __future__ import annotations

import os
import select

import pytest

from soundwatch.daemon.capture.descriptors.pipes import wait_closed, wait_readable


def test_a_system_without_poll_reads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.delattr(select, "poll", raising=False)
    try:
        wait_closed(reader, 60_000, None)
        assert wait_readable(reader, 60_000)
    finally:
        os.close(reader)
        os.close(writer)
