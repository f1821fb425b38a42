"""Whether all sources and the network go on, as the engine's main thread sees it.

Conventions: nanoseconds of the engine's clock. Who watches over the program asks at each turn of the engine's loop, so
a main thread that hangs is one that does not ask. A source that is waited for is no frozen one, nor is one that waits
for us or for its writer; a network that has had a batch for long is.
Does not: tell anybody (`app/watchdog.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from soundwatch.daemon.engine.source_state import EngineSource

FIRST_SOUND_NS: Final = 30_000_000_000  # a camera may take 15 s to begin, and is then said to be waited for
SHOWN: Final = 5


@dataclass(slots=True)
class EngineProgress:
    """Where the engine stands.

    Attributes:
        began_ns: When it was made.
        voices: All sources.
        batch_since_ns: Since when the network has had what it has now; None while it has nothing.
    """

    began_ns: int
    voices: list[EngineSource] = field(default_factory=list)
    batch_since_ns: int | None = None


TickHandler = Callable[[EngineProgress, int], None]


def stalled_stage(progress: EngineProgress, now_ns: int, patience_ns: int) -> str | None:
    """The stage that has not gone on for longer than `patience_ns`, or None."""
    if progress.batch_since_ns is not None and now_ns - progress.batch_since_ns > patience_ns:
        return "the network"
    for voice in progress.voices:
        if voice.waits or voice.state in ("away", "over"):
            continue
        if voice.state == "opening":
            late = now_ns - progress.began_ns > max(patience_ns, FIRST_SOUND_NS)
        else:
            late = now_ns - voice.last_sound_ns > patience_ns
        if late:
            return f"the capture of {voice.listening.source.info.name}"
    return None


def is_ready(progress: EngineProgress) -> bool:
    """Whether a window has been classified, or there can be none because every microphone is waited for."""
    voices = progress.voices
    return any(voice.detection_state.windows for voice in voices) or (
        bool(voices) and all(voice.state == "away" for voice in voices)
    )


def status_text(progress: EngineProgress) -> str:
    """What is heard just now, in a line for people; a source's labels are those of the model that heard it."""
    heard = [voice for voice in progress.voices if voice.state == "heard"]
    sounds = [
        f"{label} on {voice.listening.source.info.name}"
        for voice in heard
        if voice.stream is not None
        for label, hearing in zip(voice.stream.contract.labels, voice.detection_state.decided, strict=True)
        if hearing.active
    ]
    away = [voice.listening.source.info.name for voice in progress.voices if voice.state == "away"]
    parts = [f"{len(heard)} of {len(progress.voices)} sources heard"]
    if sounds:
        parts.append(_some(sounds))
    if away:
        parts.append("waiting for " + _some(away))
    return "; ".join(parts)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
