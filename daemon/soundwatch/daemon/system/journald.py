"""The system's journal, where standard error leads there: a level for each entry, and its fields as fields.

Conventions: an entry goes to the journal's own socket, with its fields as SOUNDWATCH_SOURCE and so on; where that
cannot be reached it is printed, and `<4>` before a line tells the journal its level, which it takes off again.
Source: systemd's "Native Journal Protocol", sd-daemon(3), and systemd.exec(5) of JOURNAL_STREAM.
Does not: read the journal. `journal/journal.py` is the one of events, which has nothing to do with it.
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
    """Whether what is written to standard error comes to the journal."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        state = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # there is none
        return False
    return (device, inode) == (str(state.st_dev), str(state.st_ino))


def priority_prefix(level: str) -> str:
    """What tells the journal the level of a line on standard error; nothing where it does not lead there."""
    return f"<{PRIORITIES[level]}>" if stderr_is_journal() else ""


def encode_entry(level: str, event: str, fields: Mapping[str, Any]) -> bytes:
    """An entry as the journal's socket takes it."""
    shown = " ".join([event, *(f"{key}={fields[key]!r}" for key in sorted(fields))])
    entry = {"MESSAGE": shown, "PRIORITY": str(PRIORITIES[level]), "SYSLOG_IDENTIFIER": "soundwatch"}
    entry |= {f"SOUNDWATCH_{re.sub('[^A-Z0-9_]', '_', key.upper())}": str(value) for key, value in fields.items()}
    return b"".join(_field(name, value.encode()) for name, value in entry.items())


def send(level: str, event: str, fields: Mapping[str, Any]) -> bool:
    """Hand an entry to the journal.

    Returns:
        Whether it was taken.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mouth:
            mouth.setblocking(False)
            mouth.sendto(encode_entry(level, event, fields), str(SOCKET))
    except OSError:  # not there, full, or the entry too long for one datagram
        return False
    return True


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"
