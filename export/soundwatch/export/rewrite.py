"""A finished ONNX file with another contract around the same weights.

Conventions: the graph is left as it is, so what the network computes does not change; neither does its identity, which
is the weights'. The card is written anew from the contract.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.inference.classifier import load_classifier_file, resolve_model
from soundwatch.export.formats import with_metadata
from soundwatch.export.model_card import write_card
from soundwatch.export.staging import staging_folder


def write_with_contract(model: str | Path, contract: ModelContract, out: Path) -> list[Path]:
    """Write the model and its card into a folder; files of the same names are replaced.

    Raises:
        ModelError: The model is no ONNX file, or what was written does not open.
        SinkError: The folder cannot be written to.
    """
    path = resolve_model(model)
    if path.suffix != ".onnx":
        raise ModelError(f"{path} is no ONNX file; export the checkpoint to ONNX first.")
    network = onnx.load(path)
    with staging_folder(out) as folder:
        file = folder / f"{contract.name}.onnx"
        file.write_bytes(with_metadata(network, contract))
        load_classifier_file(file, "cpu", "onnx")
        return [part.replace(out / part.name) for part in (file, write_card(folder, contract))]
