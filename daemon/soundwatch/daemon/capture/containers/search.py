"""Progress of a search through a whole file, which takes minutes in a file of many gigabytes.

Conventions: places only grow. An entry a minute goes to the program's log, if there is one.
Does not: search (`flac.py`, `mpeg.py`, `ogg.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import BinaryIO, Final

from soundwatch.daemon.core.program_log import program_log
from soundwatch.daemon.core.stop_request import raise_if_stop_requested

ENTRY_EVERY_S: Final = 60.0


class SearchProgress:
    """A search that a signal stops, and that is logged once a minute.

    Args:
        file: The file.
        start: Place at which the search starts, in bytes or samples.
        end: Place at which the search ends.
        now_s: Monotonic clock.
    """

    def __init__(self, file: BinaryIO, start: int, end: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._file, self._start, self._end, self._now_s = file, start, end, now_s
        self._began_s = self._logged_s = now_s()

    def reach(self, place: int) -> None:
        """Note that the search has come to a place.

        Raises:
            StoppedError: A signal requested the stop.
        """
        raise_if_stop_requested()
        now_s = self._now_s()
        if now_s - self._logged_s < ENTRY_EVERY_S:
            return
        self._logged_s = now_s
        log = program_log()
        if log is not None:
            done_share = (place - self._start) / max(1, self._end - self._start)
            left_s = round((now_s - self._began_s) * (1 / done_share - 1)) if done_share > 0 else None
            name = str(getattr(self._file, "name", ""))
            log.info("file_search_progress", file=name, done_share=round(done_share, 4), left_s=left_s)
