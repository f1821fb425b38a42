"""Augmentation changes only what it states."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from soundwatch.training.data.audio.place import place_first
from soundwatch.training.data.datasets.negatives import synthetic_negative
from soundwatch.training.data.windows.augment import augment_mel, mix, place_randomly
from soundwatch.training.model.recipe import Augmentation
from soundwatch.training.model.recipe_file import load_recipe
from soundwatch.training.model.torchaudio_transforms import FrequencyMasking, TimeMasking


def test_a_short_clip_is_placed_whole_and_a_long_one_cut() -> None:
    rng = np.random.default_rng(0)
    clip = np.arange(1, 11, dtype=np.float32)[None]
    for _ in range(20):
        padded = place_randomly(clip, 15, rng)
        assert padded.shape == (1, 15)
        assert padded[padded > 0].tolist() == clip[0].tolist()
        assert np.diff(place_randomly(clip, 4, rng)).tolist() == [[1.0, 1.0, 1.0]]


def test_scored_clips_are_placed_as_the_daemon_places_them() -> None:
    clip = np.arange(1, 4, dtype=np.float32)[None]
    assert place_first(clip, 5).tolist() == [[1, 2, 3, 0, 0]]
    assert place_first(clip, 2).tolist() == [[1, 2]]


def test_masks_hold_the_examples_mean_and_are_the_same_for_both_channels() -> None:
    recipe = load_recipe("tutorial").augmentation
    torch.manual_seed(0)
    mel_db = (torch.randn(4, 1, 64, 345) * 10 - 40).expand(-1, 2, -1, -1)
    masked = augment_mel(mel_db, recipe)
    changed = (masked - mel_db).abs() > 1e-3
    assert torch.equal(changed[:, 0], changed[:, 1])
    assert 0 < changed.float().mean() < 0.4
    for before, after, where in zip(mel_db, masked, changed, strict=True):
        torch.testing.assert_close(after[where], before.mean().expand(int(where.sum())), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["tutorial", "urban"])
def test_a_batch_is_masked_as_torchaudio_masks_its_examples_one_by_one(name: str) -> None:
    recipe = load_recipe(name)
    numbers = msgspec.structs.replace(recipe.augmentation, band_jitter_db=0)
    mel_db = torch.randn(5, *recipe.features.input_shape) * 10 - 40
    mean_db = mel_db.mean(dim=(1, 2, 3), keepdim=True)
    masks = [FrequencyMasking(int(numbers.frequency_mask_share * mel_db.shape[2]))] * numbers.frequency_masks
    masks += [TimeMasking(int(numbers.time_mask_share * mel_db.shape[3]))] * numbers.time_masks
    torch.manual_seed(3)
    examples = list(mel_db - mean_db)
    for place in range(len(examples)):
        for mask in masks:
            examples[place] = mask(examples[place])
    following = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(augment_mel(mel_db, numbers), torch.stack(examples) + mean_db)
    assert torch.equal(torch.rand(2), following)


def test_nothing_is_done_where_all_is_switched_off() -> None:
    recipe = Augmentation()
    mel_db, targets = torch.randn(2, 1, 8, 9), torch.eye(2)
    torch.testing.assert_close(augment_mel(mel_db, recipe), mel_db)
    assert mix(mel_db, targets, recipe.mixup_alpha, np.random.default_rng(0))[0] is mel_db


def test_mixup_mixes_targets_as_it_mixes_sound() -> None:
    mel_db = torch.arange(4.0)[:, None, None, None].expand(4, 1, 2, 2)
    mixed, targets = mix(mel_db, torch.eye(4), 0.5, np.random.default_rng(1))
    torch.testing.assert_close(mixed[:, 0, 0, 0], targets @ torch.arange(4.0))
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(4))


def test_synthetic_negatives_are_finite_and_some_are_silence() -> None:
    rng = np.random.default_rng(0)
    sounds = [synthetic_negative(rng, 8000, 1000) for _ in range(60)]
    assert all(sound.shape == (1, 1000) and np.isfinite(sound).all() for sound in sounds)
    assert any(not sound.any() for sound in sounds)
