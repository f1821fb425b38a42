"""A model file for low and high tones: `fakes.BandClassifier` as a real ONNX file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from soundwatch.daemon.core.model.contract import CONTRACT_KEY, ModelContract, encode_contract
from support.fakes import SMALL_CONTRACT

TAGGED_CONTRACT = msgspec.structs.replace(SMALL_CONTRACT, tags=("hum", "whistle", "speech", "glass"))


def write_band_model(path: Path, contract: ModelContract = SMALL_CONTRACT, even_db: float = -30) -> Path:
    """Logit of `low` and `high`: how far the loudest band of each half stands above `even_db`, mean over frames.

    Logits of tags are those of low, of high, the mean of both and the inverse of low, over and over.
    """
    tag_columns = np.resize(np.array([[1, 0], [0, 1], [0.5, 0.5], [-1, 0]], np.float32), (len(contract.tags), 2))
    shape = ("windows", *contract.features.input_shape)
    half = contract.features.n_mels // 2
    graph = helper.make_graph(
        [
            helper.make_node("Split", ["mel_db", "halves"], ["lower", "upper"], axis=2),
            helper.make_node("ReduceMax", ["lower", "mels"], ["low"], keepdims=0),
            helper.make_node("ReduceMax", ["upper", "mels"], ["high"], keepdims=0),
            helper.make_node("ReduceMean", ["low", "frames"], ["low_db"], keepdims=0),
            helper.make_node("ReduceMean", ["high", "frames"], ["high_db"], keepdims=0),
            helper.make_node("Unsqueeze", ["low_db", "last"], ["low_column"]),
            helper.make_node("Unsqueeze", ["high_db", "last"], ["high_column"]),
            helper.make_node("Concat", ["low_column", "high_column"], ["both_db"], axis=1),
            helper.make_node("Sub", ["both_db", "even_db"], ["above_db"]),
            helper.make_node("Div", ["above_db", "five"], ["logits"]),
            helper.make_node("MatMul", ["logits", "tag_columns"], ["tag_logits"]),
            helper.make_node("Sigmoid", ["tag_logits"], ["tag_scores"]),
        ][: 12 if contract.tags else 10],
        "bands",
        [helper.make_tensor_value_info("mel_db", TensorProto.FLOAT, list(shape))],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["windows", 2]),
            helper.make_tensor_value_info("tag_scores", TensorProto.FLOAT, ["windows", len(contract.tags)]),
        ][: 2 if contract.tags else 1],
        [
            numpy_helper.from_array(np.array([half, contract.features.n_mels - half]), "halves"),
            numpy_helper.from_array(np.array([2]), "mels"),
            numpy_helper.from_array(np.array([1, 2]), "frames"),
            numpy_helper.from_array(np.array([1]), "last"),
            numpy_helper.from_array(np.array([even_db], np.float32), "even_db"),
            numpy_helper.from_array(np.array([5], np.float32), "five"),
            numpy_helper.from_array(tag_columns.T.copy(), "tag_columns"),
        ][: 7 if contract.tags else 6],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {CONTRACT_KEY: encode_contract(contract)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path
