"""Displays a fleet: as a view on a terminal, or as lines for other programs.

Conventions: the calling thread draws the view after changes, at most twice a second; the collector has another thread.
Lines are those of all nodes, each once, after they are stored. Before a stop (Ctrl-Z) the terminal is given back.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.live import Live as Screen

from soundwatch.daemon.core.time.system_zone import SYSTEM_ZONE
from soundwatch.daemon.fleet.collector import Collector
from soundwatch.daemon.fleet.messages import LineMessage
from soundwatch.daemon.fleet.node_json import NodeRecord, node_record
from soundwatch.daemon.fleet.render import FleetViewState, render_fleet
from soundwatch.daemon.sinks.terminal.sink import LogCapture, full_screen, open_console, show
from soundwatch.daemon.system.job_control import JobControl, in_foreground

KEPT_EVENTS: Final = 100
PAUSE_S: Final = 0.5
MAX_REFRESH_S: Final = 1.0


class RecentEvents:
    """The last line of each recent event, newest first; safe for several threads."""

    def __init__(self) -> None:
        self._events = deque[LineMessage](maxlen=KEPT_EVENTS)
        self._lock = threading.Lock()

    def add(self, lines: Sequence[LineMessage]) -> None:
        """Add new lines."""
        for message in lines[-10 * KEPT_EVENTS :]:
            if message.header.type in ("start", "end"):
                with self._lock:
                    if message.repeated and any(other.header.id == message.header.id for other in self._events):
                        continue
                    others = (other for other in self._events if other.header.id != message.header.id)
                    self._events = deque([message, *others], maxlen=KEPT_EVENTS)

    def events(self) -> list[LineMessage]:
        """Return the lines, newest event first."""
        with self._lock:
            return list(self._events)


def node_records(collector: Collector) -> list[NodeRecord]:
    """Return the records of all nodes."""
    now_unix_ns = time.time_ns()
    return [node_record(node, now_unix_ns) for node in list(collector.nodes.values())]


def print_lines(lines: Sequence[LineMessage]) -> None:
    """Print lines on standard output."""
    sys.stdout.buffer.write(b"".join(message.line.encode() + b"\n" for message in lines))
    sys.stdout.buffer.flush()


def run_display(collector: Collector, recent: RecentEvents, broker: str, store: str, ended: Callable[[], bool]) -> None:
    """Draw on the terminal until `ended` returns True; the main thread does so, since the shell may stop this job."""
    console = open_console()
    log_capture, job = LogCapture(), JobControl()

    def draw(screen: Screen) -> None:
        collector.changed.clear()
        state = FleetViewState(
            broker=broker,
            store=store,
            nodes=node_records(collector),
            events=recent.events(),
            failures=dict(collector.failures),
            lines=collector.counts.lines,
            now=datetime.now(SYSTEM_ZONE),
        )
        show(screen, console, render_fleet(state, console.width, console.height))
        time.sleep(PAUSE_S)
        collector.changed.wait(MAX_REFRESH_S)

    try:
        with job.handled():
            while not ended():
                if in_foreground(sys.stdout.fileno()):
                    _draw_in_foreground(console, job, draw, ended)
                else:
                    time.sleep(PAUSE_S)
    finally:
        log_capture.close()


def _draw_in_foreground(
    console: Console, job: JobControl, draw: Callable[[Screen], None], ended: Callable[[], bool]
) -> None:
    """Draw until `ended` returns True or this job leaves the foreground; stop the job if that is wanted."""
    job.view_open, suspends = True, job.suspends
    with full_screen(console) as screen:
        while not ended() and job.suspends == suspends and in_foreground(sys.stdout.fileno()):
            draw(screen)
    job.view_open = False
    if job.suspends != suspends:
        job.stop()
