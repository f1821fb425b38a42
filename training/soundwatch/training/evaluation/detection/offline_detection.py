"""Event detection on samples in memory, through the daemon's complete path.

Conventions: sound is mono, (S,) float32, until it becomes a `Block`. Decisions use the default
configuration and the thresholds of the model's contract. Event times are seconds from the start.
Does not: score recordings without detection (`evaluation/clips.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundwatch.daemon.config.config import DetectionConfig
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.records.block import Block, Samples, read_only
from soundwatch.daemon.core.records.event import Event
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.core.records.stream import StreamSummary
from soundwatch.daemon.detection.rules import build_rules
from soundwatch.daemon.pipeline.pipeline import run_pipeline
from soundwatch.training.data.audio.read_audio import read_recording


@dataclass(frozen=True, slots=True)
class DetectedEvent:
    """Detected event, with times in seconds.

    Attributes:
        label: Class.
        onset_s: Detected onset.
        decision_s: Time of the decision.
        offset_s: End.
    """

    label: str
    onset_s: float
    decision_s: float
    offset_s: float


@dataclass(frozen=True, slots=True)
class MemorySource:
    """Samples in memory as a source.

    Attributes:
        samples: Samples (C, S).
        rate_hz: Sample rate.
    """

    samples: Samples
    rate_hz: int
    start_unix_ns: int = 0

    @property
    def info(self) -> SourceInfo:
        """Description of the source."""
        return SourceInfo("memory", "samples in memory", self.rate_hz, self.samples.shape[0])

    def blocks(self) -> Iterator[Block]:
        """Yield all samples in one block."""
        yield Block(read_only(np.ascontiguousarray(self.samples, np.float32)), self.rate_hz, 0)

    def to_its_end(self) -> Iterator[Block | None]:
        """Yield all samples in one block, then None for the end of the sound."""
        yield from self.blocks()
        yield None

    def stop(self) -> None:
        """Do nothing: there is no thread to stop."""


def recording_blocks(path: Path) -> Iterator[Block | None]:
    """Return a recording in one block, then None for its end.

    Raises:
        DataError: The file cannot be read.
    """
    return MemorySource(*read_recording(path)).to_its_end()


def detect_in_blocks(blocks: Iterable[Block | None], classifier: Classifier) -> tuple[list[DetectedEvent], float]:
    """Detect events in blocks as the daemon does, and return them with the length of the sound in seconds.

    As in `run_pipeline`, None after the blocks marks the end of a recording: one too short for two
    windows is then padded. A stopped microphone gives no None.
    """
    contract = classifier.contract
    rate_hz = contract.features.rate_hz
    rules = build_rules(DetectionConfig(), contract)
    starts: dict[str, Event] = {}
    detected: list[DetectedEvent] = []
    length_s = 0.0
    for item in run_pipeline(blocks, classifier, rules, lambda: "end_of_stream"):
        if isinstance(item, StreamSummary):
            length_s = item.end_sample / rate_hz
        elif isinstance(item, Event) and item.type == "start":
            starts[item.label] = item
        elif isinstance(item, Event) and item.offset_sample is not None:
            began = starts.pop(item.label)
            detected.append(
                DetectedEvent(
                    item.label,
                    began.onset_sample / rate_hz,
                    began.decision_sample / rate_hz,
                    item.offset_sample / rate_hz,
                )
            )
    return sorted(detected, key=lambda event: event.onset_s), length_s
