"""The error of a recording, with the kind of its fault."""

from __future__ import annotations

from typing import Literal

from soundwatch.daemon.core.errors import SourceError

FaultKind = Literal["unreadable", "empty", "shorter than declared", "not finite", "beyond full scale"]


class RecordingError(SourceError):
    """A recording cannot be read to its end.

    Args:
        message: What was found, what was expected and what to do.
        kind: Kind of the fault.
    """

    def __init__(self, message: str, kind: FaultKind) -> None:
        super().__init__(message)
        self.kind = kind


def fault_kind(error: SourceError) -> FaultKind:
    """Return the kind of a fault."""
    return error.kind if isinstance(error, RecordingError) else "unreadable"
