"""Options of the evaluation scenarios."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

Trial = Literal["street", "open-set", "robustness"]


class TrialOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Command-line options of an evaluation scenario; None if not given.

    Attributes:
        trial: Name of the scenario; None for plain accuracy.
        snr_db: Signal-to-noise ratios of the street scenes.
        minutes: Length of a scene, or total length of the ambience.
        negatives: Folders of sounds of none of the classes.
        unseen: True if training has used none of them.
        sounds: Folder of everyday sounds and streets; None for ambience of noise and negatives.
        limit: Number of random recordings or clips to use.
        seed: Random seed.
    """

    trial: Trial | None
    snr_db: tuple[float, ...] | None
    minutes: float | None
    negatives: tuple[Path, ...]
    unseen: bool
    sounds: Path | None
    limit: int | None
    seed: int | None
