"""Renders the view of a fleet as text: a pure function of the state and the terminal's size.

Conventions: as in `sinks/terminal/render.py`. Nodes with problems come first, then nodes with active events.
Does not: draw on the terminal (`display.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.text import Text

from soundwatch.daemon.fleet.messages import LineMessage
from soundwatch.daemon.fleet.node_json import NodeRecord
from soundwatch.daemon.fleet.node_status import State
from soundwatch.daemon.sinks.terminal.render import fit_name, rule

MIN_EVENT_ROWS: Final = 4
MAX_EXACT_SKEW_S: Final = 0.1
_STYLES: Final[Mapping[State, str]] = {
    "online": "green",
    "silent": "red",
    "stopped": "bright_black",
    "offline": "red",
    "unknown": "yellow",
}
_COLUMNS: Final = f"   {'machine':<20}{'state':<9}{'sources':<9}{'coverage':>9}{'clock':>9}  {'model':<26}"


@dataclass(frozen=True, slots=True)
class FleetViewState:
    """State that the view shows.

    Attributes:
        broker: Address of the broker.
        store: Name of the store.
        nodes: Records of all nodes.
        events: Last lines of events, newest first.
        failures: Failures of the broker and the store.
        lines: Number of received lines.
        now: Current time with its zone.
    """

    broker: str
    store: str
    nodes: Sequence[NodeRecord]
    events: Sequence[LineMessage]
    failures: Mapping[str, str]
    lines: int
    now: datetime


def render_fleet(state: FleetViewState, width: int, height: int) -> list[Text]:
    """Return the rows of the view, from the top."""
    top = [*_head(state, width), *_failures(state)]
    room = max(0, height - len(top) - 3)
    nodes = sorted(state.nodes, key=lambda node: (not node.problems, not node.active, node.node))
    shown = [line for node in nodes[: room + 1] for line in _node(node)]
    limit = max(1, room - min(MIN_EVENT_ROWS, len(state.events) or 1))
    if len(shown) > limit:
        count = _fitting_nodes(nodes, limit - 1)
        shown = [line for node in nodes[:count] for line in _node(node)]
        shown.append(
            Text(f"   and {len(nodes) - count:,} more machines; `soundwatch fleet nodes` lists them", "bright_black")
        )
    events = [_event(line, state.now) for line in state.events[: max(0, room - len(shown))]]
    lines = [*top, Text(_COLUMNS, "bright_black"), *shown, rule("events", width), *events]
    lines += [Text()] * (height - len(lines) - 1)
    lines = [*lines[: height - 1], Text(" Ctrl-C quits; --plain prints lines instead", "bright_black")]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return lines


def _fitting_nodes(nodes: Sequence[NodeRecord], room: int) -> int:
    """Count the nodes whose rows all fit."""
    rows = 0
    for count, node in enumerate(nodes):
        rows += len(_node(node))
        if rows > room:
            return count
    return len(nodes)


def _head(state: FleetViewState, width: int) -> list[Text]:
    states = Counter(node.state for node in state.nodes)
    head = Text.assemble((" soundwatch fleet ", "bold reverse"), "  ", (f"{len(state.nodes):,} machines", "bold"))
    for name, count in states.most_common():
        head.append("  ").append(f"{count:,} {name}", _STYLES[name])
    clock = f"{state.now:%H:%M:%S}"
    head.pad_right(max(1, width - head.cell_len - len(clock)))
    lost = sum(node.lost_lines for node in state.nodes)
    line = Text(f"   {state.broker} to {state.store}: {state.lines:,} lines", "bright_black")
    line.append(f", {lost:,} lost for good" if lost else ", none lost", "red" if lost else "bright_black")
    return [head.append(clock), line]


def _failures(state: FleetViewState) -> list[Text]:
    return [Text(f" ! the {part} is unavailable: {reason}", "bold red") for part, reason in state.failures.items()]


def _node(node: NodeRecord) -> list[Text]:
    """Return the rows of a node: its status and its problems."""
    running = sum(source.hearing == "heard" for source in node.sources.values())
    line = Text.assemble((" ● ", _STYLES[node.state]), (f"{fit_name(node.node, 19)} ", "bold"))
    line.append(f"{node.state:<9}", _STYLES[node.state])
    reachable = node.sources and node.state in ("online", "silent")
    line.append(f"{running} of {len(node.sources)}".ljust(9) if reachable else " " * 9)
    line.append("" if node.coverage is None else f"{100 * node.coverage:.2f} %".rjust(9))
    line.append((_clock(node.skew_s)).rjust(9))
    line.append(f"  {fit_name(node.model or '', 25)} ", "bright_black")
    line.append(", ".join(node.active), "bold green")
    return [line, *(Text(f"     {problem}", "red") for problem in node.problems)]


def _clock(skew_s: float | None) -> str:
    if skew_s is None:
        return ""
    return "right" if abs(skew_s) < MAX_EXACT_SKEW_S else f"{skew_s:+.1f} s"


def _event(message: LineMessage, now: datetime) -> Text:
    header = message.header
    active = header.type != "end"
    duration = "" if header.duration_s is None else f"{header.duration_s:.1f} s"
    return Text.assemble(
        (" ▶ " if active else "   ", "bold green"),
        f"{header.time.astimezone(now.tzinfo):%H:%M:%S}  ",
        (f"{fit_name(message.node, 19)} ", "bold"),
        (f"{fit_name(header.class_ or '', 17)} ", "bold green" if active else ""),
        f"{header.score or 0:.2f}  {duration:>8}  ",
        (header.source or "", "bright_black"),
    )


def render_text(nodes: Sequence[NodeRecord]) -> list[Text]:
    """Return the rows of all nodes, without a limit."""
    return [Text(_COLUMNS, "bright_black"), *(line for node in nodes for line in _node(node))]
