"""Statistics of a day or a week for the API."""

from __future__ import annotations

import time
from datetime import date
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.statistics.compute import compute_statistics
from soundwatch.daemon.statistics.period import current_period, period_at
from soundwatch.daemon.statistics.records import Statistics
from soundwatch.daemon.web.http.parameters import Query
from soundwatch.daemon.web.http.query_params import DATE_FORMAT
from soundwatch.daemon.web.http.refusal import RequestRefused

Date = Annotated[str, Meta(pattern=r"^20\d\d-\d\d-\d\d$", extra_json_schema={"format": "date"})]


class StatisticsQuery(Query, frozen=True, kw_only=True):
    """Period of the statistics.

    Attributes:
        period: A day, or the week from Monday to Sunday.
        date: A day of the period, in the time zone of the place; the present day without it.
    """

    period: Literal["day", "week"] = "day"
    date: Date | UnsetType = UNSET


def find_statistics(view: DaemonView, query: StatisticsQuery) -> Statistics:
    """Compute the statistics of a period; one that has not begun is empty.

    Raises:
        RequestRefused: The date does not exist.
    """
    config, now_s = view.config(), int(time.time())
    if isinstance(query.date, UnsetType):
        period = current_period(query.period, config.place, now_s)
    else:
        try:
            period = period_at(query.period, date.fromisoformat(query.date), config.place)
        except ValueError:
            raise RequestRefused(400, f"{query.date} is not a date: {DATE_FORMAT}.") from None
    return compute_statistics(view.journal.store, period, now_s, config.stats_s)
