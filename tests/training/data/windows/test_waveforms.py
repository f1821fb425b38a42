"""Windows of an epoch: equal from the device and from the cache, in any number of processes, and changed as planned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import torch

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.cache import ClipCache
from soundwatch.training.data.windows.render import render_windows, synthetic_sounds
from soundwatch.training.data.windows.waveforms import DeviceWaveforms, HostWaveforms, MappedClips, measure_clips
from soundwatch.training.data.windows.window_plan import SYNTHETIC, WindowPlan, longest_read, plan_epoch, targets_of
from soundwatch.training.model.recipe import Augmentation, Recipe
from soundwatch.training.model.recipe_file import load_recipe

RATE_HZ = 8000
PLAIN = Augmentation()


def _clips(folder: Path, recipe: Recipe) -> tuple[tuple[Clip, ...], MappedClips]:
    """Write short, whole, long, stereo and very quiet recordings, and map them."""
    rng = np.random.default_rng(3)
    clips = list[Clip]()
    for name, samples, channels, level in (
        ("a", 900, 1, 0.5),
        ("b", 4000, 2, 0.9),
        ("c", 9100, 1, 1e-4),
        ("d", 1, 1, 1),
    ):
        sound = rng.uniform(-level, level, (samples, channels))
        soundfile.write(folder / f"{name}.wav", sound, RATE_HZ, subtype="FLOAT")
        clips.append(Clip(folder / f"{name}.wav", 1, len(clips) % 2, name, max(1, samples // 4000)))
    cache = ClipCache(recipe.features, folder / "clips")
    cache.folder.mkdir()
    return tuple(clips), MappedClips(tuple(clips), cache, measure_clips(clips, cache), longest_read(recipe))


def _with(recipe: Recipe, numbers: Augmentation) -> Recipe:
    return msgspec.structs.replace(recipe, augmentation=numbers)


def _plan(rows: list[int], starts: list[int]) -> WindowPlan:
    zeros = np.zeros(len(rows), np.float32)
    hundred = np.full(len(rows), 100)
    return WindowPlan(np.array(rows), hundred, np.array(starts), np.zeros(len(rows), np.int64), zeros, zeros + np.inf)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_the_device_and_the_cache_give_equal_segments(tmp_path: Path, tiny_recipe: Recipe, workers: int) -> None:
    clips, dataset = _clips(tmp_path, tiny_recipe)
    host = HostWaveforms(dataset, workers, pinned=False)
    device = DeviceWaveforms(dataset, torch.device("cpu"))
    assert host.lengths.tolist() == device.lengths.tolist() == [900, 4000, 9100, 1]
    for epoch in range(2):  # workers outlive an epoch
        plans = plan_epoch(clips, host.lengths, tiny_recipe, np.random.default_rng(epoch))
        before = torch.get_rng_state()
        pairs = zip(host.segments(plans), device.segments(plans), strict=True)
        for (one, one_scale), (other, other_scale) in pairs:
            assert one.dtype == other.dtype == torch.int16
            assert one.any()
            assert torch.equal(one, other)
            assert torch.equal(one_scale, other_scale)
        assert torch.equal(torch.get_rng_state(), before), "reading takes none of the run's random numbers"


def test_a_short_clip_lies_whole_in_every_window_and_a_long_one_is_cut(tmp_path: Path, tiny_recipe: Recipe) -> None:
    clips, dataset = _clips(tmp_path, tiny_recipe)
    lengths = dataset.sizes.lengths
    for seed in range(20):
        for plan in plan_epoch(clips, lengths, tiny_recipe, np.random.default_rng(seed)):
            for row, speed, start in zip(
                plan.rows.tolist(), plan.speeds_percent.tolist(), plan.starts.tolist(), strict=True
            ):
                read = -(-4000 * speed // 100)
                if row == SYNTHETIC:
                    continue
                if lengths[row] * 100 <= 4000 * speed:
                    assert start <= 0
                    assert start + read >= lengths[row] - 1
                else:
                    assert 0 <= start <= lengths[row] - read + 1


def test_without_augmentation_windows_are_the_samples(tmp_path: Path, tiny_recipe: Recipe) -> None:
    clips, dataset = _clips(tmp_path, tiny_recipe)
    recipe = _with(tiny_recipe, PLAIN)
    dataset = replace(dataset, read_samples=longest_read(recipe))
    plan = _plan([0, 1, 2, 3], [-100, 0, 5000, -3999])
    (segments,) = HostWaveforms(dataset, 0, pinned=False).segments([plan])
    windows = render_windows(segments, plan, recipe).numpy()
    read = dataset.cache
    np.testing.assert_array_equal(windows[0, :, 100:1000], np.broadcast_to(read(clips[0]), (2, 900)))
    assert not windows[0, :, :100].any()
    assert not windows[0, :, 1000:].any()
    np.testing.assert_array_equal(windows[1], read(clips[1]))
    np.testing.assert_array_equal(windows[2, 0], read(clips[2])[0, 5000:9000])
    assert windows[3, 0].nonzero()[0].tolist() == [3999]
    assert targets_of(plan, clips, 3).tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]]


@pytest.mark.slow
def test_shift_gain_and_noise_follow_the_plan(tiny_recipe: Recipe) -> None:
    numbers = torch.arange(2 * 4000, dtype=torch.int16).reshape(2, 1, 4000) - 4000
    segments = numbers, torch.tensor([2.0**-15, 2.0**-14])
    plan = replace(_plan([0, 1], [0, 0]), shifts=np.array([0, 1500]), gains_db=np.array([0.0, -6.0], np.float32))
    recipe = _with(tiny_recipe, PLAIN)
    one, other = render_windows(segments, plan, recipe)
    torch.testing.assert_close(one, numbers[0] * 2.0**-15)
    torch.testing.assert_close(torch.roll(other, -1500, 1), numbers[1] * 2.0**-14 * 10 ** (-6 / 20))
    noisy = replace(plan, snr_db=np.array([10.0, np.inf], np.float32))
    torch.manual_seed(1)
    with_noise = render_windows(segments, noisy, recipe)
    torch.testing.assert_close(with_noise[1], other)
    noise = with_noise[0] - one
    assert abs(20 * np.log10(float(one.square().mean().sqrt() / noise.square().mean().sqrt())) - 10) < 0.2


@pytest.mark.parametrize(("speed_percent", "samples"), [(50, 2000), (200, 500)])
def test_playing_faster_makes_a_clip_shorter(tiny_recipe: Recipe, speed_percent: int, samples: int) -> None:
    recipe = _with(tiny_recipe, Augmentation(speeds_percent=(100, speed_percent)))
    numbers = torch.zeros(1, 1, longest_read(recipe), dtype=torch.int16)
    numbers[..., :1000] = 30_000
    plan = replace(_plan([0], [0]), speeds_percent=np.array([speed_percent]))
    window = render_windows((numbers, torch.tensor([2.0**-15])), plan, recipe)
    assert window.shape == (1, 1, 4000)
    assert abs(int((window.abs() > 0.5).sum()) - samples) < 20


def test_synthetic_sounds_are_finite_and_some_are_silence() -> None:
    torch.manual_seed(0)
    sounds = synthetic_sounds(60, RATE_HZ, 1000, torch.device("cpu"))
    assert sounds.shape == (60, 1, 1000)
    assert sounds.isfinite().all()
    silent = int((~sounds.any(dim=2)).sum())
    assert 0 < silent < 20


def test_balance_draws_classes_equally_and_keeps_other_sounds(tiny_recipe: Recipe) -> None:
    clips = [Clip(Path(f"{number}.wav"), 1, None if number < 30 else int(number < 40), "a") for number in range(330)]
    lengths = np.full(330, 4000)
    for balance in (False, True):
        recipe = msgspec.structs.replace(tiny_recipe, balance=balance)
        plans = plan_epoch(clips, lengths, recipe, np.random.default_rng(1))
        rows = np.concatenate([plan.rows for plan in plans])
        counts = [
            int((rows >= 40).sum()),
            int(((rows >= 30) & (rows < 40)).sum()),
            int(((rows >= 0) & (rows < 30)).sum()),
        ]
        assert len(rows) == 330 + 33
        assert counts[2] == 30
        assert counts[:2] == [290, 10] if not balance else 110 < counts[1] < 190


def test_balance_with_views_of_a_teacher_is_refused() -> None:
    with pytest.raises(ConfigError, match="balance draws labeled clips"):
        msgspec.structs.replace(load_recipe("urban-taught"), balance=True)
