"""A model file is a program, so its first run has a time limit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from soundwatch.daemon.core.model.contract import CONTRACT_KEY, encode_contract
from support.fakes import SMALL_CONTRACT

OPEN = """
import os, sys
from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.inference.classifier import FIRST_RUN_S, load_classifier_file
assert FIRST_RUN_S == 120
try:
    load_classifier_file(sys.argv[1], "cpu", patience_s=1.0)
except ModelError as error:
    print(error, flush=True)
os._exit(0)  # as the abandoned run has no end
"""


def endless(path: Path) -> Path:
    """Write a model that counts to 2**62 before it gives its logits."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["more"], ["more_out"]),
            helper.make_node("Identity", ["carried"], ["carried_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("more_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried_out", TensorProto.FLOAT, None),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["rounds", "go", "mel_db"], ["logits"], body=body)],
        "endless",
        [helper.make_tensor_value_info("mel_db", TensorProto.FLOAT, ["windows", *SMALL_CONTRACT.features.input_shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.array(1 << 62, np.int64), "rounds"),
            numpy_helper.from_array(np.array(True), "go"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {CONTRACT_KEY: encode_contract(SMALL_CONTRACT)})
    path.write_bytes(model.SerializeToString())
    return path


def test_a_model_whose_first_run_has_no_end_is_refused_after_its_time_limit(tmp_path: Path) -> None:
    path = endless(tmp_path / "endless.onnx")
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True, timeout=300, check=True
    )
    assert "did not finish its first window within 1 s" in done.stdout
    assert "A model file is a program" in done.stdout
