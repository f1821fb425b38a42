"""Effects of schedules at a moment.

Conventions: pure. Schedules are evaluated in the order of the configuration; each that applies has its effect after the
one before. A source is paused while one schedule pauses it. An offset of thresholds comes last.
Rule: a schedule with `pause: locked` applies at all times of a clock that is not set yet: its windows may hold.
Does not: read a clock, or apply effects (`control.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.config.schedule import ScheduleConfig
from soundwatch.daemon.core.time.clock import is_clock_set
from soundwatch.daemon.detection.effective import ThresholdAdjustment
from soundwatch.daemon.schedule.windows import is_within_any, next_begin, next_change

Schedules = Mapping[str, ScheduleConfig]


def active_schedules(
    schedules: Schedules, enabled: Mapping[str, bool], place: PlaceConfig, unix_ns: int
) -> tuple[str, ...]:
    """Return the names of the schedules that apply at a moment.

    Args:
        schedules: The schedules.
        enabled: Schedules that were enabled or disabled by hand.
        place: The place.
        unix_ns: The moment, in nanoseconds since 1970.
    """
    return tuple(
        name
        for name, schedule in schedules.items()
        if enabled.get(name, schedule.enabled)
        and (applies_unset(schedule, unix_ns) or is_within_any(schedule.when, place, unix_ns))
    )


def changed_schedules(
    schedules: Schedules, before: Collection[str], after: Collection[str]
) -> Iterator[tuple[str, Literal["began", "ended"]]]:
    """Yield the schedules that began or ended, in the order of the configuration; removed ones at the end.

    Args:
        schedules: The schedules.
        before: Names of those that applied.
        after: Names of those that apply.
    """
    for name in schedules:
        if (name in before) != (name in after):
            yield name, "began" if name in after else "ended"
    for name in before:
        if name not in schedules:
            yield name, "ended"


def applies_unset(schedule: ScheduleConfig | None, unix_ns: int) -> bool:
    """Return True if a schedule applies since nobody knows the time: it is for privacy, and the clock is not set."""
    return schedule is not None and schedule.then.pause == "locked" and not is_clock_set(unix_ns)


def next_evaluation(schedules: Schedules, place: PlaceConfig, unix_ns: int) -> int | None:
    """Return the next moment at which a schedule begins or ends; None if none is in the next eight days."""
    changes = [next_change(schedule.when, place, unix_ns) for schedule in schedules.values()]
    return min((change for change in changes if change is not None), default=None)


def next_digest(config: Config, unix_ns: int) -> int | None:
    """Return the next moment at which an enabled rule sends a digest; None without such a rule."""
    windows = [
        rule.when.digest.window for rule in config.rules.values() if rule.enabled and rule.when.digest is not None
    ]
    moments = [next_begin(window, config.place, unix_ns) for window in windows]
    return min((moment for moment in moments if moment is not None), default=None)


def paused_by(schedules: Schedules, active: Iterable[str], source: str) -> str | None:
    """Return the first active schedule that pauses a source, a locked one before others; None if none does."""
    pausing = [name for name in active if schedules[name].then.pause and _concerns(schedules[name], source)]
    return next((name for name in pausing if schedules[name].then.pause == "locked"), next(iter(pausing), None))


def pause_reason(schedules: Schedules, by: str | None, source: str, unix_ns: int) -> str:
    """Return the sentence about a source that a schedule pauses, or that none pauses any more.

    A status keeps it during the whole pause, also after the clock was set, so it tells of the begin.
    """
    if by is None:
        return f"{source} is resumed: no schedule pauses it."
    unset = "The clock was not set, so the locked" if applies_unset(schedules[by], unix_ns) else "The"
    return f"{unset} schedule {by} pauses {source}."


def change_reason(name: str, state: Literal["began", "ended"], unset: bool) -> str:
    """Return the sentence about a schedule that has begun, perhaps since the clock is not set, or ended."""
    if unset and state == "began":
        return f"The clock is not set, so the locked schedule {name} has begun."
    return f"The schedule {name} has {'begun' if state == 'began' else 'ended'}."


def mute_reason(rules: tuple[str, ...]) -> str:
    """Return the sentence about the rules that schedules mute."""
    which = f"rule{'' if len(rules) == 1 else 's'} {', '.join(rules)}" if rules else "no rule"
    return f"Schedules mute {'the ' if rules else ''}{which}."


def threshold_adjustments(
    schedules: Schedules, active: Iterable[str], offsets: Mapping[str, float], sources: Iterable[str]
) -> dict[str, tuple[ThresholdAdjustment, ...]]:
    """Return the changes of thresholds of each source, in the order of their application.

    Args:
        schedules: The schedules.
        active: Names of those that apply.
        offsets: Offsets by source.
        sources: Names of the sources.
    """
    names, found = tuple(active), {}
    for source in sources:
        changes = [
            ThresholdAdjustment(f"schedule {name}", change.at_least, change.add, change.classes)
            for name in names
            if (change := schedules[name].then.thresholds) is not None and _concerns(schedules[name], source)
        ]
        if offsets.get(source):
            changes.append(ThresholdAdjustment("threshold offset", add=offsets[source]))
        if changes:
            found[source] = tuple(changes)
    return found


def muted_rules(schedules: Schedules, active: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the rules that active schedules mute, each once."""
    return tuple(dict.fromkeys(rule for name in active for rule in schedules[name].then.mute_rules))


def _concerns(schedule: ScheduleConfig, source: str) -> bool:
    return not schedule.sources or source in schedule.sources
