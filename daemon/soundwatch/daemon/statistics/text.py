"""Statistics as text, for a terminal, a mail or a notification."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

from soundwatch.daemon.core.text import printable
from soundwatch.daemon.statistics.records import NotableEvent, SourceStatistics, Statistics

BARS: Final = " ▁▂▃▄▅▆▇█"
NOT_SCORED: Final = "·"
SCORED_LEAST: Final = 0.5  # hours with less coverage are marked
_NAME_COLUMNS: Final = 20


def render_text(statistics: Statistics) -> str:
    """Return statistics as lines of text without control codes."""
    parts = [
        period_title(statistics),
        summary_sentence(statistics),
        "",
        *_class_lines(statistics),
        *(f"{name:<{_NAME_COLUMNS}}  {text}" for name, text in notable_rows(statistics)),
        "",
        *(f"{source.source:<{_NAME_COLUMNS}}  {source_sentence(source)}" for source in statistics.sources),
        *([] if statistics.complete else ["", comparison_note(statistics)]),
    ]
    return "\n".join(printable(part).rstrip() for part in parts) + "\n"


def period_title(statistics: Statistics) -> str:
    """Return the name of the period: `Sunday, 22 November 2026`, or `Week of 16 November 2026`."""
    day = date.fromisoformat(statistics.first_day)
    text = f"{day.day} {day:%B %Y}"
    name = f"Week of {text}" if statistics.period == "week" else f"{day:%A}, {text}"
    return name if statistics.complete else f"{name}, so far"


def summary_sentence(statistics: Statistics) -> str:
    """Return the number of events, their duration, the comparison and the coverage."""
    active = f", {statistics.active_events} active" if statistics.active_events else ""
    return (
        f"{many(statistics.events, 'event')}{active}, {span(statistics.duration_s)} in all; "
        f"the {statistics.period} before {statistics.previous_events:,} "
        f"({change(statistics.events, statistics.previous_events)}). Coverage {share(statistics.coverage)}."
    )


def notable_rows(statistics: Statistics) -> list[tuple[str, str]]:
    """Return the longest, the loudest and the quietest event, as names and texts; none without events."""
    found = (
        ("Longest", statistics.longest),
        ("Highest level", statistics.loudest),
        ("Lowest level", statistics.quietest),
    )
    return [(name, _notable(event)) for name, event in found if event is not None]


def source_sentence(source: SourceStatistics) -> str:
    """Return the events and the coverage of a source."""
    return (
        f"{many(source.events, 'event')}, {span(source.duration_s)}; scored {span(source.scored_s)} of "
        f"{span(source.reported_s)}, {share(source.coverage)}"
    )


def comparison_note(statistics: Statistics) -> str:
    """Return the range of the comparison for a period that has not ended; empty for others."""
    if statistics.complete:
        return ""
    return f"The comparison is with the {statistics.period} before up to the same time."


def level(event: NotableEvent) -> str:
    """Return the highest level of an event, in dB(A) where it is known."""
    if event.level_dba is not None:
        return f"{event.level_dba:.1f} dB(A)"
    return "digital silence" if event.level_dbfs is None else f"{event.level_dbfs:.1f} dBFS"


def many(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def change(now: int, before: int) -> str:
    """Return the change of a count in percent."""
    if now == before:
        return "no change"
    return "new" if not before else f"{100 * (now - before) / before:+.0f} %"


def share(value: float | None) -> str:
    """Return a share in percent, rounded down so that 100 % is whole."""
    if value is None:
        return "unknown"
    return f"{int(1000 * value) / 10:.1f} %" if value < 1 else "100 %"


def span(seconds: float) -> str:
    """Return a duration: `4.2 s`, `12 min`, `3 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _notable(event: NotableEvent) -> str:
    begin = datetime.fromisoformat(event.local)
    duration = "active" if event.duration_s is None else span(event.duration_s)
    return (
        f"{event.class_}, {event.source}, {begin:%a %H:%M:%S}, {duration}, {level(event)}, score {event.peak_score:.2f}"
    )


def _class_lines(statistics: Statistics) -> list[str]:
    """Return a row for each class: events, duration, change, and a bar for each hour of the day."""
    if not statistics.classes:
        return ["No events."] if not statistics.events else []
    hours = by_hour_of_day(statistics)
    highest = max((max(row) for row in hours.values()), default=0) or 1
    lines = [f"{'class':<{_NAME_COLUMNS}} {'events':>7} {'before':>7} {'duration':>12}  00    06    12    18    24"]
    for row in statistics.classes:
        bars = "".join(BARS[-(-count * (len(BARS) - 1) // highest)] for count in hours[row.class_])
        name = f"{row.class_:<{_NAME_COLUMNS}}"
        lines.append(f"{name} {row.events:>7,} {row.previous_events:>7,} {span(row.duration_s):>12}  {bars}")
    marks = "".join(NOT_SCORED if low else " " for low in hours_without_coverage(statistics))
    if marks.strip():
        lines.append(f"{'less than half scored':<{_NAME_COLUMNS + 31}}{marks}")
    return [*lines, ""]


def by_hour_of_day(statistics: Statistics) -> dict[str, list[int]]:
    """Return the events of each class by the hour of the local clock, 24 numbers."""
    local_hours = [datetime.fromisoformat(hour.local).hour for hour in statistics.hours]
    found = {row.class_: [0] * 24 for row in statistics.classes}
    for row in statistics.classes:
        for hour, count in zip(local_hours, row.by_hour, strict=True):
            found[row.class_][hour] += count
    return found


def hours_without_coverage(statistics: Statistics) -> list[bool]:
    """Return, for each hour of the local clock, True if less than half of its reported time was scored."""
    shares: list[list[float]] = [[] for _ in range(24)]
    for hour in statistics.hours:
        if hour.coverage is not None:
            shares[datetime.fromisoformat(hour.local).hour].append(hour.coverage)
    return [bool(found) and sum(found) / len(found) < SCORED_LEAST for found in shares]
