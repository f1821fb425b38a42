"""TZ as users, containers and services set it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.time.system_zone import SYSTEM_ZONE, check_system_zone, follow_system_zone

NEPAL = Path("/usr/share/zoneinfo/Asia/Kathmandu")


@pytest.fixture
def set_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | None], None]]:
    """Set or remove TZ until the end of the test."""

    def set_to(text: str | None) -> None:
        if text is None:
            monkeypatch.delenv("TZ", raising=False)
        else:
            monkeypatch.setenv("TZ", text)
        time.tzset()

    yield set_to
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "UTC",
        "Europe/Berlin",
        ":Europe/Berlin",
        "UTC0",
        "UTC-14",
        "CET-1CEST",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "<+0545>-5:45",
        "<-03>3<-02>,M3.5.0/-2,M10.5.0/-1",
        "EST5EDT4,J60/2:00:00,300",
    ],
)
def test_a_time_zone_of_the_system_is_accepted(text: str | None, set_zone: Callable[[str | None], None]) -> None:
    set_zone(text)
    check_system_zone()


@pytest.mark.skipif(not NEPAL.is_file(), reason="the system has no time zones")
def test_a_file_of_a_time_zone_is_accepted_and_another_file_is_not(
    tmp_path: Path, set_zone: Callable[[str | None], None]
) -> None:
    set_zone(str(NEPAL))
    check_system_zone()
    own = Path(shutil.copy(NEPAL, tmp_path / "zone"))
    set_zone(f":{own}")
    check_system_zone()
    own.write_text("Asia/Kathmandu\n")
    with pytest.raises(ConfigError, match="is not a time zone of this system"):
        check_system_zone()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Europe/Berlni", "^TZ=Europe/Berlni is not a time zone of this system; did you mean Europe/Berlin"),
        ("Europe", "is not a time zone of this system"),
        ("+02:00", "expected a name such as Europe/Berlin. Set TZ to one, or unset TZ"),
        ("Berlin time", "is not a time zone"),
        ("/nowhere/zone", "is not a time zone"),
        ("UTC-24", "^TZ=UTC-24 is a day or more from UTC"),
        ("UTC-99", "is a day or more from UTC"),
        ("AAA0BBB-30", "is a day or more from UTC"),
    ],
)
def test_another_value_is_refused_with_what_to_do(
    text: str, message: str, set_zone: Callable[[str | None], None]
) -> None:
    set_zone(text)
    with pytest.raises(ConfigError, match=message):
        load_config(None)


def test_an_unknown_zone_of_the_system_does_not_matter_where_the_place_has_one(
    tmp_path: Path, set_zone: Callable[[str | None], None]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("place: {time_zone: Europe/Berlin}\n")
    set_zone("Nowhere/Zone")
    assert load_config(config).place.time_zone == "Europe/Berlin"
    config.write_text("node: balcony\n")
    with pytest.raises(ConfigError, match="TZ=Nowhere/Zone"):
        load_config(config)


def test_a_zone_without_a_file_in_the_system_names_the_package_to_install(
    tmp_path: Path, set_zone: Callable[[str | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoneinfo.TZPATH", (str(tmp_path),))
    set_zone("UTC")  # needs no file
    check_system_zone()
    set_zone("Asia/Kathmandu")
    with pytest.raises(ConfigError, match=r"is not among the time zones of this system\. Install .*place\.time_zone"):
        check_system_zone()


def test_a_system_without_time_zones_is_named_as_such(
    tmp_path: Path, set_zone: Callable[[str | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("place: {time_zone: Mars/Utopia}\n")
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    set_zone("Mars/Utopia")
    with pytest.raises(ConfigError, match=r"TZ=Mars/Utopia is .*; no time zones are installed: install the package tz"):
        load_config(None)
    with pytest.raises(ConfigError, match=r"'Mars/Utopia' is .*; no time zones are installed: install the package tz"):
        load_config(config)


@pytest.mark.parametrize("name", ["Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu"])
@pytest.mark.parametrize("moment", [date(2026, 3, 29), date(2026, 4, 5), date(2026, 9, 6), date(2026, 10, 25)], ids=str)
def test_the_systems_zone_is_as_the_named_one_through_its_changes(
    name: str, moment: date, set_zone: Callable[[str | None], None]
) -> None:
    set_zone(name)
    named, midnight = ZoneInfo(name), datetime.combine(moment, clock(), UTC)
    for quarter in range(-60, 120):
        utc = midnight + timedelta(minutes=15 * quarter, microseconds=7)
        here, there = utc.astimezone(SYSTEM_ZONE), utc.astimezone(named)
        assert (here.isoformat(), here.fold, here.tzname()) == (there.isoformat(), there.fold, there.tzname())
        for fold in (0, 1):  # clock times that are skipped or repeated, too
            times = [there.replace(tzinfo=zone, fold=fold).timestamp() for zone in (SYSTEM_ZONE, named)]
            assert times[0] == times[1], there


def test_another_zone_of_the_system_is_followed(
    set_zone: Callable[[str | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_zone("Europe/Berlin")
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert not follow_system_zone()
    assert noon.astimezone(SYSTEM_ZONE).hour == 14
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert follow_system_zone()
    assert noon.astimezone(SYSTEM_ZONE).hour == 21
    assert not follow_system_zone()
