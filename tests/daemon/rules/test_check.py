"""Rules that are refused, since they name something unknown or can never send."""

from __future__ import annotations

import pytest

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.rules.check import check_rules
from support.rule_lines import configured
from support.sink_harness import CONTRACT

SEND = "then: {send: ['json:a']}"
CALIBRATED = "level: {enabled: true}, sources: {yard: {level_offset_db: 118}, door: {}}"


@pytest.mark.parametrize(
    ("when", "more", "message"),
    [
        ("classes: [dog_brak]", "", r"rules.r.when.classes: dog_brak is no class; did you mean dog_bark\?"),
        ("groups: [trafic]", "", r"groups: trafic is no group; did you mean traffic\?"),
        ("sources: [yrd]", CALIBRATED, r"sources: yrd is no source; did you mean yard\?"),
        ("min_level_dba: 70", "", "only with the sound level meter; set level.enabled: true"),
        ("min_level_dba: -20", "", "only with the sound level meter"),
        ("min_level_dba: 70", "level: {enabled: true}", "70 dB never holds: without sources"),
        ("min_level_dba: 70, sources: [door]", CALIBRATED, "70 dB never holds"),
        ("faults: [gap], min_level_dba: 0", CALIBRATED, "faults and min_level_dba exclude each other"),
        ("faults: [gap], min_level_dbfs: 0", "", "faults and min_level_dbfs exclude each other"),
        ("min_duration_s: 100000", "", "100000 s never holds: an event ends after"),
    ],
)
def test_a_rule_that_cannot_send_is_refused(when: str, more: str, message: str) -> None:
    config = configured(f"{{{more + ',' if more else ''} rules: {{r: {{when: {{{when}}}, {SEND}}}}}}}")
    with pytest.raises(ConfigError, match=message):
        check_rules(config, CONTRACT)


@pytest.mark.parametrize(
    ("when", "more"),
    [
        ("min_level_dba: 70", CALIBRATED),
        ("min_level_dba: 70, sources: [door, yard]", CALIBRATED),
        ("min_level_dba: -20", "level: {enabled: true}"),
        ("faults: [gap]", "level: {enabled: true}"),
    ],
)
def test_a_rule_that_can_send_is_accepted(when: str, more: str) -> None:
    check_rules(configured(f"{{{more}, rules: {{r: {{when: {{{when}}}, {SEND}}}}}}}"), CONTRACT)
