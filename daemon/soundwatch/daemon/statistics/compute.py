"""Statistics of a period from the journal.

Conventions: as in `statistics/records.py`. An event that continues another one counts as an event of its own, as on
the page; the longest event is a chain of them.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from soundwatch.daemon.core.time.clock import DAY_S, SECOND_NS, format_utc
from soundwatch.daemon.core.time.system_zone import SYSTEM_ZONE
from soundwatch.daemon.journal.queries.statistics import (
    CountedEvent,
    EventSummary,
    read_events,
    read_quarters,
    read_source_lines,
)
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.statistics.coverage import GRACE_MS, ScoredTime, overlap_ms, scored_times, unix_ms
from soundwatch.daemon.statistics.levels import level_statistics
from soundwatch.daemon.statistics.period import Period
from soundwatch.daemon.statistics.records import (
    ClassStatistics,
    HourStatistics,
    NotableEvent,
    SourceStatistics,
    Statistics,
)

SHARE_DIGITS: Final = 4
LONGEST_LOOKAHEAD_S: Final = float(DAY_S)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Events and scored time of one range of times.

    Attributes:
        bounds_s: Begins of the hours, and the end of the last one that has begun.
        events: Events of the range.
        times: Scored time of each source.
    """

    bounds_s: tuple[int, ...]
    events: tuple[CountedEvent, ...]
    times: dict[str, ScoredTime]

    @property
    def bounds_ms(self) -> list[int]:
        return [1000 * bound for bound in self.bounds_s]

    @property
    def range_ms(self) -> list[int]:
        return [1000 * self.bounds_s[0], 1000 * self.bounds_s[-1]]

    def select(self, *, class_: str | None = None, source: str | None = None) -> list[EventSummary]:
        """Return the events of a class, or of a source."""
        return [
            event.last
            for event in self.events
            if class_ in (None, event.last.class_) and source in (None, event.last.source)
        ]


def compute_statistics(store: JournalStore, period: Period, now_s: int, stats_s: float | None) -> Statistics:
    """Compute the statistics of a period from a journal.

    Args:
        store: The journal.
        period: A day or a week; the part of it after `now_s` is left out.
        now_s: The present, in seconds since 1970.
        stats_s: Sound between two `stats` lines, as configured.

    Raises:
        StoreError: The file cannot be read by another program than its writer.
        sqlite3.Error: The file cannot be read by its writer.
    """
    hours_s = period.hour_bounds()
    end_s = min(max(now_s, period.begin_s), period.end_s)
    before = period.previous
    before_end_s = period.same_time_before(end_s)
    this = _count(store, (*(bound for bound in hours_s if bound < end_s), end_s), now_s, stats_s)
    past = _count(store, (before.begin_s, before_end_s), now_s, stats_s)
    names = sorted(this.times.keys() | past.times.keys())
    level = _level_of(this.events)
    louder = sorted((event for event in this.events if level(event) is not None), key=lambda event: level(event) or 0.0)
    chains = _chain_durations(this.events)
    notable = _notable(period, chains)
    return Statistics(
        period=period.kind,
        first_day=period.first_day.isoformat(),
        time_zone=None if period.zone is SYSTEM_ZONE else str(period.zone),
        begin=_utc(period.begin_s),
        end=_utc(end_s),
        complete=end_s == period.end_s,
        previous_begin=_utc(before.begin_s),
        previous_end=_utc(before_end_s),
        events=len(this.events),
        active_events=sum(event.last.duration_s is None for event in this.events),
        duration_s=_duration_s(this.select()),
        previous_events=len(past.events),
        previous_duration_s=_duration_s(past.select()),
        coverage=_coverage(this.times.values(), this.range_ms)[0],
        previous_coverage=_coverage(past.times.values(), past.range_ms)[0],
        hours=_hours(period, hours_s, this),
        classes=_classes(hours_s, this, past),
        sources=tuple(_source(name, this, past) for name in names),
        levels=level_statistics(read_quarters(store, _utc(period.begin_s), _utc(period.end_s)), hours_s),
        longest=notable(max(this.events, key=lambda event: chains.get(event.last.id, 0.0), default=None)),
        loudest=notable(louder[-1] if louder else None),
        quietest=notable(louder[0] if louder else None),
    )


def _utc(moment_s: int) -> str:
    return format_utc(moment_s * SECOND_NS)


def _count(store: JournalStore, bounds_s: tuple[int, ...], now_s: int, stats_s: float | None) -> _Counted:
    """Read the events and the scored time between the first bound and the last one."""
    since, until = _utc(bounds_s[0]), _utc(bounds_s[-1])
    lookahead_s = min(stats_s or 0.0, LONGEST_LOOKAHEAD_S) + GRACE_MS / 1000
    lines = read_source_lines(store, since, _utc(bounds_s[-1] + round(lookahead_s)))
    times = scored_times(lines, 1000 * now_s, stats_s) if bounds_s[-1] > bounds_s[0] else {}
    return _Counted(bounds_s, tuple(read_events(store, since, until)), times)


def _duration_s(events: Iterable[EventSummary]) -> float:
    return round(sum(event.duration_s or 0.0 for event in events), 3)


def _coverage(times: Iterable[ScoredTime], bounds_ms: Sequence[int]) -> list[float | None]:
    """Return the share of each interval that the sources were scored in; None where nothing reports on it."""
    length_ms = [end - begin for begin, end in itertools.pairwise(bounds_ms)]
    scored_ms, reported_ms = [0] * len(length_ms), [0] * len(length_ms)
    for time in times:
        scored = overlap_ms(time.scored, bounds_ms)
        unreported = overlap_ms(time.unreported, bounds_ms)
        for index, length in enumerate(length_ms):
            scored_ms[index] += scored[index]
            reported_ms[index] += length - unreported[index]
    return [
        round(scored / reported, SHARE_DIGITS) if reported else None
        for scored, reported in zip(scored_ms, reported_ms, strict=True)
    ]


def _hours(period: Period, hours_s: Sequence[int], this: _Counted) -> tuple[HourStatistics, ...]:
    events = Counter(_hour_of(hours_s, event) for event in this.events)
    coverage = _coverage(this.times.values(), this.bounds_ms)
    return tuple(
        HourStatistics(
            begin=_utc(begin_s),
            local=period.local(begin_s).isoformat(timespec="seconds"),
            length_s=end_s - begin_s,
            events=events[index],
            coverage=coverage[index] if index < len(coverage) else None,
        )
        for index, (begin_s, end_s) in enumerate(itertools.pairwise(hours_s))
    )


def _hour_of(hours_s: Sequence[int], event: CountedEvent) -> int:
    return bisect_right(hours_s, unix_ms(event.time) // 1000) - 1


def _classes(hours_s: Sequence[int], this: _Counted, past: _Counted) -> tuple[ClassStatistics, ...]:
    """Return the classes of both periods, the most frequent one first."""
    by_hour: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for event in this.events:
        by_hour[event.last.class_][_hour_of(hours_s, event)] += 1
    names = sorted({event.last.class_ for event in (*this.events, *past.events)})
    found = []
    for name in names:
        events, before = this.select(class_=name), past.select(class_=name)
        found.append(
            ClassStatistics(
                class_=name,
                events=len(events),
                duration_s=_duration_s(events),
                previous_events=len(before),
                previous_duration_s=_duration_s(before),
                by_hour=tuple(by_hour[name][hour] for hour in range(len(hours_s) - 1)),
                by_source=dict(sorted(Counter(event.source for event in events).items())),
            )
        )
    return tuple(sorted(found, key=lambda row: (-row.events, row.class_)))


def _source(name: str, this: _Counted, past: _Counted) -> SourceStatistics:
    nothing = ScoredTime((), ())
    time, before = this.times.get(name, nothing), past.times.get(name, nothing)
    scored_ms, unreported_ms = (sum(overlap_ms(spans, this.range_ms)) for spans in (time.scored, time.unreported))
    events, events_before = this.select(source=name), past.select(source=name)
    return SourceStatistics(
        source=name,
        events=len(events),
        duration_s=_duration_s(events),
        previous_events=len(events_before),
        previous_duration_s=_duration_s(events_before),
        scored_s=scored_ms / 1000,
        reported_s=(this.range_ms[1] - this.range_ms[0] - unreported_ms) / 1000,
        coverage=_coverage([time], this.range_ms)[0],
        previous_coverage=_coverage([before], past.range_ms)[0],
    )


def _chain_durations(events: Iterable[CountedEvent]) -> dict[str, float]:
    """Return the duration of each event with those of the events that continue it, by the id of the first one."""
    durations: dict[str, float] = {}
    first_of: dict[str, str] = {}
    for event in events:
        last = event.last
        first = first_of.get(last.continues or "", last.id)
        first_of[last.id] = first
        durations[first] = durations.get(first, 0.0) + (last.duration_s or 0.0)
    return durations


def _level_of(events: Sequence[CountedEvent]) -> Callable[[CountedEvent], float | None]:
    """Return the level that events are compared by: the sound pressure level where one has it, else dBFS."""
    calibrated = any(event.level_dba is not None for event in events)
    return lambda event: event.level_dba if calibrated else event.level_dbfs


def _notable(period: Period, chains: dict[str, float]) -> Callable[[CountedEvent | None], NotableEvent | None]:
    def record(event: CountedEvent | None) -> NotableEvent | None:
        if event is None:
            return None
        last = event.last
        return NotableEvent(
            id=last.id,
            class_=last.class_,
            source=last.source,
            onset=last.onset,
            local=period.local(unix_ms(last.onset) // 1000).isoformat(timespec="seconds"),
            duration_s=None if last.duration_s is None else round(chains.get(last.id, last.duration_s), 3),
            peak_score=last.peak_score,
            level_dbfs=event.level_dbfs,
            level_dba=event.level_dba,
        )

    return record
