"""Streets with many real backgrounds, hard negatives, and soft knocks near the noise floor.

Conventions: a scene is planned first, by random draws from a seed alone, and rendered later.
Backgrounds follow each other with cross-fades of a second, each one recording at its own level; no excerpt is repeated
within a background. Foreground sounds never overlap. A sound's level is its root mean square over its own length
relative to that of the background; the level of a negative differs from the targets' by up to `NEGATIVE_SPREAD_DB`,
and a knock is within `KNOCK_DB` of the background.
Uncertain classes: a background or a negative may contain a class that its label does not name. `uncertain_at` reports
it, and events of these classes are not counted there.
Does not: render audio (`scene_audio.py`), or know a model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeVar

import numpy as np

from soundwatch.daemon.core.errors import DataError
from soundwatch.training.data.audio.unit_clips import RATE_HZ, read_unit
from soundwatch.training.data.datasets.everyday_sounds import TRANSIENT_KINDS, EverydayClip

Part = Literal["target", "negative", "knock"]
Item = TypeVar("Item")

BACKGROUND_FADE_S: Final = 1.0
BACKGROUND_MAX_S: Final = 40.0
BACKGROUND_DBFS: Final = (-60.0, -35.0)
NEGATIVE_SPREAD_DB: Final = 5.0
KNOCK_DB: Final = (-8.0, 4.0)
MIN_GAP_S: Final = 2.0
TARGETS_PER_H: Final = 130.0
KNOCKS_PER_H: Final = 40.0
NEAR_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Target:
    """A clip of one of the classes.

    Attributes:
        path: Path of the file.
        label: Class of the clip.
        recording: Original recording.
    """

    path: Path
    label: str
    recording: str


@dataclass(frozen=True, slots=True)
class Material:
    """Clips for scenes.

    Attributes:
        targets: Clips of the classes.
        negatives: Foreground sounds of none of the classes.
        backgrounds: Clips of ambience.
    """

    targets: tuple[Target, ...]
    negatives: tuple[EverydayClip, ...]
    backgrounds: tuple[EverydayClip, ...]


@dataclass(frozen=True, slots=True)
class SceneSpec:
    """Parameters of a scene.

    Attributes:
        minutes: Length.
        snr_db: Level of targets above the background.
        negatives_per_h: Hard negatives per hour.
        seed: Random seed.
    """

    minutes: float
    snr_db: float
    negatives_per_h: float
    seed: int


@dataclass(frozen=True, slots=True)
class Foreground:
    """Foreground sound in a scene.

    Attributes:
        part: Role in the scene.
        path: Path of the file.
        label: Class of a target; None for other sounds.
        kind: Kind of an everyday sound; the class of a target.
        recording: Original recording.
        uncertain: Classes that it may contain.
        onset_s: Onset.
        length_s: Length.
        level_db: Level above the background.
    """

    part: Part
    path: Path
    label: str | None
    kind: str
    recording: str
    uncertain: frozenset[str]
    onset_s: float
    length_s: float
    level_db: float


@dataclass(frozen=True, slots=True)
class Background:
    """Segment of ambience.

    Attributes:
        paths: Excerpts of one recording, without repeats.
        kind: Kind of the recording.
        recording: Original recording.
        uncertain: Classes that it may contain.
        start_s: Start.
        end_s: Start of the next background.
        level_dbfs: Root mean square.
    """

    paths: tuple[Path, ...]
    kind: str
    recording: str
    uncertain: frozenset[str]
    start_s: float
    end_s: float
    level_dbfs: float


@dataclass(frozen=True, slots=True)
class Scene:
    """Planned scene.

    Attributes:
        spec: Parameters of the scene.
        foreground: Foreground sounds in order.
        backgrounds: Backgrounds in order, without gaps.
        length_s: Total length.
    """

    spec: SceneSpec
    foreground: tuple[Foreground, ...]
    backgrounds: tuple[Background, ...]
    length_s: float

    def uncertain_at(self, label: str, second: float, reach_s: float) -> bool:
        """Return True if the class may be audible in the `reach_s` before this second, or just after it."""
        return any(
            label in background.uncertain and background.start_s - 1 <= second <= background.end_s + reach_s
            for background in self.backgrounds
        ) or any(
            label in item.uncertain and item.onset_s - 1 <= second <= item.onset_s + item.length_s + reach_s
            for item in self.foreground
        )


def plan_scene(material: Material, spec: SceneSpec) -> Scene:
    """Draw a scene from a seed.

    Raises:
        DataError: Targets, negatives or backgrounds are missing.
    """
    for name in ("targets", "negatives", "backgrounds"):
        if not getattr(material, name):
            raise DataError(
                f"There are no {name} for a street; clips of every part were expected. Give more recordings."
            )
    rng = np.random.default_rng(spec.seed)
    length_s, hours = spec.minutes * 60, spec.minutes / 60
    knocks = [clip for clip in material.negatives if clip.kind in TRANSIENT_KINDS]
    near = [clip for clip in material.negatives if clip.near_label]
    other = [clip for clip in material.negatives if not clip.near_label]
    negatives_count = round(spec.negatives_per_h * hours)
    near_count = round(NEAR_SHARE * negatives_count) if near and other else (negatives_count if near else 0)
    drawn: list[Foreground] = []
    targets = _rounds(material.targets, lambda target: target.label, rng)
    for target in (next(targets) for _ in range(round(TARGETS_PER_H * hours))):
        sound = Foreground("target", target.path, target.label, target.label, target.recording, frozenset(), 0, 0, 0)
        drawn.append(_place(sound, 0, spec.snr_db))
    for pool, count in ((near, near_count), (other, negatives_count - near_count)):
        clips = _rounds(pool, lambda clip: clip.kind, rng)
        for clip in (next(clips) for _ in range(count)):
            level_db = spec.snr_db + rng.uniform(-NEGATIVE_SPREAD_DB, NEGATIVE_SPREAD_DB)
            drawn.append(_place(_sound("negative", clip), 0, level_db))
    if knocks:
        clips = _rounds(knocks, lambda clip: clip.kind, rng)
        count = round(KNOCKS_PER_H * hours)
        drawn += [_place(_sound("knock", next(clips)), 0, rng.uniform(*KNOCK_DB)) for _ in range(count)]
    ordered = [drawn[place] for place in rng.permutation(len(drawn))]
    return Scene(spec, tuple(_spread(ordered, length_s, rng)), tuple(_backgrounds(material, length_s, rng)), length_s)


def _sound(part: Part, clip: EverydayClip) -> Foreground:
    return Foreground(part, clip.path, None, clip.kind, clip.recording, clip.uncertain, 0, 0, 0)


def _place(sound: Foreground, onset_s: float, level_db: float) -> Foreground:
    return replace(sound, onset_s=onset_s, length_s=read_unit(sound.path).size / RATE_HZ, level_db=level_db)


def _spread(sounds: Sequence[Foreground], length_s: float, rng: np.random.Generator) -> Iterator[Foreground]:
    """Place sounds one after another with random gaps that fill the scene, and omit those that do not fit."""
    spare_s = length_s - sum(sound.length_s for sound in sounds)
    gaps_s = rng.uniform(0.5, 1.5, len(sounds) + 1)
    gaps_s = np.maximum(MIN_GAP_S, gaps_s * max(0.0, spare_s) / gaps_s.sum())
    end_s = 0.0
    for sound, gap_s in zip(sounds, gaps_s[:-1], strict=True):
        onset_s = end_s + gap_s
        end_s = onset_s + sound.length_s
        if end_s > length_s:
            return
        yield _place(sound, float(onset_s), sound.level_db)


def _backgrounds(material: Material, length_s: float, rng: np.random.Generator) -> Iterator[Background]:
    recordings: dict[tuple[str, str], list[EverydayClip]] = defaultdict(list)
    for clip in material.backgrounds:
        recordings[(clip.kind, clip.recording)].append(clip)
    drawn = _rounds(list(recordings.values()), lambda clips: clips[0].kind, rng)
    start_s = 0.0
    while start_s < length_s:
        clips = next(drawn)
        chosen, end_s = [], start_s
        for place in rng.permutation(len(clips)):
            chosen.append(clips[place])
            end_s += max(2 * BACKGROUND_FADE_S, read_unit(clips[place].path).size / RATE_HZ) - BACKGROUND_FADE_S
            if end_s - start_s >= BACKGROUND_MAX_S:
                break
        yield Background(
            tuple(clip.path for clip in chosen),
            chosen[0].kind,
            chosen[0].recording,
            frozenset[str]().union(*(clip.uncertain for clip in chosen)),
            start_s,
            end_s,
            float(rng.uniform(*BACKGROUND_DBFS)),
        )
        start_s = end_s


def _rounds(items: Sequence[Item], group: Callable[[Item], str], rng: np.random.Generator) -> Iterator[Item]:
    """Draw endlessly: groups in turn, and within a group all items before a repeat."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[group(item)].append(item)
    waiting: dict[str, list[Item]] = {name: [] for name in groups}
    names = sorted(groups)
    while names:
        for name in [names[place] for place in rng.permutation(len(names))]:
            if not waiting[name]:
                waiting[name] = [groups[name][place] for place in rng.permutation(len(groups[name]))]
            yield waiting[name].pop()
