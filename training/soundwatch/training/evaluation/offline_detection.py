"""Sound in memory through the daemon's whole path: the events that a live source would have raised.

Conventions: sound is mono, (S,) float32, until it becomes a `Block`. Decisions are those of the default
configuration at the thresholds of the model's contract. Times of events are seconds from the start.
Does not: score recordings without deciding (`evaluation/clips.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from soundwatch.daemon.core.config import DetectionConfig
from soundwatch.daemon.core.source import SourceInfo
from soundwatch.daemon.core.types import Block, Classifier, Event, Samples, StreamSummary, read_only
from soundwatch.daemon.detection.rules import build_rules
from soundwatch.daemon.pipeline.pipeline import run_pipeline


@dataclass(frozen=True, slots=True)
class DetectedEvent:
    """An event that was raised, in seconds.

    Attributes:
        label: The class.
        onset_s: When the daemon says that it began.
        told_s: When it could be told.
        offset_s: When it ended.
    """

    label: str
    onset_s: float
    told_s: float
    offset_s: float


@dataclass(frozen=True, slots=True)
class MemorySource:
    """Samples that are there already, as a `types.Source`.

    Attributes:
        samples: (C, S).
        rate_hz: Of them.
    """

    samples: Samples
    rate_hz: int
    start_unix_ns: int = 0

    @property
    def info(self) -> SourceInfo:
        """What it is."""
        return SourceInfo("memory", "samples in memory", self.rate_hz, self.samples.shape[0])

    def blocks(self) -> Iterator[Block]:
        """All of it in one block."""
        yield Block(read_only(np.ascontiguousarray(self.samples, np.float32)), self.rate_hz, 0)

    def to_its_end(self) -> Iterator[Block | None]:
        """The same, and then the end of the sound."""
        yield from self.blocks()
        yield None

    def stop(self) -> None:
        """Nothing waits."""


def detect_in_blocks(blocks: Iterable[Block | None], classifier: Classifier) -> tuple[list[DetectedEvent], float]:
    """The events that these blocks raise in the daemon, and the length of the sound in seconds.

    As in `run_pipeline`, None after the blocks says that the sound ends, as a recording does: one too short for two
    windows then gets them all the same. A microphone that is turned off gives none.
    """
    contract = classifier.contract
    rate_hz = contract.features.rate_hz
    rules = build_rules(DetectionConfig(), contract)
    starts: dict[str, Event] = {}
    heard: list[DetectedEvent] = []
    length_s = 0.0
    for told in run_pipeline(blocks, classifier, rules, lambda: "end_of_stream"):
        if isinstance(told, StreamSummary):
            length_s = told.end_sample / rate_hz
        elif isinstance(told, Event) and told.type == "start":
            starts[told.label] = told
        elif isinstance(told, Event) and told.offset_sample is not None:
            began = starts.pop(told.label)
            heard.append(
                DetectedEvent(
                    told.label,
                    began.onset_sample / rate_hz,
                    began.decision_sample / rate_hz,
                    told.offset_sample / rate_hz,
                )
            )
    return sorted(heard, key=lambda event: event.onset_s), length_s
