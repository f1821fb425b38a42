"""Detection and lines of scanned recordings, one after another.

Conventions: the lines are those that `replay` writes of these recordings in this order, to the byte, and event lines
name their `file` too.
Does not: compute scores (`scan/worker.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.model.tags import split_outputs
from soundwatch.daemon.core.records.event import EndReason, Event
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.core.records.stream import Gap, StreamSummary
from soundwatch.daemon.core.records.window import Features, FeatureWindow
from soundwatch.daemon.core.time.clock import SampleClock
from soundwatch.daemon.detection.decide import DetectionRule, initial_state
from soundwatch.daemon.detection.rules import SourceRules
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.events.schema import Line, with_seq
from soundwatch.daemon.pipeline.pipeline import DetectionState, detect_events, finish_stream
from soundwatch.daemon.scan.worker import ChunkScores

_NO_MEL: Final = np.zeros((0, 0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """Dependencies of the detection.

    Attributes:
        node: Name of this machine in events.
        contract: Contract of the model that scored.
        rules: One per label.
        thresholds: Thresholds in force by enabled class.
        start_unix_ns: UTC of each recording's sample 0.
        names: Name of each recording in events.
        sources: Rules of each configured source, for recordings of its name.
    """

    node: str
    contract: ModelContract
    rules: tuple[DetectionRule, ...]
    thresholds: dict[str, float]
    start_unix_ns: int
    names: Mapping[Path, str]
    sources: Mapping[str, SourceRules] = field(default_factory=dict)

    def rules_for(self, name: str) -> tuple[DetectionRule, ...]:
        """Return the rules of a recording by its name."""
        return self.sources[name].rules if name in self.sources else self.rules

    def thresholds_for(self, name: str) -> dict[str, float]:
        """Return the thresholds of a recording by its name."""
        return self.sources[name].thresholds if name in self.sources else self.thresholds


def emit_lines(recordings: Iterable[tuple[Path, Sequence[ChunkScores]]], context: DecisionContext) -> Iterator[bytes]:
    """Yield the lines of all recordings, numbered through."""
    seq = 0
    for path, chunks in recordings:
        for line in _recording(path, chunks, context, seq):
            seq += 1
            yield msgspec.json.encode(line) + b"\n"


def _recording(path: Path, chunks: Sequence[ChunkScores], context: DecisionContext, seq: int) -> Iterator[Line]:
    """Yield the lines of one recording, the first with the number after `seq`; none if no sound was read."""
    if not chunks or not chunks[0].has_sound:
        return
    encoder = LineEncoder(
        node=context.node,
        source=SourceInfo(context.names[path], str(path), chunks[0].rate_hz, chunks[0].channels),
        start_unix_ns=context.start_unix_ns,
        contract=context.contract,
        provider=chunks[0].provider,
        thresholds=context.thresholds_for(context.names[path]),
        clock=SampleClock(),
        unused_providers=chunks[0].unused_providers,
        file=str(path),
    )
    seq += 1
    yield with_seq(encoder.hello(), seq)
    for result in _detect(chunks, context, context.rules_for(context.names[path])):
        seq += 1
        yield with_seq(encoder.line(result), seq)


def _detect(
    chunks: Sequence[ChunkScores], context: DecisionContext, rules: tuple[DetectionRule, ...]
) -> Iterator[Event | Gap | StreamSummary]:
    """Yield the events and gaps of one recording, the `StreamSummary` last."""
    detection_state = DetectionState(initial_state(rules))
    spec, labels = context.contract.features, context.contract.labels
    last = chunks[-1]
    assert last.end_sample is not None
    for scores, level_dbfs in _windows(chunks, last.end_sample, context.contract):
        window = FeatureWindow(Features(_NO_MEL, scores.first_sample, scores.end_sample, complete=True), level_dbfs)
        detection_state, events = detect_events(detection_state, [window], [scores], rules, spec)
        yield from events
    reason: EndReason = "end_of_stream" if last.failure is None else "source_lost"
    yield from finish_stream(detection_state, last.end_sample, labels, reason)


def _windows(
    chunks: Sequence[ChunkScores], end_sample: int, contract: ModelContract
) -> Iterator[tuple[Scores, float | None]]:
    """Yield the scores and the level in dBFS of every window."""
    spec, first_sample = contract.features, 0
    for chunk in chunks:
        outputs = np.frombuffer(chunk.scores, np.float32).reshape(-1, len(contract.trained_labels) + len(contract.tags))
        levels = np.frombuffer(chunk.levels, np.float64).tolist()
        for row, tag_row, level_dbfs in zip(*split_outputs(contract, outputs), levels, strict=True):
            end = min(first_sample + spec.window_samples, end_sample)
            scores = Scores(
                row, contract.labels, first_sample, end, complete=True, tag_values=tag_row, tags=contract.tags
            )
            yield scores, None if math.isnan(level_dbfs) else level_dbfs
            first_sample += spec.window_hop_samples
