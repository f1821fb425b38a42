"""Links to the clips of events, for those who get the events by MQTT.

Conventions: `page` is the URL at which readers reach the page; the link is that of the clip in its API, which asks for
the page's token. A clip is published once its file is complete, so after the event's `end`; clips that were not written
are left out.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

import msgspec

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.spec import SinkSpec


class _Clip(msgspec.Struct, rename={"class_": "class"}):
    """Fields of a `clip` line that are published."""

    id: str
    source: str
    class_: str
    file: str | None
    start: str
    duration_s: float


class _Head(msgspec.Struct):
    """Type of a line."""

    type: str


class ClipLink(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """Payload of a clip: `id` is that of its event, `start` the time of its first sample."""

    id: str
    source: str
    class_: str
    start: str
    duration_s: float
    url: str


def check_page(spec: SinkSpec, page: str | None) -> None:
    """Check the URL of the page.

    Raises:
        ConfigError: The page is not a URL without a query.
    """
    if page is None:
        return
    if not _is_page(page):
        raise ConfigError(
            f"-F {spec.text}: page={page} is not the URL of the page; http(s)://HOST[:PORT][/PATH] was expected, as "
            "readers of the messages reach it."
        )


def _is_page(page: str) -> bool:
    """Return whether a text is a URL without a user, a query and a fragment."""
    try:
        parts = urlsplit(page)
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:  # brackets without an address, a name that cannot be one, or a port that is no number
        return False
    extra = parts.query or parts.fragment or parts.username is not None
    return parts.scheme in ("http", "https") and bool(host) and port != 0 and not extra and not re.search(r"\s", page)


def clip_link(entry: JournalEntry, page: str) -> ClipLink | None:
    """Return the link to the clip of a line; None for another line, or a clip that was not written."""
    if msgspec.json.decode(entry.line, type=_Head).type != "clip":
        return None
    clip = msgspec.json.decode(entry.line, type=_Clip)
    if clip.file is None:
        return None
    url = f"{page.rstrip('/')}/api/clips/{quote(clip.id, safe='')}"
    return ClipLink(
        id=clip.id, source=clip.source, class_=clip.class_, start=clip.start, duration_s=clip.duration_s, url=url
    )
