from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from soundwatch.export.int8.equalize import equalize

RNG = np.random.default_rng(3)


def network(*, also_read: bool = False) -> Any:
    """Build a dense, a depthwise and a dense convolution with a ReLU after each; weights of channels differ widely."""
    shapes = {"dense": (6, 3, 1, 1), "depthwise": (6, 1, 3, 3), "last": (4, 6, 1, 1)}
    spread = {"dense": (6, 1, 1, 1), "depthwise": (6, 1, 1, 1), "last": (1, 6, 1, 1)}
    nodes, weights, maps = [], [], "maps"
    for name, shape in shapes.items():
        values = RNG.normal(size=shape) * 10.0 ** RNG.uniform(-1, 1, spread[name])
        weights += [
            numpy_helper.from_array(values.astype(np.float32), f"{name}_weight"),
            numpy_helper.from_array(RNG.normal(size=shape[0]).astype(np.float32), f"{name}_bias"),
        ]
        group = 6 if name == "depthwise" else 1
        inputs = [maps, f"{name}_weight", f"{name}_bias"]
        nodes.append(helper.make_node("Conv", inputs, [name], name, group=group))
        maps = f"{name}_relu"
        nodes.append(helper.make_node("Relu", [name], [maps], maps))
    results = [maps, "depthwise_relu"] if also_read else [maps]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1, 3, 8, 9])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in results],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def largest_weights(model: Any, name: str, axes: tuple[int, ...]) -> Any:
    weights = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    return np.abs(weights[f"{name}_weight"]).max(axis=axes)


def test_equalized_weights_give_equal_values() -> None:
    before = network()
    after = onnx.ModelProto()
    after.CopyFrom(before)
    equalize(after)
    assert before != after
    maps = RNG.normal(size=(1, 3, 8, 9)).astype(np.float32)
    given, equal = (
        onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"maps": maps})[0]
        for model in (before, after)
    )
    np.testing.assert_allclose(equal, given, rtol=1e-5, atol=1e-5 * np.abs(given).max())


def test_the_readers_of_all_channels_get_an_equal_largest_weight() -> None:
    model = network()
    equalize(model)
    last = largest_weights(model, "last", (0, 2, 3))
    np.testing.assert_allclose(last, last[0], rtol=1e-5)


def test_a_map_with_two_readers_keeps_its_scale() -> None:
    model = network(also_read=True)
    before = largest_weights(model, "last", (0, 2, 3))
    equalize(model)
    np.testing.assert_array_equal(largest_weights(model, "last", (0, 2, 3)), before)
