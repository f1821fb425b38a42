"""Alert rules in the privacy audit."""

from __future__ import annotations

from soundwatch.daemon.diagnostics.network.configured_hosts import configured_hosts
from soundwatch.daemon.diagnostics.privacy.audit import audit
from support.rule_lines import configured

SEND = "['apprise:tgram://123:secret/1', 'webhook:https://example.org/secret']"


def test_the_outputs_of_enabled_rules_are_destinations() -> None:
    config = configured(f"{{sinks: [json], rules: {{night: {{then: {{send: {SEND}}}}}}}, journal: {{path: memory}}}}")
    found = audit(config)
    shown = [(item.sink, item.reach) for item in found.destinations]
    assert shown[1:] == [("rule night: apprise", "unknown"), ("rule night: webhook://example.org", "outside")]
    assert found.leaves_house
    assert "secret" not in str(found)
    assert [(host.key, host.host) for host in configured_hosts(config)] == [("rule night", "example.org")]


def test_a_rule_that_is_not_enabled_sends_nothing_anywhere() -> None:
    config = configured(f"{{rules: {{night: {{enabled: false, then: {{send: {SEND}}}}}}}, journal: {{path: memory}}}}")
    assert len(audit(config).destinations) == 1
    assert not list(configured_hosts(config))
