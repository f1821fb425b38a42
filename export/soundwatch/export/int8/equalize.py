"""Equal ranges of weights across the channels between two convolutions, without a change of the network's values.

Between two convolutions with a ReLU, a channel can be multiplied by any positive number if the weights that read the
channel are divided by it. In 8 bits all weights of an output channel share one scale, and all channels of a map. Here
each channel gets the factor that gives its readers an equal largest weight.
Source: cross-layer equalization, Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
Correction".
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx

LARGEST_RATIO: Final = 1000.0  # of two channels' factors


def equalize(model: Any) -> None:
    """Equalize the weights of each pair of convolutions with a ReLU between that nothing else reads."""
    graph = model.graph
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for result in graph.output:
        readers.setdefault(result.name, []).append(result)
    weights = {item.name: item for item in graph.initializer if len(readers.get(item.name, [])) == 1}
    for node in graph.node:
        names = [node.output[0]]
        for kind in ("Relu", "Conv"):
            following = readers.get(names[-1], []) if node.op_type == "Conv" and len(node.input) == 3 else []
            if len(following) != 1 or following[0] in graph.output or following[0].op_type != kind:
                break
            names.append(following[0].output[0])
        else:
            if weights.keys() >= {*node.input[1:3], following[0].input[1]}:
                _equalize_pair(weights, node, following[0])


def _equalize_pair(weights: dict[str, Any], first: Any, second: Any) -> None:
    """Divide the output channels of the first convolution, and multiply the weights of the second that read them."""
    before, bias, after = (onnx.numpy_helper.to_array(weights[name]) for name in (*first.input[1:3], second.input[1]))
    depthwise = after.shape[1] == 1 and after.shape[0] == len(bias)
    if not depthwise and after.shape[1] != len(bias):
        return  # grouped in another way
    channel_axis = 0 if depthwise else 1
    largest = np.abs(after).max(axis=tuple(axis for axis in range(4) if axis != channel_axis))
    factors = largest.min(initial=np.inf, where=largest > 0) / np.maximum(largest, 1e-12)
    factors = np.clip(factors, 1 / LARGEST_RATIO, 1).astype(np.float32)
    shape = [1, 1, 1, 1]
    shape[channel_axis] = len(factors)
    _replace(weights[first.input[1]], before / factors[:, None, None, None])
    _replace(weights[first.input[2]], bias / factors)
    _replace(weights[second.input[1]], after * factors.reshape(shape))


def _replace(stored: Any, values: Any) -> None:
    stored.CopyFrom(onnx.numpy_helper.from_array(values, stored.name))
