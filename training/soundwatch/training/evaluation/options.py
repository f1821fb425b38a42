"""Options of the evaluation scenarios."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

Trial = Literal["street", "open-set", "robustness"]


class TrialOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says of a trial; None for what it does not.

    Attributes:
        trial: Which; None for plain accuracy.
        snr_db: Ratios of the street's scenes.
        minutes: Length of a scene, or of the ambience in all.
        negatives: Folders of sounds that are none of the classes.
        unseen: True where training has used none of them.
        sounds: Folder of everyday sounds and streets; None for ambience made of noise and negatives.
        limit: How many recordings or clips to take, at random.
        seed: Of every draw.
    """

    trial: Trial | None
    snr_db: tuple[float, ...] | None
    minutes: float | None
    negatives: tuple[Path, ...]
    unseen: bool
    sounds: Path | None
    limit: int | None
    seed: int | None
