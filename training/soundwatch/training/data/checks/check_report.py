"""Data check as tables for a terminal.

Conventions: the report goes to stdout; without a terminal it has no color.
Does not: assess.
"""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from soundwatch.training.data.checks.check import DataCheck


def show_check(check: DataCheck, console: Console) -> None:
    """Print the counts, then the findings."""
    console.print(_classes(check))
    console.print(_facts(check))
    for finding in check.findings:
        color = {"error": "red", "warning": "yellow"}[finding.severity]
        console.print(f"[{color}]{finding.severity}: {finding.kind} ({finding.count})[/] {escape(finding.text)}")
        for example in finding.examples:
            console.print(f"    {escape(example)}", soft_wrap=True, highlight=False)
        if finding.examples and finding.count > len(finding.examples):
            console.print(f"    ... and {finding.count - len(finding.examples)} more")
    if not check.findings:
        console.print("[green]No faults found.[/]")


def _classes(check: DataCheck) -> Table:
    """Build the table of files, recordings, minutes, and files per fold of each class."""
    folds = sorted({fold for count in check.classes.values() for fold in count.folds})
    table = Table(title=f"{escape(check.root)}: {check.files} of {check.listed} files, {check.minutes:.0f} minutes")
    table.add_column("class")
    for name in ("files", "recordings", "minutes", *(f"fold {fold}" for fold in folds)):
        table.add_column(name, justify="right")
    for label, class_count in check.classes.items():
        counts = (str(class_count.folds.get(fold, 0)) for fold in folds)
        table.add_row(
            escape(label), str(class_count.files), str(class_count.recordings), f"{class_count.minutes:.1f}", *counts
        )
    return table


def _facts(check: DataCheck) -> Table:
    """Build the table of rates, channels, encodings and lengths."""
    table = Table(show_header=False)
    table.add_row("rates", _tally({f"{rate_hz} Hz": count for rate_hz, count in check.rates_hz.items()}))
    table.add_row("channels", _tally({str(channels): count for channels, count in check.channels.items()}))
    table.add_row("encodings", _tally(check.encodings))
    if check.durations_s:
        shortest, middle, longest = check.durations_s
        table.add_row("lengths", f"{shortest:.2f} s to {longest:.2f} s, median {middle:.2f} s")
    return table


def _tally(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items()) or "none"
