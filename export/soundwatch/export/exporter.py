"""Export of checkpoints and verification of model files; a file is put in place after it was verified.

Conventions: `NAME.onnx`, `NAME.ts` and the card `NAME.md`, with the contract's name.
Does not: train, or choose thresholds: the checkpoint's contract is written as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import track
from torch import nn

from soundwatch.daemon.core.errors import VerificationError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.inference.classifier import Backend, backend_of, load_classifier_file, resolve_model
from soundwatch.export.formats import SUFFIXES, WRITERS
from soundwatch.export.model_card import write_card
from soundwatch.export.parity import (
    Scorer,
    SkippedVariant,
    Variant,
    compare_variants,
    eager_scorer,
    file_variants,
    score_limit_of,
    torch_mel,
)
from soundwatch.export.probes import probes
from soundwatch.export.report import Verification
from soundwatch.export.staging import check_card, check_outputs, staging_folder
from soundwatch.training.data.datasets.everyday_sounds import EverydayClip
from soundwatch.training.distillation.tags import TaggedNetwork, load_tag_layer
from soundwatch.training.evaluation.tag_scores import measure_tags
from soundwatch.training.model.checkpoint import load_network
from soundwatch.training.model.pretrained import open_model


def export_checkpoint(
    checkpoint: Path,
    formats: Sequence[Backend],
    out: Path,
    clip: Path | None,
    console: Console,
    sounds: Sequence[EverydayClip] = (),
    *,
    overwrite: bool = False,
) -> tuple[list[Path], Verification]:
    """Write the model files, verify them, and put the requested ones in place with their card.

    Every format is verified, whichever is requested: a network that two exporters interpret differently cannot be
    trusted in either.

    Args:
        checkpoint: A checkpoint, an ONNX file, or the name of a shipped model.
        formats: Those to keep.
        out: Folder, made if it is not there.
        clip: A recording for the probe clip; None for one made by code.
        console: For progress.
        sounds: Everyday sounds of all roles, to measure the run's tags on; none for a model without tags.
        overwrite: Replace files of the same names.

    Returns:
        The files in place, the card last, and the verification.

    Raises:
        ModelError: The checkpoint or the file does not read.
        ConfigError: The network of an ONNX file is not known, or a file exists.
        SinkError: The folder cannot be written to.
        VerificationError: A variant differs. No file is left.
    """
    opened = open_model(checkpoint)
    name = opened[1].name
    check_outputs(out, [f"{name}{SUFFIXES[backend]}" for backend in formats], overwrite, checkpoint)
    check_card(out, opened[1], overwrite)
    probes(opened[1].features, clip)  # a clip that does not read is refused before the work
    network, contract = _with_tags(checkpoint, opened, sounds, console)
    with staging_folder(out) as folder:
        files = {backend: folder / f"{contract.name}{suffix}" for backend, suffix in SUFFIXES.items()}
        for backend, file in track(files.items(), "Writing", console=console, transient=True):
            file.write_bytes(WRITERS[backend](network, contract))
        variants = chain.from_iterable(
            file_variants(file, backend, contract.features) for backend, file in files.items()
        )
        eager = eager_scorer(network, contract.activation)
        verification = _verify(contract, "torch", eager, [*variants], clip, console)
        verification.raise_if_failed()
        verified = [*(files[backend] for backend in formats), write_card(folder, contract)]
        return [file.replace(out / file.name) for file in verified], verification


def _with_tags(
    model: Path, opened: tuple[nn.Sequential, ModelContract], sounds: Sequence[EverydayClip], console: Console
) -> tuple[nn.Module, ModelContract]:
    """Return a network and its contract with the tags of its file or, with everyday sounds, those that they confirm."""
    network, contract = opened
    if sounds:
        scores = measure_tags(model, network, contract, sounds, console)
        contract = msgspec.structs.replace(contract, tags=tuple(scores), tag_scores=scores)
    if not contract.tags:
        return network, contract
    return TaggedNetwork(network, load_tag_layer(model, contract.tags)).eval(), contract


def verify_file(
    model: str | Path, backend: Backend, checkpoint: Path | None, clip: Path | None, console: Console
) -> Verification:
    """Verify a model file against the network of its checkpoint or, without one, against the file itself.

    Raises:
        ModelError: The file or the checkpoint does not read.
        VerificationError: The file carries another contract than the checkpoint.
    """
    path = resolve_model(model)
    backend = backend_of(path, backend)
    contract = load_classifier_file(path, "cpu", backend).contract
    variants = file_variants(path, backend, contract.features)
    if checkpoint is None:
        on_cpu = variants.pop(0)
        assert isinstance(on_cpu, Variant)
        return _verify(contract, on_cpu.name, on_cpu.score, variants, clip, console)
    classes, expected = load_network(checkpoint)
    network: nn.Module = classes
    if contract.tags:
        network = TaggedNetwork(classes, load_tag_layer(checkpoint, contract.tags)).eval()
    if expected.weights_sha256 != contract.weights_sha256:
        raise VerificationError(
            f"{path} holds the weights of {contract.identity}, and {checkpoint} those of {expected.identity}. "
            "Give the checkpoint that the file was exported from, or export it again."
        )
    eager = eager_scorer(network, contract.activation)
    return _verify(contract, "torch", eager, variants, clip, console)


def _verify(
    contract: ModelContract,
    name: str,
    score: Scorer,
    variants: Sequence[Variant | SkippedVariant],
    clip: Path | None,
    console: Console,
) -> Verification:
    """Compare the reference scorer with every variant that this machine can run."""
    reference = Variant(name, torch_mel(contract.features), score)
    compared = [variant for variant in variants if isinstance(variant, Variant)]
    steps = track(compared, "Verifying", console=console, transient=True)
    limit = score_limit_of(contract)
    differences = compare_variants(reference, steps, probes(contract.features, clip), limit)
    not_run = tuple(variant for variant in variants if isinstance(variant, SkippedVariant))
    return Verification(contract.identity, reference.name, tuple(differences), not_run)
