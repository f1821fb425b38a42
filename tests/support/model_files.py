"""Small ONNX model files for tests: mean over bands and frames, then one weight a channel and class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from soundwatch.daemon.core.model.contract import CONTRACT_KEY, ModelContract, encode_contract
from support.fakes import SMALL_CONTRACT


def write_onnx(
    path: Path,
    contract: ModelContract | None = SMALL_CONTRACT,
    *,
    metadata: str | None = None,
    input_shape: tuple[int | str, ...] | None = None,
    outputs: int | None = None,
    weight: float = 0.1,
    element: int = TensorProto.FLOAT,
    external: bool = False,
) -> Path:
    """A model whose logit of class k is weight * (k + 1) times the sum over channels of the mean mel."""
    made_for = contract or SMALL_CONTRACT
    shape = input_shape or ("windows", *made_for.features.input_shape)
    classes = outputs or len(made_for.labels)
    channels = shape[1] if isinstance(shape[1], int) else made_for.features.channels
    dtype = helper.tensor_dtype_to_np_dtype(element)
    weights = np.repeat(weight * np.arange(1, classes + 1), channels).reshape(classes, channels).T
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["mel_db", "axes"], ["means"], keepdims=0),
            helper.make_node("MatMul", ["means", "weights"], ["logits"]),
        ],
        "means",
        [helper.make_tensor_value_info("mel_db", element, list(shape))],
        [helper.make_tensor_value_info("logits", element, [shape[0], classes])],
        [
            numpy_helper.from_array(np.array([2, 3]), "axes"),
            numpy_helper.from_array(weights.astype(dtype), "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    text = encode_contract(contract) if contract and metadata is None else metadata
    if text is not None:
        helper.set_model_props(model, {CONTRACT_KEY: text})
    onnx.save(model, path, save_as_external_data=external, location=f"{path.name}.data", size_threshold=0)
    return path
