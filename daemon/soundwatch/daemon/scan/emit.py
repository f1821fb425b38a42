"""Scores to lines, recording after recording: the place where a scan decides.

Conventions: what comes out is what `replay` writes of the same recordings in the same order, to the byte.
Does not: compute scores (`scan/worker.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from soundwatch.daemon.core.clock import SampleClock
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.core.source import SourceInfo
from soundwatch.daemon.core.types import EndReason, Event, Features, FeatureWindow, Gap, Scores, StreamSummary
from soundwatch.daemon.detection.decide import DetectionRule, initial_state
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.events.schema import Line, with_seq
from soundwatch.daemon.pipeline.pipeline import DetectionState, detect_events, finish_stream
from soundwatch.daemon.scan.worker import ChunkScores

_NO_MEL = np.zeros((0, 0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """What it takes to make lines of scores.

    Attributes:
        node: Name of this machine, as events carry it.
        contract: Of the model that scored.
        rules: One per label.
        thresholds: In force, per class that is listened for.
        start_unix_ns: UTC of each recording's sample 0.
    """

    node: str
    contract: ModelContract
    rules: tuple[DetectionRule, ...]
    thresholds: dict[str, float]
    start_unix_ns: int


def emit_lines(recordings: Iterable[tuple[Path, Sequence[ChunkScores]]], judging: DecisionContext) -> Iterator[bytes]:
    """The lines of all recordings, numbered through."""
    seq = 0
    for path, pieces in recordings:
        for line in _recording(path, pieces, judging, seq):
            seq += 1
            yield msgspec.json.encode(line) + b"\n"


def _recording(path: Path, pieces: Sequence[ChunkScores], judging: DecisionContext, seq: int) -> Iterator[Line]:
    """The lines of one recording, the first with the number after `seq`; none where nothing was heard of it."""
    if not pieces or not pieces[0].heard_any:
        return
    stream = LineEncoder(
        node=judging.node,
        source=SourceInfo(path.stem, str(path), pieces[0].rate_hz, pieces[0].channels),
        start_unix_ns=judging.start_unix_ns,
        contract=judging.contract,
        provider=pieces[0].provider,
        thresholds=judging.thresholds,
        clock=SampleClock(),
    )
    seq += 1
    yield with_seq(stream.hello(), seq)
    for told in _told(pieces, judging):
        seq += 1
        yield with_seq(stream.line(told), seq)


def _told(pieces: Sequence[ChunkScores], judging: DecisionContext) -> Iterator[Event | Gap | StreamSummary]:
    """All that is to be told of one recording, the `StreamSummary` last."""
    detection_state = DetectionState(initial_state(judging.rules))
    spec, labels = judging.contract.features, judging.contract.labels
    last = pieces[-1]
    assert last.end_sample is not None
    for scores, level_dbfs in _windows(pieces, last.end_sample, judging.contract):
        heard = FeatureWindow(Features(_NO_MEL, scores.first_sample, scores.end_sample, complete=True), level_dbfs)
        detection_state, told = detect_events(detection_state, [heard], [scores], judging.rules, spec)
        yield from told
    reason: EndReason = "end_of_stream" if last.failure is None else "source_lost"
    yield from finish_stream(detection_state, last.end_sample, labels, reason)


def _windows(
    pieces: Sequence[ChunkScores], end_sample: int, contract: ModelContract
) -> Iterator[tuple[Scores, float | None]]:
    """Every window's scores and level."""
    spec, first_sample = contract.features, 0
    for piece in pieces:
        values = np.frombuffer(piece.scores, np.float32).reshape(-1, len(contract.labels))
        for row, level_dbfs in zip(values, np.frombuffer(piece.levels, np.float64).tolist(), strict=True):
            end = min(first_sample + spec.window_samples, end_sample)
            scores = Scores(row, contract.labels, first_sample, end, complete=True)
            yield scores, None if math.isnan(level_dbfs) else level_dbfs
            first_sample += spec.window_hop_samples
