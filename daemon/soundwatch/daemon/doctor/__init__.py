"""What is the matter with an installation: each part looked at, and what to do about it.

Conventions: a finding is `ok`, a `note` that explains something, a `warning`, or a `fault` that keeps soundwatch from
hearing or telling. Nothing is changed, no daemon is started or stopped, and nothing is asked over the network but
whether the sinks' own addresses answer.
Does not: repair anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from soundwatch.daemon.diagnostics.reporting_checks import check_reporting
from soundwatch.daemon.doctor.configured import examine_configuration, examine_model
from soundwatch.daemon.doctor.findings import Case, Finding
from soundwatch.daemon.doctor.hearing import examine_microphones, examine_probe
from soundwatch.daemon.doctor.keeping import examine_journal, examine_sinks
from soundwatch.daemon.doctor.machine import examine_clock, examine_service, examine_versions

__all__ = ["Case", "Finding", "examine"]

PARTS: tuple[tuple[str, Callable[[Case], Iterator[Finding]]], ...] = (
    ("versions", examine_versions),
    ("reporting", check_reporting),
    ("clock", examine_clock),
    ("configuration", examine_configuration),
    ("model", examine_model),
    ("microphones", examine_microphones),
    ("probe", examine_probe),
    ("journal", examine_journal),
    ("sinks", examine_sinks),
    ("service", examine_service),
)


def examine(case: Case, begun: Callable[[str], object] = lambda _: None) -> Iterator[Finding]:
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
