"""The networks have the sizes they claim, and silence is nothing special to them."""

from __future__ import annotations

import msgspec
import pytest
import torch

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.model.checkpoint import hash_network
from soundwatch.training.model.frontend import MelFrontEnd
from soundwatch.training.model.network import (
    ExampleNormalisation,
    PeakNormalisation,
    build_network,
    count_parameters,
    logits_of,
    maps_of,
)
from soundwatch.training.model.network_recipe import SeparableCnn
from soundwatch.training.model.recipe import Recipe
from soundwatch.training.model.recipe_file import load_recipe
from soundwatch.training.model.streaming import StreamingNetwork
from support.streaming_recipe import small_streaming_recipe


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


def with_recent_frames(recent_frames: int) -> Recipe:
    """A recipe of a small separable network that scores these last frames apart."""
    recipe = small_streaming_recipe()
    return msgspec.structs.replace(
        recipe, network=msgspec.structs.replace(recipe.network, recent_frames=recent_frames, dropout_share=0.0)
    )


def test_a_class_has_the_higher_logit_of_all_and_of_the_recent_frames() -> None:
    recipe = with_recent_frames(2)
    network = build_network(recipe).eval()
    mel_db = torch.randn(8, *recipe.features.input_shape) * 20 - 40
    bands = maps_of(network, mel_db).mean(dim=2)
    assert bands.shape[2] > 2
    whole, recent = (
        logits_of(network, torch.cat([part.mean(dim=2), part.amax(dim=2)], dim=1)) for part in (bands, bands[..., -2:])
    )
    torch.testing.assert_close(network(mel_db), torch.maximum(whole, recent), atol=1e-6, rtol=0)
    assert (recent > whole).any()
    assert (recent < whole).any()


def test_training_scores_all_frames_alone() -> None:
    recipe, without = with_recent_frames(2), with_recent_frames(0)
    network, plain = build_network(recipe).train(), build_network(without).train()
    plain.load_state_dict(network.state_dict())
    mel_db = torch.randn(8, *recipe.features.input_shape) * 20 - 40
    assert torch.equal(network(mel_db), plain(mel_db))


def test_recent_frames_change_the_identity_of_equal_weights() -> None:
    network, plain = build_network(with_recent_frames(2)), build_network(with_recent_frames(0))
    plain.load_state_dict(network.state_dict())
    other = build_network(with_recent_frames(3))
    other.load_state_dict(network.state_dict())
    assert len({hash_network(network), hash_network(plain), hash_network(other)}) == 3


def test_recent_frames_have_no_streaming_form_and_are_not_negative() -> None:
    recipe = with_recent_frames(2)
    with pytest.raises(ConfigError, match="no recent_frames was expected"):
        StreamingNetwork(build_network(recipe).eval(), recipe)
    with pytest.raises(ConfigError, match="recent_frames is -1; it must be 0 or more"):
        SeparableCnn(widths=(4,), strides=(2,), dropout_share=0.0, recent_frames=-1)
