"""Settings in force of each source as rows, for `check-config --effective` and the page.

Conventions: a row holds a key, the value, and the origin of the value. A setting that is equal for all classes is one
row, `detection.KEY`. A setting of one class that has its default is no row, except for the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import msgspec

from soundwatch.daemon.detection.effective import DEFAULT, ClassSettings, Setting, SourceSettings


class SettingRow(msgspec.Struct, frozen=True, kw_only=True):
    """One value in force.

    Attributes:
        key: Key below the source, such as `detection.classes.siren.threshold`.
        value: The value.
        origin: Origin of the value, as in `Setting`.
    """

    key: str
    value: bool | float | str | tuple[str, ...] | None
    origin: str


def setting_rows(settings: SourceSettings) -> list[SettingRow]:
    """Return the values in force of a source."""
    rows = [*_rows(settings, ""), *_rows(settings.clips, "clips.")]
    for name in (field.name for field in fields(ClassSettings) if field.name != "label"):
        by_class = {of_class.label: getattr(of_class, name) for of_class in settings.classes}
        if len(set(by_class.values())) == 1:
            rows.append(_row(f"detection.{name}", next(iter(by_class.values()))))
            continue
        rows += [
            _row(f"detection.classes.{label}.{name}", setting)
            for label, setting in by_class.items()
            if setting.origin != DEFAULT or name == "threshold"
        ]
    return rows


def _rows(record: Any, prefix: str) -> Iterator[SettingRow]:
    for field in fields(record):
        setting = getattr(record, field.name)
        if isinstance(setting, Setting):
            yield _row(f"{prefix}{field.name}", setting)


def _row(key: str, setting: Setting[Any]) -> SettingRow:
    value = setting.value
    if isinstance(value, msgspec.Struct):  # limits of the sound level meter
        items = msgspec.structs.asdict(value).items()
        value = f"{{{', '.join(f'{name}: {number:g}' for name, number in items if number is not None)}}}"
    return SettingRow(key=key, value=value, origin=setting.origin)
