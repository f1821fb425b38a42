"""What a person at the terminal sees of a fleet: a function of what is known, and of the terminal's size.

Conventions: as in `terminal/picture.py`. Machines with something wrong come first, then those that hear something.
Does not: draw (`view.py`).
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
from soundwatch.daemon.terminal.render import rule

LEAST_EVENTS: Final = 4
RIGHT_S: Final = 0.1
_STYLES: Final[Mapping[State, str]] = {
    "online": "green",
    "silent": "red",
    "stopped": "bright_black",
    "offline": "red",
    "unknown": "yellow",
}
_COLUMNS: Final = f"   {'machine':<20}{'state':<9}{'heard':<7}{'coverage':>9}{'clock':>9}  {'model':<26}"


@dataclass(frozen=True, slots=True)
class FleetViewState:
    """All that is shown.

    Attributes:
        broker: Where machines publish.
        store: Where lines are kept.
        nodes: Every machine.
        events: The last lines of events, the newest first.
        trouble: What is wrong with broker or store.
        lines: How many lines have come.
        now: The time, with its zone.
    """

    broker: str
    store: str
    nodes: Sequence[NodeRecord]
    events: Sequence[LineMessage]
    trouble: Mapping[str, str]
    lines: int
    now: datetime


def render_fleet(seen: FleetViewState, width: int, height: int) -> list[Text]:
    """The lines to show, from the top."""
    top = [*_head(seen, width), *_trouble(seen)]
    room = max(0, height - len(top) - 3)
    nodes = sorted(seen.nodes, key=lambda node: (not node.problems, not node.active, node.node))
    shown = [line for node in nodes[: room + 1] for line in _node(node)]
    most = max(1, room - min(LEAST_EVENTS, len(seen.events) or 1))
    if len(shown) > most:
        whole = _those_that_fit(nodes, most - 1)
        shown = [line for node in nodes[:whole] for line in _node(node)]
        shown.append(
            Text(f"   and {len(nodes) - whole:,} more machines; `soundwatch fleet nodes` lists them", "bright_black")
        )
    events = [_event(line, seen.now) for line in seen.events[: max(0, room - len(shown))]]
    lines = [*top, Text(_COLUMNS, "bright_black"), *shown, rule("events", width), *events]
    lines += [Text()] * (height - len(lines) - 1)
    lines = [*lines[: height - 1], Text(" Ctrl-C ends; --plain prints lines instead", "bright_black")]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return lines


def _those_that_fit(nodes: Sequence[NodeRecord], room: int) -> int:
    """How many machines have all their lines within so many."""
    taken = 0
    for count, node in enumerate(nodes):
        taken += len(_node(node))
        if taken > room:
            return count
    return len(nodes)


def _head(seen: FleetViewState, width: int) -> list[Text]:
    states = Counter(node.state for node in seen.nodes)
    head = Text.assemble((" soundwatch fleet ", "bold reverse"), "  ", (f"{len(seen.nodes):,} machines", "bold"))
    for state, count in states.most_common():
        head.append("  ").append(f"{count:,} {state}", _STYLES[state])
    clock = f"{seen.now:%H:%M:%S}"
    head.pad_right(max(1, width - head.cell_len - len(clock)))
    lost = sum(node.lost_lines for node in seen.nodes)
    line = Text(f"   {seen.broker} to {seen.store}: {seen.lines:,} lines", "bright_black")
    line.append(f", {lost:,} gone for good" if lost else ", none lost", "red" if lost else "bright_black")
    return [head.append(clock), line]


def _trouble(seen: FleetViewState) -> list[Text]:
    return [Text(f" ! the {of} is not to be had: {reason}", "bold red") for of, reason in seen.trouble.items()]


def _node(node: NodeRecord) -> list[Text]:
    """A machine's line, and what is wrong with it."""
    heard = sum(source.hearing == "heard" for source in node.sources.values())
    line = Text.assemble((" ● ", _STYLES[node.state]), (f"{node.node[:19]:<20}", "bold"))
    line.append(f"{node.state:<9}", _STYLES[node.state])
    there = node.sources and node.state in ("online", "silent")
    line.append(f"{heard} of {len(node.sources)}".ljust(7) if there else " " * 7)
    line.append("" if node.coverage is None else f"{100 * node.coverage:.2f} %".rjust(9))
    line.append((_clock(node.skew_s)).rjust(9))
    line.append(f"  {(node.model or '')[:25]:<26}", "bright_black")
    line.append(", ".join(node.active), "bold green")
    return [line, *(Text(f"     {problem}", "red") for problem in node.problems)]


def _clock(skew_s: float | None) -> str:
    if skew_s is None:
        return ""
    return "right" if abs(skew_s) < RIGHT_S else f"{skew_s:+.1f} s"


def _event(said: LineMessage, now: datetime) -> Text:
    told = said.told
    lasts = told.type != "end"
    lasted = "" if told.duration_s is None else f"{told.duration_s:.1f} s"
    return Text.assemble(
        (" ▶ " if lasts else "   ", "bold green"),
        f"{told.time.astimezone(now.tzinfo):%H:%M:%S}  ",
        (f"{said.node[:19]:<20}", "bold"),
        (f"{(told.class_ or '')[:17]:<18}", "bold green" if lasts else ""),
        f"{told.score or 0:.2f}  {lasted:>8}  ",
        (told.source or "", "bright_black"),
    )


def render_text(nodes: Sequence[NodeRecord]) -> list[Text]:
    """All machines, for a terminal that scrolls."""
    return [Text(_COLUMNS, "bright_black"), *(line for node in nodes for line in _node(node))]
