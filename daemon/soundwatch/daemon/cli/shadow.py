"""`soundwatch shadow report`, `promote` and `rollback`."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from soundwatch.daemon.cli.options import apply_journal, config_option, journal_option
from soundwatch.daemon.core.config import load_config
from soundwatch.daemon.core.errors import ConfigError

if TYPE_CHECKING:
    from soundwatch.daemon.shadow.promotion import PromotionResult
    from soundwatch.daemon.shadow.report import ShadowReport


@click.group()
def shadow() -> None:
    """Hold a second model against the one that listens, and let it take over."""


@shadow.command()
@click.option("--since", metavar="WHEN", help="From a time (2026-11-22T08:15:00Z), an age (2h), or line #SEQ.")
@click.option("--source", "sources", multiple=True, metavar="NAME", help="Only this source. May be repeated.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@config_option
@journal_option
def report(
    since: str | None,
    sources: tuple[str, ...],
    format_: Literal["text", "json"],
    config_path: Path | None,
    journal: str | None,
) -> None:
    """Say where the two models differed, by what the journal has of it."""
    from soundwatch.daemon.journal import query
    from soundwatch.daemon.journal.location import open_for_reading
    from soundwatch.daemon.shadow.report import build_reports

    store = open_for_reading(apply_journal(load_config(config_path), journal).journal)
    wanted = query.parse_filter(datetime.now(UTC), since, sources=sources, types=("differ", "shadow"))
    found = build_reports(entry.line for entry in query.read_lines(store, wanted))
    if format_ == "json":
        click.echo(msgspec.json.encode({"pairs": found}).decode())
    elif found:
        for each in found:
            _show(each)
    else:
        click.echo("Nothing was compared so far. Name a second model in the configuration: shadow: {file: MODEL}")


@shadow.command()
@config_option
@journal_option
def promote(config_path: Path | None, journal: str | None) -> None:
    """Let the shadow decide, and what decided until now be its shadow.

    `model.file` and `shadow.file` of the configuration change places, and soundwatch, if it runs, takes that up at
    once. If anything is wrong with it, all stays as it was.
    """
    from soundwatch.daemon.shadow.promotion import promote as change

    path = _written(config_path)
    _tell(path, journal, change(path, apply_journal(load_config(path), journal).journal), "rollback")


@shadow.command()
@config_option
@journal_option
def rollback(config_path: Path | None, journal: str | None) -> None:
    """Let what decided before the last promotion decide again."""
    from soundwatch.daemon.shadow.promotion import roll_back as change

    path = _written(config_path)
    _tell(path, journal, change(path, apply_journal(load_config(path), journal).journal), "promote")


def _written(config_path: Path | None) -> Path:
    """The configuration's file, which is to be changed."""
    if config_path is None:
        raise ConfigError("It is the configuration file that is changed; name it with --config or SOUNDWATCH_CONFIG.")
    return config_path


def _tell(path: Path, journal: str | None, done: PromotionResult, undo: str) -> None:
    """Say what was, what is, and how to undo it."""
    click.echo(f"{path}: model.file was {done.shadow_file} and is {done.model_file}; shadow.file the other way round.")
    if done.process is None:
        click.echo(f"No soundwatch was told, since none writes to {done.journal}: {done.model} decides once it starts.")
    else:
        click.echo(f"soundwatch, process {done.process}: {done.model} decides now, beside it runs {done.shadow}.")
    named = [] if journal is None else ["--journal", journal]
    click.echo(f"To undo: {shlex.join(['soundwatch', 'shadow', undo, '--config', str(path), *named])}")


def _show(pair: ShadowReport) -> None:
    """A report for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{pair.model}, beside it {pair.shadow}", style="bold")
    dropped = f", {pair.dropped_windows} more dropped for want of time" if pair.dropped_windows else ""
    mean = "" if pair.mean_difference is None else f"; scores differ by {pair.mean_difference:.3f} on the mean"
    console.print(f"{_moment(pair.first)} to {_moment(pair.last)}: {pair.windows} windows compared{dropped}{mean}")
    if pair.failed is not None:
        console.print(f"The shadow failed at {_moment(pair.failed)} and was turned off; the log says why.")
    table = Table("class", "both", "only model", "only shadow", "agreed")
    for column in table.columns[1:]:
        column.justify = "right"
    for label, each in pair.classes.items():
        agreed = "" if each.agreed is None else f"{100 * each.agreed:.1f} %"
        table.add_row(label, str(each.both), str(each.only_model), str(each.only_shadow), agreed)
    console.print(table if pair.classes else "No summary was written yet; one comes every `stats_s` seconds.")
    if pair.moments:
        console.print(f"{pair.differences} differences began; those furthest apart:")
        moments = Table("time", "source", "class", "model (from)", "shadow (from)")
        for moment in pair.moments:
            scores = _score(moment.score, moment.threshold), _score(moment.shadow_score, moment.shadow_threshold)
            moments.add_row(_moment(moment.time), moment.source, moment.class_, *scores)
        console.print(moments)


def _moment(time: str) -> str:
    return time[:19].replace("T", " ")


def _score(score: float, threshold: float | None) -> str:
    return f"{score:.3f} ({'never' if threshold is None else f'{threshold:.2f}'})"
