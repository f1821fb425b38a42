"""A calibration that a signal stops."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from soundwatch.daemon.app.calibrate import calibrate_from_source
from soundwatch.daemon.config.config import Config, ModelConfig
from soundwatch.daemon.core.process.stop_request import StoppedError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import SourceInfo
from support.band_model import write_band_model


@dataclass(slots=True)
class Microphone:
    """A microphone whose user presses Ctrl-C after some seconds."""

    seconds: int
    start_unix_ns: int = 0
    stopped: bool = False

    @property
    def info(self) -> SourceInfo:
        return SourceInfo("background", "USB", 8000, 1)

    def blocks(self) -> Iterator[Block]:
        size = 8000 * self.seconds
        yield Block(np.full((1, size), 0.001, np.float32), 8000, 0)
        signal.raise_signal(signal.SIGINT)
        assert self.stopped

    def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize("seconds", [0, 3])
def test_a_stop_before_ten_minutes_is_named_as_a_stop_and_not_as_bad_input(seconds: int, tmp_path: Path) -> None:
    config, said = Config(model=ModelConfig(file=str(write_band_model(tmp_path / "bands.onnx")))), list[str]()
    with pytest.raises(StoppedError):
        calibrate_from_source(config, Microphone(seconds), 0.5, None, said.append)
    assert said == [f"stopped after {seconds} s, before 600 s of background; no calibration is written."]
