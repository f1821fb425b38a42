"""YAMNet zero-shot in place of soundwatch's network, with the rules of two programs that run it.

Conventions: a patch is 0.975 s at 16 kHz, one every half patch. A class's score is the highest of the AudioSet classes
that fit it. Frigate's rule: patches without overlap, each decides by itself; an event ends after 5 s without one, since
Frigate's own 30 s would make one event of several targets. yamcam's rule: two of the last five patches, an event ends
after ten patches without.
Source: https://github.com/blakeblackshear/frigate (events/audio.py), https://github.com/cecat/CeC-HA-Addons (yamcam3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from soundwatch.daemon.core.records.block import Block
from soundwatch.training.distillation.teacher import open_interpreter
from soundwatch.training.evaluation.detection.score_track import Detection, Track
from soundwatch.training.model.labels import LABELS

RATE_HZ: Final = 16_000
PATCH_SAMPLES: Final = 15_600
HOP_SAMPLES: Final = 7_800
FRIGATE_SILENT_S: Final = 5.0
YAMCAM_OF, YAMCAM_NEEDED, YAMCAM_DECAY = 5, 2, 10

# AudioSet classes that fit each class, by their places in YAMNet's output.
AUDIOSET: Final[dict[str, tuple[int, ...]]] = {
    "air_conditioner": (406, 407),
    "car_horn": (302, 303, 304, 312),
    "children_playing": (1, 10, 29, 66),
    "dog_bark": (69, 70, 71, 73),
    "drilling": (339, 418, 419),
    "engine_idling": (337, 342, 343, 344, 346),
    "gun_shot": (421, 422, 423, 424, 425),
    "jackhammer": (414,),
    "siren": (316, 317, 318, 319, 390, 391),
    "street_music": (132, 133, 261, 262),
}


class YamNetScorer:
    """An open YAMNet that gives the ten classes' scores of every patch."""

    def __init__(self, path: Path) -> None:
        self._interpreter = open_interpreter(path)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def score(self, blocks: Iterable[Block | None]) -> Track:
        """Scores (N, 10) of a sound's patches; one shorter than a patch is filled up with zeros."""
        given = [block for block in blocks if block is not None]
        mono = np.concatenate([block.samples.mean(axis=0) for block in given])
        sound = soxr.resample(mono, given[0].rate_hz, RATE_HZ).astype(np.float32)
        sound = np.pad(sound, (0, max(0, PATCH_SAMPLES - sound.size)))
        firsts = np.arange(0, sound.size - PATCH_SAMPLES + 1, HOP_SAMPLES)
        values = np.array([self._patch(sound[first : first + PATCH_SAMPLES]) for first in firsts], np.float32)
        return Track(values, firsts, firsts + PATCH_SAMPLES)

    def _patch(self, samples: NDArray[np.float32]) -> list[float]:
        self._interpreter.set_tensor(self._input, samples)
        self._interpreter.invoke()
        scores = self._interpreter.get_tensor(self._output)[0]
        return [float(scores[list(AUDIOSET[label])].max()) for label in LABELS]


def by_frigate(track: Track, thresholds: Sequence[float]) -> list[Detection]:
    """Events by Frigate's rule."""
    detections: list[Detection] = []
    last_ends_s: list[float | None] = [None] * len(LABELS)
    for first, values in list(zip(track.first_samples.tolist(), track.values, strict=True))[::2]:
        onset_s, end_s = first / RATE_HZ, (first + PATCH_SAMPLES) / RATE_HZ
        for class_id, threshold in enumerate(thresholds):
            if values[class_id] < threshold:
                continue
            last_s = last_ends_s[class_id]
            if last_s is None or end_s - last_s > FRIGATE_SILENT_S:
                detections.append(Detection(class_id, onset_s, end_s))
            last_ends_s[class_id] = end_s
    return detections


def by_yamcam(track: Track, thresholds: Sequence[float]) -> list[Detection]:
    """Events by yamcam's rule."""
    detections: list[Detection] = []
    above = track.values >= np.array(thresholds, np.float32)  # (N, K)
    for class_id in range(len(LABELS)):
        active, quiet = False, 0
        for place in range(len(above)):
            recent = above[max(0, place + 1 - YAMCAM_OF) : place + 1, class_id]
            quiet = 0 if above[place, class_id] else quiet + 1
            if active:
                active = quiet < YAMCAM_DECAY
            elif recent.sum() >= YAMCAM_NEEDED:
                active = True
                first = max(0, place + 1 - YAMCAM_OF) + int(np.argmax(recent))
                detections.append(
                    Detection(class_id, track.first_samples[first] / RATE_HZ, track.end_samples[place] / RATE_HZ)
                )
    return sorted(detections, key=lambda item: item.at_s)
