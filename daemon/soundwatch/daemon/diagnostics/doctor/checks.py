"""Runs the checks of an installation, part by part.

Conventions: a finding is `ok`, a `note` with an explanation, a `warning`, or a `fault` that prevents detection or
delivery of events. Every text of a finding is redacted here. Nothing is changed, no daemon is started or stopped, and
the network is used only to connect to the addresses of the sinks and of the sound server.
Does not: repair anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.daemon.core.network.redact import redact_text
from soundwatch.daemon.diagnostics.doctor.audio_checks import check_calibration, check_microphones, check_probe
from soundwatch.daemon.diagnostics.doctor.config_checks import check_configuration, check_model
from soundwatch.daemon.diagnostics.doctor.filter_checks import check_network_filter
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput, Finding
from soundwatch.daemon.diagnostics.doctor.reporting_checks import check_reporting
from soundwatch.daemon.diagnostics.doctor.rule_checks import check_alert_rules
from soundwatch.daemon.diagnostics.doctor.storage_checks import check_journal, check_sinks, check_unfinished
from soundwatch.daemon.diagnostics.doctor.stream_checks import check_streams
from soundwatch.daemon.diagnostics.doctor.system_checks import check_clock, check_service, check_versions

PARTS: tuple[tuple[str, Callable[[CheckInput], Iterator[Finding]]], ...] = (
    ("versions", check_versions),
    ("reporting", check_reporting),
    ("clock", check_clock),
    ("configuration", check_configuration),
    ("model", check_model),
    ("microphones", check_microphones),
    ("probe", check_probe),
    ("streams", check_streams),
    ("calibration", check_calibration),
    ("journal", check_journal),
    ("storage", check_unfinished),
    ("sinks", check_sinks),
    ("rules", check_alert_rules),
    ("service", check_service),
    ("filter", check_network_filter),
)


def run_checks(case: CheckInput, begun: Callable[[str], object] = lambda _: None) -> Iterator[Finding]:
    """Yield the findings of all parts.

    Args:
        case: Configuration and options.
        begun: Called with the name of each part before its checks.
    """
    for name, part in PARTS:
        begun(name)
        try:
            yield from map(_redact, part(case))
        except SoundwatchError as error:
            yield _redact(Finding(name, "fault", str(error), "`soundwatch check-config` checks the configuration."))
        except Exception as error:  # noqa: BLE001  # a check that fails is a finding
            yield _redact(Finding(name, "fault", f"The check failed: {type(error).__name__}: {error}", "Report this."))


def _redact(finding: Finding) -> Finding:
    """Hide the secrets of addresses in the texts of a finding."""
    return Finding(finding.part, finding.state, redact_text(finding.seen), redact_text(finding.todo))
