"""`soundwatch tail`."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Final, Literal

import click
import msgspec

from soundwatch.daemon.cli.options import (
    MOST_LINES,
    apply_journal,
    config_option,
    filter_options,
    stored_journal_option,
    wants_text,
)
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.text.printable import printable

DEFAULT_LINES: Final = 10
TOP: Final = 3
SOURCE_CELLS: Final = 12  # columns of a terminal, of which some characters have two
_SCORES: Final = (("score", "threshold"), ("shadow_score", "shadow_threshold"))


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Print new lines as they are written, until Ctrl-C.")
@click.option("-n", "--lines", "count", type=click.IntRange(0, MOST_LINES), help="Number of last lines. [default: 10]")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    show_default=True,
    help="auto: text on a terminal, otherwise the JSON lines of `run`.",
)
@click.option("--scores", is_flag=True, help="Also print the scores of every window, until Ctrl-C.")
@click.option("--level", is_flag=True, help="Also print the sound level of every second, until Ctrl-C.")
@filter_options
@config_option
@stored_journal_option
def tail(
    follow: bool,
    count: int | None,
    format_: Literal["auto", "text", "json"],
    scores: bool,
    level: bool,
    config_path: Path | None,
    journal: str | None,
    **filters: Any,
) -> None:
    """Print lines of the journal: the last ones, those since a time, or new ones as they are written."""
    from soundwatch.daemon.journal.location import open_for_reading
    from soundwatch.daemon.journal.queries import query
    from soundwatch.daemon.journal.queries.follow import follow_lines

    config = apply_journal(load_config(config_path), journal)
    store = open_for_reading(config.journal)
    line_filter = query.parse_filter(datetime.now(UTC), **filters)
    live_types = [type_ for type_, wanted in (("scores", scores), ("level", level)) if wanted]
    if follow or live_types:  # new sources and classes may appear
        query.check_types(line_filter)
    else:
        query.check_names(store, line_filter)
    zone = config.place.zone if wants_text(format_) else None
    if count is None and not filters["since"]:
        count = DEFAULT_LINES
    found = query.read_lines(store, line_filter) if count is None else query.read_last_lines(store, line_filter, count)
    last_seq = store.last_seq()
    for entry in found:
        _show(entry.line, zone)
        last_seq = max(last_seq, entry.seq)
    if live_types or follow:
        for line in follow_lines(store, replace(line_filter, after_seq=last_seq), live_types):
            _show(line, zone)


def _show(line: bytes, zone: tzinfo | None) -> None:
    """Print one line without delay, as text with times of a zone, or without a zone as it is."""
    click.echo(line.decode("utf-8", "replace") if zone is None else _text(line, zone), nl=zone is not None)
    sys.stdout.flush()


def _text(line: bytes, zone: tzinfo | None = None) -> str:
    """Format a line as text; a damaged line is printed as it is."""
    try:
        return format_line(msgspec.json.decode(line), zone)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return printable(f"damaged line: {line.decode('utf-8', 'replace').rstrip()}")


def format_line(line: dict[str, Any], zone: tzinfo | None = None) -> str:
    """Format a line as text: local time with its offset from UTC, source, type and content; never a control code.

    Args:
        line: The line.
        zone: Zone of the time; None for that of the system.
    """
    time = datetime.fromisoformat(line["time"]).astimezone(zone).isoformat(" ", "seconds")
    from rich.cells import cell_len

    source = line["source"] or ""
    padding = " " * max(0, SOURCE_CELLS - cell_len(source))
    return printable(f"{time}  {source}{padding}  {line['type']:<7}  {_content(line)}").rstrip()


def _content(line: dict[str, Any]) -> str:
    if line["type"] == "clip":
        return f"{line['class']:<16}  {line['file'] or 'not written: ' + line['reason']}"
    if line["type"] == "differ":
        model, shadow = (f"{line[key]:.3f} (from {line[of] or 'never'})" for key, of in _SCORES)
        return f"{line['class']:<16}  model {model}, shadow {shadow}"
    if line["type"] == "shadow":
        sums = {key: sum(line[key].values()) for key in ("both", "only_model", "only_shadow")}
        counts = f"both {sums['both']}, only model {sums['only_model']}, only shadow {sums['only_shadow']}"
        return f"{line['windows']:<6} windows    {counts}"
    if line["type"] == "level":
        return _level(line)
    if "class" in line:
        return _event(line)
    if "scores" in line:
        level = "digital silence" if line["level_dbfs"] is None else f"{line['level_dbfs']:.0f} dBFS"
        best = sorted(line["scores"].items(), key=lambda item: -item[1])[:TOP]
        return f"{level:<16}  " + "  ".join(f"{label} {score:.2f}" for label, score in best)
    detail = line.get("detail") or ", ".join(line.get("faults") or ()) or line.get("reason") or line.get("description")
    return f"{line.get('state') or '':<16}  {detail or ''}"


def _level(line: dict[str, Any]) -> str:
    """Format the levels of a period."""
    unit = "dB" if line["calibrated"] else "dBFS"
    levels = ((name, line[key]) for name, key in (("LAeq", "laeq_db"), ("LAFmax", "lafmax_db"), ("LCeq", "lceq_db")))
    parts = (f"{name} {'silent' if level is None else f'{level:.1f} {unit}'}" for name, level in levels)
    return f"{line['period']:<16}  {'  '.join(parts)}"


def level_text(line: dict[str, Any]) -> str:
    """Format the level of an event: A-weighted where the sound level meter is on, at its end LAFmax."""
    key = "peak_level_dba" if line["type"] == "end" else "level_dba"
    if line.get(key) is None:
        return f"{line['level_dbfs']:.0f} dBFS"
    return f"{'LAFmax' if line['type'] == 'end' else 'LAeq'} {line[key]:.0f} {'dB' if line['calibrated'] else 'dBFS'}"


def _event(line: dict[str, Any]) -> str:
    """Format an event: the score of the window, or at its end the peak score."""
    ended = line["type"] == "end"
    score = f"peak {line['peak_score']:.2f}" if ended else f"{line['score']:.2f}"
    level = f"  {level_text(line)}" if line["level_dbfs"] is not None else ""
    duration = "" if line["duration_s"] is None else f"  {line['duration_s']:.1f} s, {line['reason']}"
    return f"{line['class']:<16}  {score}{level}{duration}"
