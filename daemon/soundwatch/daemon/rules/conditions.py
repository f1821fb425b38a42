"""Conditions of a rule, each with the value that was seen and the value that was wanted.

Conventions: conditions come in the order of the configuration's keys, so a decision can stop at the first that fails.
Rule for clocks: a time that is later than a line by a condition's period or more came from a wrong clock, and counts as
not there. So one such line silences no rule for longer than the period.
Does not: decide (`rules/decide.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from soundwatch.daemon.config.place import PlaceConfig, TimeWindow
from soundwatch.daemon.config.rules import RuleConfig
from soundwatch.daemon.core.time.clock import SECOND_NS
from soundwatch.daemon.rules.facts import LineFacts
from soundwatch.daemon.rules.state import RulesState, RuleState
from soundwatch.daemon.schedule.windows import is_within_any

MUTED: Final = "schedules"  # key of the condition of a rule that a schedule mutes


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule for one line.

    Attributes:
        key: Key of the configuration.
        seen: Value of the line or of the state.
        wanted: Value of the configuration.
        passes: Whether the condition lets the rule send.
    """

    key: str
    seen: Any
    wanted: Any
    passes: bool

    @property
    def text(self) -> str:
        """The condition for people."""
        return f"{self.key}: {'yes' if self.passes else 'no'}; seen {self.seen}, wanted {self.wanted}"


MUTED_CONDITION: Final = Condition(MUTED, "muted by a schedule", "not muted", passes=False)


def when_conditions(rule: RuleConfig, facts: LineFacts, place: PlaceConfig) -> Iterator[Condition]:
    """Yield the conditions of `when`, apart from `count`."""
    when = rule.when
    if when.digest is not None:
        yield Condition("when.digest", facts.kind, "the time of a digest", facts.kind == "digest")
    elif when.faults:
        yield Condition("when.faults", facts.fault, _one_of(when.faults), facts.fault in when.faults)
    else:
        yield Condition("when", facts.kind, "an event", facts.kind in ("event", "ended"))
    if classes := when.wanted_classes:
        yield Condition("when.classes", facts.class_, _one_of(classes), facts.class_ in classes)
    if when.tags:
        best = max((facts.tags.get(tag, 0.0) for tag in when.tags), default=0.0)
        seen = ", ".join(f"{tag} {score:g}" for tag, score in facts.tags.items()) or "no tag"
        wanted = f"{_one_of(when.tags)}, at least {when.min_tag_score:g}"
        yield Condition("when.tags", seen, wanted, best >= when.min_tag_score)
    if when.sources:
        yield Condition("when.sources", facts.source, _one_of(when.sources), facts.source in when.sources)
    for key, seen_value, least in (
        ("when.min_score", facts.score, when.min_score),
        ("when.min_level_dbfs", facts.level_dbfs, when.min_level_dbfs),
        ("when.min_level_dba", facts.level_dba, when.min_level_dba),
        ("when.min_duration_s", facts.duration_s, when.min_duration_s),
    ):
        if least is not None:
            passes = seen_value is not None and seen_value >= least
            yield Condition(key, seen_value, f"at least {least:g}", passes)
    if when.during:
        within = is_within_any(when.during, place, facts.unix_ns)
        yield Condition("when.during", _local_time(place, facts.unix_ns), window_text(when.during), within)


def count_condition(rule: RuleConfig, state: RuleState, facts: LineFacts) -> Iterator[Condition]:
    """Yield the condition `count`, if there is one; `state` has counted the line already."""
    if (count := rule.when.count) is not None:
        seen = len(recent(state.counted, facts.unix_ns, count.within_s))
        wanted = f"{count.times} within {count.within_s:g} s"
        yield Condition("when.count", seen, wanted, seen >= count.times)


def not_when_conditions(
    name: str, rule: RuleConfig, state: RulesState, facts: LineFacts, place: PlaceConfig
) -> Iterator[Condition]:
    """Yield the conditions of `not_when`, and the limit last."""
    own, not_when, now_ns = state.of(name), rule.not_when, facts.unix_ns
    if name in state.muted:
        yield MUTED_CONDITION
    if not_when.during:
        within = is_within_any(not_when.during, place, now_ns)
        wanted = f"outside {window_text(not_when.during)}"
        yield Condition("not_when.during", _local_time(place, now_ns), wanted, not within)
    if not_when.continues:
        seen = "a new sound" if facts.continues is None else f"continues {facts.continues}"
        yield Condition("not_when.continues", seen, "a new sound", facts.continues is None)
    if not_when.cooldown_s:
        yield _since(
            "not_when.cooldown_s", own.last_sent.get(sound_of(facts)), now_ns, not_when.cooldown_s, "its message"
        )
    if (after := not_when.after) is not None:
        text = f"a message of {after.rule}"
        yield _since("not_when.after", state.of(after.rule).last_sent_ns, now_ns, after.within_s, text)
    limit = rule.then.limit
    sent = len(recent(own.sent, now_ns, limit.within_s))
    wanted = f"fewer than {limit.messages} messages in {limit.within_s:g} s"
    yield Condition("then.limit", f"{sent} messages", wanted, sent < limit.messages)


def _local_time(place: PlaceConfig, unix_ns: int) -> str:
    """Return a time in the zone that windows of time are in."""
    return datetime.fromtimestamp(unix_ns / SECOND_NS, UTC).astimezone(place.zone).isoformat(" ", "seconds")


def recent(times: tuple[int, ...], now_ns: int, within_s: float) -> tuple[int, ...]:
    """Return the times that lie within a period of now."""
    return tuple(time_ns for time_ns in times if is_recent(time_ns, now_ns, within_s))


def is_recent(time_ns: int, now_ns: int, within_s: float) -> bool:
    """Return True if a time lies within a period of now, also after: lines of several sources may be out of order."""
    return abs(now_ns - time_ns) < within_s * SECOND_NS


def sound_of(facts: LineFacts) -> tuple[str | None, str | None]:
    """Return class or fault, and source or sink: what a cooldown counts for."""
    return facts.class_ or facts.fault, facts.source or facts.sink


def window_text(windows: tuple[TimeWindow, ...]) -> str:
    """Return windows of time for people."""
    return " or ".join(
        f"{window.from_} to {window.to}{' on ' + ', '.join(window.days) if window.days else ''}" for window in windows
    )


def _one_of(names: tuple[str, ...]) -> str:
    return " or ".join(names)


def _since(key: str, last_ns: int | None, now_ns: int, least_s: float, what: str) -> Condition:
    if last_ns is None or now_ns - last_ns <= -least_s * SECOND_NS:
        return Condition(key, "no message before", f"at least {least_s:g} s after {what}", True)
    seen_s = (now_ns - last_ns) / SECOND_NS
    return Condition(key, f"{seen_s:.0f} s after {what}", f"at least {least_s:g} s", seen_s >= least_s)
