"""`soundwatch export` and `soundwatch verify`.

Conventions: the files' paths, or the table, go to stdout; progress goes to stderr.
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from soundwatch.daemon.classify import Backend
from soundwatch.export.exporter import export_checkpoint, verify_file
from soundwatch.export.formats import SUFFIXES
from soundwatch.export.report import to_json, to_table

_clip_option = click.option(
    "--clip",
    type=click.Path(path_type=Path),
    help="Recording whose first window is the ladder's clip.  [default: one made by code]",
)


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "choice",
    type=click.Choice([*SUFFIXES, "all"]),
    default="onnx",
    show_default=True,
    help="The file to write.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the files and the model card.")
@_clip_option
def export(checkpoint: Path, choice: str, out: Path, clip: Path | None) -> None:
    """Turn a checkpoint into model files that are proven to compute the same.

    Every format is written under another name and climbs the probe ladder; only if all of it passes are
    the files asked for put in place. Their paths are printed.
    """
    console = Console(stderr=True)
    formats: list[Backend] = [each for each in SUFFIXES if choice in (each, "all")]
    files, verification = export_checkpoint(checkpoint, formats, out, clip, console)
    console.print(to_table(verification))
    for file in files:
        click.echo(file)


@click.command()
@click.argument("model")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="What it was exported from, to compare with.")
@click.option("--backend", type=click.Choice(["auto", *SUFFIXES]), default="auto", show_default=True)
@_clip_option
@click.option("--json", "as_json", is_flag=True, help="Print every difference as JSON.")
def verify(model: str, checkpoint: Path | None, backend: Backend, clip: Path | None, as_json: bool) -> None:
    """Prove a model file again: MODEL is urban, tutorial or a file.

    Without its checkpoint the file is compared with itself: its network fed by torchaudio, and by the daemon.
    """
    verification = verify_file(model, backend, checkpoint, clip, Console(stderr=True))
    if as_json:
        click.echo(to_json(verification))
    else:
        Console().print(to_table(verification))
    verification.insist()
