"""Digests of rules to services that were down, and states of rules while the disk is full."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.rules import sink as sink_module
from soundwatch.daemon.rules.digest import digest_text
from soundwatch.daemon.rules.history import StateCache
from soundwatch.daemon.rules.message import Message
from soundwatch.daemon.rules.sink import RuleSink
from soundwatch.daemon.rules.state import RulesState
from support.mosquitto import wait_until
from support.rule_lines import MONDAY, Lines, rule_set
from support.sink_harness import SinkHarness

DAY_S = 86_400
RULES = rule_set("{days: {when: {digest: {at: '07:00'}}, then: {send: ['json:a']}}}")


class Service:
    """A destination that is down for some attempts."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.messages: list[Message] = []

    def send(self, message: Message) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("down")
        self.messages.append(message)

    def close(self) -> None:
        """Close nothing."""


@pytest.fixture
def filed(tmp_path: Path) -> Iterator[SinkHarness]:
    made = SinkHarness(tmp_path / "j.db")
    yield made
    made.close()


def rule_sink(harness: SinkHarness, service: Service, now_day: float) -> RuleSink:
    now_s = MONDAY.timestamp() + now_day * DAY_S
    view = replace(harness.view, config=lambda: Config(stats_s=60.0))
    return RuleSink("s", "days", RULES, service, RulesState(), view, lambda: now_s)


def days(*numbers: float) -> Lines:
    lines = Lines()
    for number in numbers:
        lines.add("stats", number * DAY_S, source="mic0")
    return lines


def test_a_service_that_was_down_for_days_gets_the_last_digest(filed: SinkHarness) -> None:
    service = Service(failures=2)
    sink = rule_sink(filed, service, 5)
    lines = days(0, 1, 2, 3, 4, 5)
    settled = [0]
    sink.on_settled = settled.append
    for _ in range(2):
        with pytest.raises(OSError, match="down"):
            sink.deliver(lines.entries[settled[-1] :])
    sink.deliver(lines.entries[settled[-1] :])
    assert [message.seq for message in service.messages] == [6]
    assert (sink.counts.sent, sink.counts.late) == (1, 4)


def test_a_digest_of_an_earlier_delivery_is_late_once_its_period_has_passed(filed: SinkHarness) -> None:
    service = Service()
    sink = rule_sink(filed, service, 5)
    lines = days(0, 1, 5)
    sink.deliver(lines.entries[:2])
    sink.deliver(lines.entries[2:])
    assert [message.seq for message in service.messages] == [3]
    assert sink.counts.late == 1


def test_the_text_of_a_digest_is_computed_once_for_all_attempts(
    filed: SinkHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = list[int]()

    def counted(*of: Any) -> str:
        computed.append(of[1].seq)
        return digest_text(*of)

    monkeypatch.setattr(sink_module, "digest_text", counted)
    service = Service(failures=3)
    sink = rule_sink(filed, service, 2)
    lines = days(0, 1, 2)
    sink.deliver(lines.entries[:1])
    for _ in range(3):
        with pytest.raises(OSError, match="down"):
            sink.deliver(lines.entries[1:2])
    sink.deliver(lines.entries[1:2])
    sink.deliver(lines.entries[2:])
    assert computed == [2, 3]
    assert [message.seq for message in service.messages] == [2, 3]


def test_a_state_includes_lines_that_a_full_disk_keeps_out_of_the_file(
    filed: SinkHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    journal, rules = filed.journal, rule_set("{dogs: {then: {send: ['json:a']}}}")
    filed.event("start", "A")
    journal.flush()
    with monkeypatch.context() as disk:
        disk.setattr(journal.store, "commit", full)
        filed.event("start", "B", "siren")
        wait_until(lambda: journal.failing and journal.last_seq >= 2)
        states = StateCache(journal.store, rules, journal.read_after)
        assert [states.state_at(seq).of("dogs").sent_total for seq in (1, 2)] == [1, 2]
