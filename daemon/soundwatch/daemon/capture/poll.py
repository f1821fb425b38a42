"""Wait for data on a file descriptor, with a time limit, so that a frozen writer is noticed."""

from __future__ import annotations

import select


def wait_readable(fd: int, wait_ms: int) -> bool:
    """Wait up to `wait_ms` for data, and return True if a read would not block."""
    if not hasattr(select, "poll"):  # Windows: a frozen writer goes unnoticed
        return True
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(wait_ms))
