"""Static int8 quantization of a network, calibrated on windows.

Conventions: ONNX in, ONNX out; windows are mel decibels (N, C, M, T) of training recordings. The int8 network
has the inputs and outputs of the original, and its contract under another name (`NAME-int8`) and hash.
Source: static quantization of ONNX Runtime. Weights are quantized for each output channel, to 7 bits: two 8-bit
products overflow the 16-bit sums of CPUs without VNNI, and results would differ between machines. Activations are
quantized to 8 bits between the smallest and the largest observed value; a ReLU becomes part of that range. Weights
are equalized across channels before, and biases corrected after. The first convolution sees decibels, few channels
and most frames: it stays in float32, and so do the pools and the head.
Does not: decide whether the int8 file is kept (`comparison.py`).
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.core.model.contract import INT8_SUFFIX, ModelContract
from soundwatch.export.band_means import pool_over_bands
from soundwatch.export.bias_correction import add_missing_biases, channel_means, correct_biases
from soundwatch.export.formats import with_metadata
from soundwatch.export.int8.equalize import equalize


class _Windows(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime's class has no types
    """Calibration windows, one at a time."""

    def __init__(self, name: str, mel_db: NDArray[np.float32]) -> None:
        self._feeds: Iterator[dict[str, NDArray[np.float32]]] = ({name: window[None]} for window in mel_db)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next window, or None after the last."""
        return next(self._feeds, None)


def to_int8(path: Path, contract: ModelContract, mel_db: NDArray[np.float32]) -> tuple[bytes, ModelContract]:
    """Return the content of the int8 file, and its contract.

    Args:
        path: The network's ONNX file.
        contract: Contract in this file.
        mel_db: Windows (N, C, M, T) that determine the ranges of the maps.

    Raises:
        ModelError: The network has no convolution but the first.
    """
    original = onnx.load(path)
    if not later_convolutions(original.graph):
        raise ModelError(f"{path} has no second convolution; there is nothing in it that 8 bits would make quicker.")
    model = quantize_network(original, mel_db)
    own = _contract(contract, model.graph, len(mel_db))
    onnx.checker.check_model(model, full_check=True)
    return with_metadata(model, own), own


def quantize_network(original: Any, mel_db: NDArray[np.float32]) -> Any:
    """Return the int8 version of an ONNX model, whose weights are changed: equalized, then moved out of it."""
    pool_over_bands(original)
    add_missing_biases(original)
    equalize(original)
    convolutions = later_convolutions(original.graph)
    names = [node.name for node in convolutions]
    means = channel_means(original, names, mel_db)
    outputs = {node.output[0] for node in convolutions}
    relus = [node.name for node in original.graph.node if node.op_type == "Relu" and node.input[0] in outputs]
    model = quantize(original, mel_db, [*names, *relus])
    correct_biases(model, means, mel_db)
    return model


def quantize(original: Any, mel_db: NDArray[np.float32], nodes: list[str], **options: Any) -> Any:
    """Return a quantized ONNX model.

    Args:
        original: ONNX model; ONNX Runtime moves its weights out of it.
        mel_db: Windows (N, C, M, T) that determine the ranges of the maps.
        nodes: Names of the nodes to quantize.
        options: Options of ONNX Runtime's `quantize_static` that replace those of an int8 file.
    """
    chosen = {
        "quant_format": QuantFormat.QDQ,
        "per_channel": True,
        "reduce_range": True,
        "weight_type": QuantType.QInt8,
        "activation_type": QuantType.QUInt8,
        "nodes_to_quantize": nodes,
    }
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it asks for a preparation that our files have had from their exporter
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "int8.onnx"
            windows = _Windows(original.graph.input[0].name, mel_db)
            quantize_static(original, file, windows, **(chosen | options))
            return onnx.load(file)
    finally:
        root.setLevel(level)


def later_convolutions(graph: Any) -> list[Any]:
    """Return all convolutions of an ONNX graph but the first."""
    return [node for node in graph.node if node.op_type == "Conv"][1:]


def _contract(contract: ModelContract, graph: Any, windows: int) -> ModelContract:
    """Return the contract of the int8 network, with a hash of its parameters."""
    numbers = sorted((item.name, onnx.numpy_helper.to_array(item).tobytes()) for item in graph.initializer)
    digest = hashlib.sha256()
    for name, content in numbers:
        digest.update(name.encode() + b"\n" + content)
    origin = contract.provenance
    rounded = f"{origin.data}; rounded to 8 bits by {windows} windows of them"
    return msgspec.structs.replace(
        contract,
        name=f"{contract.name}{INT8_SUFFIX}",
        provenance=msgspec.structs.replace(origin, data=rounded),
        weights_sha256=digest.hexdigest(),
    )
