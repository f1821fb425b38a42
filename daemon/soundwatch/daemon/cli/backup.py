"""`soundwatch backup` and `soundwatch restore`."""

from __future__ import annotations

from pathlib import Path

import click

from soundwatch.daemon.cli.options import (
    GivenPath,
    OutputPath,
    apply_journal,
    check_overwrite,
    config_option,
    journal_file,
    overwrite_option,
    stored_clips_option,
    stored_journal_option,
)
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.text.messages import counted


@click.command()
@click.argument("out", metavar="FILE", type=OutputPath())
@click.option("--with-clips", is_flag=True, help="Also save the clips.")
@overwrite_option
@config_option
@stored_journal_option
def backup(out: Path, with_clips: bool, overwrite: bool, config_path: Path | None, journal: str | None) -> None:
    """Save the configuration, its calibration, the journal with all labels, and clips on request, as one archive.

    A running daemon may continue: the journal is copied as one consistent state. Passwords in the configuration are
    saved as they are, so FILE is readable by its user only.
    """
    from soundwatch.daemon.backup.save import save_backup

    config = apply_journal(load_config(config_path), journal)
    check_overwrite(out, overwrite, journal_file(config), config_path)
    names = save_backup(out, config, config_path, clips=with_clips)
    click.echo(f"{counted(len(names), 'file')} saved in {out}.", err=True)


@click.command()
@click.argument("archive", metavar="FILE", type=GivenPath())
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@config_option
@stored_journal_option
@stored_clips_option
def restore(
    archive: Path, overwrite: bool, config_path: Path | None, journal: str | None, clips_folder: str | None
) -> None:
    """Restore a backup on this machine, and print the restored files.

    --config names the configuration file to write, config.yaml by default; the journal and the clips go where that
    configuration has them. The whole archive is checked first. Without --overwrite, no existing file is replaced.
    """
    from soundwatch.daemon.backup.restore import RestoreTargets, restore_backup

    targets = RestoreTargets(config_path or Path("config.yaml"), journal, clips_folder)
    for name, path in restore_backup(archive, targets, overwrite=overwrite).items():
        click.echo(f"{name}: {path}")
