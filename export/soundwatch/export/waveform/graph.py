"""Waveform model as ONNX: samples in, scores of each window out.

Conventions: input `samples` (C', S) float32 at the filter's rate, any C' and S; output `scores` (windows, K) in [0, 1].
Operators of opset 17 and IR version 8, which ONNX Runtime 1.20, onnxruntime-web and converters read: no STFT, no
control flow, no float64.
Source: the stages are those of `daemon/frontend`; the network's nodes are taken from its ONNX file.
Does not: verify (`export.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, version_converter

from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.export.waveform.constants import mel_weights, spectrum_weights
from soundwatch.export.waveform.resampling import ResamplingFilter

OPSET: Final = 17
IR_VERSION: Final = 8
_NETWORK: Final = "network/"  # prefix of the network's values


class _Graph:
    """Nodes and constants of a graph under construction; each method appends a node and returns its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def add(self, operator: str, *inputs: str | NDArray[Any] | np.float32, **attributes: Any) -> str:
        """Append a node; arrays among the inputs become constants."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        names = [item if isinstance(item, str) else self.constant(item) for item in inputs]
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def constant(self, values: NDArray[Any] | np.float32) -> str:
        """Add a constant."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(np.asarray(values), name)
        return name

    def size(self, value: str, axis: int) -> str:
        """Return the size (1,) of an axis."""
        return self.add("Shape", value, start=axis, end=axis + 1)


def build_waveform_graph(
    network: onnx.ModelProto, contract: ModelContract, filters: ResamplingFilter
) -> onnx.ModelProto:
    """Return the model without metadata.

    Raises:
        ModelError: The network has an operator that opset 17 lacks.
    """
    spec = contract.features
    graph = _Graph()
    mixed = _mix_channels(graph, spec)  # (C, 1, S)
    resampled = _resample(graph, mixed, filters)  # (C, S')
    windows = _cut_windows(graph, resampled, spec)  # (N, C, S of one window)
    mel_db = _mel_db(graph, windows, spec)  # (N, C, M, T)
    logits = _append_network(graph, network, mel_db)
    graph.nodes.append(_activation(contract, logits))
    finished = helper.make_graph(
        graph.nodes,
        f"{contract.name}-waveform",
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["channels", "samples"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["windows", len(contract.labels)])],
        list(graph.constants.values()),
    )
    model = helper.make_model(finished, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def _activation(contract: ModelContract, logits: str) -> onnx.NodeProto:
    """Return the node that maps logits to the output `scores`."""
    if contract.activation == "softmax":
        return helper.make_node("Softmax", [logits], ["scores"], axis=1)
    return helper.make_node("Sigmoid", [logits], ["scores"])


def _mix_channels(graph: _Graph, spec: FeatureSpec) -> str:
    """Average the channels, unless they are as many as the model's: (C, 1, S)."""
    if spec.channels == 1:
        mixed = graph.add("ReduceMean", "samples", axes=[0], keepdims=1)
    else:
        given = graph.size("samples", 0)
        shape = graph.add("Concat", np.array([spec.channels]), given, axis=0)
        mean = graph.add(
            "Expand", graph.add("Div", np.float32(1), graph.add("Cast", given, to=TensorProto.FLOAT)), shape
        )
        keep = graph.add("Equal", given, np.array([spec.channels]))
        mixed = graph.add("MatMul", graph.add("Where", keep, graph.add("EyeLike", mean), mean), "samples")
    return graph.add("Unsqueeze", mixed, np.array([1]))


def _resample(graph: _Graph, mixed: str, filters: ResamplingFilter) -> str:
    """Convert (C, 1, S) to the model's rate: (C, S')."""
    if filters.weights is None:
        return graph.add("Squeeze", mixed, np.array([1]))
    inputs, outputs, half = filters.inputs, filters.outputs, filters.half_samples
    given = graph.size(mixed, 2)
    # S' is S * outputs / inputs, rounded as libsoxr does, and at least 1.
    doubled = graph.add("Add", graph.add("Mul", given, np.array([2 * outputs])), np.array([inputs]))
    wanted = graph.add("Max", graph.add("Div", doubled, np.array([2 * inputs])), np.array([1]))
    strides = graph.add("Div", graph.add("Add", wanted, np.array([outputs - 1])), np.array([outputs]))
    reached = graph.add("Add", graph.add("Mul", strides, np.array([inputs])), np.array([half]))
    after = graph.add("Sub", reached, given)
    pads = graph.add("Concat", np.array([0, 0, half, 0, 0]), after, axis=0)
    padded = graph.add("Pad", mixed, pads)
    found = graph.add("Conv", padded, filters.weights, strides=[inputs])  # (C, outputs, strides)
    joined = graph.add("Reshape", graph.add("Transpose", found, perm=[0, 2, 1]), np.array([0, -1]))
    return graph.add("Slice", joined, np.array([0]), wanted, np.array([1]))


def _cut_windows(graph: _Graph, resampled: str, spec: FeatureSpec) -> str:
    """Cut (C, S') into windows (N, C, S of one window) by the rule of `frontend/window.py`."""
    length, hop = spec.window_samples, spec.window_hop_samples
    given = graph.size(resampled, 1)
    full = graph.add("Div", graph.add("Sub", given, np.array([length - hop])), np.array([hop]))
    # Sound too short for two windows gets a padded one, and a second if that holds at least a hop of sound.
    second = graph.add("Cast", graph.add("GreaterOrEqual", given, np.array([2 * hop])), to=TensorProto.INT64)
    windows = graph.add("Max", full, graph.add("Add", second, np.array([1])))
    padded = graph.add("Pad", resampled, np.array([0, 0, 0, length]))
    end = graph.add("Squeeze", graph.add("Mul", windows, np.array([hop])), np.array([0]))
    starts = graph.add("Range", np.array(0), end, np.array(hop))  # (N,)
    places = graph.add("Add", graph.add("Unsqueeze", starts, np.array([1])), np.arange(length)[None])
    return graph.add("Transpose", graph.add("Gather", padded, places, axis=1), perm=[1, 0, 2])


def _mel_db(graph: _Graph, windows: str, spec: FeatureSpec) -> str:
    """Compute mel decibels (N, C, M, T) of windows (N, C, S), as `frontend/mel.py`."""
    half = spec.n_fft // 2
    signals = graph.add("Reshape", windows, np.array([-1, 1, spec.window_samples]))  # (N C, 1, S)
    mirrored = graph.add("Pad", signals, np.array([0, 0, half, 0, 0, half]), mode="reflect")
    spectrum = graph.add("Conv", mirrored, spectrum_weights(spec), strides=[spec.hop_samples])  # (N C, 2 F, T)
    squared = graph.add("Mul", spectrum, spectrum)
    bins = np.arange(spec.n_fft // 2 + 1)
    cosines, sines = (graph.add("Slice", squared, *_ends(part)) for part in (bins, bins + len(bins)))
    mel_power = graph.add("MatMul", mel_weights(spec), graph.add("Add", cosines, sines))  # (N C, M, T)
    limited = graph.add("Max", mel_power, np.float32(spec.power_floor))
    decibels = graph.add("Mul", graph.add("Log", limited), np.float32(10 / math.log(10)))
    mel_db = graph.add("Reshape", decibels, np.array([-1, *spec.input_shape]))
    if spec.top_db is None:
        return mel_db
    peak = graph.add("ReduceMax", mel_db, axes=[1, 2, 3], keepdims=1)
    return graph.add("Max", mel_db, graph.add("Sub", peak, np.float32(spec.top_db)))


def _ends(bins: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    return np.array([bins[0]]), np.array([bins[-1] + 1]), np.array([1])


def _append_network(graph: _Graph, network: onnx.ModelProto, mel_db: str) -> str:
    """Append the nodes of the network and return the name of its logits."""
    inner = _to_opset(network).graph
    _remove_tags(inner)
    renamed = {value: f"{_NETWORK}{value}" for node in inner.node for value in node.output}
    renamed |= {tensor.name: f"{_NETWORK}{tensor.name}" for tensor in inner.initializer}
    renamed[inner.input[0].name] = mel_db
    for tensor in inner.initializer:
        tensor.name = renamed[tensor.name]
        graph.constants[tensor.name] = tensor
    for node in inner.node:
        _rename(node.input, renamed)
        _rename(node.output, renamed)
        node.name = f"{_NETWORK}{node.output[0]}"  # runtimes name the nodes that they make after these
        graph.nodes.append(node)
    return renamed[inner.output[0].name]


def _remove_tags(graph: onnx.GraphProto) -> None:
    """Remove the nodes and weights that the first output, the logits, does not need."""
    needed = {graph.output[0].name}
    for node in reversed(list(graph.node)):
        if needed.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            needed.update(node.input)
    for tensor in [each for each in graph.initializer if each.name not in needed]:
        graph.initializer.remove(tensor)


def _rename(names: Sequence[str], renamed: dict[str, str]) -> None:
    for place, name in enumerate(list(names)):
        names[place] = renamed.get(name, name)  # type: ignore[index]


def _to_opset(network: onnx.ModelProto) -> onnx.ModelProto:
    """Convert the network to opset 17."""
    try:
        converted = version_converter.convert_version(network, OPSET)
    except (RuntimeError, onnx.checker.ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"The network has an operator that ONNX opset {OPSET} lacks: {reason}.") from error
    for node in converted.graph.node:
        if node.op_type.startswith("Reduce"):  # the converter leaves an attribute of opset 18
            kept = [item for item in node.attribute if item.name != "noop_with_empty_axes"]
            del node.attribute[:]
            node.attribute.extend(kept)
    return converted
