"""Test messages of alert rules."""

from __future__ import annotations

from pathlib import Path

import msgspec

from soundwatch.daemon.app.sample_delivery import send_test_message
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.sinks.webhook.sink import idempotency_key
from support.fakes import SMALL_CONTRACT


def test_a_receiver_that_drops_repetitions_gets_every_test_message(tmp_path: Path) -> None:
    path = tmp_path / "messages.json"
    config = msgspec.convert({"rules": {"barks": {"then": {"send": [f"json:{path}"]}}}}, Config)
    for _ in range(2):
        assert [failure for _, failure in send_test_message(config, SMALL_CONTRACT, "barks")] == [None]
    messages = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    assert len({idempotency_key(message) for message in messages}) == 2
