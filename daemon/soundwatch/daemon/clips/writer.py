"""Write clips to files, in a thread.

Conventions: `submit` never waits. `QUEUED_CLIPS` clips wait at most; any more are reported as lost. An error of any
kind costs one clip and nothing else: the engine continues.
Rule: a clip that no guard can judge is not written. A picture that cannot be drawn or written costs no clip.
Does not: know events or ring buffers (`recorder.py`), or select files for removal (`clips/clip_store.py`).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from soundwatch.daemon.clips.clip_names import StoredClip
from soundwatch.daemon.clips.clip_store import ClipStore
from soundwatch.daemon.clips.picture import spectrogram_png
from soundwatch.daemon.clips.recorder import PendingClip
from soundwatch.daemon.clips.ring_buffer import Frames
from soundwatch.daemon.clips.speech_guard import SpeechGuard
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.text.messages import failure_text
from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.events.schema import UNNUMBERED, ClipLine, ClipRefusal
from soundwatch.daemon.journal.entry import LineAppender

QUEUED_CLIPS: Final = 4
TRIM_S: Final = 600.0
CLOSING_S: Final = 10.0


class ClipWriter:
    """The thread that writes clips.

    Args:
        store: The folder.
        guards: Models that can refuse a clip.
        node: Name of this machine.
        journal: Gets a line for each clip.
        log: The log.
        pictures: Also write the spectrogram of each clip.

    Attributes:
        lost_clips: Number of clips that were lost so far.
        pending: Ids of events whose clip is open or queued; the recorder adds, an id goes after its line.
    """

    def __init__(
        self,
        store: ClipStore,
        guards: Sequence[SpeechGuard],
        node: str,
        journal: LineAppender,
        log: Logger,
        *,
        pictures: bool = False,
    ) -> None:
        self.lost_clips = 0
        self.pending = set[str]()  # one operation at a time, so no lock is needed
        self._store = store
        self._guards = guards
        self._node = node
        self._journal = journal
        self._log = log
        self._pictures = pictures
        self._queue = queue.Queue[PendingClip | None](QUEUED_CLIPS)
        self._thread = threading.Thread(target=self._run, name="clips", daemon=True)
        self._thread.start()

    def submit(self, clip: PendingClip) -> None:
        """Queue a clip for writing."""
        self.pending.add(clip.id)
        try:
            self._queue.put_nowait(clip)
        except queue.Full:
            self._report_loss(clip, "queue", f"{QUEUED_CLIPS} clips wait to be written")
            self.pending.discard(clip.id)

    def close(self) -> None:
        """Write the clips in the queue; give up after ten seconds."""
        until_s = time.monotonic() + CLOSING_S
        try:
            self._queue.put(None, timeout=CLOSING_S)
            self._thread.join(max(0.0, until_s - time.monotonic()))
        except queue.Full:
            pass
        if self._thread.is_alive():
            self._log.warning("clips_unwritten", clips=self._queue.qsize())

    def _run(self) -> None:
        while True:
            self._trim()
            try:
                clip = self._queue.get(timeout=TRIM_S)
            except queue.Empty:
                continue
            if clip is None:
                return
            try:
                self._write(clip)
            except OSError as error:
                self._report_loss(clip, "disk", error.strerror or str(error))
            except Exception as error:  # noqa: BLE001  # any error of a clip must not end the thread
                self._report_loss(clip, "failed", failure_text(error))
            finally:
                self.pending.discard(clip.id)

    def _trim(self) -> None:
        try:
            self._store.trim()
        except Exception as error:  # noqa: BLE001  # any error of the folder must not end the thread
            self._log.warning("clips_trim_failed", error=str(error) or type(error).__name__)

    def _write(self, clip: PendingClip) -> None:
        frames = clip.excerpt.frames()
        if clip.guarded and any(guard.detects_speech(frames, clip.excerpt.rate_hz) for guard in self._guards):
            self._journal.append(self._line(clip, time.time_ns(), None, "speech"))
            return
        stored = self._store.save(clip)
        line = self._line(clip, time.time_ns(), stored, None)
        if self._pictures:
            line = msgspec.structs.replace(line, picture=self._write_picture(clip, stored, frames))
        self._journal.append(line)

    def _write_picture(self, clip: PendingClip, stored: StoredClip, frames: Frames) -> str | None:
        """Draw and write the picture of a clip; return its name, None after a failure."""
        try:
            return self._store.save_picture(stored, spectrogram_png(frames, clip.excerpt.rate_hz))
        except Exception as error:  # noqa: BLE001  # any error of a picture must not cost its clip
            self._log.warning("clip_picture_failed", source=clip.source, event_id=clip.id, error=failure_text(error))
            return None

    def _report_loss(self, clip: PendingClip, reason: ClipRefusal, error: str) -> None:
        self.lost_clips += 1
        self._log.warning(
            "clip_lost",
            source=clip.source,
            event_id=clip.id,
            reason=reason,
            error=error,
            lost_clips=self.lost_clips,
        )
        self._journal.append(self._line(clip, time.time_ns(), None, reason))

    def _line(
        self, clip: PendingClip, now_unix_ns: int, stored: StoredClip | None, reason: ClipRefusal | None
    ) -> ClipLine:
        excerpt = clip.excerpt
        return ClipLine(
            seq=UNNUMBERED,
            time=format_utc(now_unix_ns),
            node=self._node,
            source=clip.source,
            id=clip.id,
            class_=clip.label,
            file=None if stored is None else stored.path.name,
            path=None if stored is None else str(stored.path.absolute()),
            reason=reason,
            start=format_utc(clip.start_unix_ns),
            duration_s=round(excerpt.duration_s, 3),
            lost_s=round(excerpt.lost_samples / excerpt.rate_hz, 3),
            bytes=None if stored is None else stored.size_bytes,
            rate_hz=excerpt.rate_hz,
            channels=excerpt.segments[0].frames.shape[1],
        )
