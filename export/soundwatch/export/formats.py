"""A network and its contract as one file: ONNX or TorchScript.

Conventions: the graph maps `mel_db` (N, C, M, T) float32 to `logits` (N, K), and to `tag_scores` (N, G) of a model with
tags, for any N. The contract
lies under `CONTRACT_KEY`, in ONNX's `metadata_props` or TorchScript's `_extra_files`.
Source: PyTorch's exporter based on torch.export (`dynamo=True`).
Does not: write to disk (`exporter.py`), or verify (`parity.py`).
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from typing import Any, Final

import onnx
import torch
from torch import nn

from soundwatch.daemon.core.model.contract import CONTRACT_KEY, ModelContract, encode_contract
from soundwatch.daemon.inference.classifier import Backend
from soundwatch.daemon.inference.content_hash import CONTENT_KEY, onnx_content_sha256, torchscript_content_sha256
from soundwatch.export.band_means import pool_over_bands

Writer = Callable[[nn.Module, ModelContract], bytes]


def to_onnx(network: nn.Module, contract: ModelContract) -> bytes:
    """Return the content of a self-contained ONNX file."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of torchvision, which nothing here needs
    windows = torch.zeros(2, *contract.features.input_shape)  # two, since torch.export takes a batch of one as fixed
    with warnings.catch_warnings():
        # torch.export copies its own tree specifications in a way that torch deprecates.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        program = torch.onnx.export(
            network,
            (windows,),
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=["mel_db"],
            output_names=["logits", "tag_scores"] if contract.tags else ["logits"],
            dynamic_shapes=({0: torch.export.Dim("windows")},),
        )
    assert program is not None
    model = program.model_proto
    remove_exporter_notes(model.graph)
    pool_over_bands(model)
    onnx.checker.check_model(model, full_check=True)
    return with_metadata(model, contract)


def with_metadata(model: onnx.ModelProto, contract: ModelContract) -> bytes:
    """Serialize a model with its contract and the hash of its tensors and graph as the only metadata."""
    del model.metadata_props[:]
    content_sha256 = onnx_content_sha256(model.SerializeToString(deterministic=True))
    onnx.helper.set_model_props(model, {CONTRACT_KEY: encode_contract(contract), CONTENT_KEY: content_sha256})
    return bytes(model.SerializeToString(deterministic=True))


def remove_exporter_notes(graph: Any) -> None:
    """Remove the notes of the exporter, which hold stack traces with paths of this machine."""
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def to_torchscript(network: nn.Module, contract: ModelContract) -> bytes:
    """Return the content of a TorchScript file."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        # torch deprecates all of torch.jit in favour of torch.export; TorchScript is what this format is.
        warnings.filterwarnings("ignore", r"`torch\.jit\.(script|save)` is deprecated", DeprecationWarning)
        script = torch.jit.script(network)
        torch.jit.save(script, content)
        extra = {CONTRACT_KEY: encode_contract(contract), CONTENT_KEY: torchscript_content_sha256(content.getvalue())}
        content = io.BytesIO()
        torch.jit.save(script, content, _extra_files=extra)
    return content.getvalue()


SUFFIXES: Final[dict[Backend, str]] = {"onnx": ".onnx", "torchscript": ".ts"}
WRITERS: Final[dict[Backend, Writer]] = {"onnx": to_onnx, "torchscript": to_torchscript}
