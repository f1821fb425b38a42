"""Schedules: keys of the configuration that pause sources, change thresholds or mute rules for a time.

Conventions: `app/schedules.py` evaluates schedules. Rules have windows of their own (`rules.NAME.not_when.during`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import msgspec

from soundwatch.daemon.config.place import PlaceConfig, TimeWindow, check_place
from soundwatch.daemon.config.source import Share
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.text.messages import did_you_mean

Offset = Annotated[float, msgspec.Meta(ge=-1, le=1)]


class ThresholdsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Change of thresholds.

    Attributes:
        at_least: Lowest threshold; a higher one stays.
        add: Difference, before `at_least` applies.
        classes: Classes that are changed; none for all.
    """

    at_least: Share | None = None
    add: Offset = 0.0
    classes: tuple[str, ...] = ()


class ScheduleEffectConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Effect of a schedule.

    Attributes:
        pause: Discard the sound of the sources; locked: nobody resumes them within the windows.
        thresholds: Change of thresholds; null for none.
        mute_rules: Names of alert rules that send nothing, whatever the sources.
    """

    pause: bool | Literal["locked"] = False
    thresholds: ThresholdsConfig | None = None
    mute_rules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a schedule without an effect."""
        change = self.thresholds
        if not self.pause and not self.mute_rules and (change is None or (change.at_least is None and not change.add)):
            raise ValueError(
                "A schedule without effect: expected pause: true or locked, mute_rules, or thresholds: at_least or add"
            )


class ScheduleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One schedule.

    Attributes:
        when: Windows of time, of which one has to hold.
        sources: Names of sources; none for all.
        then: Effect.
        enabled: false: the schedule has no effect until it is enabled by MQTT.
    """

    when: tuple[TimeWindow, ...] = ()
    sources: tuple[str, ...] = ()
    then: ScheduleEffectConfig
    enabled: bool = True

    @property
    def locks(self) -> bool:
        """Return True if only a change of the file ends the pause of this schedule."""
        return self.enabled and self.then.pause == "locked"

    def __post_init__(self) -> None:
        """Refuse a schedule that never applies."""
        if not self.when:
            raise ValueError('A schedule without a window: expected `when`, such as [{from: "22:00", to: "06:00"}]')


def check_schedules(
    schedules: Mapping[str, ScheduleConfig], sources: Iterable[str], rules: Iterable[str], place: PlaceConfig
) -> None:
    """Refuse schedules of unknown sources or rules, and windows of the sun without coordinates.

    Raises:
        ConfigError: A schedule names an unknown source or rule, or the sun without a place.
    """
    known, known_rules = tuple(sources), tuple(rules)
    for name, schedule in schedules.items():
        check_place(schedule.when, place, f"schedules.{name}.when")
        for source in schedule.sources:
            if source not in known:
                raise ConfigError(
                    f"schedules.{name}.sources: {source!r} is not a source; {did_you_mean(source, known)}"
                    f"the sources are {', '.join(known)}."
                )
        for rule in schedule.then.mute_rules:
            if rule not in known_rules:
                raise ConfigError(
                    f"schedules.{name}.then.mute_rules: {rule!r} is not a rule; {did_you_mean(rule, known_rules)}"
                    f"the rules are {', '.join(known_rules) or 'none'}."
                )


def muting_schedules(schedules: Mapping[str, ScheduleConfig]) -> bool:
    """Return True if a schedule mutes rules."""
    return any(schedule.then.mute_rules for schedule in schedules.values())
