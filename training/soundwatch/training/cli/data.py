"""`soundwatch data check` and `soundwatch data download`."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console

from soundwatch.daemon.errors import DataError
from soundwatch.training.check import Layout, check_data
from soundwatch.training.check_report import show_check
from soundwatch.training.cli.options import layout_option
from soundwatch.training.download import download


@click.group()
def data() -> None:
    """Check a data set before training on it, or download UrbanSound8K."""


@data.command("check")
@click.argument("root", metavar="DIR", type=click.Path(path_type=Path))
@layout_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def check(root: Path, layout: Layout, as_json: bool) -> None:
    """Decode every file of DIR, count what is there, and name what is wrong.

    Exit code 7 if something would stop training or make its scores wrong; warnings alone give 0.
    """
    found = check_data(root, layout, Console(stderr=True))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        show_check(found, Console())
    if found.errors:
        raise DataError(
            f"{root} cannot be trained on: {found.errors} of its findings are errors. Mend them, and check again."
        )


@data.command("download")
@click.argument("root", metavar="DIR", type=click.Path(path_type=Path))
def download_command(root: Path) -> None:
    """Fetch UrbanSound8K (6 GB, CC BY-NC 3.0) into DIR, through the Python package soundata."""
    clips = download(root)
    click.echo(f"{clips} clips in {root}. Next: soundwatch data check {root}")
