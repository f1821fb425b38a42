"""Status of the alert rules for the API."""

from __future__ import annotations

from typing import Literal

import msgspec

from soundwatch.daemon.config.rule_sentence import rule_sentence
from soundwatch.daemon.core.languages.language import Language
from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.protocols import RuleTargetStatus


class RuleOutputResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Status of one output of a rule; messages since the start of the program."""

    name: str
    state: Literal["working", "failing", "gone"]
    reason: str | None
    behind_lines: int
    sent: int
    late: int
    refused: int
    last_sent: str | None


class RuleResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Status of a rule: messages that it decided to send and to hold, in all lines of the journal."""

    name: str
    enabled: bool
    sentence: str
    decided: int
    held: dict[str, int]
    last_decided: str | None
    waiting: int
    outputs: tuple[RuleOutputResponse, ...]


class RulesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Status of all alert rules, in the order of the configuration."""

    rules: tuple[RuleResponse, ...]


def rules(view: DaemonView, language: Language) -> RulesResponse:
    """Return the status of all alert rules, with their sentences in a language."""
    return RulesResponse(
        rules=tuple(
            RuleResponse(
                name=status.name,
                enabled=status.enabled,
                sentence=rule_sentence(status.config, language),
                decided=status.decided,
                held=dict(status.held),
                last_decided=_time(status.last_decided_unix_ns),
                waiting=status.waiting,
                outputs=tuple(_output(status.name, target) for target in status.targets),
            )
            for status in view.rules()
        )
    )


def _output(rule: str, target: RuleTargetStatus) -> RuleOutputResponse:
    sink, counts = target.sink, target.counts
    return RuleOutputResponse(
        name=sink.name.removeprefix(f"rule:{rule}:"),
        state=sink.state,
        reason=sink.reason,
        behind_lines=target.behind_lines,
        sent=counts.sent,
        late=counts.late,
        refused=counts.refused,
        last_sent=_time(counts.last_sent_unix_ns),
    )


def _time(unix_ns: int | None) -> str | None:
    return None if unix_ns is None else format_utc(unix_ns)
