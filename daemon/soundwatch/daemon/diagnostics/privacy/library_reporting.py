"""Usage reporting of libraries that the environment leaves on, as `privacy audit` prints it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from soundwatch.daemon.core.process.reporting import enabled_reporting


class LibraryReporting(msgspec.Struct, frozen=True, kw_only=True):
    """Usage reporting of a library that the environment leaves on.

    Attributes:
        library: Name of the library.
        variable: The variable that switches the reporting off.
        value: Value of the variable here.
        off: The value that switches the reporting off.
        report: Data that is sent, and its destination.
    """

    library: str
    variable: str
    value: str
    off: str
    report: str


def library_reporting(environment: Mapping[str, str]) -> tuple[LibraryReporting, ...]:
    """List the reporting that this environment leaves on."""
    return tuple(
        LibraryReporting(
            library=switch.library,
            variable=switch.variable,
            value=environment.get(switch.variable, ""),
            off=switch.off,
            report=switch.report,
        )
        for switch in enabled_reporting(environment)
    )
