"""Statistics as one HTML file: no scripts, no requests, a light and a dark theme, and a layout for paper.

Conventions: names come from models and configurations, so every text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from html import escape
from importlib import resources
from typing import Final

from soundwatch.daemon.statistics.period import DAYS
from soundwatch.daemon.statistics.records import LevelStatistics, Statistics
from soundwatch.daemon.statistics.text import (
    SCORED_LEAST,
    by_hour_of_day,
    change,
    comparison_note,
    hours_without_coverage,
    notable_rows,
    period_title,
    source_sentence,
    span,
    summary_sentence,
)

SHADES: Final = 4

Cell = tuple[int | None, bool]  # number of events; True for an hour that was hardly scored
Drawn = tuple[str, int, bool] | None  # text, shade, and the mark of `Cell`; None for an hour that does not exist


def render_html(statistics: Statistics) -> str:
    """Return statistics as an HTML document."""
    title = escape(period_title(statistics))
    style = resources.files(__package__).joinpath("digest.css").read_text("utf-8")
    body = "".join(
        (
            f"<h1>{title}</h1><p>{escape(summary_sentence(statistics))}</p>",
            f"<p class='note'>{escape(comparison_note(statistics))}</p>" if not statistics.complete else "",
            _class_table(statistics),
            _hour_tables(statistics),
            _level_tables(statistics),
            _facts(notable_rows(statistics)),
            "<h2>Sources</h2>",
            _facts([(source.source, source_sentence(source)) for source in statistics.sources]),
            f"<p class='note'>Times are those of {escape(statistics.time_zone or 'the time zone of the machine')}. "
            "Hatched hours were scored for less than half of their time.</p>",
        )
    )
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<meta name='color-scheme' content='light dark'>"
        f"<title>{title} - soundwatch</title><style>{style}</style></head><body><main>{body}</main></body></html>\n"
    )


def _class_table(statistics: Statistics) -> str:
    if not statistics.classes:
        return "<p>No events.</p>"
    rows = "".join(
        f"<tr><th scope='row'>{escape(row.class_)}</th><td>{row.events:,}</td><td>{row.previous_events:,}</td>"
        f"<td>{escape(change(row.events, row.previous_events))}</td><td>{span(row.duration_s)}</td></tr>"
        for row in statistics.classes
    )
    head = "".join(
        f"<th scope='col'>{name}</th>"
        for name in ("Class", "Events", f"The {statistics.period} before", "Change", "Duration")
    )
    return f"<h2>Events</h2><table class='counts'><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _hour_tables(statistics: Statistics) -> str:
    """Return a heat map of classes and hours, and for a week one of days and hours."""
    low = hours_without_coverage(statistics)
    classes = [(name, list(zip(row, low, strict=True))) for name, row in by_hour_of_day(statistics).items()]
    tables = _heat_map("Class", classes) if classes else ""
    if statistics.period == "week":
        tables += _heat_map("Day", _days(statistics))
    return f"<h2>Hours</h2>{tables}" if tables else ""


def _days(statistics: Statistics) -> list[tuple[str, list[Cell]]]:
    """Return the events and the coverage of each day by the hour; None for an hour that the day lacks."""
    first = date.fromisoformat(statistics.first_day)
    days = [first + timedelta(days=offset) for offset in range(DAYS[statistics.period])]
    cells: dict[date, list[Cell]] = {day: [(None, False)] * 24 for day in days}
    for hour in statistics.hours:
        local = datetime.fromisoformat(hour.local)
        count, low = cells[local.date()][local.hour]
        missed = hour.coverage is not None and hour.coverage < SCORED_LEAST
        cells[local.date()][local.hour] = ((count or 0) + hour.events, low or missed)
    return [(f"{day:%a} {day.day}", row) for day, row in cells.items()]


def _heat_map(corner: str, rows: Sequence[tuple[str, Sequence[Cell]]]) -> str:
    highest = max((count or 0 for _, row in rows for count, _ in row), default=0) or 1
    drawn = [(name, [_counted(*cell, highest) for cell in row]) for name, row in rows]
    return _hour_table(corner, f"{corner} by hour", drawn)


def _counted(count: int | None, low: bool, highest: int) -> Drawn:
    return None if count is None else (str(count or ""), -(-count * SHADES // highest), low)


def _level_tables(statistics: Statistics) -> str:
    """Return heat maps of LAeq by the hour: of a day one for all sources of a unit, of a week one for each source."""
    tables = ""
    for calibrated, unit in ((True, "dB(A)"), (False, "dBFS(A), not calibrated")):
        days = {row.source: _level_days(statistics, row) for row in statistics.levels if row.calibrated is calibrated}
        if statistics.period == "day" and days:
            tables += _level_map("Source", f"LAeq, {unit}", [(source, rows[0][1]) for source, rows in days.items()])
        elif statistics.period == "week":
            tables += "".join(_level_map("Day", f"LAeq, {unit}, {source}", rows) for source, rows in days.items())
    return f"<h2>Levels</h2>{tables}" if tables else ""


def _level_days(statistics: Statistics, levels: LevelStatistics) -> list[tuple[str, list[float | None]]]:
    """Return the levels of each day by the hour; an hour that a day has twice has the higher one."""
    first = date.fromisoformat(statistics.first_day)
    days = [first + timedelta(days=offset) for offset in range(DAYS[statistics.period])]
    cells: dict[date, list[float | None]] = {day: [None] * 24 for day in days}
    for hour, level_db in zip(statistics.hours, levels.by_hour, strict=True):
        local = datetime.fromisoformat(hour.local)
        found = [db for db in (cells[local.date()][local.hour], level_db) if db is not None]
        cells[local.date()][local.hour] = max(found, default=None)
    return [(f"{day:%a} {day.day}", row) for day, row in cells.items()]


def _level_map(corner: str, name: str, rows: Sequence[tuple[str, Sequence[float | None]]]) -> str:
    present = [level_db for _, row in rows for level_db in row if level_db is not None]
    lowest, highest = min(present, default=0.0), max(present, default=0.0)

    def drawn(level_db: float | None) -> Drawn:
        if level_db is None:
            return None
        share = (level_db - lowest) / ((highest - lowest) or 1.0)
        return f"{level_db:.0f}", 1 + round(share * (SHADES - 1)), False

    table = _hour_table(corner, name, [(row_name, [drawn(level_db) for level_db in row]) for row_name, row in rows])
    return f"<h3>{escape(name)}</h3>{table}"


def _hour_table(corner: str, name: str, rows: Sequence[tuple[str, Sequence[Drawn]]]) -> str:
    head = "".join(f"<th scope='col'>{hour:02d}</th>" for hour in range(24))
    body = "".join(
        f"<tr><th scope='row'>{escape(row_name)}</th>{''.join(map(_cell, row))}</tr>" for row_name, row in rows
    )
    return (
        f"<div class='scroll' tabindex='0' role='region' aria-label='{escape(name, quote=True)}'>"
        f"<table class='heat'><thead><tr><th scope='col'>{corner}</th>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(drawn: Drawn) -> str:
    if drawn is None:
        return "<td class='none'></td>"
    text, shade, low = drawn
    return f"<td class='shade-{shade}{' low' if low else ''}'>{text}</td>"


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows)
    return f"<dl>{items}</dl>" if items else ""
