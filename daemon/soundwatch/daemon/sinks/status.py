"""The status of a sink, and its one way into the log: `sink_failed`, `sink_recovered`, `sink_closed`.

Conventions: a change of state is logged once, failure as a warning and recovery as info.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Literal

from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.daemon.core.logger import Logger

SinkState = Literal["working", "failing", "gone"]


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """Status of a sink.

    Attributes:
        name: Name of the sink.
        state: working, failing, or gone: the reader has left for good.
        reason: Cause of the failure.
        since_unix_ns: Start of the state.
        delivered_seq: Number of the last line that the sink has taken.
        lost_lines: Number of lines that were dropped before the sink could take them.
    """

    name: str
    state: SinkState = "working"
    reason: str | None = None
    since_unix_ns: int = 0
    delivered_seq: int = 0
    lost_lines: int = 0


def with_state(status: SinkStatus, state: SinkState, reason: str | None, log: Logger) -> SinkStatus:
    """Return the status with another state, and log the change."""
    if status.state == state:
        return replace(status, reason=reason)
    if state == "working":
        log.info("sink_recovered", sink=status.name, lost_lines=status.lost_lines)
    else:
        log.warning("sink_failed" if state == "failing" else "sink_closed", sink=status.name, reason=reason)
    return replace(status, state=state, reason=reason, since_unix_ns=time.time_ns())


def failure_text(error: Exception) -> str:
    """Return the cause of a failure as one sentence."""
    if isinstance(error, SoundwatchError):
        return str(error)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
