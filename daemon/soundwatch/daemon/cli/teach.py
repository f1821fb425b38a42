"""`soundwatch teach`."""

from __future__ import annotations

from pathlib import Path

import click

from soundwatch.daemon.cli.options import (
    OutputPath,
    apply_clips,
    apply_journal,
    config_option,
    stored_clips_option,
    stored_journal_option,
)
from soundwatch.daemon.config.clips_folder import existing_clips_folder
from soundwatch.daemon.config.file import load_config


@click.command()
@click.argument("folder", metavar="DEST", type=OutputPath())
@config_option
@stored_journal_option
@stored_clips_option
def teach(folder: Path, config_path: Path | None, journal: str | None, clips_folder: str | None) -> None:
    """Copy the clips of labeled events to DEST, one folder for each class, for `soundwatch train --layout folders`."""
    from soundwatch.daemon.clips import dataset
    from soundwatch.daemon.journal.location import open_for_reading

    config = apply_clips(apply_journal(load_config(config_path), journal), clips_folder)
    clips = existing_clips_folder(config.clips)
    store = open_for_reading(config.journal)
    exported = dataset.export_labeled_clips(store, clips, folder)
    for class_, count in sorted(exported.copied.items()):
        click.echo(f"{count:>6}  {class_}")
    for reason, count in sorted(exported.skipped.items()):
        click.echo(f"{count:>6}  skipped: {reason}")
    negatives = f" --negatives {folder / 'negatives'}" if "negatives" in exported.copied else ""
    click.echo(f"Next: soundwatch data check {folder / 'sounds'} --layout folders", err=True)
    click.echo(
        f"      soundwatch train --data {folder / 'sounds'} --layout folders{negatives} --init-from urban", err=True
    )
