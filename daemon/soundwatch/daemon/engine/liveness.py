"""Liveness of the sources and the model, checked by the engine's main thread.

Conventions: nanoseconds of the engine's clock. The check runs on each turn of the engine's loop, so a main thread that
hangs runs none. A source that is away or has backpressure is not stalled; a model that has had a batch for long is.
Does not: notify the service manager (`app/watchdog.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from soundwatch.daemon.engine.source_state import EngineSource

FIRST_SOUND_NS: Final = 30_000_000_000  # a camera may take 15 s to start, and is then `waiting`
SHOWN: Final = 5
AWAY: Final = ("waiting", "lost")


@dataclass(slots=True)
class EngineProgress:
    """Progress of the engine.

    Attributes:
        began_ns: Time of the engine's construction.
        sources: All sources.
        batch_since_ns: Start of the current batch's inference; None without one.
    """

    began_ns: int
    sources: list[EngineSource] = field(default_factory=list)
    batch_since_ns: int | None = None


TickHandler = Callable[[EngineProgress, int], None]


def stalled_stage(progress: EngineProgress, now_ns: int, patience_ns: int) -> str | None:
    """Return the stage that has made no progress for longer than `patience_ns`, or None."""
    if progress.batch_since_ns is not None and now_ns - progress.batch_since_ns > patience_ns:
        return "the model"
    for source in progress.sources:
        if source.has_backpressure or source.state not in ("opening", "heard"):
            continue
        if source.state == "opening":
            late = now_ns - progress.began_ns > max(patience_ns, FIRST_SOUND_NS)
        else:
            late = now_ns - source.last_sound_ns > patience_ns
        if late:
            return f"the capture of {source.name}"
    return None


def is_ready(progress: EngineProgress) -> bool:
    """Return True once a window was classified, or every source is away."""
    sources = progress.sources
    return any(source.detection_state.windows for source in sources) or (
        bool(sources) and all(_is_away(source) for source in sources)
    )


def status_text(progress: EngineProgress) -> str:
    """Return the active sounds and the absent sources in one line of text."""
    running = [source for source in progress.sources if source.state == "heard" and not source.paused]
    sounds = [
        f"{label} on {source.name}"
        for source in running
        if source.encoder is not None
        for label, class_state in zip(source.encoder.contract.labels, source.detection_state.decided, strict=True)
        if class_state.active
    ]
    away = [source.name for source in progress.sources if _is_away(source)]
    parts = [f"{len(running)} of {len(progress.sources)} sources running"]
    if sounds:
        parts.append(_some(sounds))
    if away:
        parts.append("waiting for " + _some(away))
    return "; ".join(parts)


def _is_away(source: EngineSource) -> bool:
    return source.paused or source.state in AWAY


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
