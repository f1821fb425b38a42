"""Place of the machine and windows of time: keys of the configuration that schedules and rules share.

Conventions: latitude is degrees north, longitude degrees east. `schedule/windows.py` evaluates windows.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.languages.language import Language
from soundwatch.daemon.core.time.system_zone import SYSTEM_ZONE, zone_hint

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES: Final = 24 * 60
LARGEST_OFFSET_MINUTES: Final = 6 * 60
CLOCK: Final = re.compile(r"(?P<hours>[0-9]{1,2}):(?P<minutes>[0-5][0-9])")
SUN: Final = re.compile(rf"(?P<event>sunrise|sunset)(?:(?P<sign>[+-]){CLOCK.pattern})?")
WANTED: Final = (
    'a time of day such as "22:00", or the sun with an offset of at most six hours: "sunset", "sunset-00:30", '
    '"sunrise+01:00"'
)


class PlaceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Place of the machine, for times of day and of the sun.

    Attributes:
        latitude: Degrees north of the equator; null if no window names the sun.
        longitude: Degrees east of Greenwich.
        time_zone: Name in the IANA database, such as `Europe/Berlin`; null for the system's time zone.
        language: Language of messages of alert rules, and of names of entities in Home Assistant.
    """

    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None
    time_zone: str | None = None
    language: Language = "en"

    @property
    def zone(self) -> datetime.tzinfo:
        """The time zone."""
        return SYSTEM_ZONE if self.time_zone is None else load_time_zone(self.time_zone)

    def __post_init__(self) -> None:
        """Refuse an unknown time zone, and one coordinate without the other."""
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("One coordinate is missing: latitude and longitude are given together")
        if self.time_zone is not None:
            load_time_zone(self.time_zone)


@lru_cache(maxsize=64)
def load_time_zone(name: str) -> zoneinfo.ZoneInfo:
    """Load a time zone.

    Raises:
        ValueError: The IANA database has no such zone.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is not a time zone; {zone_hint(name)}expected a name such as Europe/Berlin, or null for the "
            "system's"
        ) from error


@dataclass(frozen=True, slots=True)
class TimeBound:
    """One end of a window.

    Attributes:
        event: `midnight`, `sunrise` or `sunset`: the event that the offset counts from.
        offset_minutes: Minutes after the event; the minute of the day for `midnight`.
    """

    event: Literal["midnight", "sunrise", "sunset"]
    offset_minutes: int

    @property
    def nominal_minutes(self) -> int:
        """Minute of the day for the order of two bounds, with sunrise at 06:00 and sunset at 18:00."""
        return self.offset_minutes + {"midnight": 0, "sunrise": 6 * 60, "sunset": 18 * 60}[self.event]


class TimeWindow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Window of time that recurs every day, or on some days of the week.

    Attributes:
        from_: Begin, `from` in the file.
        to: End, the first moment outside. An end that is not after the begin is on the next day.
        days: Days on which windows begin; none for every day. A window over midnight belongs to the day it began.
    """

    from_: str = msgspec.field(name="from", default="00:00")
    to: str = "24:00"
    days: tuple[Day, ...] = ()

    def __post_init__(self) -> None:
        """Refuse bounds that are no times."""
        parse_bound(self.from_)
        parse_bound(self.to)

    @property
    def needs_sun(self) -> bool:
        """Return True if a bound is a time of the sun."""
        return "sun" in self.from_ + self.to

    @property
    def ends_next_day(self) -> bool:
        """Return True if the window ends on the day after its begin."""
        return parse_bound(self.to).nominal_minutes <= parse_bound(self.from_).nominal_minutes


@lru_cache(maxsize=256)
def parse_bound(text: str) -> TimeBound:
    """Parse one end of a window, such as `22:00` or `sunset-00:30`.

    Raises:
        ValueError: The text is no such time; the message says what was expected.
    """
    match = CLOCK.fullmatch(text) or SUN.fullmatch(text)
    parts: dict[str, str | None] = match.groupdict() if match else {}
    minutes = int(parts.get("hours") or 0) * 60 + int(parts.get("minutes") or 0)
    event = parts.get("event")
    if match is None or minutes > (DAY_MINUTES if event is None else LARGEST_OFFSET_MINUTES):
        raise ValueError(f"{text!r} is not a time; expected {WANTED}")
    if event is None:
        return TimeBound("midnight", minutes)
    return TimeBound("sunset" if event == "sunset" else "sunrise", -minutes if parts["sign"] == "-" else minutes)


def check_place(windows: Iterable[TimeWindow], place: PlaceConfig, where: str) -> None:
    """Refuse windows of the sun without coordinates.

    Args:
        windows: Windows of one setting.
        place: Place of the configuration.
        where: Key of the windows, for the message.

    Raises:
        ConfigError: A window names the sun, and the place has no coordinates.
    """
    for number, window in enumerate(windows):
        if window.needs_sun and place.latitude is None:
            raise ConfigError(
                f"{where}[{number}]: {window.from_} to {window.to} depends on the sun, and `place` has no coordinates. "
                "Set place.latitude and place.longitude."
            )
