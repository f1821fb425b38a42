"""Correction of the biases of an int8 network, so that rounding moves no channel's mean.

Rounded weights move the mean of each channel of a convolution, and the next convolutions add such errors up. Here each
channel gets the mean that it has in the original network, over all positions of the calibration windows, one
convolution after the other: the correction of one changes the input of the next.
Conventions: windows are mel decibels (N, C, M, T); means are float32 (W,) of maps (1, W, M, T).
Source: bias correction, Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction";
means are measured, as in its section 4.2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

Means = dict[str, NDArray[np.float32]]


def add_missing_biases(model: Any) -> None:
    """Give zeros as a bias to each convolution of an ONNX model that has none."""
    weights = {item.name: item for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv" and len(node.input) == 2 and node.input[1] in weights:
            zeros = np.zeros(weights[node.input[1]].dims[0], np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(zeros, f"{node.name}_bias"))
            node.input.append(f"{node.name}_bias")


def channel_means(model: Any, convolutions: Sequence[str], mel_db: NDArray[np.float32]) -> Means:
    """Return the mean of each output channel of named convolutions of an ONNX model, over windows (N, C, M, T)."""
    outputs = {node.name: node.output[0] for node in model.graph.node if node.name in convolutions}
    maps = [outputs[name] for name in convolutions]
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    del observed.graph.output[:]
    observed.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in maps)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it reports each initializer that nothing reads any more
    session = onnxruntime.InferenceSession(observed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = model.graph.input[0].name
    totals: list[Any] = [0.0] * len(maps)
    for window in mel_db:
        found = session.run(maps, {feed: window[None]})
        totals = [total + values.mean(axis=(0, 2, 3)) for total, values in zip(totals, found, strict=True)]
    return {name: total / len(mel_db) for name, total in zip(convolutions, totals, strict=True)}


def correct_biases(model: Any, means: Means, mel_db: NDArray[np.float32]) -> None:
    """Change the biases of a quantized model until its convolutions have given means.

    Args:
        model: Quantized ONNX model, with pairs of QuantizeLinear and DequantizeLinear.
        means: Means of the original network, by the names of its convolutions, in the order of the graph.
        mel_db: Windows (N, C, M, T) that the means are of.
    """
    stored = {item.name: item for item in model.graph.initializer}
    sources = {output: node for node in model.graph.node for output in node.output}
    nodes = {node.name: node for node in model.graph.node}
    for name, wanted in means.items():
        missing = wanted - channel_means(model, [name], mel_db)[name]
        bias, scale = sources[nodes[name].input[2]].input[:2]
        steps = np.round(missing / onnx.numpy_helper.to_array(stored[scale])).astype(np.int32)
        corrected = onnx.numpy_helper.to_array(stored[bias]) + steps
        stored[bias].CopyFrom(onnx.numpy_helper.from_array(corrected, bias))
