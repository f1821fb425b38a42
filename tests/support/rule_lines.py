"""Lines of events and faults as the journal has them, and rules from text, for tests of alert rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import yaml

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.rules.decide import Decision, decide
from soundwatch.daemon.rules.rule_set import RuleSet
from soundwatch.daemon.rules.state import RulesState

MONDAY = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
UTC_PLACE = PlaceConfig(time_zone="UTC")


def configured(text: str) -> Config:
    """Return the configuration of a YAML text."""
    return msgspec.convert(yaml.safe_load(text), Config)


def rule_set(text: str) -> RuleSet:
    """Return the rules of a YAML text, by their names, in UTC."""
    return RuleSet(configured(f"rules: {text}").rules, UTC_PLACE)


class Lines:
    """A growing journal of lines, from Monday 12:00 UTC."""

    def __init__(self) -> None:
        self.entries: list[JournalEntry] = []
        self._events = 0

    def add(self, type_: str, at_s: float, **fields: Any) -> JournalEntry:
        """Add a line at a time after Monday 12:00."""
        line = {"type": type_, "seq": len(self.entries) + 1, "time": time_at(at_s), "node": "edge1", **fields}
        entry = JournalEntry(len(self.entries) + 1, msgspec.json.encode(line) + b"\n")
        self.entries.append(entry)
        return entry

    def event(self, class_: str, at_s: float, until_s: float | None = None, **fields: Any) -> str:
        """Add the start of an event, and its end if it has one; return its id."""
        self._events += 1
        id_ = f"{self._events:026d}"
        values = {"id": id_, "source": "mic0", "class": class_, "peak_score": 0.9, "score": 0.9, "level_dbfs": -30.0}
        values |= {"onset": time_at(at_s), "duration_s": None} | fields
        self.add("start", at_s, **values)
        if until_s is not None:
            self.add("end", until_s, **(values | {"duration_s": until_s - at_s}))
        return id_

    def decisions(self, rules: RuleSet) -> list[Decision]:
        """Return the decision about each line."""
        found, state = list[Decision](), RulesState()
        for entry in self.entries:
            found.append(decide(state, entry, rules))
            state = found[-1].state
        return found

    def sent(self, rules: RuleSet) -> list[tuple[str, int]]:
        """Return rule and number of each line that sends."""
        verdicts = [verdict for decision in self.decisions(rules) for verdict in decision.verdicts]
        return [(verdict.rule, verdict.facts.seq) for verdict in verdicts if verdict.sent]

    def held(self, rules: RuleSet) -> list[tuple[str, int, str]]:
        """Return rule, number and reason of each line that is held."""
        verdicts = [verdict for decision in self.decisions(rules) for verdict in decision.verdicts]
        return [(verdict.rule, verdict.facts.seq, verdict.reason.key) for verdict in verdicts if verdict.reason]


def time_at(at_s: float) -> str:
    """Return a time after Monday 12:00 as lines have it."""
    return (MONDAY + timedelta(seconds=at_s)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
