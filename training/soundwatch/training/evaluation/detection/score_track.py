"""Stored scores of every window of a sound, for detection at any thresholds.

Conventions: values are (N, K) float32 in [0, 1]; times are seconds from the start. Tracks are cached by
sound and weights.
Does not: detect events by any rule but `decide`'s.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from soundwatch.daemon.config.config import DetectionConfig
from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.files.atomic_file import replace_file
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.detection.decide import decide, initial_state
from soundwatch.daemon.detection.rules import build_rules
from soundwatch.daemon.inference.classifier import classify_windows
from soundwatch.daemon.pipeline.pipeline import OFFLINE_BATCH_WINDOWS, batched_features, features_only


@dataclass(frozen=True, slots=True)
class Track:
    """Scores of the windows of a sound.

    Attributes:
        values: Scores (N, K).
        first_samples: First sample of each window (N,), at the model's rate.
        end_samples: End of the sound in each window (N,).
    """

    values: NDArray[np.float32]
    first_samples: NDArray[np.int64]
    end_samples: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Detection:
    """Detected event.

    Attributes:
        class_id: Index of the class.
        onset_s: Detected onset.
        at_s: Time of the decision.
    """

    class_id: int
    onset_s: float
    at_s: float


def score_track(blocks: Iterable[Block | None], classifier: Classifier) -> Track:
    """Score a sound; None after the blocks marks the end of a recording."""
    rows: list[NDArray[np.float32]] = []
    firsts: list[int] = []
    ends: list[int] = []
    for _, items in batched_features(blocks, classifier.contract.features, OFFLINE_BATCH_WINDOWS):
        for scores in classify_windows(classifier, features_only(items)):
            rows.append(scores.values)
            firsts.append(scores.first_sample)
            ends.append(scores.end_sample)
    values = np.array(rows, np.float32).reshape(len(rows), len(classifier.contract.labels))
    return Track(values, np.array(firsts, np.int64), np.array(ends, np.int64))


def cached_track(
    name: str, blocks: Callable[[], Iterable[Block | None]], classifier: Classifier, folder: Path | None
) -> Track:
    """Read the track of this name and these weights from the folder, or score the sound; None caches nothing."""
    if folder is None:
        return score_track(blocks(), classifier)
    return stored_track(
        folder / classifier.contract.weights_sha256[:12], name, lambda: score_track(blocks(), classifier)
    )


def stored_track(folder: Path, name: str, score: Callable[[], Track]) -> Track:
    """Read the track of this name from the folder, or compute and store it.

    Raises:
        DataError: The folder cannot be read or written to.
    """
    path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.npz"
    try:
        with path.open("rb") as file, np.load(file) as stored:
            return Track(stored["values"], stored["first_samples"], stored["end_samples"])
    except (FileNotFoundError, KeyError, EOFError, ValueError, zipfile.BadZipFile):
        pass  # not stored yet, or damaged
    except OSError as error:
        raise DataError(f"Scores cannot be read from {folder}: {error}. Name another folder with --cache.") from error
    track = score()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda part: _write_track(part, track))
    except OSError as error:
        raise DataError(
            f"Scores cannot be written to {folder}: {error}. Make room, name another folder with --cache, or leave it "
            "out."
        ) from error
    return track


def _write_track(path: Path, track: Track) -> None:
    with path.open("wb") as file:  # given a path, numpy would add its suffix
        np.savez(file, values=track.values, first_samples=track.first_samples, end_samples=track.end_samples)


def detect_in(track: Track, contract: ModelContract, thresholds: Sequence[float]) -> list[Detection]:
    """Detect events as the daemon does at these thresholds, one per class, with the default for all other rules."""
    named = dict(zip(contract.labels, thresholds, strict=True))
    rules = build_rules(DetectionConfig(), replace(contract, thresholds=named))
    state, detections = initial_state(rules), list[Detection]()
    rate_hz = contract.features.rate_hz
    for values, first, end in zip(track.values, track.first_samples.tolist(), track.end_samples.tolist(), strict=True):
        state, events = decide(state, Scores(values, contract.labels, first, end, True), None, rules, contract.features)
        detections += [
            Detection(event.class_id, event.onset_sample / rate_hz, event.decision_sample / rate_hz)
            for event in events
            if event.type == "start"
        ]
    return detections
