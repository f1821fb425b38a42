"""`soundwatch clips`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from soundwatch.daemon.cli.options import apply_clips, config_option, stored_clips_option
from soundwatch.daemon.config.clips_folder import existing_clips_folder
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.text.printable import printable


@click.group()
def clips() -> None:
    """Work on the clips that are stored."""


@clips.command()
@config_option
@stored_clips_option
def pictures(config_path: Path | None, clips_folder: str | None) -> None:
    """Draw the spectrogram of each clip that has none, the newest first.

    A daemon may run meanwhile. A run that was stopped continues where it was; a clip that cannot be read is named and
    skipped. A picture shows speech: run this only for clips that may have pictures.
    """
    from soundwatch.daemon.clips.draw import clips_without_picture, draw_pictures

    folder = existing_clips_folder(apply_clips(load_config(config_path), clips_folder).clips)
    missing = clips_without_picture(folder)
    with click.progressbar(draw_pictures(missing), length=len(missing), label="pictures", file=sys.stderr) as results:
        skipped = [result for result in results if result.error is not None]
    for result in skipped:
        click.echo(f"skipped {printable(result.clip.name)}: {printable(result.error or '')}", err=True)
    click.echo(f"Pictures drawn: {len(missing) - len(skipped)}. Clips skipped: {len(skipped)}.")
