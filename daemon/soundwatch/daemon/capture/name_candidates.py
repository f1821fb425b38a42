"""Names for events of a device that the configuration does not name, from short to unique.

Conventions: a name holds no secret, and no separator of paths and queries, since names are parts of addresses of the
API.
Does not: choose among the names (`capture/source_names.py`).
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from soundwatch.daemon.core.files.paths import is_there, literal_path
from soundwatch.daemon.core.network.redact import redact_url


def host_names(url: str) -> tuple[str, ...]:
    """Return the host, the host with its port, and the whole address without its secrets."""
    parts = urlsplit(redact_url(url))
    host = parts.hostname or "network"
    place = f"{host}:{parts.port}" if parts.port else host
    return (host, place, _joined(f"{place}{parts.path}"), _joined(f"{place}{parts.path}?{parts.query}"))


def device_names(device: str) -> tuple[str, ...]:
    """Return the names of an existing path; other devices name themselves."""
    path = literal_path(device)
    return path_names(path) if is_there(path) else ({"-": "stdin"}.get(device, device),)


def path_names(path: Path) -> tuple[str, ...]:
    """Return the stem of a path, its file name, its stem with more and more of its folders, and all of the path."""
    folders = path.resolve().parent.parts[1:]
    stems = ("-".join((*folders[len(folders) - count :], path.stem)) for count in range(1, len(folders) + 1))
    return (*map(_joined, (path.stem, path.name, *stems)), _joined(str(path.resolve())))


def _joined(text: str) -> str:
    """Replace separators."""
    return re.sub(r"[/?&=#*]+", "-", text).strip("-")
