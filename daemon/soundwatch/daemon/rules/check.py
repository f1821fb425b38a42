"""Checks of the rules of a configuration, against the model, the sources and each other.

Conventions: a message names the key, and the nearest known name.
Does not: open a destination.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.place import PlaceConfig, check_place
from soundwatch.daemon.config.rules import GROUPS, RULE_NAME, RuleConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.text.messages import did_you_mean
from soundwatch.daemon.core.time.clock import DAY_S, SECOND_NS
from soundwatch.daemon.detection.effective import DEFAULT, Setting, SourceSettings
from soundwatch.daemon.detection.rules import COMMON, SourceRules
from soundwatch.daemon.rules.conditions import window_text
from soundwatch.daemon.rules.message import check_templates
from soundwatch.daemon.schedule.windows import is_within_any, next_change

SEASONS: Final = tuple(datetime(2026, month, 1, tzinfo=UTC) for month in (1, 4, 7, 10))
HIGHEST_UNCALIBRATED_DBA: Final = 10.0  # no digital signal has more
WEEK_NS: Final = 7 * DAY_S * SECOND_NS
_EVENT_KEYS: Final = ("classes", "groups", "tags", "min_score", "min_level_dbfs", "min_level_dba", "min_duration_s")


def check_rules(
    config: Config, contract: ModelContract, in_force: Mapping[str, SourceRules], sources: Collection[str] = ()
) -> None:
    """Check every rule, also those that are not enabled.

    Args:
        config: The configuration.
        contract: Contract of the model, with tags that are classes.
        in_force: Rules of detection by source, as `resolve_sources` returns them.
        sources: Names of further sources, such as those of the command line.

    Raises:
        ConfigError: A name is unknown, or a rule contradicts itself.
    """
    for name, rule in config.rules.items():
        where = f"rules.{name}"
        if not RULE_NAME.fullmatch(name):
            raise ConfigError(f"{where}: a rule's name is 1 to 40 of a-z, 0-9, _ and -, such as siren_at_night.")
        if not rule.then.send:
            raise ConfigError(f"{where}.then.send: a rule needs one output at least, such as webhook:URL.")
        when = rule.when
        _check_known(f"{where}.when.classes", when.classes, (*contract.labels, *config.level_classes), "class")
        _check_known(f"{where}.when.groups", when.groups, GROUPS, "group")
        _check_known(f"{where}.when.tags", when.tags, contract.tags, "tag")
        _check_known(f"{where}.when.sources", when.sources, {*config.sources, *sources}, "source")
        check_place(when.during, config.place, f"{where}.when.during")
        if when.digest is not None:
            check_place((when.digest.window,), config.place, f"{where}.when.digest.at")
        check_place(rule.not_when.during, config.place, f"{where}.not_when.during")
        check_templates(name, rule)
        settings = [in_force.get(source, in_force[COMMON]).settings for source in _sources(rule, config, sources)]
        _check_faults(where, rule)
        _check_digest(where, rule)
        _check_clips(where, rule, config, settings)
        _check_level(where, rule, config, sources)
        _check_after(name, rule, config.rules)
        _check_detection(where, rule, config, sources, settings)
        _check_windows(where, rule, config.place)


def closure(rules: Mapping[str, RuleConfig], name: str) -> dict[str, RuleConfig]:
    """Return a rule and those that it depends on, in the order of the configuration."""
    wanted, last = {name}, set[str]()
    while wanted != last:
        last = set(wanted)
        wanted |= {after.rule for one in last if (after := rules[one].not_when.after) is not None}
    return {one: rule for one, rule in rules.items() if one in wanted}


def _check_known(where: str, names: Collection[str], known: Collection[str], what: str) -> None:
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError(f"{where}: {name} is no {what}; {hint}known: {', '.join(known) or 'none'}.")


def _sources(rule: RuleConfig, config: Config, sources: Collection[str]) -> list[str]:
    """Return the names of the sources that a rule is about; `COMMON` where none is known."""
    return list(rule.when.sources or dict.fromkeys((*config.sources, *sources)) or (COMMON,))


def _check_faults(where: str, rule: RuleConfig) -> None:
    """Refuse conditions that no fault has."""
    if rule.when.faults:
        found = [key for key in _EVENT_KEYS if getattr(rule.when, key) not in ((), None)]
        if found:
            raise ConfigError(
                f"{where}.when: faults and {', '.join(found)} exclude each other: a rule is about faults or about "
                "sounds. Write two rules."
            )
        if rule.then.clip == "attach":
            raise ConfigError(f"{where}.then.clip: a fault has no clip; clip: none was expected.")


def _check_digest(where: str, rule: RuleConfig) -> None:
    """Refuse conditions that no digest has."""
    if rule.when.digest is None:
        return
    others = [key for key in (*_EVENT_KEYS, "sources", "count", "during", "faults") if getattr(rule.when, key)]
    if others:
        raise ConfigError(
            f"{where}.when: digest and {', '.join(others)} exclude each other: a digest is sent at its time. Write two "
            "rules."
        )
    if rule.then.clip == "attach":
        raise ConfigError(f"{where}.then.clip: a digest has no clip; clip: none was expected.")


def _check_clips(where: str, rule: RuleConfig, config: Config, settings: Sequence[SourceSettings]) -> None:
    """Refuse to attach clips that are never written."""
    if rule.then.clip == "none":
        return
    if config.clips.folder is None:
        raise ConfigError(f"{where}.then.clip: attach needs clips; set clips.folder, or clip: none.")
    classes = rule.when.wanted_classes or tuple(of_class.label for of_class in settings[0].classes)
    if not any(own.clips.gives_clip(label) for own in settings for label in classes):
        keys = dict.fromkeys(own.clips.enabled.origin for own in settings if not own.clips.enabled.value)
        keys |= dict.fromkeys(own.clips.classes.origin for own in settings if own.clips.enabled.value)
        raise ConfigError(
            f"{where}.then.clip: attach needs clips, and {' and '.join(keys)} lets no event of this rule have one. "
            "Change that, or set clip: none."
        )


def _check_level(where: str, rule: RuleConfig, config: Config, sources: Collection[str]) -> None:
    """Refuse a level that no event has."""
    least = rule.when.min_level_dba
    if least is None:
        return
    if not config.level.enabled:
        raise ConfigError(
            f"{where}.when.min_level_dba: events have a level in dB(A) only with the sound level meter; set "
            "level.enabled: true, or use min_level_dbfs."
        )
    named = [source for source in _sources(rule, config, sources) if source in config.sources]
    offsets = [config.sources[source].level_offset_db for source in named]
    if least > HIGHEST_UNCALIBRATED_DBA and all(offset_db is None for offset_db in offsets):
        raise ConfigError(
            f"{where}.when.min_level_dba: {least:g} dB never holds: without sources.*.level_offset_db, levels are in "
            "dBFS and seldom above 0. Calibrate a source (docs/sound-level.md), or use a level below 0."
        )


def _check_after(name: str, rule: RuleConfig, rules: Mapping[str, RuleConfig]) -> None:
    """Refuse a rule that waits for itself or for one that can never send."""
    after = rule.not_when.after
    if after is None:
        return
    where = f"rules.{name}.not_when.after.rule"
    _check_known(where, (after.rule,), [other for other in rules if other != name], "other rule")
    if not rules[after.rule].enabled:
        raise ConfigError(f"{where}: the rule {after.rule} is not enabled, so it never sends. Remove one of both.")


def _check_detection(
    where: str, rule: RuleConfig, config: Config, sources: Collection[str], settings: Sequence[SourceSettings]
) -> None:
    """Refuse classes and durations that no source of the rule detects."""
    wanted = rule.when.wanted_classes
    of_classes = [one for own in settings for one in own.classes if not wanted or one.label in wanted]
    detected = [one for one in of_classes if one.is_detected]
    metered = {label for source in _sources(rule, config, sources) for label in config.level_of(source).classes}
    has_level = any(label in metered for label in wanted)
    if wanted and not has_level and not detected:
        where_off = dict.fromkeys(
            (one.enabled if not one.enabled.value else one.threshold).origin for one in of_classes
        ) | dict.fromkeys(f"{label} of the source" for label in wanted if label in config.level_classes)
        raise ConfigError(
            f"{where}.when.classes: {', '.join(wanted)} is not enabled: no source of this rule detects it "
            f"({', '.join(where_off)})."
        )
    if not rule.when.faults:
        longest = [one.max_duration_s for one in detected]
        if has_level:
            longest.append(Setting(config.detection.max_duration_s, DEFAULT))
        _check_duration(where, rule.when.min_duration_s, longest)


def _check_duration(where: str, least_s: float | None, longest: Sequence[Setting[float]]) -> None:
    """Refuse a least duration above the longest one of every class."""
    longest_s = max((one.value for one in longest), default=0)
    if least_s is None or least_s <= longest_s:
        return
    keys = dict.fromkeys(
        "detection.max_duration_s" if one.origin == DEFAULT else one.origin for one in longest if one.value == longest_s
    )
    raise ConfigError(
        f"{where}.when.min_duration_s: {least_s:g} s never holds: an event ends after {longest_s:g} s "
        f"({', '.join(keys) or 'detection.max_duration_s'})."
    )


def _check_windows(where: str, rule: RuleConfig, place: PlaceConfig) -> None:
    """Refuse windows of time of which some never hold together."""
    when = rule.when
    if when.during and rule.not_when.during and not _has_moment(rule, place):
        raise ConfigError(
            f"{where}: when.during ({window_text(when.during)}) lies within not_when.during "
            f"({window_text(rule.not_when.during)}), so the rule never sends. Change one of both."
        )


def _has_moment(rule: RuleConfig, place: PlaceConfig) -> bool:
    """Return True if some moment of a week of each season lies in `when` and not in `not_when`."""
    return any(
        is_within_any(rule.when.during, place, moment_ns) and not is_within_any(rule.not_when.during, place, moment_ns)
        for season in SEASONS
        for moment_ns in _edges(rule, place, int(season.timestamp()) * SECOND_NS)
    )


def _edges(rule: RuleConfig, place: PlaceConfig, begin_ns: int) -> Iterator[int]:
    """Yield the begin of a week, and each moment in it at which a window changes."""
    yield begin_ns
    for windows in (rule.when.during, rule.not_when.during):
        edge_ns = next_change(windows, place, begin_ns)
        while edge_ns is not None and edge_ns < begin_ns + WEEK_NS:
            yield edge_ns
            edge_ns = next_change(windows, place, edge_ns)
