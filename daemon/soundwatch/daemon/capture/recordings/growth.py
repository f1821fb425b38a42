"""Changes of a file while it is read: a recorder writes it, a copy is not complete, a program writes it anew.

Conventions: a file is compared with its size and its time of change at the opening. Only sound without a decoder's
state (PCM, floats, A-law) is followed: its reader can go on at any sample.
Rule: the first end is not waited for, since most files are complete. Once a file has grown, its writer gets
`LONGEST_WAIT_S` for more.
Does not: notice a file that another one replaces by its name; the file that was opened is read to its end.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from typing import Final

from soundwatch.daemon.capture.recordings.containers import Part, find_parts
from soundwatch.daemon.core.process.stop_request import StoppedError

POLL_S: Final = 0.25
LONGEST_WAIT_S: Final = 5.0  # writers hold back a second or two of sound
_AGAIN: Final = "Read it again once its writer has ended."
_WITHOUT_STATE: Final = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")


class GrowthWatch:
    """The state of a file at its opening, and what it has become.

    Args:
        file: The file.
        pause: Waits some seconds, and returns False if the reader is to stop; None to follow no growth.
    """

    def __init__(self, file: io.BufferedReader, pause: Callable[[float], bool] | None) -> None:
        self._file = file
        self._pause = pause
        self._known = _state(file)
        self._grows = False

    def wait_for_more(self, parts: Sequence[Part], number: int, encoding: str) -> tuple[Part, ...]:
        """Return the parts of a file whose last part has grown; none if it has not.

        Args:
            parts: The parts so far.
            number: Index of the part that was read to its end.
            encoding: libsndfile's name of its encoding.

        Raises:
            StoppedError: The reader is to stop.
        """
        part = parts[number]
        follows = number + 1 == len(parts) and part.header and encoding.startswith(_WITHOUT_STATE)
        if self._pause is None or not follows:
            return ()
        for _ in range(round(LONGEST_WAIT_S / POLL_S) if self._grows else 1):
            state = _state(self._file)
            if state[0] > self._known[0]:
                found = find_parts(self._file, state[0])
                if len(found) > number and found[number].start == part.start and found[number].end > part.end:
                    self._known, self._grows = state, True
                    return found
            if not self._pause(POLL_S if self._grows else 0.0):
                raise StoppedError("The reader was stopped while it waited for more sound.")
        return ()

    def change(self, parts: Sequence[Part]) -> str:
        """Return what another program has done to the file meanwhile, as a sentence; empty for nothing.

        Args:
            parts: The parts that were read.
        """
        size, written_ns = _state(self._file)
        if size > self._known[0]:
            found = find_parts(self._file, size)
            if found and found[-1].end <= parts[-1].end:  # tags
                return ""
            more_bytes = size - self._known[0]
            return f"it grew by {more_bytes} bytes while it was read, and they were not read. {_AGAIN}"
        if written_ns != self._known[1] and not self._grows:
            return f"another program wrote to it while it was read, so old and new sound may be mixed. {_AGAIN}"
        return ""


def _state(file: io.BufferedReader) -> tuple[int, int]:
    """Return the size in bytes, and the time of the last write."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
