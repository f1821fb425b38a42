"""Log entries for systemd-journald, if standard error is connected to it.

Conventions: an entry goes to journald's socket with its level, and with its fields as SOUNDWATCH_SOURCE and so on. If
the socket cannot be reached, the entry is printed with a prefix such as `<4>`, which journald reads as the level.
Source: systemd's "Native Journal Protocol", sd-daemon(3), and JOURNAL_STREAM in systemd.exec(5).
Does not: read journald's entries, or use the journal of events (`journal/journal.py`).
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

SOCKET: Final = Path("/run/systemd/journal/socket")
PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3}


def stderr_is_journal() -> bool:
    """Return True if standard error is connected to journald."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        state = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # there is no standard error
        return False
    return (device, inode) == (str(state.st_dev), str(state.st_ino))


def priority_prefix(level: str) -> str:
    """Return the prefix that gives journald the level of a line; empty if standard error is not connected to it."""
    return f"<{PRIORITIES[level]}>" if stderr_is_journal() else ""


def encode_entry(level: str, event: str, fields: Mapping[str, Any]) -> bytes:
    """Encode an entry in journald's native protocol."""
    message = " ".join([event, *(f"{key}={fields[key]!r}" for key in sorted(fields))])
    entry = {"MESSAGE": message, "PRIORITY": str(PRIORITIES[level]), "SYSLOG_IDENTIFIER": "soundwatch"}
    entry |= {f"SOUNDWATCH_{re.sub('[^A-Z0-9_]', '_', key.upper())}": str(value) for key, value in fields.items()}
    return b"".join(_field(name, value.encode()) for name, value in entry.items())


def send(level: str, event: str, fields: Mapping[str, Any]) -> bool:
    """Send an entry to journald.

    Returns:
        True if journald accepted the entry.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.sendto(encode_entry(level, event, fields), str(SOCKET))
    except OSError:  # no socket, a full socket, or an entry too long for one datagram
        return False
    return True


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"
