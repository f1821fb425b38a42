"""Renders the live view as text: a pure function of the state and the terminal's size.

Conventions: one `Text` per row, no more rows and columns than the terminal has. Names are text and never markup. Times
are in the local time zone.
Rule for small terminals: each source has one row; with more room, also its three highest classes and a row with its
highest tags; events get the rest. Sources with problems come first where not all fit. An event loses its source, then
its score; the time is always shown.
Does not: draw on the terminal (`sink.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from typing import Any, Final

from rich.cells import cell_len, set_cell_size
from rich.text import Span, Text

from soundwatch.daemon.core.model.tags import highest_tags
from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.core.records.source import DEMO_DESCRIPTION
from soundwatch.daemon.events.level_schema import LevelLine
from soundwatch.daemon.sinks.protocols import SinkStatus
from soundwatch.daemon.status.snapshot import SourceStatus, StatusSnapshot

MIN_DBFS: Final = -80.0
TOP_CLASSES: Final = 3
LOG_LINES: Final = 3
MIN_EVENT_ROWS: Final = 4
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_ASCII: Final = str.maketrans("▏▎▍▌▋▊▉█●▶─…", "   ===##*>-~")
_LOG_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z ")
_EVENT_CELLS: Final = 29  # of an event's marks, time, duration and state
_CLASS_CELLS: Final = 18
_SCORE_CELLS: Final = 6
_STATE_STYLES: Final = {
    "opening": "yellow",
    "waiting": "yellow",
    "heard": "green",
    "lost": "red",
    "paused": "yellow",
    "ended": "bright_black",
}


@dataclass(frozen=True, slots=True)
class ViewState:
    """State that the view shows.

    Attributes:
        node: Name of this machine.
        snapshot: Status of the sources and the machine.
        latest: Last window of each source.
        events: Last line of each event, newest event first.
        sinks: Status of each sink, and the number of lines that it has yet to write.
        log: Last lines of the log.
        now: Current time with its zone.
        levels: Sound level of the last second of each source that is metered.
    """

    node: str
    snapshot: StatusSnapshot
    latest: Mapping[str, WindowResult]
    events: Sequence[dict[str, Any]]
    sinks: Sequence[tuple[SinkStatus, int]]
    log: Sequence[str]
    now: datetime
    levels: Mapping[str, LevelLine] = field(default_factory=dict)


def render(state: ViewState, width: int, height: int) -> list[Text]:
    """Return the rows of the view, from the top."""
    top, bottom = _head(state, width), [*_health(state), *_sinks(state), *_log(state), _foot()]
    sources = state.snapshot.sources
    room = height - len(top) - len(bottom) - 2
    rows = 1 + TOP_CLASSES + any(window.tags for window in state.latest.values())
    classes = TOP_CLASSES if len(sources) * rows + MIN_EVENT_ROWS <= room else 0
    limit = max(1, room - MIN_EVENT_ROWS)
    column, ordered = _name_cells(state, width), list(sources.items())
    if len(sources) > limit:
        ordered.sort(key=lambda item: _rank(item[1]))
    shown = [line for name, source in ordered for line in _source(name, source, state, classes, column, width)]
    if len(shown) > limit:
        shown = [*shown[: limit - 1], Text(f"  and {len(shown) - limit + 1} more sources", "bright_black")]
    lines = [*top, *shown, Text(), rule("events", width), *_events(state, max(0, room - len(shown)), column, width)]
    lines += [Text()] * (height - len(lines) - len(bottom))
    lines = [*lines, *bottom][:height]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return lines


def to_encoding(line: Text, encoding: str) -> Text:
    """Return a row of as many columns for a terminal without UTF-8: ASCII for bars, ? for other letters."""
    found = [_encoded(character, encoding) for character in line.plain.translate(_ASCII)]
    starts = [0, *accumulate(map(len, found))]
    spans = [Span(starts[span.start], starts[span.end], span.style) for span in line.spans]
    return Text("".join(found), spans=spans, no_wrap=True)


def _encoded(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return "?" * cell_len(character)
    return character


def bar(share: float, width: int) -> str:
    """Return a bar of `width` columns, with a resolution of an eighth of a column."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def _head(state: ViewState, width: int) -> list[Text]:
    hello = next((source.hello for source in state.snapshot.sources.values() if source.hello is not None), None)
    model = "" if hello is None else f"{hello.model}  {hello.provider.removesuffix('ExecutionProvider')}"
    head = Text.assemble((" soundwatch ", "bold reverse"), "  ", (state.node, "bold"), "  ", (model, "bright_black"))
    clock = f"{state.now:%H:%M:%S}"
    head.truncate(max(0, width - len(clock) - 1), overflow="ellipsis", pad=True)
    return [head.append(f" {clock}"), Text()]


def _name_cells(state: ViewState, width: int) -> int:
    """Return the columns for names of sources and classes: those of the longest name, a quarter of a wide terminal."""
    sources = state.snapshot.sources
    names = [*sources, *(label for source in sources.values() if source.hello for label in source.hello.classes)]
    return max(8, min(max(map(cell_len, names), default=0), max(10, width // 4)))


def fit_name(name: str, cells: int) -> str:
    """Return a name of exactly so many columns."""
    return set_cell_size(name, cells) if cell_len(name) <= cells else f"{set_cell_size(name, cells - 1)}…"


def _rank(source: SourceStatus) -> int:
    """Return the place of a source among others: one without sound first, then one with faults."""
    return 0 if source.state in ("lost", "waiting") else 1 if source.faults else 2


def _level(level_dbfs: float | None, sound_level: LevelLine | None, columns: int) -> Text:
    """Return the bar of a level, and the level: of the sound level meter where one measures, else of the window."""
    share = 0.0 if level_dbfs is None else 1 - level_dbfs / MIN_DBFS
    color = "red" if share > 0.95 else "yellow" if share > 0.85 else "cyan"
    text = f"{'silent' if level_dbfs is None else f'{level_dbfs:.0f} dBFS':>9}"
    return Text.assemble((bar(share, columns), color), f" {text if sound_level is None else _sound_level(sound_level)}")


def _source(name: str, source: SourceStatus, state: ViewState, classes: int, column: int, width: int) -> list[Text]:
    """Return the rows of a source: its level, its highest classes and its highest tags."""
    window = state.latest.get(name) if source.state == "heard" else None
    style = _STATE_STYLES[source.state]
    line = Text.assemble((" ● ", style), (fit_name(name, column), "bold"), " ")
    if window is None:
        line.append(f"{'running' if source.state == 'heard' else source.state}  ", style).append(
            _join_lines(source.detail), "bright_black"
        )
        return [line]
    columns = max(6, min(40, width - 60))
    line.append_text(_level(window.level_dbfs, state.levels.get(name), columns))
    if source.faults:
        line.append(f"  {', '.join(source.faults)}", "red")
    best = sorted(zip(window.values.tolist(), window.labels, strict=True), reverse=True)
    thresholds = {} if source.hello is None else source.hello.thresholds
    if not classes:
        score, label = best[0]
        line.append(f"  {label} {score:.2f}", "bold green" if score >= thresholds.get(label, 2.0) else "bright_black")
        return [line]
    rows = [_score(fit_name(label, column), score, thresholds.get(label), columns) for score, label in best[:classes]]
    if window.tags:
        also = highest_tags(window.tags, window.tag_values.tolist())
        rows.append(Text("   also " + ", ".join(f"{tag} {score:.2f}" for tag, score in also), "bright_black"))
    return [line, *rows]


def _sound_level(level: LevelLine) -> str:
    """Format LAeq and LAFmax of a second."""
    values = (("LAeq", level.laeq_db), ("LAFmax", level.lafmax_db))
    texts = (f"{name} {'silent' if value is None else f'{value:.1f}'}" for name, value in values)
    return f"{'  '.join(texts)} {'dB' if level.calibrated else 'dBFS'}"


def _score(label: str, score: float, threshold: float | None, columns: int) -> Text:
    """Return the row of a class, highlighted from its threshold on."""
    above = threshold is not None and score >= threshold
    line = Text.assemble("   ", (label, "bold" if above else "bright_black"), " ")
    line.append(bar(score, columns), "green" if above else "bright_black").append(f" {score:>9.2f}")
    return line if threshold is None else line.append(f"  of {threshold:.2f}", "bright_black")


def _events(state: ViewState, limit: int, column: int, width: int) -> list[Text]:
    if not state.events:
        return [Text("   none yet", "bright_black")][:limit]
    lines, class_cells = [], max(8, min(_CLASS_CELLS, width - _EVENT_CELLS - 1))
    with_score = width >= _EVENT_CELLS + 1 + _CLASS_CELLS + _SCORE_CELLS
    with_source = width >= _EVENT_CELLS + 1 + _CLASS_CELLS + _SCORE_CELLS + column + 1
    for event in state.events[:limit]:
        active = event["duration_s"] is None
        onset_utc = datetime.fromisoformat(event["onset"])
        onset = onset_utc.astimezone(state.now.tzinfo)
        seconds = (state.now - onset_utc).total_seconds() if active else event["duration_s"]
        line = Text.assemble(
            (" ▶ " if active else "   ", "bold green"),
            (f"{onset:%H:%M:%S}  ", "" if active else "bright_black"),
            (f"{fit_name(event['class'], class_cells)} ", "bold green" if active else "bold"),
            f"{event['peak_score']:.2f}  " if with_score else "",
            f"{max(0.0, seconds):>6.1f} s  ",
            (f"{fit_name(event['source'], column)} " if with_source else "", "bright_black"),
        )
        lines.append(line.append("active" if active else event["reason"] or "", "green" if active else "bright_black"))
    return lines


def _health(state: ViewState) -> list[Text]:
    """Return the rows about the demo scene, overload, the journal and lost sound; none if there is no problem."""
    lines, snapshot = [], state.snapshot
    hellos = [source.hello for source in snapshot.sources.values()]
    if any(hello is not None and hello.description == DEMO_DESCRIPTION for hello in hellos):
        lines.append(Text("   This is the demo scene, no microphone: `soundwatch devices` lists microphones", "yellow"))
    if snapshot.overload is not None and snapshot.overload.state == "degraded":
        text = f" ! this machine is too slow: one window every {snapshot.overload.hop_s:g} s"
        lines.append(Text(f"{text}, {snapshot.overload.dropped_windows} dropped", "bold red"))
    if snapshot.journal is not None and snapshot.journal.state == "failing":
        lines.append(Text(f" ! {snapshot.journal.detail}", "bold red"))
    lost_s = {name: source.lost_s for name, source in snapshot.sources.items() if source.lost_s}
    if lost_s:
        losses = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in lost_s.items())
        lines.append(Text(f"   lost sound: {losses}", "yellow"))
    return lines


def _sinks(state: ViewState) -> list[Text]:
    line = Text("   to ", "bright_black")
    for status, behind_lines in state.sinks:
        working = status.state == "working"
        line.append(status.name, "bright_black" if working else "bold red")
        line.append("" if working else f" {status.state}: {status.reason}", "red")
        line.append(f" ({behind_lines} behind)" if behind_lines > 1 else "", "yellow").append("  ")
    return [line] if state.sinks else []


def _log(state: ViewState) -> list[Text]:
    return [
        Text("   ").append_text(_without_date(Text.from_ansi(_join_lines(line)))) for line in state.log[-LOG_LINES:]
    ]


def _without_date(line: Text) -> Text:
    """Return a line of the log with its time only, in UTC."""
    found = _LOG_TIME.match(line.plain)
    return line if found is None else line[11:19].append("Z ").append_text(line[found.end() :])


def _join_lines(text: str) -> str:
    return " ".join(text.splitlines())


def rule(title: str, width: int) -> Text:
    """Return a horizontal rule with a title."""
    return Text(f"── {title} " + "─" * max(0, width - len(title) - 4), "bright_black")


def _foot() -> Text:
    return Text.assemble(" ", (" q ", "reverse"), (" or Ctrl-C quits; --plain prints lines instead", "bright_black"))
