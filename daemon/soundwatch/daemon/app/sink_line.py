"""Lines of the journal about sinks whose failure lasts.

Does not: decide how long a failure lasts (`sinks/health.py`).
"""

from __future__ import annotations

import time

from soundwatch.daemon.core.network.redact import redact_text
from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.events.health_schema import SinkLine
from soundwatch.daemon.events.schema import UNNUMBERED
from soundwatch.daemon.journal.health import last_states
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.protocols import SinkStatus


def append_sink_line(view: DaemonView, status: SinkStatus) -> None:
    """Append a line about the state of a sink."""
    view.journal.append(
        SinkLine(
            seq=UNNUMBERED,
            time=format_utc(time.time_ns()),
            node=view.node,
            state=status.state,
            sink=status.name,
            detail=redact_text(status.reason or f"{status.name} works again."),
        )
    )


def failing_sinks(store: JournalStore) -> set[str]:
    """Return the names of the sinks whose failure was reported, and not its end."""
    return {str(name) for name, state in last_states(store, "sink").items() if state != "working"}
