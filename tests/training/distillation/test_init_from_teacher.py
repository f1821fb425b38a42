"""A student initialized with its teacher's first layers has similar outputs before training."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.distillation.init_from_teacher import init_from_teacher
from soundwatch.training.distillation.teacher import YamNet
from soundwatch.training.model.frontend import MelFrontEnd
from soundwatch.training.model.network import build_network, maps_of
from soundwatch.training.model.recipe_file import load_recipe

RECIPE = load_recipe("urban-taught")
SPEC = RECIPE.features


def _sounds(seed: int, count: int = 24) -> Tensor:
    """Return chirps in noise at several levels (N, S)."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(SPEC.window_samples) / SPEC.rate_hz
    rows = []
    for _ in range(count):
        start_hz, sweep_hz_s, level = rng.uniform(100, 3000), rng.uniform(-20, 900), rng.uniform(0.001, 0.3)
        chirp = np.sin(2 * np.pi * (start_hz * time_s + sweep_hz_s * time_s**2 / 2)) * (time_s > rng.uniform(0, 2))
        rows.append(level * (chirp + rng.uniform(0.01, 1) * rng.normal(0, 1, len(time_s))))
    return torch.from_numpy(np.array(rows, np.float32))


@pytest.fixture
def yamnet(shared_data: Path) -> YamNet:
    pytest.importorskip("ai_edge_litert", reason="the extra `teacher` is not installed")
    return YamNet(shared_data.parent / "models" / "yamnet.tflite")


@pytest.mark.data
def test_the_read_layers_give_the_features_of_yamnets_runtime(yamnet: YamNet) -> None:
    from soundwatch.training.distillation.init_from_teacher import _convolve, _log_mel

    trunk = yamnet.trunk()
    assert len(trunk.layers) == 27
    sound = _sounds(1, 1)[:, :15600]
    sound *= 0.7 / sound.abs().max()
    maps = _log_mel(sound, trunk.mel)
    for layer in trunk.layers[:19]:  # to the pointwise convolution of layer 10
        maps = _convolve(maps, layer).relu()
    predicted = maps.mean(dim=(2, 3))[0].numpy()
    teacher_features = yamnet.outputs(sound.numpy(), 16000).features[0, :512]
    assert np.corrcoef(predicted, teacher_features)[0, 1] > 0.99  # its runtime multiplies in 8 bits


@pytest.mark.data
def test_a_started_student_answers_like_the_teacher_where_a_drawn_one_does_not(yamnet: YamNet) -> None:
    from soundwatch.training.distillation.init_from_teacher import _convolve, _log_mel

    trunk, other = yamnet.trunk(), _sounds(2)
    wanted = _log_mel(other * 0.7 / other.abs().amax(dim=1, keepdim=True), trunk.mel)
    for layer in trunk.layers[:15]:
        wanted = _convolve(wanted, layer).relu()
    likeness = []
    for start in (False, True):
        torch.manual_seed(0)
        network = build_network(RECIPE)
        if start:
            init_from_teacher(network, trunk, _sounds(1), SPEC)
            assert network.training
        with torch.no_grad():
            maps = maps_of(network.eval(), MelFrontEnd(SPEC).features(other[:, None]))
        pairs = zip(maps.mean(dim=(2, 3)).T.numpy(), wanted.mean(dim=(2, 3)).T.numpy(), strict=True)
        likeness.append(np.median([np.corrcoef(one, two)[0, 1] for one, two in pairs if one.std() and two.std()]))
    assert likeness[1] > 0.6
    assert likeness[1] > likeness[0] + 0.2


@pytest.mark.data
def test_a_started_student_answers_silence_with_finite_numbers(yamnet: YamNet) -> None:
    network = build_network(RECIPE)
    init_from_teacher(network, yamnet.trunk(), torch.zeros(4, SPEC.window_samples), SPEC)
    assert torch.isfinite(network(torch.full((2, *SPEC.input_shape), -100.0))).all()


@pytest.mark.data
def test_a_network_of_another_shape_is_refused_with_both_shapes(yamnet: YamNet) -> None:
    narrow = msgspec.structs.replace(RECIPE.network, widths=(16, *RECIPE.network.widths[1:]))
    network = build_network(msgspec.structs.replace(RECIPE, network=narrow))
    with pytest.raises(ConfigError, match=r"kernels are \[\(16, 1, 3, 3\).*the teacher's first are \[\(32, 1, 3, 3\)"):
        init_from_teacher(network, yamnet.trunk(), _sounds(1), SPEC)
