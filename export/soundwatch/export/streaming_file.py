"""Streaming form of a network as ONNX, with its states as inputs and outputs.

Conventions: inputs `features` (B, C, M, n * step) and `state_0` to `state_S`, zeros at the start of a stream; outputs
`logits` (B, n, K) and `next_state_0` to `next_state_S`. B streams and n frames may be any numbers from 1 on.
Source: PyTorch's exporter based on torch.export (`dynamo=True`).
Does not: write a file that the daemon runs: the daemon's networks take windows (docs/decisions/0074).
"""

from __future__ import annotations

import logging
import warnings

import onnx
import torch

from soundwatch.export.formats import remove_exporter_notes
from soundwatch.training.model.streaming import StreamingNetwork


def to_streaming_onnx(network: StreamingNetwork) -> onnx.ModelProto:
    """Return the graph of a network in eval mode."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of torchvision, which nothing here needs
    states = network.initial_states(2)  # two streams, since torch.export takes a batch of one as fixed
    features = torch.zeros(2, *network.input_shape[:2], 2 * network.step)
    names = [f"state_{number}" for number in range(len(states))]
    streams, frames = torch.export.Dim("streams"), torch.export.Dim("frames")
    with warnings.catch_warnings():
        # torch.export copies its own tree specifications in a way that torch deprecates.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "# The axis name: streams will not be used", UserWarning)
        program = torch.onnx.export(
            network,
            (features, *states),
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=["features", *names],
            output_names=["logits", *(f"next_{name}" for name in names)],
            dynamic_shapes=({0: streams, 3: network.step * frames}, tuple({0: streams} for _ in states)),
        )
    assert program is not None
    model = program.model_proto
    remove_exporter_notes(model.graph)
    onnx.checker.check_model(model, full_check=True)
    return model
