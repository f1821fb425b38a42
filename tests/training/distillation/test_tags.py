"""Tags are a second output of a network, and change nothing in the first."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from soundwatch.daemon.core.errors import ModelError
from soundwatch.training.distillation.sound_groups import GROUPS
from soundwatch.training.distillation.tags import TaggedNetwork, TagLayer, load_tag_layer
from soundwatch.training.model.checkpoint import load_network
from soundwatch.training.model.network import build_network
from support.checkpoint_factory import SMALL_RECIPE, group_layer, write_checkpoint
from support.streaming_recipe import small_streaming_recipe

TAGS = ("glass", "alarm", "speech")


def test_logits_of_the_classes_are_those_without_tags_bit_for_bit(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "checkpoint.pt", hint=group_layer(SMALL_RECIPE))
    network, _ = load_network(path)
    mel_db = torch.randn(3, *SMALL_RECIPE.features.input_shape) * 20 - 40
    with torch.no_grad():
        logits, tag_scores = TaggedNetwork(network, load_tag_layer(path, TAGS)).eval()(mel_db)
        assert torch.equal(logits, network(mel_db))
    assert tag_scores.shape == (3, len(TAGS))
    assert 0 < tag_scores.min() <= tag_scores.max() < 1


def test_tags_describe_the_whole_window_where_recent_frames_are_scored_apart() -> None:
    small = small_streaming_recipe()
    recipe = msgspec.structs.replace(small, network=msgspec.structs.replace(small.network, recent_frames=1))
    recent, plain = build_network(recipe).eval(), build_network(small).eval()
    plain.load_state_dict(recent.state_dict())
    layer = TagLayer(2 * small.network.widths[-1], len(TAGS))
    mel_db = torch.randn(3, *recipe.features.input_shape) * 20 - 40
    with torch.no_grad():
        tagged, whole = (TaggedNetwork(network, layer).eval()(mel_db) for network in (recent, plain))
    assert torch.equal(tagged[1], whole[1])
    assert not torch.equal(tagged[0], whole[0])


def test_a_tag_layer_has_the_rows_of_its_groups_in_the_order_asked_for(tmp_path: Path) -> None:
    hint = group_layer(SMALL_RECIPE)
    layer = load_tag_layer(write_checkpoint(tmp_path / "checkpoint.pt", hint=hint), TAGS)
    names = [group.name for group in GROUPS]
    for row, tag in enumerate(TAGS):
        assert torch.equal(layer.weight[row], hint["groups.weight"][names.index(tag)])
        assert layer.bias[row] == hint["groups.bias"][names.index(tag)]


@pytest.mark.parametrize("hint", [None, {"hint.tell.bias": torch.zeros(3)}])
def test_a_run_without_groups_is_refused(tmp_path: Path, hint: dict[str, torch.Tensor] | None) -> None:
    path = write_checkpoint(tmp_path / "checkpoint.pt", hint=hint)
    with pytest.raises(ModelError, match="has no layer for the 60 groups of everyday sounds"):
        load_tag_layer(path, TAGS)


def test_a_layer_of_other_groups_is_refused(tmp_path: Path) -> None:
    hint = {name: value[:-1] for name, value in group_layer(SMALL_RECIPE).items()}
    with pytest.raises(ModelError, match="has no layer for the 60 groups"):
        load_tag_layer(write_checkpoint(tmp_path / "checkpoint.pt", hint=hint), TAGS)
