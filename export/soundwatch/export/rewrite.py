"""A finished ONNX file with another contract around the same weights.

Conventions: the graph is left as it is, so what the network computes does not change; neither does its identity, which
is the weights'. The card is written anew from the contract.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from soundwatch.daemon.core.atomic_file import replace_file
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.core.errors import ConfigError, ModelError
from soundwatch.daemon.inference.classifier import load_classifier_file, resolve_model
from soundwatch.export.formats import with_metadata
from soundwatch.export.model_card import model_card


def write_with_contract(model: str | Path, contract: ModelContract, out: Path) -> list[Path]:
    """Write the model and its card into a folder.

    Raises:
        ModelError: The model is no ONNX file, or what was written does not open.
        ConfigError: The folder cannot be written to.
    """
    path = resolve_model(model)
    if path.suffix != ".onnx":
        raise ModelError(f"{path} is no ONNX file; export the checkpoint to ONNX first.")
    network = onnx.load(path)
    file, card = out / f"{contract.name}.onnx", out / f"{contract.name}.md"

    def write(part: Path) -> None:
        part.write_bytes(with_metadata(network, contract))
        load_classifier_file(part, "cpu", "onnx")

    try:
        out.mkdir(parents=True, exist_ok=True)
        replace_file(file, write)
        card.write_text(model_card(contract), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{out} cannot be written to: {error.strerror}. Choose another --out, or make room."
        ) from error
    return [file, card]
