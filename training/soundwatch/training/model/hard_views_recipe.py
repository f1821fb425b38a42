"""Section of a recipe with the weights of hard views.

Conventions: as in `recipe.py`, whose `hard_views` section this is.
Does not: weigh or draw views; `distillation/hard_views.py` does.
"""

from __future__ import annotations

import msgspec

from soundwatch.daemon.core.errors import ConfigError


class HardViews(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights of views by the errors of an earlier network (`distillation/hard_views.py`).

    Attributes:
        weight: Weight of the hardest views, besides 1.
        score: False score from which on a view is among the hardest.
    """

    weight: float
    score: float

    def __post_init__(self) -> None:
        if not (self.weight > 0 and 0 < self.score <= 1):
            raise ConfigError(
                f"hard_views has weight {self.weight} and score {self.score}; a weight above 0 and a score above 0 and "
                "up to 1 were expected."
            )
