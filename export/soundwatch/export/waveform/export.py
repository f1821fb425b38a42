"""`soundwatch export --waveform`: verified model files that take samples, for programs without soundwatch.

Conventions: `NAME-waveform-RATE.onnx` and `.ts`, `NAME-waveform-RATE.json` with what a program needs to know of them
(labels, thresholds, rate, window), and the card `NAME.md`. The ONNX file carries that JSON in its metadata too.
Does not: write files for the daemon (`exporter.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import onnx
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract import WAVEFORM_KEY, ModelContract
from soundwatch.daemon.inference.classifier import Backend, load_classifier_file, resolve_model
from soundwatch.export.formats import SUFFIXES, to_onnx
from soundwatch.export.model_card import write_card
from soundwatch.export.report import Verification
from soundwatch.export.staging import check_card, check_outputs, staging_folder
from soundwatch.export.waveform.graph import build_waveform_graph
from soundwatch.export.waveform.module import WaveformModel, to_waveform_torchscript
from soundwatch.export.waveform.parity import verify_waveform_files, waveform_probes
from soundwatch.export.waveform.resampling import measure_filter
from soundwatch.training.model.pretrained import open_model


def export_waveform(
    model: Path,
    formats: Sequence[Backend],
    rate_hz: int | None,
    out: Path,
    clip: Path | None,
    console: Console,
    *,
    overwrite: bool = False,
) -> tuple[list[Path], Verification]:
    """Write waveform files, verify them against the daemon's stages, and put them in place.

    Args:
        model: A checkpoint, an ONNX file of `soundwatch export`, or the name of a shipped model.
        formats: Those to write.
        rate_hz: Rate of the samples that the files take; None for the model's own.
        out: Folder, made if it is not there.
        clip: A recording for the probe clip; None for one made by code.
        console: For progress.
        overwrite: Replace files of the same names.

    Returns:
        The files in place, the card last, and the verification.

    Raises:
        ModelError: The model does not read.
        ConfigError: The rate does not fit, or a file exists.
        SinkError: The folder cannot be written to.
        VerificationError: A file's scores differ from the daemon's. No file is left.
    """
    network, own_contract = open_model(model)  # the card is of the model, also beside its other files
    contract = msgspec.structs.replace(own_contract, tags=(), tag_scores={})  # the files give the scores of the classes
    own_hz = contract.features.rate_hz
    rate_hz = rate_hz or own_hz
    if rate_hz < own_hz:
        raise ConfigError(
            f"--rate {rate_hz} is below the {own_hz} Hz of {contract.name}, whose network needs the sound above "
            f"{rate_hz // 2} Hz. Choose {own_hz} or more."
        )
    if rate_hz != own_hz and contract.features.resampler != "libsoxr":
        raise ConfigError(
            f"--rate {rate_hz} needs the filter of resampler {contract.features.resampler}, which waveform files do "
            f"not hold. Leave --rate out: the file then takes samples at {own_hz} Hz."
        )
    stem = f"{contract.name}-waveform-{rate_hz}"
    check_outputs(out, [f"{stem}{suffix}" for suffix in (".json", *map(SUFFIXES.__getitem__, formats))], overwrite)
    check_card(out, own_contract, overwrite)
    with staging_folder(out) as folder:
        if (window_file := resolve_model(model)).suffix == ".pt":
            window_file = folder / "window.onnx"
            window_file.write_bytes(to_onnx(network, contract))
        files = {backend: folder / f"{stem}{SUFFIXES[backend]}" for backend in formats}
        for backend, file in files.items():
            if backend == "onnx":
                file.write_bytes(to_waveform_onnx(onnx.load(window_file), contract, rate_hz))
            else:
                module = WaveformModel(network, contract, measure_filter(rate_hz, own_hz))
                file.write_bytes(to_waveform_torchscript(module, describe(contract, rate_hz)))
        daemon = load_classifier_file(window_file, "cpu", "onnx")
        probes = waveform_probes(contract, rate_hz, clip)
        verification = verify_waveform_files(daemon, files, probes, rate_hz, console)
        verification.raise_if_failed()
        description = folder / f"{stem}.json"
        description.write_text(json.dumps(describe(contract, rate_hz), indent=2) + "\n", encoding="utf-8")
        verified = (*files.values(), description, write_card(folder, own_contract))
        return [file.replace(out / file.name) for file in verified], verification


def to_waveform_onnx(network: onnx.ModelProto, contract: ModelContract, rate_hz: int) -> bytes:
    """Return the content of a waveform file around a network, with its description as metadata.

    Raises:
        ConfigError: The rate and the model's have no small common ratio.
        ModelError: The network has an operator that the opset of waveform files lacks.
    """
    filters = measure_filter(rate_hz, contract.features.rate_hz)
    model = build_waveform_graph(network, contract, filters)
    onnx.helper.set_model_props(model, {WAVEFORM_KEY: json.dumps(describe(contract, rate_hz))})
    return bytes(model.SerializeToString(deterministic=True))


def describe(contract: ModelContract, rate_hz: int) -> dict[str, object]:
    """Return what a program needs to know of a waveform file."""
    spec = contract.features
    return {
        "model": contract.identity,
        "rate_hz": rate_hz,
        "window_s": spec.window_ms / 1000,
        "hop_s": spec.window_hop_samples / spec.rate_hz,
        "labels": list(contract.labels),
        "thresholds": [contract.thresholds[label] for label in contract.labels],
        "activation": contract.activation,
        "licence": contract.provenance.licence,
    }
