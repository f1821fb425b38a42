"""Identity of a destination, so that two spellings of one place are recognized.

Conventions: a file is identified by device and inode, whatever path or link leads to it. A file that does not exist is
identified by its resolved path. A file system that does not answer within `LIMIT_S` leaves the path as it is written.
A host is identified without looking its name up: letter case, a final dot and the spelling of an IP address do not
count, and all names of this machine's loopback are one.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from soundwatch.daemon.core.network.loopback import is_loopback, parse_ip

LIMIT_S: Final = 2.0
SCHEME_PORTS: Final = {"http": 80, "https": 443}

Place = tuple[object, ...]
Found = TypeVar("Found")


def file_place(path_text: str) -> Place:
    """Return the identity of a file, or of standard output for an empty path."""
    return _within_limit(lambda: _file_place(path_text)) or ("path", str(Path(path_text).absolute()))


def resolved_path(path_text: str) -> str:
    """Return a path without links and detours."""
    return _within_limit(lambda: _real(path_text)) or str(Path(path_text).absolute())


def host_place(host: str) -> str:
    """Return the identity of a host to connect to."""
    name = host.rstrip(".").lower()
    if is_loopback(name) or name.endswith(".localhost"):
        return "localhost"
    address = parse_ip(name)
    return name if address is None else str(address)


def url_place(url: str) -> Place:
    """Return the identity of an address that is posted to.

    Raises:
        ValueError: The text is no address.
    """
    parts = urlsplit(url)
    port = parts.port or SCHEME_PORTS.get(parts.scheme)
    return (
        parts.scheme,
        parts.username,
        parts.password,
        host_place(parts.hostname or ""),
        port,
        parts.path or "/",
        parts.query,
    )


def _within_limit(look_up: Callable[[], Found]) -> Found | None:
    """Return what a function finds within `LIMIT_S`; None for nothing: its thread is left to a hung file system."""
    found: list[Found] = []
    thread = threading.Thread(target=lambda: found.append(look_up()), name="path lookup", daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    return found[0] if found else None


def _file_place(path_text: str) -> Place:
    try:
        status = Path(path_text).stat() if path_text else os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):
        return ("path", _real(path_text))
    return ("inode", status.st_dev, status.st_ino)


def _real(path_text: str) -> str:
    """Return a path without links and detours; the absolute path where a folder on the way is closed."""
    try:
        return os.path.realpath(path_text)
    except OSError:
        return str(Path(path_text).absolute())
