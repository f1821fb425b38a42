"""A rule as sentences for people.

Does not: decide (`rules/decide.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from soundwatch.daemon.core.place_config import TimeWindow
from soundwatch.daemon.core.rules_config import RuleConfig
from soundwatch.daemon.rules.conditions import window_text

WHOLE_DAY: Final = TimeWindow()
_UNITS: Final = ((86_400, "day"), (3600, "h"), (60, "min"))


def rule_sentence(rule: RuleConfig) -> str:
    """Return the conditions of a rule as one or two sentences."""
    clip = " with its clip" if rule.then.clip == "attach" else ""
    limit = rule.then.limit
    held = [*_not_when(rule), f"at most {limit.messages} messages in {duration_text(limit.within_s)}"]
    return f"{_capital(', '.join(_when(rule)))}: a message{clip}. {_capital('; '.join(held))}."


def duration_text(seconds: float) -> str:
    """Return a duration for people, such as 15 min."""
    for unit_s, unit in _UNITS:
        if seconds >= unit_s and seconds % unit_s == 0:
            count = int(seconds // unit_s)
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return f"{seconds:g} s"


def _when(rule: RuleConfig) -> Iterator[str]:
    when = rule.when
    if when.digest is not None:
        day = f" on {when.digest.day}" if when.digest.period == "week" else ""
        yield f"the digest of the last {when.digest.period}, every {when.digest.period}{day} at {when.digest.at}"
    elif when.faults:
        yield _either(when.faults)
    elif when.classes or when.groups:
        yield _either((*when.classes, *(f"any {group} sound" for group in when.groups)))
    else:
        yield "any sound"
    if when.tags:
        yield f"with the tag {_either(when.tags)} ({when.min_tag_score:g} or more)"
    if when.sources:
        yield f"at {' or '.join(when.sources)}"
    if when.min_score is not None:
        yield f"with a score of {when.min_score:g} or more"
    if when.min_level_dbfs is not None:
        yield f"at {when.min_level_dbfs:g} dBFS or more"
    if when.min_level_dba is not None:
        yield f"at {when.min_level_dba:g} dB(A) or more"
    if when.min_duration_s is not None:
        yield f"for {duration_text(when.min_duration_s)} or longer"
    if when.count is not None:
        yield f"{when.count.times} times within {duration_text(when.count.within_s)}"
    if when.during:
        yield _windows(when.during)


def _not_when(rule: RuleConfig) -> Iterator[str]:
    not_when = rule.not_when
    if not_when.during:
        yield f"not {_windows(not_when.during)}"
    if not_when.cooldown_s:
        yield f"not within {duration_text(not_when.cooldown_s)} after a message about the class and source"
    if not_when.continues and not rule.when.faults and rule.when.digest is None:
        yield "not for a sound that goes on"
    if not_when.after is not None:
        yield f"not within {duration_text(not_when.after.within_s)} after a message of {not_when.after.rule}"


def _windows(windows: Sequence[TimeWindow]) -> str:
    return " or ".join(
        f"on {', '.join(window.days)}"
        if window.days and (window.from_, window.to) == (WHOLE_DAY.from_, WHOLE_DAY.to)
        else f"from {window_text((window,))}"
        for window in windows
    )


def _either(names: Sequence[str]) -> str:
    return " or ".join(name.replace("_", " ") for name in names)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
