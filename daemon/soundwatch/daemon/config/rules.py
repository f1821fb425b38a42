"""Alert rules: keys of the configuration that send messages about some events.

Conventions: a rule sends when every condition of `when` holds and no condition of `not_when` does. Times are those of
lines, so a rule decides alike in the running daemon, in `soundwatch rules test` and after a restart.
Source: the groups are those of the taxonomy of UrbanSound8K (Salamon, Jacoby and Bello, 2014).
Does not: check names of classes, tags, sources and rules (`rules/check.py`), or decide (`rules/decide.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from soundwatch.daemon.config.place import Day, TimeWindow, parse_bound
from soundwatch.daemon.core.network.redact import OPTION
from soundwatch.daemon.core.time.clock import DAY_S

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "human": ("children_playing",),
    "nature": ("dog_bark",),
    "mechanical": (*("air_conditioner", "car_horn", "drilling", "engine_idling", "gun_shot", "jackhammer", "siren"),),
    "construction": ("drilling", "jackhammer"),
    "traffic": ("car_horn", "engine_idling", "siren"),
    "music": ("street_music",),
}
Fault = Literal[
    "source_lost",
    "source_back",
    "source_waiting",
    "gap",
    "audio_poor",
    "audio_good",
    "overload",
    "overload_ended",
    "journal_failing",
    "journal_working",
    "sink_failing",
    "sink_working",
    "reload_refused",
    "provider_changed",
]
RULE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
HOUR_S: Final = 3600.0

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Period = Annotated[float, msgspec.Meta(gt=0, le=7 * DAY_S)]
Level = Annotated[float, msgspec.Meta(ge=-200, le=0)]
SoundLevel = Annotated[float, msgspec.Meta(ge=-200, le=200)]


class CountConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Number of matching events within a time."""

    times: Annotated[int, msgspec.Meta(ge=2, le=1000)]
    within_s: Period


class DigestConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Time at which a rule sends the statistics of the last day or week.

    Attributes:
        period: Day or week, as of `soundwatch digest`.
        at: Time of day, as the begin of a window.
        day: Day of the week on which a digest of a week is sent.
    """

    period: Literal["day", "week"] = "day"
    at: str = "08:00"
    day: Day = "mon"

    def __post_init__(self) -> None:
        """Refuse a time that is not valid."""
        parse_bound(self.at)

    @property
    def window(self) -> TimeWindow:
        """The window whose begin is the time."""
        return TimeWindow(from_=self.at, days=(self.day,) if self.period == "week" else ())


class WhenConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions that all have to hold; an empty one holds always.

    Attributes:
        classes: Classes of the event; with `groups`, one of both.
        groups: Groups of classes, keys of `GROUPS`.
        tags: Tags that the event has, one of them, with `min_tag_score`.
        min_tag_score: Smallest score of a tag.
        sources: Names of sources.
        min_score: Smallest highest score of the event so far.
        min_level_dbfs: Smallest level.
        min_level_dba: Smallest A-weighted level: dB where the source is calibrated, else dBFS; needs the meter.
        min_duration_s: Shortest duration so far.
        count: Number of events for which all other conditions hold.
        during: Windows of time, of which one has to hold.
        faults: Faults, for a rule about the machine instead of events.
        digest: Time of a digest, for a rule that sends statistics instead of events; null for none.
    """

    classes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    min_tag_score: Share = 0.5
    sources: tuple[str, ...] = ()
    min_score: Share | None = None
    min_level_dbfs: Level | None = None
    min_level_dba: SoundLevel | None = None
    min_duration_s: Period | None = None
    count: CountConfig | None = None
    during: tuple[TimeWindow, ...] = ()
    faults: tuple[Fault, ...] = ()
    digest: DigestConfig | None = None

    @property
    def wanted_classes(self) -> tuple[str, ...]:
        """Classes by name and by group."""
        return (*self.classes, *(class_ for group in self.groups for class_ in GROUPS.get(group, ())))


class AfterConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another rule, and the time after its message."""

    rule: str
    within_s: Period


class NotWhenConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions of which none may hold.

    Attributes:
        during: Quiet hours: windows of time.
        cooldown_s: Time after a message in which the rule sends none for the equal class and source.
        continues: Whether an event that only continues another one is held.
        after: Another rule that has sent shortly before.
    """

    during: tuple[TimeWindow, ...] = ()
    cooldown_s: Annotated[float, msgspec.Meta(ge=0, le=7 * DAY_S)] = 60.0
    continues: bool = True
    after: AfterConfig | None = None


class LimitConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Largest number of messages within a time; a rule without any limit cannot be written."""

    messages: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    within_s: Annotated[float, msgspec.Meta(ge=60, le=7 * DAY_S)] = HOUR_S


class ThenConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Destinations and content of the messages.

    Attributes:
        send: Outputs: `apprise:URL`, `webhook:URL`, `command:PATH`, `json:PATH`, as words or mappings.
        title: Title of a message, with placeholders such as `$sound`.
        body: Text of a message.
        clip: Whether the clip of the event goes along; the message then waits for it.
        max_age_s: Age above which messages are merged into one.
        limit: Largest number of messages.
    """

    send: tuple[str | dict[str, str | int | float | bool | None], ...] = ()
    title: str = "$sound"
    body: str = "$text"
    clip: Literal["none", "attach"] = "none"
    max_age_s: Annotated[float, msgspec.Meta(ge=10, le=30 * DAY_S)] = HOUR_S
    limit: LimitConfig = LimitConfig()


class RuleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One alert rule."""

    when: WhenConfig = WhenConfig()
    not_when: NotWhenConfig = NotWhenConfig()
    then: ThenConfig = ThenConfig()
    enabled: bool = True


def secret_variables(rules: Mapping[str, RuleConfig]) -> frozenset[str]:
    """Return the names of the variables of the environment that hold addresses of outputs."""
    outputs = [output for rule in rules.values() for output in rule.then.send]
    options = [
        dict(OPTION.findall(output))
        if isinstance(output, str)
        else dict(OPTION.findall(str(output.get("sink")))) | output
        for output in outputs
    ]
    return frozenset(str(own["url_env"]) for own in options if own.get("url_env"))
