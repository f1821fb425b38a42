"""Differences between torch, TorchScript, ONNX Runtime and the daemon, and the effect of other resamplers.

Run `python benchmarks/parity.py --clips FOLDER tutorial urban`, or give checkpoints; it writes results/parity.json and
.md, which the documentation quotes. FOLDER holds recordings, such as UrbanSound8K's audio/fold1.

Conventions: differences are the largest over all values of a sound; for the clips, over all clips.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from harness import Results, Table, option_parser, table, write_results
from parity_resamplers import CONSOLE, RESAMPLED_CLIPS, Shift, compare_resamplers, compare_with_torchaudio, read, spread
from rich.progress import track

from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.export.formats import SUFFIXES, WRITERS
from soundwatch.export.parity import (
    ParityDifference,
    SkippedVariant,
    Variant,
    compare_variants,
    eager_scorer,
    file_variants,
    torch_mel,
)
from soundwatch.export.probes import probes
from soundwatch.training.fit.setup.machine import processor
from soundwatch.training.model.pretrained import open_model

RESULTS: Final = Path(__file__).parent / "results"
COMPARED_CLIPS: Final = 20


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="A shipped model, an ONNX file or a checkpoint.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recordings = sorted(path for path in arguments.clips.rglob("*") if path.suffix in (".wav", ".ogg", ".flac"))
    models = [measure(model, recordings) for model in arguments.models]
    results = {"machine": machine(), "torch": str(torch.__version__), "models": models}
    write_results("parity", results, TABLES["parity"])
    page = markdown(results)
    (RESULTS / "parity.md").write_text(page, encoding="utf-8")
    print(page)


def machine() -> str:
    """Return the processor's name."""
    return f"{processor()}, {platform.system()} {platform.machine()}"


def measure(model: str, recordings: list[Path]) -> dict[str, Any]:
    """Return all differences of one model's network."""
    network, tagged = open_model(model)
    contract = msgspec.structs.replace(tagged, tags=(), tag_scores={})  # the network alone gives the classes
    spec = contract.features
    score = eager_scorer(network, contract.activation)
    training = Variant("torch, float32 spectra", torch_mel(spec, torch.float32), score)
    with tempfile.TemporaryDirectory() as folder:
        variants = [training, *_files(network, contract, Path(folder))]
        runnable = [variant for variant in variants if isinstance(variant, Variant)]
        clips = {path.name: read(path, spec) for path in spread(recordings, COMPARED_CLIPS)}
        reference = Variant("torch", torch_mel(spec), score)
        differences = compare_variants(reference, runnable, probes(spec))
        differences += worst(
            compare_variants(reference, track(runnable, contract.name, console=CONSOLE), clips), len(clips)
        )
    return {
        "model": contract.identity,
        "differences": differences,
        "not_run": [variant for variant in variants if isinstance(variant, SkippedVariant)],
        "resampling": compare_resamplers(score, spec, spread(recordings, RESAMPLED_CLIPS)),
        "from_torchaudio": compare_with_torchaudio(score, spec, spread(recordings, RESAMPLED_CLIPS)),
    }


def _files(network: torch.nn.Module, contract: ModelContract, folder: Path) -> list[Variant | SkippedVariant]:
    """Build the variants of both formats."""
    variants = []
    for backend, suffix in SUFFIXES.items():
        file = folder / f"{contract.name}{suffix}"
        file.write_bytes(WRITERS[backend](network, contract))
        variants += file_variants(file, backend, contract.features)
    return variants


def worst(differences: Iterable[ParityDifference], count: int) -> list[ParityDifference]:
    """Return the largest differences of each variant, as those of one probe."""
    largest: dict[str, ParityDifference] = {}
    for difference in differences:
        known = largest.setdefault(difference.variant, replace(difference, probe=f"{count} real clips"))
        mel_difference_db = max(known.mel_db or 0, difference.mel_db or 0)
        largest[difference.variant] = replace(known, mel_db=mel_difference_db, score=max(known.score, difference.score))
    return list(largest.values())


def markdown(results: dict[str, Any]) -> str:
    """Format the page that the documentation quotes."""
    lines = [
        "# Parity",
        "",
        f"Largest differences from torch (torchaudio's transforms in float64, then the network in float32) on "
        f"{results['machine']}, torch {results['torch']}. Each cell: mel dB, score. "
        "Written by `benchmarks/parity.py`.",
    ]
    for model in results["models"]:
        lines += ["", f"## {model['model']}", "", *_table(model["differences"]), ""]
        lines += [f"{skipped.variant}: not run: {skipped.reason}." for skipped in model["not_run"]]
        lines += _resampling(
            model["resampling"], "by another than libsoxr, which training and the daemon use by default"
        )
        lines += _resampling(model["from_torchaudio"], "by the daemon instead of torchaudio's `Resample`")
    return "\n".join(lines) + "\n"


def _table(differences: list[ParityDifference]) -> list[str]:
    variants = list(dict.fromkeys(difference.variant for difference in differences))
    cells = {
        (difference.probe, difference.variant): f"{difference.mel_db:.0e}, {difference.score:.0e}"
        for difference in differences
    }
    lines = [f"| probe | {' | '.join(variants)} |", "|---" * (1 + len(variants)) + "|"]
    sounds = dict.fromkeys(difference.probe for difference in differences)
    return lines + [f"| {sound} | {' | '.join(cells[sound, variant] for variant in variants)} |" for sound in sounds]


def _resampling(shifts: list[Shift], change: str) -> list[str]:
    if not shifts:
        return []
    lines = [
        "",
        f"Effect on {shifts[0].clips} clips of resampling {change}:",
        "",
        "| resampler | mel dB, mean | mel dB, largest | score, median clip | score, largest | clips beyond 1e-3 "
        "| clips of another class |",
        "|---|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {shift.resampler} | {shift.mean_mel_db:.2g} | {shift.largest_mel_db:.2g} | {shift.median_score:.1e} "
        f"| {shift.largest_score:.2g} | {shift.clips_beyond_1e_3} | {shift.clips_called_otherwise} |"
        for shift in shifts
    ]


def parity_table(results: Results) -> Table:
    """Return a row for each way of computing a model: its largest differences from torch over all probes and clips."""
    rows = []
    for model in results["models"]:
        for variant in dict.fromkeys(difference["variant"] for difference in model["differences"]):
            largest = [
                max(difference[key] for difference in model["differences"] if difference["variant"] == variant)
                for key in ("mel_db", "score")
            ]
            rows.append((f"`{model['model']}`", variant, *(f"{value:.0e}" for value in largest)))
        rows += [
            (f"`{model['model']}`", difference["variant"], "not run", difference["reason"])
            for difference in model["not_run"]
        ]
    sounds = len({difference["probe"] for model in results["models"] for difference in model["differences"]}) - 1
    note = f"Largest of {sounds} probes and real clips, against torch {results['torch']} on {results['machine']}."
    return table(("model", "computed by", "mel, dB", "score"), rows, note)


def resampler_table(results: Results) -> Table:
    """Return a row for each resampler of the daemon: differences of its clips from those by torchaudio's `Resample`."""
    rows = [
        (
            f"`{model['model']}`",
            shift["resampler"],
            f"{shift['largest_mel_db']:.2g}",
            f"{shift['largest_score']:.1e}",
            f"{shift['clips_called_otherwise']} of {shift['clips']}",
        )
        for model in results["models"]
        for shift in model["from_torchaudio"]
    ]
    note = f"Largest differences from clips that torchaudio's `Resample` converted, torch {results['torch']}."
    return table(("model", "resampler", "mel, dB", "score", "clips of another class"), rows, note)


TABLES: Final = {
    "parity": {
        "parity": parity_table,
        "parity-resamplers": resampler_table,
    },
}


if __name__ == "__main__":
    main()
