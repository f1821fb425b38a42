"""Section of a recipe with the settings of street mixes.

Conventions: as in `recipe.py`, whose `street` section this is.
Does not: plan or render mixes; `distillation/` does.
"""

from __future__ import annotations

import msgspec

from soundwatch.daemon.core.errors import ConfigError


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
        for name in ("target_mixes", "negative_mixes", "background_mixes", "synthetic_mixes", "group_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"street.{name} is {getattr(self, name)}; it must be 0 or more.")
        for name in ("background_probability", "second_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"street.{name} is {getattr(self, name)}; it must lie in 0 to 1.")
        if self.rare_factor < 1:
            raise ConfigError(f"street.rare_factor is {self.rare_factor}; it must be 1 or more.")
        if self.snr_db[0] > self.snr_db[1]:
            raise ConfigError(f"street.snr_db is {self.snr_db}; the lowest ratio must come first.")
