"""Section of a recipe with the settings of street mixes.

Conventions: as in `recipe.py`, whose `street` section this is.
Does not: plan or render mixes; `distillation/` does.
"""

from __future__ import annotations

import msgspec

from soundwatch.training.model.ranges import AT_LEAST_0, AT_LEAST_1, RISING, SEED, SHARE, refuse_outside


class StreetMixes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Street mixes for distillation, besides the views: sounds over real streets and over each other.

    Attributes:
        target_mixes: Number of mixes of every clip of a class.
        rare_factor: Maximum factor on that number for a class with few clips in its fold.
        negative_mixes: Total number of mixes of negatives, balanced by kind and recording.
        background_mixes: Number of segments of ambience alone.
        synthetic_mixes: Number of synthetic sounds: noise, hum, silence and dry knocks.
        snr_db: Minimum and maximum ratio of a sound to its background.
        background_probability: Probability of a real background; otherwise the background is noise.
        second_probability: Probability of a second sound, a target of the same fold or a negative.
        group_weight: Weight of the loss of the auxiliary outputs for groups of everyday sounds; 0 omits them.
        seed: Random seed of the mixes; runs that differ only in the recipe's seed share the mixes.
    """

    target_mixes: int
    rare_factor: float
    negative_mixes: int
    background_mixes: int
    synthetic_mixes: int
    snr_db: tuple[float, float]
    background_probability: float
    second_probability: float
    group_weight: float
    seed: int

    def __post_init__(self) -> None:
        refuse_outside(self, "street", target_mixes=AT_LEAST_0, rare_factor=AT_LEAST_1, negative_mixes=AT_LEAST_0)
        refuse_outside(self, "street", background_mixes=AT_LEAST_0, synthetic_mixes=AT_LEAST_0, snr_db=RISING)
        refuse_outside(self, "street", background_probability=SHARE, second_probability=SHARE)
        refuse_outside(self, "street", group_weight=AT_LEAST_0, seed=SEED)
