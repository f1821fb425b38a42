"""A change by the API records no other sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundwatch.daemon.app.config_guard import check_guarded
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.file import parse_config
from soundwatch.daemon.config.yaml_edit import edit_yaml
from soundwatch.daemon.core.errors import ConfigError

TEXT = """\
place: {time_zone: Europe/Berlin}
sources: {street: {device: demo}, yard: {device: demo}}
schedules:
  work: {when: [{from: "08:00", to: "18:00"}], sources: [street], then: {pause: locked}}
"""


def changed(text: str, key: str, value: object) -> tuple[Config, Config]:
    """Return the configurations before and after a change."""
    after = edit_yaml(text, {tuple(key.split("__")): value}, ())
    return parse_config(text.encode(), Path("config.yaml")), parse_config(after.encode(), Path("config.yaml"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sources__balcony__gain_db", 1.0, "The source balcony would be added"),
        ("schedules__work__enabled", False, "The schedule work is locked"),
        ("schedules__work__then__pause", True, "The schedule work is locked"),
        ("schedules__work__sources", ["yard"], "The schedule work is locked"),
        ("schedules__work__when", [{"from": "08:00", "to": "08:01"}], "The schedule work is locked"),
        ("schedules", {}, "The schedule work is locked"),
        ("place__time_zone", "Asia/Tokyo", "place gives the times of the schedule work, which is locked"),
    ],
)  # fmt: skip
def test_no_source_is_added_and_no_locked_schedule_is_changed(key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_guarded(*changed(TEXT, key, value))


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        (TEXT, "place__language", "de"),
        (TEXT, "sources__street__gain_db", 1.0),
        (TEXT.replace("locked", "true"), "place__time_zone", "Asia/Tokyo"),
        (TEXT.replace("locked", "true"), "schedules__work__enabled", False),
        (TEXT.replace("work: {", "work: {enabled: false, "), "schedules__work__then__pause", True),
    ],
)  # fmt: skip
def test_other_values_are_changed(text: str, key: str, value: object) -> None:
    check_guarded(*changed(text, key, value))
