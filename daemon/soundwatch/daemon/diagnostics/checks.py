"""What is the matter with an installation: each part looked at, and what to do about it.

Conventions: a finding is `ok`, a `note` that explains something, a `warning`, or a `fault` that keeps soundwatch from
hearing or telling. Nothing is changed, no daemon is started or stopped, and nothing is asked over the network but
whether the sinks' own addresses answer.
Does not: repair anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from soundwatch.daemon.diagnostics.audio_checks import check_microphones, check_probe
from soundwatch.daemon.diagnostics.config_checks import check_configuration, check_model
from soundwatch.daemon.diagnostics.filter_checks import check_network_filter
from soundwatch.daemon.diagnostics.finding import CheckInput, Finding
from soundwatch.daemon.diagnostics.reporting_checks import check_reporting
from soundwatch.daemon.diagnostics.storage_checks import check_journal, check_sinks
from soundwatch.daemon.diagnostics.system_checks import check_clock, check_service, check_versions

PARTS: tuple[tuple[str, Callable[[CheckInput], Iterator[Finding]]], ...] = (
    ("versions", check_versions),
    ("reporting", check_reporting),
    ("clock", check_clock),
    ("configuration", check_configuration),
    ("model", check_model),
    ("microphones", check_microphones),
    ("probe", check_probe),
    ("journal", check_journal),
    ("sinks", check_sinks),
    ("service", check_service),
    ("service", check_network_filter),
)


def run_checks(case: CheckInput, begun: Callable[[str], object] = lambda _: None) -> Iterator[Finding]:
    """Everything that is found, part by part.

    Args:
        case: What to look at.
        begun: Called with each part's name before it is looked at.
    """
    for name, part in PARTS:
        begun(name)
        try:
            yield from part(case)
        except Exception as error:  # noqa: BLE001  # a part that cannot be looked at is a finding too
            yield Finding(name, "fault", f"cannot be looked at: {type(error).__name__}: {error}", "Report this.")
