"""`soundwatch doctor` about alert rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundwatch.daemon.app.detached_view import detached_view
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput
from soundwatch.daemon.diagnostics.doctor.rule_checks import check_alert_rules
from support.rule_lines import configured


def findings(rules: str) -> list[tuple[str, str]]:
    case = CheckInput(configured(f"rules: {rules}"), None, None, listens=False, view=detached_view)
    return [(found.state, found.seen) for found in check_alert_rules(case)]


def test_each_output_and_its_secret_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_URL", raising=False)
    send = (
        f"['json:{tmp_path}/a', 'command:{tmp_path}/no', {{sink: apprise, url_env: NO_SUCH_URL}}, "
        f"{{sink: apprise, url_file: {tmp_path}/no.url}}, 'webhok:http://x']"
    )
    good, command, variable, file, unknown, idle = findings(
        f"{{dogs: {{then: {{send: {send}}}}}, idle: {{enabled: false, then: {{send: ['json:a']}}}}}}"
    )
    assert good == ("ok", f"dogs sends to json:{tmp_path}/a.")
    assert command[0] == variable[0] == file[0] == unknown[0] == "fault"
    assert "is no file" in command[1]
    assert "the environment has no NO_SUCH_URL" in variable[1]
    assert "no.url cannot be read" in file[1]
    assert "did you mean webhook?" in unknown[1]
    assert idle == ("note", "idle is not enabled.")


def test_a_rule_that_can_never_send_is_a_fault() -> None:
    [(state, seen)] = findings("{dogs: {when: {classes: [dog_brak]}, then: {send: ['json:a']}}}")
    assert state == "fault"
    assert "did you mean dog_bark?" in seen


def test_without_rules_there_is_nothing_to_say() -> None:
    assert findings("{}") == []
