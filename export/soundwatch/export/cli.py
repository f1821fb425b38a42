"""`soundwatch export` and `soundwatch verify`.

Conventions: paths of files, or the table, go to stdout; progress goes to stderr.
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from soundwatch.daemon.cli.options import GivenPath, overwrite_option
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract import INT8_SUFFIX
from soundwatch.daemon.inference.classifier import Backend, load_classifier_file
from soundwatch.export.exporter import export_checkpoint, verify_file
from soundwatch.export.formats import SUFFIXES
from soundwatch.export.report import to_json, to_table
from soundwatch.export.staging import check_card, check_outputs, staging_folder
from soundwatch.export.triton_repository import export_repository
from soundwatch.export.waveform.export import export_waveform
from soundwatch.training.cli.options import Folds, layout_option, sounds_option
from soundwatch.training.data.datasets.everyday_sounds import read_everyday_sounds
from soundwatch.training.model.pretrained import open_model

_clip_option = click.option(
    "--clip",
    type=GivenPath(),
    help="Recording whose first window is the probe clip.  [default: one made by code]",
)


@click.command()
@click.argument("checkpoint", metavar="CHECKPOINT|MODEL", type=GivenPath())
@click.option(
    "--format",
    "choice",
    type=click.Choice([*SUFFIXES, "all", "triton"]),
    default="onnx",
    show_default=True,
    help="The file to write; triton writes a model repository for Triton Inference Server.",
)
@click.option("--out", type=GivenPath(), required=True, help="Folder for the files and the model card.")
@overwrite_option
@_clip_option
@click.option("--waveform", is_flag=True, help="Files that take samples and hold the front end, for other programs.")
@click.option(
    "--rate", "rate_hz", type=click.IntRange(min=1), help="Sample rate of --waveform.  [default: the model's]"
)
@click.option("--int8", is_flag=True, help="Also in 8-bit integers, if that is quicker here and as good.")
@click.option("--data", "root", type=GivenPath(), help="The recordings for --int8.")
@layout_option
@sounds_option(required=False)
@click.option("--folds", type=Folds(), help="To score --int8 on.  [default: those it was not trained on]")
def export(
    checkpoint: Path,
    choice: str,
    out: Path,
    overwrite: bool,
    clip: Path | None,
    waveform: bool,
    rate_hz: int | None,
    int8: bool,
    root: Path | None,
    layout: str,
    sounds: Path | None,
    folds: tuple[int, ...] | None,
) -> None:
    """Export a checkpoint, a model file or a shipped model to verified model files.

    Every format is written under another name and is verified with the probes; only if all pass are
    the files asked for put in place. Their paths are printed.

    With --waveform the files take samples at --rate of any length and give the scores of each window: programs need
    neither soundwatch nor its front end to run them.

    With --sounds the model gets tags: further sounds that the run learned, measured on recordings that it did not use.

    With --int8 the ONNX file is also quantized to 8-bit integers. The int8 file is kept if it takes at most nine
    tenths of the time on this machine and loses at most half a point of accuracy; both are printed.
    """
    console = Console(stderr=True)
    if waveform and (int8 or choice == "triton"):
        raise ConfigError("--waveform is for ONNX and TorchScript; leave out --int8 and --format triton.")
    if rate_hz is not None and not waveform:
        raise ConfigError("--rate is the rate of --waveform's samples; add --waveform, or leave --rate out.")
    if not int8 and (root or folds):
        raise ConfigError("--data and --folds are for --int8; leave them out, or add it.")
    if sounds and (int8 or waveform):
        raise ConfigError("--sounds measures tags for the model's own file; leave out --int8 and --waveform.")
    if sounds and checkpoint.suffix != ".pt":
        raise ConfigError(f"--sounds measures the tags of a run, and {checkpoint} is not its checkpoint.pt; give that.")
    if int8 and root is None:
        raise ConfigError("--int8 learns the range of each map from recordings; give --data.")
    if root is not None:
        _export_int8(checkpoint, choice, out, clip, (root, layout, folds), console, overwrite)
        return
    formats: list[Backend] = [suffix for suffix in SUFFIXES if choice in (suffix, "all")]
    clips = read_everyday_sounds(sounds) if sounds else ()
    if waveform:
        files, verification = export_waveform(checkpoint, formats, rate_hz, out, clip, console, overwrite=overwrite)
    elif choice == "triton":
        files, verification = export_repository(checkpoint, out, clip, console, clips, overwrite=overwrite)
    else:
        files, verification = export_checkpoint(checkpoint, formats, out, clip, console, clips, overwrite=overwrite)
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
    overwrite: bool,
) -> None:
    """Write the ONNX file of a checkpoint and its int8 version; neither if one fails."""
    from soundwatch.export.int8.comparison import compare_int8, load_calibration_data

    if choice != "onnx":
        raise ConfigError(f"--int8 is for ONNX; leave --format {choice} out, or export it by itself.")
    is_run = checkpoint.suffix == ".pt"
    contract = open_model(checkpoint)[1] if is_run else load_classifier_file(checkpoint, "cpu", "onnx").contract
    int8_name = f"{contract.name}{INT8_SUFFIX}"
    check_outputs(out, [f"{int8_name}.onnx", f"{int8_name}.md"], overwrite)
    if is_run:
        check_outputs(out, [f"{contract.name}.onnx"], overwrite)
        check_card(out, contract, overwrite)
    recordings = load_calibration_data(*data, contract)
    with staging_folder(out) as folder:
        files: list[Path] = []
        model = checkpoint
        if is_run:
            files, verification = export_checkpoint(checkpoint, ["onnx"], folder, clip, console)
            console.print(to_table(verification))
            model = files[0]
        int8_files, trial = compare_int8(model, folder, recordings, console)
        console.print(str(trial), highlight=False)
        placed = [file.replace(out / file.name) for file in (*files, *int8_files)]
    for file in placed:
        click.echo(file)


@click.command()
@click.argument("model")
@click.option("--checkpoint", type=GivenPath(), help="The checkpoint of the model file, to compare with.")
@click.option("--backend", type=click.Choice(["auto", *SUFFIXES]), default="auto", show_default=True)
@_clip_option
@click.option("--json", "as_json", is_flag=True, help="Print every difference as JSON.")
def verify(model: str, checkpoint: Path | None, backend: Backend, clip: Path | None, as_json: bool) -> None:
    """Verify a model file: MODEL is urban, urban-int8, tutorial or a path.

    Without its checkpoint the file is compared with itself: its network fed by torchaudio, and by the daemon.
    """
    verification = verify_file(model, backend, checkpoint, clip, Console(stderr=True))
    if as_json:
        click.echo(to_json(verification))
    else:
        Console().print(to_table(verification))
    verification.raise_if_failed()
