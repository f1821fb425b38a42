"""Writes clips: a thread of its own asks the guard, makes the file, and tells of it once it is there.

Conventions: `take` never waits; `QUEUED_CLIPS` wait, and any more are told of as lost. Whatever fails costs that clip
and nothing else: listening goes on.
Rule: what the guard cannot judge is not written.
Does not: know events or tapes (`recorder.py`), or choose what goes (`clips/clip_store.py`).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from soundwatch.daemon.clips.clip_store import ClipStore, StoredClip
from soundwatch.daemon.clips.recorder import PendingClip
from soundwatch.daemon.clips.speech_guard import SpeechGuard
from soundwatch.daemon.core.clock import format_utc
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.events.schema import UNNUMBERED, ClipLine, ClipRefusal, LineAppender

QUEUED_CLIPS: Final = 4
TRIM_S: Final = 600.0
CLOSING_S: Final = 10.0


class ClipWriter:
    """What makes files of clips.

    Args:
        shelf: Where they go.
        guards: Each of which can refuse one.
        node: Name of this machine.
        journal: Where it is told.
        log: The log.
    """

    def __init__(
        self,
        shelf: ClipStore,
        guards: Sequence[SpeechGuard],
        node: str,
        journal: LineAppender,
        log: Logger,
    ) -> None:
        self.lost_clips = 0
        self._shelf = shelf
        self._guards = guards
        self._node = node
        self._journal = journal
        self._log = log
        self._waiting = queue.Queue[PendingClip | None](QUEUED_CLIPS)
        self._thread = threading.Thread(target=self._run, name="clips", daemon=True)
        self._thread.start()

    def take(self, clip: PendingClip) -> None:
        """Write a clip soon."""
        try:
            self._waiting.put_nowait(clip)
        except queue.Full:
            self._lose(clip, "queue", f"{QUEUED_CLIPS} clips wait to be written")

    def close(self) -> None:
        """Write what waits, ten seconds at most."""
        until_s = time.monotonic() + CLOSING_S
        try:
            self._waiting.put(None, timeout=CLOSING_S)
            self._thread.join(max(0.0, until_s - time.monotonic()))
        except queue.Full:
            pass
        if self._thread.is_alive():
            self._log.warning("clips were not written before the end", clips=self._waiting.qsize())

    def _run(self) -> None:
        while True:
            self._trim()
            try:
                clip = self._waiting.get(timeout=TRIM_S)
            except queue.Empty:
                continue
            if clip is None:
                return
            try:
                self._write(clip)
            except OSError as error:
                self._lose(clip, "disk", error.strerror or str(error))
            except Exception as error:  # noqa: BLE001  # a clip may fail, in whatever way; the daemon may not
                self._lose(clip, "failed", str(error) or type(error).__name__)

    def _trim(self) -> None:
        try:
            self._shelf.trim(datetime.now(UTC))
        except OSError as error:
            self._log.warning("old clips cannot be looked through", error=error.strerror)

    def _write(self, clip: PendingClip) -> None:
        frames = clip.cut.frames()
        if any(guard.hears_speech(frames, clip.cut.rate_hz) for guard in self._guards):
            self._journal.append(self._line(clip, time.time_ns(), None, "speech"))
            return
        kept = self._shelf.put(clip)
        self._journal.append(self._line(clip, time.time_ns(), kept, None))

    def _lose(self, clip: PendingClip, reason: ClipRefusal, why: str) -> None:
        self.lost_clips += 1
        self._log.warning(
            "a clip was not written", source=clip.source, event=clip.id, error=why, lost_clips=self.lost_clips
        )
        self._journal.append(self._line(clip, time.time_ns(), None, reason))

    def _line(
        self, clip: PendingClip, now_unix_ns: int, kept: StoredClip | None, reason: ClipRefusal | None
    ) -> ClipLine:
        cut = clip.cut
        return ClipLine(
            seq=UNNUMBERED,
            time=format_utc(now_unix_ns),
            node=self._node,
            source=clip.source,
            id=clip.id,
            class_=clip.label,
            file=None if kept is None else kept.path.name,
            path=None if kept is None else str(kept.path.absolute()),
            reason=reason,
            start=format_utc(clip.start_unix_ns),
            duration_s=round(cut.duration_s, 3),
            lost_s=round(cut.lost_samples / cut.rate_hz, 3),
            bytes=None if kept is None else kept.size_bytes,
            rate_hz=cut.rate_hz,
            channels=cut.pieces[0].frames.shape[1],
        )
