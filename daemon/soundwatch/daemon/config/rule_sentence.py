"""A rule as sentences for people.

Does not: decide (`rules/decide.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from soundwatch.daemon.config.place import DAYS, Day, TimeWindow, parse_bound
from soundwatch.daemon.config.rules import RuleConfig
from soundwatch.daemon.core.languages.date_text import WEEKDAYS
from soundwatch.daemon.core.languages.language import Language, number_text, sound_name, translated
from soundwatch.daemon.core.time.clock import DAY_S

WHOLE_DAY: Final = TimeWindow()


def rule_sentence(rule: RuleConfig, language: Language) -> str:
    """Return the conditions of a rule as one or two sentences."""
    limit = rule.then.limit
    within = duration_text(limit.within_s, language)
    most = translated("at most {n} messages in {duration}", language, n=limit.messages, duration=within)
    held = translated("; ", language).join([*_not_when(rule, language), most])
    conditions = translated(", ", language).join(_when(rule, language))
    if language != "ja":  # where a sentence can begin with a name
        conditions, held = _capital(conditions), _capital(held)
    if rule.then.clip == "attach":
        return translated("{conditions}: a message with its clip. {held}.", language, conditions=conditions, held=held)
    return translated("{conditions}: a message. {held}.", language, conditions=conditions, held=held)


def duration_text(seconds: float, language: Language) -> str:
    """Return a duration for people in its largest whole unit, such as 15 min."""
    if seconds >= DAY_S and seconds % DAY_S == 0:
        return translated("{n} days", language, n=int(seconds // DAY_S))
    if seconds >= 3600 and seconds % 3600 == 0:
        return translated("{n} h", language, n=int(seconds // 3600))
    if seconds >= 60 and seconds % 60 == 0:
        return translated("{n} min", language, n=int(seconds // 60))
    return translated("{seconds} s", language, seconds=number_text(f"{seconds:g}", language))


def _when(rule: RuleConfig, language: Language) -> Iterator[str]:
    when = rule.when
    if when.digest is not None:
        yield _digest(when.digest.period, when.digest.day, when.digest.at, language)
    elif when.faults:
        yield _either((sound_name(fault, language) for fault in when.faults), language)
    elif when.classes or when.groups:
        groups = (translated("any {group} sound", language, group=sound_name(group, language)) for group in when.groups)
        yield _either([*(sound_name(class_, language) for class_ in when.classes), *groups], language)
    else:
        yield translated("any sound", language)
    if when.tags:
        tags = _either((sound_name(tag, language) for tag in when.tags), language)
        yield translated("with the tag {tags} ({score} or more)", language, tags=tags, score=when.min_tag_score)
    if when.sources:
        yield translated("at {sources}", language, sources=_either(when.sources, language))
    if when.min_score is not None:
        yield translated("with a score of {score} or more", language, score=when.min_score)
    if when.min_level_dbfs is not None:
        yield translated("at {level} dBFS or more", language, level=when.min_level_dbfs)
    if when.min_level_dba is not None:
        yield translated("at {level} dB(A) or more", language, level=when.min_level_dba)
    if when.min_duration_s is not None:
        yield translated("for {duration} or longer", language, duration=duration_text(when.min_duration_s, language))
    if when.count is not None:
        within = duration_text(when.count.within_s, language)
        yield translated("{n} times within {duration}", language, n=when.count.times, duration=within)
    if when.during:
        yield _windows(when.during, language)


def _digest(period: str, day: Day, at: str, language: Language) -> str:
    if period == "week":
        weekday = _day(day, language)
        return translated("the digest of the last week, every week on {day} at {time}", language, day=weekday, time=at)
    return translated("the digest of the last day, every day at {time}", language, time=at)


def _not_when(rule: RuleConfig, language: Language) -> Iterator[str]:
    not_when = rule.not_when
    if not_when.during:
        yield translated("not {windows}", language, windows=_windows(not_when.during, language))
    if not_when.cooldown_s:
        duration = duration_text(not_when.cooldown_s, language)
        yield translated(
            "not within {duration} after a message about the class and source", language, duration=duration
        )
    if not_when.continues and not rule.when.faults and rule.when.digest is None:
        yield translated("not for a sound that goes on", language)
    if not_when.after is not None:
        duration = duration_text(not_when.after.within_s, language)
        yield translated(
            "not within {duration} after a message of {rule}", language, duration=duration, rule=not_when.after.rule
        )


def _windows(windows: Sequence[TimeWindow], language: Language) -> str:
    return _either((_window(window, language) for window in windows), language)


def _window(window: TimeWindow, language: Language) -> str:
    days = translated(", ", language).join(_day(day, language) for day in window.days)
    if window.days and (window.from_, window.to) == (WHOLE_DAY.from_, WHOLE_DAY.to):
        return translated("on {days}", language, days=days)
    bounds = {"begin": _bound(window.from_, language), "end": _bound(window.to, language)}
    if window.days:
        return translated("from {begin} to {end} on {days}", language, days=days, **bounds)
    return translated("from {begin} to {end}", language, **bounds)


def _day(day: Day, language: Language) -> str:
    """Return a day of the week with its preposition, which English texts have already."""
    return WEEKDAYS[DAYS.index(day)] if language == "en" else sound_name(day, language)


def _bound(text: str, language: Language) -> str:
    """Return one end of a window: a time of day, or one before or after sunrise or sunset."""
    bound = parse_bound(text)
    if bound.event == "midnight":
        return text
    sun = sound_name(bound.event, language)
    if bound.offset_minutes == 0:
        return translated("{event}", language, event=sun)
    duration = duration_text(abs(bound.offset_minutes) * 60, language)
    if bound.offset_minutes < 0:
        return translated("{duration} before {event}", language, duration=duration, event=sun)
    return translated("{duration} after {event}", language, duration=duration, event=sun)


def _either(names: Iterable[str], language: Language) -> str:
    return translated(" or ", language).join(names)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
