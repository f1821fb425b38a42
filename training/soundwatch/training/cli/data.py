"""`soundwatch data check`, `soundwatch data download`, `soundwatch data speech` and `soundwatch data talk`."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console

from soundwatch.daemon.cli.options import GivenPath
from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.system.signals import stop_on_signals
from soundwatch.training.cli.options import Folds, check_columns, layout_options, negatives_option
from soundwatch.training.data.checks.check import Layout, check_data
from soundwatch.training.data.checks.check_report import show_check
from soundwatch.training.data.datasets.csv_labels import Columns
from soundwatch.training.data.datasets.download import download
from soundwatch.training.data.datasets.negatives import split_negatives
from soundwatch.training.data.datasets.urbansound8k import split_by_folds
from soundwatch.training.sounds.speech_synthesis import RECORDINGS, write_speech


@click.group()
def data() -> None:
    """Check a data set before training on it, download UrbanSound8K, or synthesize speech."""


@data.command("check")
@click.argument("root", metavar="DIR", type=GivenPath())
@layout_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def check(root: Path, layout: Layout, columns: Columns | None, as_json: bool) -> None:
    """Decode every file of DIR, or every one that a CSV file lists, and report counts and faults.

    Exit code 7 if a fault would stop training or make its scores wrong; warnings alone give 0.
    """
    check_columns(layout, columns)
    with stop_on_signals(lambda: None):  # the reader ends at its next block
        found = check_data(root, layout, Console(stderr=True), columns)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        show_check(found, Console())
    if found.errors:
        raise DataError(
            f"{root} cannot be trained on: {found.errors} of its findings are errors. Correct them, and check again."
        )


@data.command("download")
@click.argument("root", metavar="DIR", type=GivenPath())
def download_command(root: Path) -> None:
    """Fetch UrbanSound8K (6 GB, CC BY-NC 3.0) into DIR, through the Python package soundata."""
    clips = download(root)
    click.echo(f"{clips} clips in {root}. Next: soundwatch data check {root}")


@data.command("speech")
@click.argument("folder", metavar="DEST", type=GivenPath())
@click.option(
    "--recordings", type=click.IntRange(1), default=RECORDINGS, show_default=True, help="Number of recordings."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Seed of all random draws.")
def speech(folder: Path, recordings: int, seed: int) -> None:
    """Synthesize speech in many languages and rooms with espeak-ng, and write it to DEST, for --negatives.

    Exit code 7 if espeak-ng (Debian package espeak-ng) is not installed.
    """
    write_speech(folder, recordings, seed, Console(stderr=True))
    click.echo(f"{recordings} recordings in {folder}. Next: soundwatch train ... --negatives {folder}")


@data.command("talk")
@click.argument("folder", metavar="DEST", type=GivenPath())
@click.option("--data", "root", type=GivenPath(), required=True, help="Folder in UrbanSound8K's layout.")
@click.option("--folds", type=Folds(), required=True, help="Folds of --data, e.g. 2,3.")
@negatives_option
@click.option("--teacher", type=GivenPath(), required=True, help="YAMNet's .tflite file, which sorts the clips.")
@click.option(
    "--recordings", type=click.IntRange(1), default=1500, show_default=True, help="Number of speech recordings."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Seed of all random draws.")
def talk(
    folder: Path,
    root: Path,
    folds: tuple[int, ...],
    negatives: tuple[Path, ...],
    teacher: Path,
    recordings: int,
    seed: int,
) -> None:
    """Make a data set for training a speech guard: real clips sorted by YAMNet, and synthesized speech.

    Exit code 7 if espeak-ng (Debian package espeak-ng) is not installed.
    """
    from soundwatch.training.sounds.speech_dataset import SpeechDetector, write_speech_dataset

    clips = [*split_by_folds(root, folds, ()).train, *split_negatives(*negatives)[0]]
    write_speech_dataset(
        folder, [clip.path for clip in clips], SpeechDetector(teacher), recordings, seed, Console(stderr=True)
    )
    click.echo(f"Next: soundwatch train --data {folder} --layout folders --recipe speech --test-share 0")
