"""Waiting for a pipe or a connection, for a moment at a time, so that a frozen other end is noticed."""

from __future__ import annotations

import select


def wait_readable(fd: int, wait_ms: int) -> bool:
    """Whether a read would not wait; looked at for so long, where the system can."""
    if not hasattr(select, "poll"):  # Windows: an other end that is frozen goes unnoticed there
        return True
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(wait_ms))
