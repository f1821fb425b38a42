"""The table of source kinds: a kind that is added there is known everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from soundwatch.daemon.capture import open_live_source, open_source, source_kinds
from soundwatch.daemon.capture.kind import SourceKind, SourceRequest
from soundwatch.daemon.capture.source_names import name_devices
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.core.records.block import Block, read_only
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.diagnostics.privacy.audit import audit


class Buoy:
    """A source of one block."""

    start_unix_ns = 0

    def __init__(self, name: str, device: str) -> None:
        self.info = SourceInfo(name, f"the hydrophone {device}", 8000, 1)

    def blocks(self) -> Iterator[Block]:
        yield Block(read_only(np.zeros((1, 800), np.float32)), 8000, 0)

    def stop(self) -> None:
        return


def test_a_kind_that_is_added_to_the_table_is_known_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_(request: SourceRequest) -> Buoy:
        return Buoy(request.name, str(request.device))

    kind = SourceKind(
        "buoy",
        lambda device: str(device).startswith("buoy:"),
        open_,
        open_,
        event_names=lambda device: (device.removeprefix("buoy:").rpartition("@")[0], device),
        encrypted=lambda _: True,
    )
    monkeypatch.setattr(source_kinds, "SOURCE_KINDS", (kind, *source_kinds.SOURCE_KINDS))

    assert sum(block.samples.shape[1] for block in open_source("north", "buoy:north@sea").blocks()) == 800
    live = open_live_source("north", "buoy:north@sea", channels="left")
    assert [item.samples.shape for item in live.blocks() if isinstance(item, Block)] == [(1, 800)]
    assert list(name_devices(["buoy:north@sea", "buoy:south@sea"], {})) == ["north", "south"]
    (found,) = audit(Config(sinks=(), sources={"north": SourceConfig(device="buoy:north@sea")})).network_sources
    assert found.encrypted
