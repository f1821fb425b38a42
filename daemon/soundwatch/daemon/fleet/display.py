"""Shows a fleet: as a picture on a terminal, or as lines for other programs.

Conventions: a picture is drawn when there is news, twice a second at most, by the thread that calls; the collector has
one of its own. Lines are every machine's, each once, as soon as it is kept.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from rich.console import Console, Group
from rich.live import Live as Screen

from soundwatch.daemon.fleet.collector import Collector
from soundwatch.daemon.fleet.messages import LineMessage
from soundwatch.daemon.fleet.node_json import NodeRecord, node_record
from soundwatch.daemon.fleet.render import FleetViewState, render_fleet
from soundwatch.daemon.terminal.sink import LogCapture

KEPT_EVENTS: Final = 100
PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 1.0


class RecentEvents:
    """The last lines that are about events, the newest first, one an event. For any thread."""

    def __init__(self) -> None:
        self._events = deque[LineMessage](maxlen=KEPT_EVENTS)
        self._lock = threading.Lock()

    def take(self, lines: Sequence[LineMessage]) -> None:
        """Take new lines."""
        for said in lines[-10 * KEPT_EVENTS :]:
            if said.told.type in ("start", "end"):
                with self._lock:
                    if said.repeated and any(each.told.id == said.told.id for each in self._events):
                        continue
                    others = (each for each in self._events if each.told.id != said.told.id)
                    self._events = deque([said, *others], maxlen=KEPT_EVENTS)

    def events(self) -> list[LineMessage]:
        """Those that there are."""
        with self._lock:
            return list(self._events)


def node_records(collector: Collector) -> list[NodeRecord]:
    """Where every machine stands now."""
    now_unix_ns = time.time_ns()
    return [node_record(node, now_unix_ns) for node in list(collector.nodes.values())]


def print_lines(lines: Sequence[LineMessage]) -> None:
    """Print lines for other programs."""
    sys.stdout.buffer.write(b"".join(said.line.encode() + b"\n" for said in lines))
    sys.stdout.buffer.flush()


def run_display(collector: Collector, latest: RecentEvents, broker: str, store: str, ended: Callable[[], bool]) -> None:
    """Draw on the terminal until all is ended."""
    console = Console(file=os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8"))
    diary = LogCapture()
    try:
        with Screen(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        ) as screen:
            while not ended():
                collector.news.clear()
                seen = FleetViewState(
                    broker=broker,
                    store=store,
                    nodes=node_records(collector),
                    events=latest.events(),
                    trouble=dict(collector.trouble),
                    lines=collector.counts.lines,
                    now=datetime.now().astimezone(),
                )
                screen.update(Group(*render_fleet(seen, console.width, console.height)), refresh=True)
                time.sleep(PAUSE_S)
                collector.news.wait(LONGEST_PAUSE_S)
    finally:
        diary.close()
