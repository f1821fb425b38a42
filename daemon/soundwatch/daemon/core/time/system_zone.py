"""The time zone of the system: of the environment variable TZ, or of /etc/localtime.

Conventions: the C library knows the zone. A TZ that names no zone is UTC for it, without an error; times of day would
be wrong by hours, so soundwatch refuses such a value. The C library reads /etc/localtime again only on request.
Source: POSIX, Base Definitions, 8.3, for the form of TZ without a file; PEP 495 for skipped and repeated times.
"""

from __future__ import annotations

import os
import re
import sys
import time
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.text.messages import did_you_mean

SEASONS_UNIX_S: Final = (1_768_435_200, 1_784_073_600)  # January and July of 2026

_NAME: Final = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_TIME: Final = r"[+-]?\d{1,3}(?::\d{1,2}){0,2}"
_RULE: Final = rf"(?:M\d{{1,2}}\.\d\.\d|J?\d{{1,3}})(?:/{_TIME})?"
_POSIX: Final = re.compile(rf"{_NAME}{_TIME}(?:{_NAME}(?:{_TIME})?(?:,{_RULE},{_RULE})?)?")
_WANTED: Final = "expected a name such as Europe/Berlin. Set TZ to one, or unset TZ for the zone of /etc/localtime."
_WITHOUT_FILE: Final = ("UTC", "GMT")
_MAGIC: Final = b"TZif"


class _SystemZone(tzinfo):
    """The system's time zone with its changes of clocks.

    `datetime` makes a zone of a constant offset of the system's zone, which is wrong beyond the next change.
    """

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """Return the offset from UTC; a skipped time has the offset before the change."""
        if moment is None:
            return None
        local = moment.replace(tzinfo=None, microsecond=0)
        return local.replace(fold=0, tzinfo=UTC) - datetime.fromtimestamp(round(local.timestamp()), UTC)

    def dst(self, moment: datetime | None) -> None:
        """Return None: the C library does not give the part of the offset that is daylight saving time."""

    def tzname(self, moment: datetime | None) -> str | None:
        """Return the abbreviation, such as CET."""
        return None if moment is None else moment.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, moment: datetime) -> datetime:
        """Convert a time of UTC."""
        unix_s = moment.replace(tzinfo=UTC, microsecond=0).timestamp()
        local = datetime.fromtimestamp(round(unix_s))
        return local.replace(microsecond=moment.microsecond, tzinfo=self)


SYSTEM_ZONE: Final = _SystemZone()


def follow_system_zone() -> bool:
    """Read the system's zone again; return True if another one is in force, as after `timedatectl set-timezone`."""
    if sys.platform == "win32":
        return False
    before = time.tzname, time.timezone, time.altzone
    time.tzset()
    return before != (time.tzname, time.timezone, time.altzone)


def check_system_zone(*, used: bool = True) -> None:
    """Refuse a TZ that names no time zone.

    Args:
        used: Whether times of day depend on the zone; otherwise only an offset that no clock can have is refused.

    Raises:
        ConfigError: The C library does not know the zone, or the zone is a day or more from UTC.
    """
    text = os.environ.get("TZ", "").removeprefix(":")
    if not text or sys.platform == "win32":  # Windows keeps its zone elsewhere
        return
    try:
        for unix_s in SEASONS_UNIX_S:
            datetime.fromtimestamp(unix_s).astimezone()
    except ValueError as error:
        raise ConfigError(f"TZ={text} is a day or more from UTC; {_WANTED}") from error
    if not used or text in _WITHOUT_FILE or _POSIX.fullmatch(text) or any(map(_is_zone, _files(text))):
        return
    if text in zoneinfo.available_timezones():  # of the package tzdata of Python
        raise ConfigError(
            f"TZ={text} is not among the time zones of this system. Install its package tzdata (for former names also "
            "tzdata-legacy), or write the zone to place.time_zone."
        )
    raise ConfigError(f"TZ={text} is not a time zone of this system; {zone_hint(text)}{_WANTED}")


def zone_hint(name: str) -> str:
    """Return what may be wrong with the name of a time zone, for messages; empty if nothing is known.

    Args:
        name: A name that no time zone has.
    """
    zones = zoneinfo.available_timezones()
    if not zones:
        return "no time zones are installed: install the package tzdata of the system, or with pip; "
    return did_you_mean(name, zones)


def _files(text: str) -> Iterator[Path]:
    """Yield the files that a TZ may name; an absolute path is one by itself."""
    for folder in (os.environ.get("TZDIR"), *zoneinfo.TZPATH):
        if folder:
            yield Path(folder) / text


def _is_zone(path: Path) -> bool:
    """Return True if a file holds a time zone."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (OSError, ValueError):
        return False
