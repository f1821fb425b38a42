"""The ONNX graph of a streaming network gives the logits of torch, in blocks of any length and for any streams."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundwatch.export.streaming_file import to_streaming_onnx
from soundwatch.training.model.network import build_network
from soundwatch.training.model.streaming import StreamingNetwork, stream
from support.streaming_recipe import small_streaming_recipe

LIMIT = 1e-5


class OnnxStream:
    """A graph with the states of its streams."""

    def __init__(self, network: StreamingNetwork) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        content = to_streaming_onnx(network).SerializeToString()
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.network = network

    def run(self, features: NDArray[np.float32], blocks: list[int]) -> NDArray[np.float32]:
        """Compute logits (B, n, K) in blocks of these numbers of frames."""
        states = [state.numpy() for state in self.network.initial_states(len(features))]
        parts, first = [], 0
        for count in blocks:
            block = features[..., first * self.network.step : (first + count) * self.network.step]
            named = {f"state_{number}": state for number, state in enumerate(states)}
            logits, *states = self.session.run(None, {"features": block, **named})
            parts.append(logits)
            first += count
        return np.concatenate(parts, axis=1)


@pytest.fixture(scope="module")
def graph() -> OnnxStream:
    recipe = small_streaming_recipe()
    torch.manual_seed(1)
    return OnnxStream(StreamingNetwork(build_network(recipe).eval(), recipe).eval())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=12), st.integers(1, 3))
def test_any_division_into_blocks_gives_the_logits_of_torch_in_one_pass(
    graph: OnnxStream, blocks: list[int], streams: int
) -> None:
    channels, mels, step = graph.network.input_shape
    numbers = np.random.default_rng(3).normal(-40, 15, (streams, channels, mels, sum(blocks) * step))
    features = numbers.astype(np.float32)
    with torch.no_grad():
        wanted = stream(graph.network, torch.from_numpy(features), [sum(blocks)]).numpy()
    divided = graph.run(features, blocks)
    assert divided.shape == (streams, sum(blocks), 10)
    np.testing.assert_allclose(divided, wanted, rtol=0, atol=LIMIT)
    np.testing.assert_allclose(graph.run(features, [sum(blocks)]), wanted, rtol=0, atol=LIMIT)
