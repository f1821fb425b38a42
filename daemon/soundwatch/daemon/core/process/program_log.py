"""The program's log, for long work at places that no logger reaches.

Conventions: the program sets the log; without one, as in worker processes, there is none. Other code takes its logger
as an argument.
Does not: open or format the log (`system/log_output.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from soundwatch.daemon.core.process.logger import Logger


class _Program:
    """State of this process."""

    log: Logger | None = None


def program_log() -> Logger | None:
    """Return the log of this program; None without one."""
    return _Program.log


@contextlib.contextmanager
def use_program_log(log: Logger) -> Iterator[None]:
    """Set the log of this program within the context; restore the former one afterwards."""
    before, _Program.log = _Program.log, log
    try:
        yield
    finally:
        _Program.log = before
