"""The networks have the sizes they claim, and silence is nothing special to them."""

from __future__ import annotations

import pytest
import torch

from soundwatch.training.model.frontend import MelFrontEnd
from soundwatch.training.model.network import ExampleNormalisation, PeakNormalisation, build_network, count_parameters
from soundwatch.training.model.recipe_file import load_recipe


def test_the_tutorials_network_has_its_25602_parameters() -> None:
    assert count_parameters(build_network(load_recipe("tutorial"))) == 25_602


def test_the_default_network_has_about_270_thousand() -> None:
    assert 250_000 < count_parameters(build_network(load_recipe("urban"))) < 290_000


@pytest.mark.parametrize("name", ["tutorial", "urban", "urban-street", "urban-taught"])
def test_digital_silence_gives_finite_logits(name: str) -> None:
    recipe = load_recipe(name)
    network = build_network(recipe).eval()
    silence = torch.zeros(1, 1, recipe.features.window_samples)
    mel_db = MelFrontEnd(recipe.features).features(silence)
    assert mel_db.shape == (1, *recipe.features.input_shape)
    assert torch.isfinite(network(mel_db)).all()


def test_a_constant_example_normalizes_to_zeros_and_its_neighbor_is_untouched() -> None:
    mel_db = torch.randn(2, 2, 8, 9) * 20 - 40
    mel_db[0] = -100.0
    normal = ExampleNormalisation(1e-3)(mel_db)
    assert torch.equal(normal[0], torch.zeros(2, 8, 9))
    assert abs(float(normal[1].mean())) < 1e-5
    assert abs(float(normal[1].std(correction=0)) - 1) < 1e-5


@pytest.mark.parametrize("name", ["tutorial", "urban", "urban-street", "urban-taught"])
def test_an_examples_logits_do_not_depend_on_its_batch(name: str) -> None:
    recipe = load_recipe(name)
    network = build_network(recipe).eval()
    mel_db = torch.randn(3, *recipe.features.input_shape) * 20 - 40
    torch.testing.assert_close(network(mel_db)[1:2], network(mel_db[1:2]), atol=1e-4, rtol=1e-4)


def test_a_peak_normalised_example_is_the_same_at_any_gain() -> None:
    mel_db = torch.randn(2, 1, 8, 9) * 20 - 40
    normal = PeakNormalisation()(mel_db)
    assert normal.amax(dim=(1, 2, 3)).tolist() == [0.0, 0.0]
    torch.testing.assert_close(PeakNormalisation()(mel_db + 20), normal, atol=1e-4, rtol=0)


def test_the_convolutions_of_the_tutorial_start_without_bias() -> None:
    network = build_network(load_recipe("tutorial"))
    biases = [layer.bias for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(biases) == 4
    assert all(bias is not None and not bias.any() for bias in biases)
