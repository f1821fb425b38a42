"""Open-set evaluation: sounds of none of the classes, as single recordings and an hour of ambience.

Conventions: a false alarm is an event of the daemon at the thresholds of the model's contract, of any
class. A recording is processed as by `soundwatch replay`, an ambience as from a microphone
that is stopped after the stated time. Rates are started events per hour.
Does not: count windows or scores, or separate recordings that selected the thresholds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.records.block import Block, read_only
from soundwatch.daemon.detection.calibration import poisson_upper_rate
from soundwatch.training.data.audio.read_audio import RATE_HZ
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.evaluation.detection.offline_detection import DetectedEvent, detect_in_blocks, recording_blocks
from soundwatch.training.sounds.ambience import Ambience, ambiences, gain_to_dbfs

_BLOCK_SAMPLES: Final = 10 * RATE_HZ
_Z: Final = 1.96

# Kind, levels in dBFS, minutes each: 60 in total.
COMPOSITION: Final = (
    ("rain", (-25.0, -45.0), 4.0),
    ("sea", (-25.0, -45.0), 4.0),
    ("fire", (-25.0, -45.0), 4.0),
    ("clock", (-25.0, -45.0), 4.0),
    ("babble", (-25.0, -45.0), 5.0),
    ("pink noise", (-30.0, -50.0, -70.0), 2.0),
    ("brown noise", (-30.0, -50.0, -70.0), 2.0),
    ("hum 50 Hz", (-40.0,), 2.0),
    ("hum 60 Hz", (-40.0,), 2.0),
    ("digital silence", (0.0,), 2.0),
)


class RaisedShare(msgspec.Struct, frozen=True, kw_only=True):
    """Number of recordings that raised an event.

    Attributes:
        recordings: Number of recordings.
        raised: Number of recordings with at least one event.
    """

    recordings: int
    raised: int


class FalseAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """Recording with false events.

    Attributes:
        recording: Folder and file name.
        classes: Classes of the events.
    """

    recording: str
    classes: tuple[str, ...]


class AmbienceResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one kind of ambience at one level.

    Attributes:
        kind: Name in `sounds/ambience.py`.
        level_dbfs: Root mean square; None for digital silence.
        minutes: Length.
        events: Number of started events per class.
        active_share: Share of the time with an active event.
    """

    kind: str
    level_dbfs: float | None
    minutes: float
    events: dict[str, int]
    active_share: float


class OpenSetReport(msgspec.Struct, frozen=True, kw_only=True):
    """Report of an open-set evaluation.

    Attributes:
        model: Name and hash of the model.
        provider: Execution provider.
        thresholds: Thresholds of the contract.
        held_out_only: True if training recordings were left out.
        seed: Random seed.
        negatives: Result over all recordings.
        raised_share: Share of recordings that raised an event.
        raised_share_low: Lower end of its 95 % confidence interval (Wilson).
        raised_share_high: Upper end of the interval.
        kinds: Results per folder.
        alarms: Recordings that raised events.
        ambience: Results of the parts of ambience.
        ambience_h: Total length of the ambience.
        false_events_per_h: Rate of false events in the ambience.
        false_events_per_h_high: Upper bound of the true rate with 95 % confidence.
        skipped: Missing kinds of ambience, with the reasons.
    """

    model: str
    provider: str
    thresholds: dict[str, float]
    held_out_only: bool
    seed: int
    negatives: RaisedShare
    raised_share: float
    raised_share_low: float
    raised_share_high: float
    kinds: dict[str, RaisedShare]
    alarms: tuple[FalseAlarm, ...]
    ambience: tuple[AmbienceResult, ...]
    ambience_h: float
    false_events_per_h: float
    false_events_per_h_high: float
    skipped: tuple[str, ...]


def evaluate_openset(
    classifier: Classifier,
    negatives: Sequence[Clip],
    ambient: Sequence[Clip],
    held_out_only: bool,
    minutes: float,
    seed: int,
    console: Console,
) -> OpenSetReport:
    """Evaluate every recording alone, then the ambience.

    Args:
        classifier: Model to evaluate.
        negatives: Recordings to evaluate alone.
        ambient: Recordings for ambience.
        held_out_only: True if the negatives are only those that training holds out.
        minutes: Total length of the ambience; 60 gives the lengths in `COMPOSITION`.
        seed: Random seed.
        console: Console for the progress.

    Raises:
        DataError: A recording cannot be read, or there are none.
    """
    if not negatives:
        raise DataError(
            "There is no recording to test: training holds out about one in four, and none of these. Give more "
            "recordings, or --unseen if no training used them."
        )
    alarms: dict[str, tuple[str, ...]] = {}
    for clip in track(negatives, "Other sounds", console=console):
        detected, _ = detect_in_blocks(recording_blocks(clip.path), classifier)
        if detected:
            alarms[_name(clip)] = tuple(sorted({event.label for event in detected}))
    parts, skipped = _evaluate_ambience(classifier, ambient, minutes, seed, console)
    low, high = wilson(len(alarms), len(negatives))
    hours = sum(part.minutes for part in parts) / 60
    events = sum(sum(part.events.values()) for part in parts)
    return OpenSetReport(
        model=classifier.contract.identity,
        provider=classifier.provider,
        thresholds=classifier.contract.thresholds,
        held_out_only=held_out_only,
        seed=seed,
        negatives=RaisedShare(recordings=len(negatives), raised=len(alarms)),
        raised_share=round(len(alarms) / len(negatives), 4),
        raised_share_low=round(low, 4),
        raised_share_high=round(high, 4),
        kinds=_by_kind(negatives, alarms),
        alarms=tuple(FalseAlarm(recording=name, classes=classes) for name, classes in alarms.items()),
        ambience=parts,
        ambience_h=round(hours, 4),
        false_events_per_h=round(events / hours, 2),
        false_events_per_h_high=round(poisson_upper_rate(events, hours), 2),
        skipped=skipped,
    )


def _name(clip: Clip) -> str:
    return f"{clip.path.parent.name}/{clip.path.name}"


def _by_kind(negatives: Sequence[Clip], alarms: dict[str, tuple[str, ...]]) -> dict[str, RaisedShare]:
    counts = Counter(clip.path.parent.name for clip in negatives)
    raised = Counter(clip.path.parent.name for clip in negatives if _name(clip) in alarms)
    return {kind: RaisedShare(recordings=count, raised=raised[kind]) for kind, count in sorted(counts.items())}


def _evaluate_ambience(
    classifier: Classifier, held_out: Sequence[Clip], minutes: float, seed: int, console: Console
) -> tuple[tuple[AmbienceResult, ...], tuple[str, ...]]:
    """Evaluate each part of the composition as a separate stream, and return the results and the missing kinds."""
    kinds, skipped = ambiences(held_out, seed)
    wanted = [(kind, level, item * minutes / 60) for kind, levels, item in COMPOSITION for level in levels]
    parts = []
    for kind, level_dbfs, item in track([part for part in wanted if part[0] in kinds], "Ambience", console=console):
        detected, length_s = detect_in_blocks(_stream(kinds[kind], level_dbfs, round(item * 60 * RATE_HZ)), classifier)
        parts.append(
            AmbienceResult(
                kind=kind,
                level_dbfs=None if kind == "digital silence" else level_dbfs,
                minutes=round(length_s / 60, 4),
                events=dict(sorted(Counter(event.label for event in detected).items())),
                active_share=round(_active_s(detected) / length_s, 4),
            )
        )
    return tuple(parts), skipped


def _stream(ambience: Ambience, level_dbfs: float, length_samples: int) -> Iterator[Block]:
    """Yield an ambience at a level in blocks of ten seconds."""
    gain = gain_to_dbfs(level_dbfs)
    for first_sample in range(0, length_samples, _BLOCK_SAMPLES):
        size = min(_BLOCK_SAMPLES, length_samples - first_sample)
        yield Block(read_only(ambience.take(size)[None] * gain), RATE_HZ, first_sample)


def _active_s(events: Sequence[DetectedEvent]) -> float:
    """Compute the time with at least one active event."""
    active_s, until_s = 0.0, 0.0
    for event in events:
        active_s += max(0.0, event.offset_s - max(event.onset_s, until_s))
        until_s = max(until_s, event.offset_s)
    return active_s


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Compute Wilson's 95 % confidence interval of a share."""
    share, spread = hits / count, _Z**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
