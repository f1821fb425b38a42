"""State of the rules: what earlier lines left behind that a decision depends on.

Conventions: records are frozen; a decision makes new ones. Times are nanoseconds since 1970. What no later decision
can depend on is dropped, so the state stays small.
Does not: decide (`rules/decide.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from soundwatch.daemon.rules.facts import LineFacts

Sound = tuple[str | None, str | None]  # class or fault, and source


@dataclass(frozen=True, slots=True)
class RuleState:
    """State of one rule.

    Attributes:
        counted: Times of events that count, the oldest first.
        counted_ids: Ids of active events that were counted.
        decided_ids: Ids of active events that were sent or held.
        sent: Times of the messages within the time of the limit.
        last_sent: Time of the last message of each class and source.
        last_sent_ns: Time of the last message; None before the first.
        waiting: Messages that wait for the clip of an event, by its id.
        clips: Paths of clips that came before their event's message, by id.
        sent_total: Number of messages so far.
        held: Number of held messages so far, by the condition that held them.
        digest_ns: Time of the next digest; None before the first line.
        digests: Times of the last digests, by the calendar.
    """

    counted: tuple[int, ...] = ()
    counted_ids: frozenset[str] = frozenset()
    decided_ids: frozenset[str] = frozenset()
    sent: tuple[int, ...] = ()
    last_sent: Mapping[Sound, int] = field(default_factory=dict)
    last_sent_ns: int | None = None
    waiting: Mapping[str, LineFacts] = field(default_factory=dict)
    clips: Mapping[str, str | None] = field(default_factory=dict)
    sent_total: int = 0
    held: Mapping[str, int] = field(default_factory=dict)
    digest_ns: int | None = None
    digests: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RulesState:
    """State of all rules after a line.

    Attributes:
        rules: State of each rule that has one, by name.
        seq: Number of the line; 0 before the first.
        muted: Names of the rules that schedules mute.
    """

    rules: Mapping[str, RuleState] = field(default_factory=dict)
    seq: int = 0
    muted: tuple[str, ...] = ()

    def of(self, name: str) -> RuleState:
        """Return the state of a rule."""
        return self.rules.get(name, _EMPTY)


_EMPTY: Final = RuleState()
