"""Usage reporting of libraries, switched off before any of them is imported.

Conventions: libraries read these variables when they are first imported, and child processes inherit them. Every
package of ours imports `soundwatch.daemon` first, whose `__init__` calls `disable_reporting`; no other module sets
them. A variable that already has a value keeps it, since the user set it; `doctor` and `privacy audit` report it.
Source: docs/privacy.md lists each library, what it reports, and how that was found.
Does not: import a library, or undo a setting of the user.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Final, NamedTuple


class ReportingSwitch(NamedTuple):  # a dataclass would import half of the standard library before the entry's handlers
    """The environment variable that switches off one library's reporting.

    Attributes:
        library: Name of the library.
        variable: Name of the environment variable.
        off: Value that soundwatch sets.
        off_values: All values that the library reads as "off", in lower case.
        report: The data that the library sends, and the host.
    """

    library: str
    variable: str
    off: str
    off_values: frozenset[str]
    report: str


SWITCHES: Final = (
    ReportingSwitch(
        "ONNX Runtime",
        "ORT_DISABLE_TELEMETRY",
        "1",
        frozenset({"1", "true", "yes"}),
        "events of models, sessions and this machine, to mobile.events.data.microsoft.com",
    ),
    ReportingSwitch(
        "Ray",
        "RAY_USAGE_STATS_ENABLED",
        "0",
        frozenset({"0"}),
        "properties of the cluster, every hour, to usage-stats.ray.io",
    ),
)


def disable_reporting(environment: MutableMapping[str, str]) -> None:
    """Set each variable that has no value; a value that the user set is kept."""
    for switch in SWITCHES:
        if not environment.get(switch.variable):
            environment[switch.variable] = switch.off


def enabled_reporting(environment: Mapping[str, str]) -> tuple[ReportingSwitch, ...]:
    """Return the switches of libraries whose reporting this environment leaves on."""
    return tuple(
        switch for switch in SWITCHES if environment.get(switch.variable, "").strip().lower() not in switch.off_values
    )
