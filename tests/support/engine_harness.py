"""Sources in memory, a sink that stores its lines, and the context of an engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.config.config import DetectionConfig
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import AudioQuality, SourceInfo
from soundwatch.daemon.core.time.clock import SampleClock
from soundwatch.daemon.detection.rules import build_rules
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.sinks.direct import DirectWriter
from support.fakes import SMALL_CONTRACT, SMALL_SPEC, silence, tone
from support.memory_logger import MemoryLogger

BLOCK_SAMPLES = 800
BLOCK_NS = 100_000_000
GOOD = AudioQuality((), -30.0, -40.0, 0.5, 0.0, 0.0, same_channels=False, measured_hz=8000.0, changed=False)
DETECTION = DetectionConfig(confirm_windows=1.2, min_duration_s=0.1, cooldown_s=0.2, update_s=0.5)


@dataclass(slots=True)
class CollectingSink:
    """A sink that stores its lines."""

    name: str = "kept"
    lines: list[dict[str, Any]] = field(default_factory=list)

    def write(self, line: bytes) -> None:
        self.lines.append(json.loads(line))

    def close(self) -> None:
        pass

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["type"] == kind]


@dataclass(slots=True)
class MemorySource:
    """Samples (1, S) as a source that yields blocks without waiting."""

    name: str
    samples: NDArray[np.float32]
    waits: bool = False
    fails: bool = False
    rate_hz: int = SMALL_SPEC.rate_hz
    yielded_blocks: int = 0
    exhausted: threading.Event = field(default_factory=threading.Event)
    start_unix_ns: int = 0

    @property
    def info(self) -> SourceInfo:
        return SourceInfo(self.name, "memory", self.rate_hz, 1, self.waits)

    def blocks(self) -> Iterator[Block]:
        for first in range(0, self.samples.shape[1], BLOCK_SAMPLES):
            self.yielded_blocks += 1
            yield Block(self.samples[:, first : first + BLOCK_SAMPLES], self.rate_hz, first)
        self.exhausted.set()
        if self.fails:
            raise SourceError(f"{self.name} broke.")

    def stop(self) -> None:
        pass


def sound(hz: float, seconds: float = 1.0) -> NDArray[np.float32]:
    return np.concatenate([silence(0.5), tone(hz, seconds), silence(0.7)], axis=1)


def engine_context(classifier: Classifier) -> tuple[EngineContext, CollectingSink]:
    sink = CollectingSink()
    rules = build_rules(DETECTION, SMALL_CONTRACT)
    journal = DirectWriter([sink], MemoryLogger())
    return EngineContext("node", classifier, rules, {"low": 0.5, "high": 0.5}, SampleClock(), journal), sink
