"""The first fields of lines; a part of `events/schema.py`.

Conventions: as in `events/schema.py`. A line's own `type` replaces the one here, so the keys keep their order.
Does not: hold the head of events, whose `id` comes before their time.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

SCHEMA: Final = "soundwatch.event/1"


class NumberedLine(msgspec.Struct, frozen=True, kw_only=True):
    """First fields of a line that the journal stores."""

    schema: Literal["soundwatch.event/1"] = SCHEMA
    type: str
    seq: int
    time: str
    node: str


class UnnumberedLine(msgspec.Struct, frozen=True, kw_only=True):
    """First fields of a line that the journal never stores, so it has no number."""

    schema: Literal["soundwatch.event/1"] = SCHEMA
    type: str
    time: str
    node: str
