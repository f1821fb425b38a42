"""Sounds for street mixes: clips of the classes, everyday sounds for training, and other negatives.

Conventions: everyday sounds of other roles than `train` are excluded, and so are negatives in a folder with the name
of a held-out kind: training and test data must be disjoint.
Does not: mix them (`street_mixes.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from soundwatch.training.data.datasets.everyday_sounds import (
    EverydayClip,
    describe_sources,
    held_out_kinds,
    read_everyday_sounds,
)
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.distillation.street_mixes import StreetSound


@dataclass(frozen=True, slots=True)
class EverydaySounds:
    """Everyday sounds for training.

    Attributes:
        sounds: Clips.
        sources: Sources of the clips, with license and number.
    """

    sounds: tuple[StreetSound, ...] = ()
    sources: tuple[str, ...] = ()


NO_EVERYDAY_SOUNDS: Final = EverydaySounds()


def read_street_sounds(folder: Path, labels: Sequence[str]) -> EverydaySounds:
    """Read the everyday sounds of a folder that are for training.

    Raises:
        DataError: The metadata of the folder cannot be read.
    """
    clips = [clip for clip in read_everyday_sounds(folder) if clip.role == "train"]
    return EverydaySounds(tuple(_street_sound(clip, labels) for clip in clips), describe_sources(clips))


def class_sounds(clips: Iterable[Clip], labels: Sequence[str]) -> tuple[StreetSound, ...]:
    """Convert labeled clips, with the class as kind."""
    return tuple(StreetSound(clip, labels[clip.class_id]) for clip in clips if clip.class_id is not None)


def negative_sounds(clips: Iterable[Clip]) -> tuple[StreetSound, ...]:
    """Convert negatives, with the name of the folder as kind."""
    return tuple(StreetSound(clip, kind_of(clip)) for clip in clips)


def without_held_out_kinds(clips: Iterable[Clip]) -> tuple[Clip, ...]:
    """Exclude negatives in a folder with the name of a held-out kind."""
    held_out = held_out_kinds()
    return tuple(clip for clip in clips if kind_of(clip) not in held_out)


def kind_of(clip: Clip) -> str:
    """Convert a negative's folder to snake case: `PouringLiquid` to `pouring_liquid`, `Clock_tick` to `clock_tick`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", clip.path.parent.name).lower()


def _street_sound(clip: EverydayClip, labels: Sequence[str]) -> StreetSound:
    class_id = labels.index(clip.label) if clip.label in labels else None
    return StreetSound(
        Clip(clip.path, 0, class_id, clip.recording),
        clip.kind,
        frozenset(labels.index(label) for label in clip.uncertain if label in labels),
        clip.is_background,
    )
