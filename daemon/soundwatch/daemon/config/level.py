"""Configuration of the sound level meter; a part of `config.py`.

Conventions: as in `config.py`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

OffsetDb = Annotated[float, msgspec.Meta(ge=-50, le=250)]


class LoudConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events `loud`: the level stands over the background.

    Attributes:
        margin_db: Decibels over the median level of the last `background_s`.
        min_s: Shortest time over the limit.
        hysteresis_db: Decibels below the limit that end an event.
        floor_db: Lowest limit, dB where the source is calibrated, else dBFS; null for none.
        background_s: Time that the background is the median of.
    """

    margin_db: Annotated[float, msgspec.Meta(ge=3, le=100)] = 15.0
    min_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 0.25
    hysteresis_db: Annotated[float, msgspec.Meta(ge=0, le=50)] = 6.0
    floor_db: Annotated[float, msgspec.Meta(ge=-150, le=200)] | None = None
    background_s: Annotated[float, msgspec.Meta(ge=30, le=3600)] = 300.0


class SilenceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events `silence`: the level stays under a limit in a place that is never quiet.

    Attributes:
        below_db: The limit, dB where the source is calibrated, else dBFS.
        min_s: Shortest time under the limit.
        hysteresis_db: Decibels over the limit that end an event.
    """

    below_db: Annotated[float, msgspec.Meta(ge=-150, le=200)]
    min_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 60.0
    hysteresis_db: Annotated[float, msgspec.Meta(ge=0, le=50)] = 3.0


def check_own(key: str, own: object) -> None:
    """Refuse a value of true, which gives no limit.

    Raises:
        ValueError: The value is true.
    """
    if own is True:
        raise ValueError(f"{key} is a mapping, false for none, or null for that of level, not true")


class LevelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sound level meter of all sources; `sources.*.level_offset_db` calibrates it."""

    enabled: bool = False
    bands: bool = False
    loud: LoudConfig | None = None
    silence: SilenceConfig | None = None

    def of_source(self, loud: LoudConfig | bool | None, silence: SilenceConfig | bool | None) -> LevelConfig:
        """Return the meter of a source, whose own `loud` and `silence` come first; None for those here."""
        return msgspec.structs.replace(
            self,
            loud=self.loud if loud is None else loud or None,
            silence=self.silence if silence is None else silence or None,
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of events beside the model's."""
        return (*(["loud"] if self.loud is not None else []), *(["silence"] if self.silence is not None else []))

    def __post_init__(self) -> None:
        """Refuse events of a meter that is off."""
        if not self.enabled and self.bands:
            raise ValueError("bands need the meter; set level.enabled: true")
        if not self.enabled and (self.loud is not None or self.silence is not None):
            raise ValueError("loud and silence need the meter; set level.enabled: true")
