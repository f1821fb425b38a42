"""What a person at the terminal sees: a function of what is known, and of the terminal's size.

Conventions: one `Text` a line, never more than there are rows, none wider than the terminal. Names that others chose
are text and never markup. Times are the reader's own.
Rule for little room: each source has a line; where there is more, its three highest classes; events take the rest.
Does not: draw (`view.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rich.text import Text

from soundwatch.daemon.core.types import WindowResult
from soundwatch.daemon.sinks.dispatcher import SinkStatus
from soundwatch.daemon.status.snapshot import SourceStatus, StatusSnapshot

QUIETEST_DBFS: Final = -80.0
TOP_CLASSES: Final = 3
DIARY_LINES: Final = 3
LEAST_EVENTS: Final = 4
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_HEARING: Final = {
    "opening": "yellow",
    "waiting": "yellow",
    "heard": "green",
    "lost": "red",
    "paused": "yellow",
    "ended": "bright_black",
}


@dataclass(frozen=True, slots=True)
class ViewState:
    """All that is shown.

    Attributes:
        node: Name of this machine.
        board: Where everything stands.
        latest: Each source's last window.
        events: Each event's last line, the newest event first.
        sinks: How each does, and how many lines it has yet to take.
        diary: Its last lines.
        now: The time, with its zone.
    """

    node: str
    board: StatusSnapshot
    latest: Mapping[str, WindowResult]
    events: Sequence[dict[str, Any]]
    sinks: Sequence[tuple[SinkStatus, int]]
    diary: Sequence[str]
    now: datetime


def render(seen: ViewState, width: int, height: int) -> list[Text]:
    """The lines to show, from the top."""
    top, bottom = _head(seen, width), [*_health(seen), *_sinks(seen), *_diary(seen), _foot()]
    sources = seen.board.sources
    room = height - len(top) - len(bottom) - 2
    classes = TOP_CLASSES if len(sources) * (1 + TOP_CLASSES) + LEAST_EVENTS <= room else 0
    shown = [line for name, source in sources.items() for line in _source(name, source, seen, classes, width)]
    most = max(1, room - LEAST_EVENTS)
    if len(shown) > most:
        shown = [*shown[: most - 1], Text(f"  and {len(shown) - most + 1} more sources", "bright_black")]
    lines = [*top, *shown, Text(), rule("events", width), *_events(seen, max(0, room - len(shown)))]
    lines += [Text()] * (height - len(lines) - len(bottom))
    lines = [*lines, *bottom][:height]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return lines


def bar(share: float, width: int) -> str:
    """A bar of so many columns, to the eighth."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def _head(seen: ViewState, width: int) -> list[Text]:
    hello = next((each.hello for each in seen.board.sources.values() if each.hello is not None), None)
    model = "" if hello is None else f"{hello.model}  {hello.provider.removesuffix('ExecutionProvider')}"
    head = Text.assemble((" soundwatch ", "bold reverse"), "  ", (seen.node, "bold"), "  ", (model, "bright_black"))
    clock = f"{seen.now:%H:%M:%S}"
    head.pad_right(max(1, width - head.cell_len - len(clock)))
    return [head.append(clock), Text()]


def _source(name: str, source: SourceStatus, seen: ViewState, classes: int, width: int) -> list[Text]:
    """A source's level, and what it sounds like."""
    reading = seen.latest.get(name) if source.hearing == "heard" else None
    style = _HEARING[source.hearing]
    line = Text.assemble((" ● ", style), (f"{name[:16]:<16}", "bold"), " ")
    if reading is None:
        line.append(f"{source.hearing}  ", style).append(_one_line(source.detail), "bright_black")
        return [line]
    level = reading.level_dbfs
    share = 0.0 if level is None else 1 - level / QUIETEST_DBFS
    columns = max(8, min(40, width - 60))
    line.append(bar(share, columns), "red" if share > 0.95 else "yellow" if share > 0.85 else "cyan")
    line.append(f" {'silent' if level is None else f'{level:.0f} dBFS':>9}")
    if source.faults:
        line.append(f"  {', '.join(source.faults)}", "red")
    best = sorted(zip(reading.values.tolist(), reading.labels, strict=True), reverse=True)
    thresholds = {} if source.hello is None else source.hello.thresholds
    if not classes:
        score, label = best[0]
        line.append(f"  {label} {score:.2f}", "bold green" if score >= thresholds.get(label, 2.0) else "bright_black")
        return [line]
    rows = [_score(label, score, thresholds.get(label), columns) for score, label in best[:classes]]
    return [line, *rows]


def _score(label: str, score: float, threshold: float | None, columns: int) -> Text:
    """A class's score as a bar, lit where it counts."""
    counts = threshold is not None and score >= threshold
    line = Text.assemble("   ", (f"{label[:16]:<16}", "" if counts else "bright_black"), " ")
    line.append(bar(score, columns), "green" if counts else "bright_black").append(f" {score:>9.2f}")
    return line if threshold is None else line.append(f"  of {threshold:.2f}", "bright_black")


def _events(seen: ViewState, most: int) -> list[Text]:
    if not seen.events:
        return [Text("   none yet", "bright_black")][:most]
    lines = []
    for event in seen.events[:most]:
        lasts = event["duration_s"] is None
        onset = datetime.fromisoformat(event["onset"]).astimezone(seen.now.tzinfo)
        seconds = (seen.now - onset).total_seconds() if lasts else event["duration_s"]
        line = Text.assemble(
            (" ▶ " if lasts else "   ", "bold green"),
            (f"{onset:%H:%M:%S}  ", "" if lasts else "bright_black"),
            (f"{event['class'][:18]:<18} ", "bold green" if lasts else "bold"),
            f"{event['peak_score']:.2f}  ",
            f"{max(0.0, seconds):>6.1f} s  ",
            (f"{event['source'][:16]:<16}", "bright_black"),
        )
        lines.append(line.append("lasts" if lasts else event["reason"] or "", "green" if lasts else "bright_black"))
    return lines


def _health(seen: ViewState) -> list[Text]:
    """What is wrong with the machine; nothing where all is well."""
    lines, board = [], seen.board
    if board.overload is not None and board.overload.state == "degraded":
        said = f" ! this machine falls behind: a window every {board.overload.hop_s:g} s"
        lines.append(Text(f"{said}, {board.overload.dropped_windows} dropped", "bold red"))
    if board.journal is not None and board.journal.state == "failing":
        lines.append(Text(f" ! {board.journal.detail}", "bold red"))
    lost_s = {name: each.lost_s for name, each in board.sources.items() if each.lost_s}
    if lost_s:
        told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in lost_s.items())
        lines.append(Text(f"   not heard: {told}", "yellow"))
    return lines


def _sinks(seen: ViewState) -> list[Text]:
    line = Text("   to ", "bright_black")
    for state, behind_lines in seen.sinks:
        well = state.state == "working"
        line.append(state.name, "bright_black" if well else "bold red")
        line.append("" if well else f" {state.state}: {state.reason}", "red")
        line.append(f" ({behind_lines} behind)" if behind_lines > 1 else "", "yellow").append("  ")
    return [line] if seen.sinks else []


def _diary(seen: ViewState) -> list[Text]:
    return [Text("   ").append_text(Text.from_ansi(_one_line(line))) for line in seen.diary[-DIARY_LINES:]]


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def rule(title: str, width: int) -> Text:
    """A line across the terminal, with a title."""
    return Text(f"── {title} " + "─" * max(0, width - len(title) - 4), "bright_black")


def _foot() -> Text:
    return Text.assemble(" ", (" q ", "reverse"), (" or Ctrl-C ends; --plain prints lines instead", "bright_black"))
