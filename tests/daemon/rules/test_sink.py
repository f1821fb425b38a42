"""Messages of alert rules through real workers, journals and HTTP servers."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from soundwatch.daemon.app.rule_outputs import RuleOutputs, prepare_rules
from soundwatch.daemon.core.config import Config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.events.schema import UNNUMBERED, EventLine
from soundwatch.daemon.sinks import dispatcher, worker
from support.http_service import HttpService, ServiceAnswer, http_service
from support.mosquitto import wait_until
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


@pytest.fixture
def service() -> Iterator[HttpService]:
    with http_service() as running:
        yield running


def bodies(service: HttpService) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in service.requests]


def rule(service: HttpService, more: str = "", then: str = "") -> str:
    return f"{{dogs: {{{more} not_when: {{cooldown_s: 0}}, then: {{send: ['webhook:{service.url}'], {then}}}}}}}"


def test_a_webhook_gets_the_line_with_the_rule_and_its_text(tmp_path: Path, service: HttpService) -> None:
    harness = RulesHarness(tmp_path / "j.db", rule(service, "when: {classes: [dog_bark]},", "title: '$sound!'"))
    harness.sound("A")
    harness.sound("B", class_="siren")
    wait_until(harness.settled)
    [body] = bodies(service)
    assert (body["id"], body["rule"], body["title"], body["merged"]) == ("A", "dogs", "dog bark!", 1)
    assert body["body"].startswith("dog bark at mic0 (edge1) since ")
    [status] = harness.rules.statuses()
    assert (status.decided, status.held, status.targets[0].sent) == (1, {}, 1)
    harness.end()


def test_a_chat_template_shows_the_text_of_the_rule(tmp_path: Path, service: HttpService) -> None:
    text = f"{{dogs: {{then: {{body: 'Woof $class', send: ['webhook:{service.url},template=ntfy']}}}}}}"
    harness = RulesHarness(tmp_path / "j.db", text)
    harness.sound("A")
    wait_until(harness.settled)
    assert [request.body for request in service.requests] == [b"Woof dog_bark"]
    harness.end()


def test_a_service_that_was_down_gets_late_messages_as_one(tmp_path: Path, service: HttpService) -> None:
    service.answer = lambda _: ServiceAnswer(500)
    harness = RulesHarness(tmp_path / "j.db", rule(service, then="max_age_s: 600, limit: {messages: 900}"))
    for number in range(300):
        harness.sound(f"{number:026d}", age_s=7200 - number)
    harness.sound("fresh")
    wait_until(lambda: harness.rules.sink_statuses()[0][0].state == "failing")
    tried = len(service.requests)
    service.answer = lambda _: ServiceAnswer(200)
    wait_until(harness.settled)
    accepted = bodies(service)[tried:]
    accepted = [body for body in accepted if body["merged"] > 1 or body["id"] == "fresh"]
    [status] = harness.rules.statuses()
    counts = status.targets[0]
    assert counts.late == 300
    assert counts.refused == 0
    assert accepted[-1]["id"] == "fresh"
    assert sum(body["merged"] for body in accepted) == 301
    assert "could not be sent in time" in accepted[0]["body"]
    harness.end()


def test_a_message_is_sent_once_although_a_later_one_of_the_delivery_fails(
    tmp_path: Path, service: HttpService
) -> None:
    failures = [ServiceAnswer(503)] * 2
    service.answer = lambda request: (
        failures.pop() if json.loads(request.body)["id"] == "B" and failures else ServiceAnswer()
    )
    harness = RulesHarness(tmp_path / "j.db", rule(service))
    for id_ in "ABC":
        harness.sound(id_)
    wait_until(harness.settled)
    assert [body["id"] for body in bodies(service)] == ["A", "B", "B", "B", "C"]
    harness.end()


def test_a_message_is_sent_once_although_the_program_stops_while_a_later_one_of_the_delivery_fails(
    tmp_path: Path, service: HttpService
) -> None:
    text = rule(service)
    service.answer = lambda request: ServiceAnswer(503 if json.loads(request.body)["id"] == "B" else 200)
    stopped = RulesHarness(tmp_path / "j.db", text)
    for id_ in "ABC":
        stopped.sound(id_)
    wait_until(lambda: any(body["id"] == "B" for body in bodies(service)))
    stopped.end(patience_s=0.0)
    service.answer = lambda _: ServiceAnswer()
    started = RulesHarness(tmp_path / "j.db", text)
    wait_until(started.settled)
    sent = [body["id"] for body in bodies(service)]
    assert (sent[0], sent[-2:], sent.count("A"), sent.count("C")) == ("A", ["B", "C"], 1, 1)
    started.end()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of modules that Apprise imports
def test_a_changed_rule_does_not_repeat_a_message_that_is_under_way(
    tmp_path: Path, service: HttpService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (dispatcher, worker):
        monkeypatch.setattr(module, "CLOSING_S", 0.05)
    answered = threading.Event()
    service.answer = lambda _: (answered.wait(60), ServiceAnswer())[1]
    text = f"{{dogs: {{then: {{title: TITLE, send: ['apprise:{service.url.replace('http', 'json')}/']}}}}}}"
    harness = RulesHarness(tmp_path / "j.db", text)
    harness.sound("A")
    wait_until(lambda: bool(service.requests))
    harness.apply(text.replace("TITLE", "other"))
    answered.set()
    wait_until(harness.settled)
    assert [body["title"] for body in bodies(service)] == ["TITLE"]
    harness.end()


def test_a_refused_message_is_counted_and_the_next_one_is_sent(tmp_path: Path, service: HttpService) -> None:
    service.answer = lambda request: ServiceAnswer(400 if json.loads(request.body)["id"] == "A" else 200)
    harness = RulesHarness(tmp_path / "j.db", rule(service))
    harness.sound("A")
    harness.sound("B")
    wait_until(harness.settled)
    [status] = harness.rules.statuses()
    assert (status.targets[0].sent, status.targets[0].refused) == (1, 1)
    assert "rule_message_refused" in harness.log.events
    harness.end()


def test_a_restart_continues_with_the_state_and_the_place(tmp_path: Path, service: HttpService) -> None:
    text = (
        f"{{dogs: {{when: {{count: {{times: 3, within_s: 600}}}}, not_when: {{cooldown_s: 600}}, "
        f"then: {{send: ['webhook:{service.url}']}}}}}}"
    )
    for ids in ("A", "B", "CDEF"):
        harness = RulesHarness(tmp_path / "j.db", text)
        for id_ in ids:
            harness.sound(id_)
        wait_until(harness.settled)
        harness.end()
    assert [body["id"] for body in bodies(service)] == ["C"]


@pytest.mark.slow
def test_a_reload_neither_loses_nor_doubles_a_message(tmp_path: Path, service: HttpService) -> None:
    harness = RulesHarness(tmp_path / "j.db", rule(service, then="limit: {messages: 500}"))
    for number in range(60):
        harness.sound(f"{number:026d}")
        if number % 20 == 10:
            harness.apply(rule(service, then=f"limit: {{messages: 500}}, title: 't{number}'"))
    wait_until(harness.settled)
    assert [body["id"] for body in bodies(service)] == [f"{number:026d}" for number in range(60)]
    assert len({body["title"] for body in bodies(service)}) > 1
    harness.end()


def test_a_rule_that_is_taken_out_sends_nothing_more(tmp_path: Path, service: HttpService) -> None:
    harness = RulesHarness(tmp_path / "j.db", rule(service))
    harness.apply("{}")
    harness.sound("A")
    harness.journal.flush()
    assert harness.rules.statuses() == []
    assert harness.rules.sink_statuses() == []
    assert service.requests == []
    harness.end()


@pytest.mark.skipif(os.name != "posix", reason="the program is a shell script")
def test_a_program_gets_the_text_in_its_environment_and_no_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, hook = tmp_path / "out", tmp_path / "hook"
    names = ("RULE", "TITLE", "BODY", "MERGED", "CLASS", "PASSWORD")
    echo = "\n".join(f'echo "$SOUNDWATCH_{name}"' for name in names)
    hook.write_text(
        f"#!/bin/sh\n(cat; {echo.replace(chr(10), '; ')}; echo [$NTFY_URL$CHAT_URL]) > {out}.new; mv {out}.new {out}\n"
    )
    hook.chmod(0o755)
    for name in ("NTFY_URL", "CHAT_URL", "SOUNDWATCH_PASSWORD"):
        monkeypatch.setenv(name, "secret")
    quiet = "when: {classes: [siren]}, then: {send: [{sink: apprise, url_env: NTFY_URL}, 'apprise:,url_env=CHAT_URL']}"
    text = f"{{dogs: {{then: {{title: 'Woof', send: ['command:{hook}']}}}}, quiet: {{enabled: false, {quiet}}}}}"
    harness = RulesHarness(tmp_path / "j.db", text)
    harness.sound("A")
    wait_until(out.exists)
    line, *seen = out.read_text().splitlines()
    assert json.loads(line)["title"] == "Woof"
    assert seen[:2] == ["dogs", "Woof"]
    assert seen[2].startswith("dog bark at mic0")
    assert seen[3:] == ["1", "dog_bark", "", "[]"]
    harness.end()


def test_a_digest_comes_once_with_its_statistics(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    text = f"{{days: {{when: {{digest: {{period: day}}}}, then: {{send: ['json:{file}']}}}}}}"
    harness = RulesHarness(tmp_path / "j.db", text)
    for age_s in (3 * 86_400, 0, 0):
        harness.sound(f"{age_s}", age_s)
    wait_until(harness.settled)
    harness.end()
    again = RulesHarness(tmp_path / "j.db", text)
    again.sound("B")
    wait_until(again.settled)
    again.end()
    [line] = [json.loads(line) for line in file.read_text().splitlines()]
    assert (line["type"], line["reason"], line["rule"], line["title"]) == (
        "health",
        "digest",
        "days",
        "digest of the day",
    )
    assert "dog bark" in line["body"] or "no events" in line["body"].lower()


def test_two_outputs_of_a_rule_are_independent(tmp_path: Path, service: HttpService) -> None:
    file = tmp_path / "alerts.jsonl"
    text = f"{{dogs: {{then: {{send: ['webhook:{service.url}', 'json:{file}']}}}}}}"
    service.answer = lambda _: ServiceAnswer(500)
    harness = RulesHarness(tmp_path / "j.db", text)
    harness.sound("A")
    wait_until(lambda: file.exists() and file.read_text().count("\n") == 1)
    assert json.loads(file.read_text())["rule"] == "dogs"
    service.answer = lambda _: ServiceAnswer()
    wait_until(harness.settled)
    assert bodies(service)[-1]["id"] == "A"
    harness.end()


@pytest.mark.parametrize(
    ("send", "message"),
    [
        ("webhok:http://x", r"rules.r.then.send\[0\]: webhok is no output; did you mean webhook\?"),
        ("mqtt://broker", "write apprise:mqtt://HOST/TOPIC"),
        ("terminal", "a rule does not send to terminal; it sends to apprise:URL, webhook:URL"),
        ("json", "json:PATH was expected"),
        ("apprise:", "apprise needs one address"),
        ("apprise:nothing", "such as apprise:ntfys://ntfy.sh/TOPIC"),
        ("webhook:http://x,tmplate=json", "did you mean template"),
        ("json:/x,scores=1", "scores is no option of a rule's file"),
        ("json:/x,level=0", "level is no option of a rule's file"),
    ],
)
def test_an_output_that_is_none_is_refused(harness: SinkHarness, send: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prepare_rules(configured(f"rules: {{r: {{then: {{send: ['{send}']}}}}}}"), harness.view)


def test_an_output_that_is_named_twice_is_refused(harness: SinkHarness) -> None:
    config: Config = configured("rules: {r: {then: {send: ['json:a', 'json:a']}}}")
    with pytest.raises(ConfigError, match=r"send\[1\]: json:.*a is named twice"):
        prepare_rules(config, harness.view)


def test_a_rule_that_is_not_enabled_has_no_destination(harness: SinkHarness) -> None:
    config = configured("rules: {r: {enabled: false, then: {send: ['json:a']}}}")
    assert prepare_rules(config, harness.view) == {}
