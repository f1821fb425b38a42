"""A daemon without sources, with alert rules that send to a web service."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from soundwatch.daemon.app.rule_outputs import RuleOutputs, prepare_rules
from soundwatch.daemon.events.schema import UNNUMBERED, EventLine
from support.http_service import HttpService
from support.rule_lines import configured
from support.sink_harness import SinkHarness


class RulesHarness(SinkHarness):
    """A daemon without sources, with alert rules."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(path)
        self.active = configured(f"rules: {text}")
        self.view = replace(self.view, config=lambda: self.active)
        self.rules = RuleOutputs(self.view)
        self.apply(text)

    def apply(self, text: str) -> None:
        """Put other rules in force, as a reload does."""
        self.active = configured(f"rules: {text}")
        self.rules.apply(prepare_rules(self.active, self.view))

    def sound(self, id_: str, age_s: float = 0.0, class_: str = "dog_bark") -> None:
        """Append the start of an event of an age."""
        time = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat(timespec="milliseconds")
        self.journal.append(_started(self, id_, time.replace("+00:00", "Z"), class_))

    def settled(self) -> bool:
        """Return True if every destination has taken every line."""
        self.journal.flush()
        return all(behind == 0 for _, behind in self.rules.sink_statuses())

    def end(self, patience_s: float = 60.0) -> None:
        """End the rules and the journal."""
        self.rules.close(patience_s)
        self.close()


def _started(harness: SinkHarness, id_: str, time: str, class_: str) -> EventLine:
    return EventLine(
        type="start",
        seq=UNNUMBERED,
        id=id_,
        time=time,
        node=harness.node,
        source="mic0",
        class_=class_,
        class_id=0,
        score=0.9,
        peak_score=0.9,
        level_dbfs=-30.0,
        onset=time,
        offset=None,
        duration_s=None,
        reason=None,
        latency_ms=10,
        model="m",
        provider="p",
    )


def bodies(service: HttpService) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in service.requests]


def rule(service: HttpService, more: str = "", then: str = "") -> str:
    return f"{{dogs: {{{more} not_when: {{cooldown_s: 0}}, then: {{send: ['webhook:{service.url}'], {then}}}}}}}"
