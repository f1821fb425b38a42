from __future__ import annotations

import time
from itertools import islice

import numpy as np
import pytest

from soundwatch.daemon.capture.demo.scene import DEMO_SOUNDS, RATE_HZ, ROUND_S, Demo, demo_scene


@pytest.mark.slow
def test_the_scene_is_the_same_every_time() -> None:
    np.testing.assert_array_equal(demo_scene(22_050, 20.0), demo_scene(22_050, 20.0))


@pytest.mark.slow
def test_the_scene_repeats() -> None:
    scene = demo_scene(8_000, ROUND_S + 4.0)
    np.testing.assert_array_equal(scene[:, : 4 * 8_000], scene[:, ROUND_S * 8_000 :])


@pytest.mark.slow
@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100])
def test_the_scene_is_loud_only_at_its_stated_sounds(rate_hz: int) -> None:
    scene = demo_scene(rate_hz)[0]
    assert scene.dtype == np.float32
    assert np.abs(scene).max() < 1.0
    loud = np.zeros(len(scene), bool)
    for sound in DEMO_SOUNDS:
        stretch = slice(round(sound.onset_s * rate_hz), round(sound.offset_s * rate_hz))
        assert scene[stretch].std() > 0.03
        loud[stretch.start : stretch.stop + rate_hz] = True  # a second of echo
    assert 0.003 < scene[~loud].std() < 0.01


@pytest.mark.slow
def test_fast_gives_one_round_of_the_scene() -> None:
    source = Demo("demo", "fast", 0)
    blocks = list(source.blocks())
    np.testing.assert_array_equal(np.concatenate([block.samples for block in blocks], axis=1), demo_scene())
    assert blocks[-1].first_sample + blocks[-1].samples.shape[1] == ROUND_S * RATE_HZ
    assert source.start_unix_ns == 0


@pytest.mark.slow
def test_real_time_waits_and_starts_now() -> None:
    source = Demo("demo")
    start_ns = time.monotonic_ns()
    blocks = list(islice(source.blocks(), 3))
    assert time.monotonic_ns() - start_ns >= 300_000_000
    assert 0 < source.start_unix_ns <= time.time_ns() - 300_000_000
    assert [block.first_sample for block in blocks] == [0, 4_410, 8_820]
    source.stop()
    assert list(source.blocks()) == []
