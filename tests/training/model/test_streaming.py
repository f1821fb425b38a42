"""The streaming form of a network gives the network's outputs on windows, for blocks of any length."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.model.map_times import map_edges_s, receptive_field
from soundwatch.training.model.network import build_network, maps_of
from soundwatch.training.model.network_recipe import SeparableCnn
from soundwatch.training.model.recipe import Recipe
from soundwatch.training.model.recipe_file import load_recipe
from soundwatch.training.model.streaming import FLOOR_DB, StreamingNetwork, stream
from support.streaming_recipe import small_streaming_recipe

FRAMES = 24
LIMIT = 1e-5


def streaming(recipe: Recipe) -> tuple[torch.nn.Sequential, StreamingNetwork]:
    torch.manual_seed(1)
    network = build_network(recipe).eval()
    return network, StreamingNetwork(network, recipe).eval()


def noise(batch: int, frames: int, recipe: Recipe) -> Tensor:
    spec = recipe.features
    numbers = np.random.default_rng(2).normal(-40, 15, (batch, spec.channels, spec.n_mels, frames))
    return torch.from_numpy(numbers.astype(np.float32)).clamp(min=FLOOR_DB)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=12), st.integers(0, 1))
def test_any_division_into_blocks_gives_the_logits_of_one_pass(blocks: list[int], instant_layers: int) -> None:
    recipe = small_streaming_recipe(instant_layers)
    _, network = streaming(recipe)
    features = noise(2, sum(blocks) * network.step, recipe)
    with torch.no_grad():
        whole, divided = stream(network, features, [sum(blocks)]), stream(network, features, blocks)
    assert whole.shape == (2, sum(blocks), 10)
    torch.testing.assert_close(divided, whole, atol=LIMIT, rtol=0)


@pytest.mark.parametrize("instant_layers", [0, 1])
def test_after_its_warm_up_a_frame_has_the_logits_of_the_window_that_ends_with_it(instant_layers: int) -> None:
    recipe = small_streaming_recipe(instant_layers)
    window_network, network = streaming(recipe)
    features = noise(1, FRAMES * network.step, recipe)
    with torch.no_grad():
        logits = stream(network, features, [FRAMES])
        for frame in range(FRAMES):
            end = (frame + 1) * network.step
            if end < network.warm_up:
                continue
            window = window_network(features[..., end - network.warm_up : end])
            torch.testing.assert_close(logits[:, frame], window, atol=LIMIT, rtol=0)
    assert network.warm_up < FRAMES * network.step


def test_streams_in_one_batch_do_not_depend_on_each_other() -> None:
    recipe = small_streaming_recipe()
    _, network = streaming(recipe)
    features = noise(3, FRAMES * network.step, recipe)
    with torch.no_grad():
        together = stream(network, features, [5, FRAMES - 5])
        alone = stream(network, features[1:2], [FRAMES])
    torch.testing.assert_close(together[1:2], alone, atol=LIMIT, rtol=0)


def test_a_network_that_pads_its_windows_has_no_streaming_form() -> None:
    recipe = load_recipe("urban-street")
    with pytest.raises(ConfigError, match="urban-street has no streaming form"):
        StreamingNetwork(build_network(recipe), recipe)


def test_the_receptive_field_is_the_shortest_input_with_one_frame_of_maps() -> None:
    recipe = small_streaming_recipe(0)
    assert isinstance(recipe.network, SeparableCnn)
    network = build_network(recipe).eval()
    field = receptive_field(recipe.network)
    assert maps_of(network, noise(1, field.covered, recipe)).shape[3] == 1
    assert maps_of(network, noise(1, field.covered + field.step, recipe)).shape[3] == 2


def test_maps_without_padding_lie_around_the_centers_of_their_frames() -> None:
    recipe = small_streaming_recipe(0)
    edges_s = map_edges_s(recipe, 8)
    assert edges_s[0] == 0
    assert edges_s[-1] == 1.0
    assert np.diff(edges_s[1:-1]) == pytest.approx(np.full(6, 4 * 0.02))
    padded = msgspec.structs.replace(recipe, network=msgspec.structs.replace(recipe.network, time_padding=True))
    assert map_edges_s(padded, 8).tolist() == pytest.approx(np.linspace(0, 1, 9).tolist())


def test_instant_layers_with_a_stride_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"instant_layers is 2 of 3 layers with strides \(2, 2, 1\)"):
        SeparableCnn(widths=(4, 4, 4), strides=(2, 2, 1), dropout_share=0.0, instant_layers=2)
