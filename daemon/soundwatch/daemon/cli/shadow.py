"""`soundwatch shadow report`, `promote` and `rollback`."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from soundwatch.daemon.cli.options import apply_journal, config_option, stored_journal_option
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.errors import ConfigError

if TYPE_CHECKING:
    from soundwatch.daemon.shadow.promotion import PromotionResult
    from soundwatch.daemon.shadow.report import ShadowReport


@click.group()
def shadow() -> None:
    """Compare a second model, the shadow, with the active one, and promote it."""


@shadow.command()
@click.option("--since", metavar="WHEN", help="From a time (2026-11-22T08:15:00Z), an age (2h), or line #SEQ.")
@click.option("--source", "sources", multiple=True, metavar="NAME", help="Only this source. May be repeated.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@config_option
@stored_journal_option
def report(
    since: str | None,
    sources: tuple[str, ...],
    format_: Literal["text", "json"],
    config_path: Path | None,
    journal: str | None,
) -> None:
    """Summarize from the journal where the two models differed."""
    from soundwatch.daemon.journal.location import open_for_reading
    from soundwatch.daemon.journal.queries import query
    from soundwatch.daemon.shadow.report import build_reports

    store = open_for_reading(apply_journal(load_config(config_path), journal).journal)
    wanted = query.parse_filter(datetime.now(UTC), since, sources=sources, types=("differ", "shadow"))
    found = build_reports(entry.line for entry in query.read_lines(store, wanted))
    if format_ == "json":
        click.echo(msgspec.json.encode({"pairs": found}).decode())
    elif found:
        for pair in found:
            _show(pair)
    else:
        click.echo("The journal has no comparison. Name a second model in the configuration: shadow: {file: MODEL}")


@shadow.command()
@config_option
@stored_journal_option
def promote(config_path: Path | None, journal: str | None) -> None:
    """Make the shadow the active model, and the active model the shadow.

    The command exchanges `model.file` and `shadow.file` in the configuration, and a running soundwatch reloads the
    configuration. If a step fails, the file is restored.
    """
    from soundwatch.daemon.shadow.promotion import promote as change

    path = _required(config_path)
    _show_result(path, journal, change(path, apply_journal(load_config(path), journal).journal), "rollback")


@shadow.command()
@config_option
@stored_journal_option
def rollback(config_path: Path | None, journal: str | None) -> None:
    """Restore the model that was active before the last promotion."""
    from soundwatch.daemon.shadow.promotion import roll_back as change

    path = _required(config_path)
    _show_result(path, journal, change(path, apply_journal(load_config(path), journal).journal), "promote")


def _required(config_path: Path | None) -> Path:
    """Return the path of the configuration file, which the command changes."""
    if config_path is None:
        raise ConfigError("This command changes the configuration file; name it with --config or SOUNDWATCH_CONFIG.")
    return config_path


def _show_result(path: Path, journal: str | None, done: PromotionResult, undo: str) -> None:
    """Print the old and the new models, and the command that undoes the change."""
    click.echo(f"{path}: model.file is {done.model_file}, shadow.file is {done.shadow_file}.")
    if done.process is None:
        click.echo(f"No soundwatch writes to {done.journal}: {done.model} becomes the active model at the next start.")
    else:
        click.echo(f"soundwatch, process {done.process}: active model {done.model}, shadow {done.shadow}.")
    journal_arguments = [] if journal is None else ["--journal", journal]
    click.echo(f"To undo: {shlex.join(['soundwatch', 'shadow', undo, '--config', str(path), *journal_arguments])}")


def _show(pair: ShadowReport) -> None:
    """Print a report as text."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{pair.model}, shadow {pair.shadow}", style="bold")
    dropped = f", {pair.dropped_windows} dropped for lack of time" if pair.dropped_windows else ""
    mean = "" if pair.mean_difference is None else f"; mean difference of scores {pair.mean_difference:.3f}"
    console.print(f"{_moment(pair.first)} to {_moment(pair.last)}: {pair.windows} windows compared{dropped}{mean}")
    if pair.failed is not None:
        console.print(f"The shadow failed at {_moment(pair.failed)} and was turned off; the log gives the reason.")
    table = Table("class", "both", "only model", "only shadow", "agreed")
    for column in table.columns[1:]:
        column.justify = "right"
    for label, counts in pair.classes.items():
        agreed = "" if counts.agreed is None else f"{100 * counts.agreed:.1f} %"
        table.add_row(label, str(counts.both), str(counts.only_model), str(counts.only_shadow), agreed)
    console.print(table if pair.classes else "The journal has no summary yet; one is written every `stats_s` seconds.")
    if pair.moments:
        console.print(f"{pair.differences} differences began; the largest:")
        moments = Table("time", "source", "class", "model (threshold)", "shadow (threshold)")
        for moment in pair.moments:
            scores = _score(moment.score, moment.threshold), _score(moment.shadow_score, moment.shadow_threshold)
            moments.add_row(_moment(moment.time), moment.source, moment.class_, *scores)
        console.print(moments)


def _moment(time: str) -> str:
    return time[:19].replace("T", " ")


def _score(score: float, threshold: float | None) -> str:
    return f"{score:.3f} ({'never' if threshold is None else f'{threshold:.2f}'})"
