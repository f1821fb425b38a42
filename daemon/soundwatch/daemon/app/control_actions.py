"""Effects of the control of sources: what schedules and commands may do.

Does not: decide when (`app/control.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from soundwatch.daemon.detection.effective import ThresholdAdjustment
from soundwatch.daemon.events.schema import Line


class ExplainedSwitch(Protocol):
    """Pauses and resumes sources."""

    def __call__(self, source: str, *, listen: bool, why: str) -> object:
        """Pause a source or resume it, with the reason as a sentence."""


@dataclass(frozen=True, slots=True)
class ControlActions:
    """Effects of a control.

    Attributes:
        set_listening: Pauses or resumes a source.
        adjust: Changes thresholds of sources.
        append: Appends a line to the journal.
        node: Name of this machine.
    """

    set_listening: ExplainedSwitch
    adjust: Callable[[Mapping[str, tuple[ThresholdAdjustment, ...]]], object]
    append: Callable[[Line], object]
    node: str
