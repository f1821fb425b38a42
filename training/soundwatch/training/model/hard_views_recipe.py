"""Section of a recipe with the weights of hard views.

Conventions: as in `recipe.py`, whose `hard_views` section this is.
Does not: weigh or draw views; `distillation/hard_views.py` does.
"""

from __future__ import annotations

import msgspec

from soundwatch.training.model.ranges import ABOVE_0, SCORE, refuse_outside


class HardViews(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights of views by the errors of an earlier network (`distillation/hard_views.py`).

    Attributes:
        weight: Weight of the hardest views, besides 1.
        score: False score from which on a view is among the hardest.
    """

    weight: float
    score: float

    def __post_init__(self) -> None:
        refuse_outside(self, "hard_views", weight=ABOVE_0, score=SCORE)
