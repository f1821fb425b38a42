"""Lines of the comparison with a shadow model; a part of `events/schema.py`, whose conventions hold.

Does not: make lines (`shadow/runner.py`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

ShadowReason = Literal["interval", "ended", "changed", "failed"]


class DifferLine(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """One model begins to detect a class and the other does not."""

    schema: Literal["soundwatch.event/1"] = "soundwatch.event/1"
    type: Literal["differ"] = "differ"
    seq: int
    time: str
    node: str
    source: str
    class_: str
    score: float
    threshold: float | None
    shadow_score: float
    shadow_threshold: float | None
    model: str
    shadow: str


class ShadowLine(msgspec.Struct, frozen=True, kw_only=True):
    """Comparison of two models on one source since the last line of this type."""

    schema: Literal["soundwatch.event/1"] = "soundwatch.event/1"
    type: Literal["shadow"] = "shadow"
    seq: int
    time: str
    node: str
    source: str
    start: str
    model: str
    shadow: str
    windows: int
    dropped_windows: int
    untold: int
    mean_difference: float | None
    both: dict[str, int]
    only_model: dict[str, int]
    only_shadow: dict[str, int]
    reason: ShadowReason
