"""Messages of alert rules through real workers, journals and HTTP servers."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from soundwatch.daemon.sinks import dispatcher, worker
from support.http_service import HttpService, ServiceAnswer
from support.mosquitto import wait_until
from support.rules_harness import RulesHarness, bodies, rule


def test_a_webhook_gets_the_line_with_the_rule_and_its_text(tmp_path: Path, service: HttpService) -> None:
    harness = RulesHarness(tmp_path / "j.db", rule(service, "when: {classes: [dog_bark]},", "title: '$sound!'"))
    harness.sound("A")
    harness.sound("B", class_="siren")
    wait_until(harness.settled)
    [body] = bodies(service)
    assert (body["id"], body["rule"], body["title"], body["merged"]) == ("A", "dogs", "dog bark!", 1)
    assert body["body"].startswith("dog bark at mic0 (edge1) since ")
    [status] = harness.rules.statuses()
    assert (status.decided, status.held, status.targets[0].counts.sent) == (1, {}, 1)
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
    counts = status.targets[0].counts
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
    assert (status.targets[0].counts.sent, status.targets[0].counts.refused) == (1, 1)
    assert "rule_message_refused" in harness.log.events
    harness.end()


@pytest.mark.slow
def test_a_message_that_is_refused_for_one_recipient_is_settled_and_counts_twice(
    tmp_path: Path, service: HttpService
) -> None:
    service.answer = lambda request: ServiceAnswer(403 if json.loads(request.body)["topic"] == "closed" else 200)
    text = f"{{dogs: {{then: {{send: ['apprise:{service.url.replace('http', 'ntfy')}/open/closed']}}}}}}"
    harness = RulesHarness(tmp_path / "j.db", text)
    harness.sound("A")
    wait_until(harness.settled)
    assert sorted(body["topic"] for body in bodies(service)) == ["closed", "open"]
    [status] = harness.rules.statuses()
    assert (status.targets[0].counts.sent, status.targets[0].counts.refused) == (1, 1)
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
