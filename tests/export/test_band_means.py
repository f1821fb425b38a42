from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from soundwatch.export.band_means import pool_over_bands

MAPS = (3, 4, 12)
AXES = {"bands": 2, "frames": 3}


def network(axis: str, keepdims: int) -> Any:
    """Build a ReLU and a mean over one axis of maps."""
    nodes = [
        helper.make_node("Relu", ["maps"], ["positive"], "relu"),
        helper.make_node("ReduceMean", ["positive", "axes"], ["mean"], "mean", keepdims=keepdims),
    ]
    given = helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["windows", *MAPS])
    result = helper.make_tensor_value_info("mean", TensorProto.FLOAT, [None] * (3 + keepdims))
    axes = numpy_helper.from_array(np.array([AXES[axis]]), "axes")
    graph = helper.make_graph(nodes, "network", [given], [result], [axes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def operators(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_a_mean_over_bands_becomes_a_pool_with_equal_values() -> None:
    maps = np.random.default_rng(1).normal(0, 1, (2, *MAPS)).astype(np.float32)
    before, after = network("bands", 0), network("bands", 0)
    pool_over_bands(after)
    onnx.checker.check_model(after, full_check=True)
    assert operators(after) == ["Relu", "AveragePool", "Squeeze"]
    given, pooled = (
        onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"maps": maps})[0]
        for model in (before, after)
    )
    np.testing.assert_allclose(pooled, given, rtol=1e-6)


def test_other_means_stay() -> None:
    for model in (network("frames", 0), network("bands", 1)):
        pool_over_bands(model)
        assert operators(model) == ["Relu", "ReduceMean"]
