"""Keeps the last minute of each source, so that a page that opens shows the past minute at once.

Conventions: windows have consecutive numbers. `observe` runs in the engine's thread, once for each window; the lock is
held only to append a window or to copy the list. A source has at most `KEPT_WINDOWS` windows and `KEPT_NS` of them;
spectrogram columns are kept as bytes, about 100 kB a source.
Does not: keep the features of a window, or sound.
"""

from __future__ import annotations

import base64
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.web.live.spectrogram import ColumnsLine, columns_line

KEPT_NS: Final = 60_000_000_000
KEPT_WINDOWS: Final = 600


@dataclass(frozen=True, slots=True)
class RecentWindow:
    """One window of the last minute.

    Attributes:
        number: Consecutive number over all sources.
        result: Result of the window, without its features.
        columns: New columns of the spectrogram; None if the window has no features.
    """

    number: int
    result: WindowResult
    columns: ColumnsLine | None


class RecentWindows:
    """The windows of the last minute of each source, and the subscriber to new ones.

    Args:
        spec: Returns the front end of the model in use.
    """

    def __init__(self, spec: Callable[[], FeatureSpec]) -> None:
        self._spec = spec
        self._lock = threading.Lock()
        self._kept: dict[str, deque[RecentWindow]] = {}
        self._end_samples: dict[str, int] = {}
        self._number = 0
        self.subscriber: Callable[[RecentWindow], None] | None = None

    def observe(self, result: WindowResult) -> None:
        """Keep a window, and hand it to the subscriber."""
        features, source = result.features, result.source
        columns = None
        if features is not None:
            columns = columns_line(result, self._spec(), self._end_samples.get(source))
            self._end_samples[source] = features.end_sample
        with self._lock:
            self._number += 1
            window = RecentWindow(self._number, replace(result, features=None), columns)
            self._kept.setdefault(source, deque(maxlen=KEPT_WINDOWS)).append(window)
            self._delete_old(result.end_unix_ns)
        if (subscriber := self.subscriber) is not None:
            subscriber(window)

    def kept(self) -> tuple[int, list[RecentWindow]]:
        """Return the number of the last window, and the windows of the last minute by source, oldest first."""
        with self._lock:
            return self._number, [window for windows in self._kept.values() for window in windows]

    def _delete_old(self, now_unix_ns: int) -> None:
        for source, windows in list(self._kept.items()):
            while windows and windows[0].result.end_unix_ns < now_unix_ns - KEPT_NS:
                windows.popleft()
            if not windows:
                del self._kept[source]
                self._end_samples.pop(source, None)


def joined_columns(windows: Iterable[RecentWindow]) -> list[ColumnsLine]:
    """Join the columns of consecutive windows of a source; a gap, and a change of the front end, begin a new line."""
    found: list[list[RecentWindow]] = []
    for window in windows:
        if window.columns is None:
            continue
        if found and _continues(found[-1], window):
            found[-1].append(window)
        else:
            found.append([window])
    return [_join([window.columns for window in run if window.columns is not None]) for run in found]


def _continues(run: list[RecentWindow], window: RecentWindow) -> bool:
    """Return True if the columns of a window follow those of a run without a gap of a column."""
    first, columns = run[0].columns, window.columns
    assert first is not None
    assert columns is not None
    if (first.source, first.bands, first.column_s) != (columns.source, columns.bands, columns.column_s):
        return False
    added = sum(other.columns.columns for other in run[1:] if other.columns is not None) + columns.columns
    passed_s = (window.result.end_unix_ns - run[0].result.end_unix_ns) / 1e9
    return abs(passed_s - added * columns.column_s) <= columns.column_s


def _join(lines: list[ColumnsLine]) -> ColumnsLine:
    data = b"".join(base64.b64decode(line.data) for line in lines)
    columns = sum(line.columns for line in lines)
    return msgspec.structs.replace(lines[-1], columns=columns, data=base64.b64encode(data).decode())
