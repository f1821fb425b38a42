"""`soundwatch export` and `soundwatch verify`.

Conventions: the files' paths, or the table, go to stdout; progress goes to stderr.
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.inference.classifier import Backend, load_classifier_file
from soundwatch.export.exporter import export_checkpoint, verify_file
from soundwatch.export.formats import SUFFIXES
from soundwatch.export.report import to_json, to_table
from soundwatch.export.triton import export_repository
from soundwatch.training.cli.options import Folds, layout_option

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
    type=click.Choice([*SUFFIXES, "all", "triton"]),
    default="onnx",
    show_default=True,
    help="The file to write; triton writes a model repository for Triton Inference Server.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the files and the model card.")
@_clip_option
@click.option("--int8", is_flag=True, help="Also in 8-bit integers, if that is quicker here and as good.")
@click.option("--data", "root", type=click.Path(path_type=Path), help="The recordings for --int8.")
@layout_option
@click.option("--folds", type=Folds(), help="To score --int8 on.  [default: those it was not trained on]")
def export(
    checkpoint: Path,
    choice: str,
    out: Path,
    clip: Path | None,
    int8: bool,
    root: Path | None,
    layout: str,
    folds: tuple[int, ...] | None,
) -> None:
    """Turn a checkpoint into model files that are proven to compute the same.

    Every format is written under another name and climbs the probe ladder; only if all of it passes are
    the files asked for put in place. Their paths are printed.

    With --int8 the ONNX file gets a twin in 8-bit integers, which is kept if it takes nine tenths of the time at
    most on this machine and loses half a point of accuracy at most; both are said. CHECKPOINT may then be a
    model file or a shipped model's name as well.
    """
    console = Console(stderr=True)
    if not int8 and (root or folds):
        raise ConfigError("--data and --folds are for --int8; leave them out, or add it.")
    if int8 and root is None:
        raise ConfigError("--int8 learns the range of each map from recordings; give --data.")
    if root is not None:
        _export_int8(checkpoint, choice, out, clip, (root, layout, folds), console)
        return
    if choice == "triton":
        files, verification = export_repository(checkpoint, out, clip, console)
    else:
        formats: list[Backend] = [each for each in SUFFIXES if choice in (each, "all")]
        files, verification = export_checkpoint(checkpoint, formats, out, clip, console)
    console.print(to_table(verification))
    for file in files:
        click.echo(file)


def _export_int8(
    checkpoint: Path,
    choice: str,
    out: Path,
    clip: Path | None,
    data: tuple[Path, str, tuple[int, ...] | None],
    console: Console,
) -> None:
    """The ONNX file of a checkpoint, if it is not one already, and its twin."""
    from soundwatch.export.int8_trial import compare_int8, load_calibration_data

    if choice != "onnx":
        raise ConfigError(f"--int8 is for ONNX; leave --format {choice} out, or export it by itself.")
    files: list[Path] = []
    model = checkpoint
    if checkpoint.suffix == ".pt":
        files, verification = export_checkpoint(checkpoint, ["onnx"], out, clip, console)
        console.print(to_table(verification))
        model = files[0]
    out.mkdir(parents=True, exist_ok=True)
    contract = load_classifier_file(model, "cpu", "onnx").contract
    twins, trial = compare_int8(model, out, load_calibration_data(*data, contract), console)
    console.print(str(trial), highlight=False)
    for file in (*files, *twins):
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
