"""A time zone where it is about noon, so that tests of the present day meet neither midnight nor a change of clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo


def noon_zone(utc_hour: int) -> str:
    """Return the name of the zone where the clock is between 12:00 and 13:00 in an hour of UTC."""
    return f"Etc/GMT{utc_hour - 12:+d}" if utc_hour != 12 else "Etc/UTC"


NOON_ZONE: Final = noon_zone(datetime.now(UTC).hour)


def noon_now() -> datetime:
    """Return the present time in the zone."""
    return datetime.now(ZoneInfo(NOON_ZONE))
