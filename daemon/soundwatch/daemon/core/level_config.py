"""Configuration of the sound level meter; a part of `config.py`.

Conventions: as in `config.py`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

OffsetDb = Annotated[float, msgspec.Meta(ge=-50, le=250)]


class LevelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sound level meter of all sources; `sources.*.level_offset_db` calibrates it."""

    enabled: bool = False
