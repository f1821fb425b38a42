"""Statistics as text, for a terminal, a mail or a notification."""

from __future__ import annotations

import unicodedata
from datetime import date, datetime
from typing import Final

from soundwatch.daemon.core.languages.date_text import SHORT_WEEKDAYS, date_text
from soundwatch.daemon.core.languages.language import Language, number_text, sound_name, translated
from soundwatch.daemon.core.text.printable import printable
from soundwatch.daemon.statistics.records import NotableEvent, SourceStatistics, Statistics

BARS: Final = " ▁▂▃▄▅▆▇█"
NOT_SCORED: Final = "·"
SCORED_LEAST: Final = 0.5  # hours with less coverage are marked
_NAME_COLUMNS: Final = 20


def render_text(statistics: Statistics, language: Language = "en") -> str:
    """Return statistics as lines of text without control codes."""
    parts = [
        period_title(statistics, language),
        summary_sentence(statistics, language),
        "",
        *_class_lines(statistics, language),
        *(f"{_padded(name, _NAME_COLUMNS)}  {text}" for name, text in notable_rows(statistics, language)),
        "",
        *(
            f"{_padded(printable(source.source), _NAME_COLUMNS)}  {source_sentence(source, language)}"
            for source in statistics.sources
        ),
        *([] if statistics.complete else ["", comparison_note(statistics, language)]),
    ]
    return "\n".join(part.rstrip() for part in parts) + "\n"


def period_title(statistics: Statistics, language: Language = "en") -> str:
    """Return the name of the period: `Sunday, 22 November 2026`, or `Week of 16 November 2026`."""
    day = date.fromisoformat(statistics.first_day)
    if statistics.period == "week":
        name = translated("Week of {date}", language, date=date_text(day, language))
    else:
        name = date_text(day, language, weekday=True)
    name = name[:1].upper() + name[1:]
    return name if statistics.complete else translated("{date}, so far", language, date=name)


def summary_sentence(statistics: Statistics, language: Language = "en") -> str:
    """Return the number of events, their duration, the comparison and the coverage."""
    events = event_count(statistics.events, language)
    if statistics.active_events:
        events = translated("{events}, {n} active", language, events=events, n=statistics.active_events)
    values = {
        "events": events,
        "duration": span(statistics.duration_s, language),
        "before": statistics.previous_events,
        "change": change(statistics.events, statistics.previous_events, language),
        "coverage": share(statistics.coverage, language),
    }
    if statistics.period == "week":
        return translated(
            "{events}, {duration} in all; the week before {before} ({change}). Coverage {coverage}.", language, **values
        )
    return translated(
        "{events}, {duration} in all; the day before {before} ({change}). Coverage {coverage}.", language, **values
    )


def notable_rows(statistics: Statistics, language: Language = "en") -> list[tuple[str, str]]:
    """Return the longest, the loudest and the quietest event, as names and texts; none without events."""
    found = (
        (translated("Longest", language), statistics.longest),
        (translated("Highest level", language), statistics.loudest),
        (translated("Lowest level", language), statistics.quietest),
    )
    return [(name, _notable(event, language)) for name, event in found if event is not None]


def source_sentence(source: SourceStatistics, language: Language = "en") -> str:
    """Return the events and the coverage of a source."""
    return translated(
        "{events}, {duration}; scored {scored} of {reported}, {coverage}",
        language,
        events=event_count(source.events, language),
        duration=span(source.duration_s, language),
        scored=span(source.scored_s, language),
        reported=span(source.reported_s, language),
        coverage=share(source.coverage, language),
    )


def comparison_note(statistics: Statistics, language: Language = "en") -> str:
    """Return the range of the comparison for a period that has not ended; empty for others."""
    if statistics.complete:
        return ""
    if statistics.period == "week":
        return translated("The comparison is with the week before up to the same time.", language)
    return translated("The comparison is with the day before up to the same time.", language)


def level(event: NotableEvent, language: Language = "en") -> str:
    """Return the highest level of an event, in dB(A) where it is known."""
    if event.level_dba is not None:
        return f"{number_text(f'{event.level_dba:.1f}', language)} dB(A)"
    if event.level_dbfs is None:
        return translated("digital silence", language)
    return f"{number_text(f'{event.level_dbfs:.1f}', language)} dBFS"


def event_count(count: int, language: Language) -> str:
    """Return a number of events with their noun."""
    return translated("{n} events", language, n=count)


def change(now: int, before: int, language: Language = "en") -> str:
    """Return the change of a count in percent."""
    if now == before:
        return translated("no change", language)
    return translated("new", language) if not before else f"{100 * (now - before) / before:+.0f} %"


def share(value: float | None, language: Language) -> str:
    """Return a share in percent, rounded down so that 100 % is whole."""
    if value is None:
        return translated("unknown", language)
    return number_text(f"{int(1000 * value) / 10:.1f} %", language) if value < 1 else "100 %"


def span(seconds: float, language: Language = "en") -> str:
    """Return a duration: `4.2 s`, `12 min`, `3 h 05 min`."""
    if seconds < 60:
        return translated("{seconds} s", language, seconds=number_text(f"{seconds:.1f}", language))
    minutes = round(seconds / 60)
    if minutes < 60:
        return translated("{n} min", language, n=minutes)
    return translated("{hours} h {minutes} min", language, hours=minutes // 60, minutes=f"{minutes % 60:02d}")


def _notable(event: NotableEvent, language: Language) -> str:
    begin = datetime.fromisoformat(event.local)
    duration = translated("active", language) if event.duration_s is None else span(event.duration_s, language)
    return translated(
        "{sound}, {source}, {day} {time}, {duration}, {level}, score {score}",
        language,
        sound=printable(sound_name(event.class_, language)),
        source=printable(event.source),
        day=sound_name(SHORT_WEEKDAYS[begin.weekday()], language),
        time=f"{begin:%H:%M:%S}",
        duration=duration,
        level=level(event, language),
        score=number_text(f"{event.peak_score:.2f}", language),
    )


def _class_lines(statistics: Statistics, language: Language) -> list[str]:
    """Return a row for each class: events, duration, change, and a bar for each hour of the day."""
    if not statistics.classes:
        return [translated("No events.", language)] if not statistics.events else []
    hours = by_hour_of_day(statistics)
    highest = max((max(row) for row in hours.values()), default=0) or 1
    names = [translated("events", language), translated("before", language), translated("duration", language)]
    widths = [max(least, _width(name)) for name, least in zip(names, (7, 7, 12), strict=True)]
    head = [_padded(translated("class", language), _NAME_COLUMNS), *map(_right, names, widths)]
    lines = [f"{' '.join(head)}  00    06    12    18    24"]
    for row in statistics.classes:
        bars = "".join(BARS[-(-count * (len(BARS) - 1) // highest)] for count in hours[row.class_])
        cells = [f"{row.events:,}", f"{row.previous_events:,}"]
        texts = [*(number_text(cell, language) for cell in cells), span(row.duration_s, language)]
        name = _padded(printable(sound_name(row.class_, language)), _NAME_COLUMNS)
        lines.append(f"{' '.join([name, *map(_right, texts, widths)])}  {bars}")
    marks = "".join(NOT_SCORED if low else " " for low in hours_without_coverage(statistics))
    if marks.strip():
        note = translated("less than half scored", language)
        lines.append(f"{_padded(note, _NAME_COLUMNS + sum(widths) + len(widths) + 2)}{marks}")
    return [*lines, ""]


def _width(text: str) -> int:
    """Return the columns of a text in a terminal; Chinese and Japanese characters have two."""
    return sum(2 if unicodedata.east_asian_width(character) in "FW" else 1 for character in text)


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - _width(text))


def _right(text: str, columns: int) -> str:
    return " " * (columns - _width(text)) + text


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
