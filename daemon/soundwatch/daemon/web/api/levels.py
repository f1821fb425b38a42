"""Stored levels of sources for the API."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from soundwatch.daemon.events.level_schema import LevelPeriodLine
from soundwatch.daemon.journal.queries.levels import read_levels
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.web.api.events import format_time, given
from soundwatch.daemon.web.http.parameters import Moment, Query, Seq, Text


class LevelsQuery(Query, frozen=True, kw_only=True):
    """Filter for levels.

    Attributes:
        since: Earliest start of the periods.
        until: End of the range of starts, exclusive.
        source: Source of the levels.
        period: Length of the periods.
        after: `next` of the previous page.
        limit: Largest number of lines.
    """

    since: Moment | UnsetType = UNSET
    until: Moment | UnsetType = UNSET
    source: Text | UnsetType = UNSET
    period: Literal["15min", "1h", "day"] = "15min"
    after: Seq = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


class LevelsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page of `level` lines; `next` is the `after` of the next page, null on the last page."""

    levels: tuple[LevelPeriodLine, ...]
    next: int | None


def find_levels(store: JournalStore, query: LevelsQuery) -> LevelsResponse:
    """Return one page of `level` lines, oldest first.

    Raises:
        RequestRefused: A time does not exist.
    """
    wanted = {"since": format_time(query.since), "until": format_time(query.until), "source": query.source}
    found = read_levels(store, query.period, given(wanted), query.after, query.limit + 1)
    page = found[: query.limit]
    return LevelsResponse(
        levels=tuple(msgspec.json.decode(entry.line, type=LevelPeriodLine) for entry in page),
        next=page[-1].seq if len(found) > query.limit else None,
    )
