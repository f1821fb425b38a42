"""Rules that are refused, since they name something unknown or can never send."""

from __future__ import annotations

import pytest

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.detection.rules import resolve_sources
from soundwatch.daemon.rules.check import check_rules
from support.rule_lines import configured
from support.sink_harness import CONTRACT

SEND = "then: {send: ['json:a']}"
ATTACH = "then: {send: ['json:a'], clip: attach}"
FOLDER = "clips: {folder: c}"
NO_CLIPS_IN_YARD = "sources: {yard: {clips: false}, door: {}}"
SIREN_OFF = "detection: {classes: {siren: {enabled: false}}}"
SIREN_IN_YARD = "sources: {yard: {detection: {classes: {siren: {enabled: true}}}}, door: {}}"
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
        ("classes: [siren]", SIREN_OFF, r"siren is not enabled: .* \(detection.classes.siren.enabled\)"),
        ("classes: [siren], sources: [door]", f"{SIREN_OFF}, {SIREN_IN_YARD}", "siren is not enabled"),
        (
            "classes: [siren], sources: [yard]",
            "sources: {yard: {detection: {classes: {siren: {enabled: false}}}}}",
            r"siren is not enabled: .* \(sources.yard.detection.classes.siren.enabled\)",
        ),
        (
            "min_duration_s: 30",
            "sources: {yard: {detection: {max_duration_s: 20}}}",
            r"30 s never holds: an event ends after 20 s \(sources.yard.detection.max_duration_s\)",
        ),
        (
            "min_duration_s: 30, classes: [siren]",
            "detection: {classes: {siren: {max_duration_s: 20}}}",
            r"after 20 s \(detection.classes.siren.max_duration_s\)",
        ),
        (f"}}, {ATTACH}, not_when: {{", "", "attach needs clips; set clips.folder"),
        (
            f"sources: [yard]}}, {ATTACH}, not_when: {{",
            f"{FOLDER}, {NO_CLIPS_IN_YARD}",
            "attach needs clips, and sources.yard.clips lets no event",
        ),
        (
            f"classes: [siren]}}, {ATTACH}, not_when: {{",
            f"{FOLDER}, sources: {{yard: {{clips: {{classes: [dog_bark]}}}}}}",
            "attach needs clips, and sources.yard.clips.classes lets no event",
        ),
    ],
)
def test_a_rule_that_cannot_send_is_refused(when: str, more: str, message: str) -> None:
    then = "" if "then:" in when else f", {SEND}"
    config = configured(f"{{{more + ',' if more else ''} rules: {{r: {{when: {{{when}}}{then}}}}}}}")
    with pytest.raises(ConfigError, match=message):
        check_rules(config, CONTRACT, resolve_sources(config, CONTRACT))


@pytest.mark.parametrize(
    ("when", "more", "then"),
    [
        ("min_level_dba: 70", CALIBRATED, ""),
        ("min_level_dba: 70, sources: [door, yard]", CALIBRATED, ""),
        ("min_level_dba: -20", "level: {enabled: true}", ""),
        ("faults: [gap]", "level: {enabled: true}", ""),
        ("classes: [siren], sources: [yard]", f"{SIREN_OFF}, {SIREN_IN_YARD}", ""),
        ("classes: [siren]", f"{SIREN_OFF}, {SIREN_IN_YARD}", ""),
        ("min_duration_s: 7000", "sources: {yard: {detection: {max_duration_s: 7200}}}", ""),
        ("", f"{FOLDER}, {NO_CLIPS_IN_YARD}", ATTACH),
        ("sources: [door]", f"{FOLDER}, {NO_CLIPS_IN_YARD}", ATTACH),
    ],
)
def test_a_rule_that_can_send_is_accepted(when: str, more: str, then: str) -> None:
    config = configured(f"{{{more}, rules: {{r: {{when: {{{when}}}, {then or SEND}}}}}}}")
    check_rules(config, CONTRACT, resolve_sources(config, CONTRACT))


def test_a_source_of_the_command_line_is_known() -> None:
    config = configured(f"{{rules: {{r: {{when: {{sources: [demo]}}, {SEND}}}}}}}")
    in_force = resolve_sources(config, CONTRACT)
    check_rules(config, CONTRACT, in_force, ["demo"])
    with pytest.raises(ConfigError, match="demo is no source"):
        check_rules(config, CONTRACT, in_force)
