"""Usage reporting of libraries: off, or on by a setting of the user."""

from __future__ import annotations

import os
from collections.abc import Iterator

from soundwatch.daemon.core.process.reporting import SWITCHES, enabled_reporting
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput, Finding


def check_reporting(case: CheckInput) -> Iterator[Finding]:
    """Report each library whose reporting the environment leaves on."""
    del case
    enabled = enabled_reporting(os.environ)
    disabled = [switch for switch in SWITCHES if switch not in enabled]
    if disabled:
        settings = ", ".join(
            f"{switch.library} ({switch.variable}={os.environ[switch.variable]})" for switch in disabled
        )
        yield Finding("reporting", "ok", f"Usage reporting is off: {settings}.")
    for switch in enabled:
        yield Finding(
            "reporting",
            "warning",
            f"{switch.library} may send {switch.report}: {switch.variable} is {os.environ[switch.variable]!r} in this "
            "environment.",
            f"Take {switch.variable} out of the environment, or set it to {switch.off}; soundwatch then keeps it off.",
        )
