"""Outputs of alert rules: programs, digests, several outputs of a rule, and those that are refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from soundwatch.daemon.app.rule_outputs import prepare_rules
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.errors import ConfigError
from support.http_service import HttpService, ServiceAnswer
from support.mosquitto import wait_until
from support.rule_lines import configured
from support.rules_harness import RulesHarness, bodies
from support.sink_harness import SinkHarness


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
