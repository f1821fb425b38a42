"""Pieces of a recording, heard apart, are to the bit what it is when heard in one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.capture.demo import demo_scene
from soundwatch.daemon.core.config import ModelConfig
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.scan.chunks import Chunk, ChunkPolicy, plan_chunks, restart_samples
from soundwatch.daemon.scan.discover import find_recordings
from soundwatch.daemon.scan.worker import ScoringTask, score_chunk
from support.band_model import write_band_model
from support.fakes import SMALL_CONTRACT, SMALL_SPEC

SMALL_PIECES = ChunkPolicy(from_bytes=0, piece_windows=160)  # 16 s of SMALL_SPEC


@pytest.fixture
def task(tmp_path: Path) -> ScoringTask:
    model = write_band_model(tmp_path / "bands.onnx")
    return ScoringTask(ModelConfig(file=str(model), provider="cpu"), SMALL_CONTRACT.weights_sha256)


def write_noise(path: Path, rate_hz: int, seconds: float, channels: int = 1, subtype: str | None = None) -> Path:
    """Noise whose loudness and colour change all the time, so that no two windows score alike."""
    rng = np.random.default_rng(rate_hz)
    samples = round(rate_hz * seconds)
    swell = np.abs(np.sin(np.arange(samples) / rate_hz * np.array([[1.3], [0.7]])))
    noise = rng.uniform(-0.5, 0.5, (2, samples)) * swell
    noise[1] = np.cumsum(noise[1]) / 20 % 0.5
    frames = noise.T if channels > 1 else noise.sum(0)
    with soundfile.SoundFile(path, "w", rate_hz, channels, subtype) as file:
        for first in range(0, samples, rate_hz):  # libsndfile overflows its stack with a minute of Vorbis at once
            file.write(frames[first : first + rate_hz])
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate_hz", "name", "channels", "subtype"),
    [
        (8000, "same.wav", 1, "PCM_16"),
        (16_000, "double.wav", 2, "PCM_24"),
        (22_050, "odd.aiff", 1, "PCM_16"),
        (44_100, "disc.flac", 2, "PCM_16"),
        (48_000, "studio.w64", 1, "FLOAT"),
        (11_025, "long_period.wav", 1, "PCM_16"),
    ],
)
def test_scores_levels_and_shared_sound_of_pieces_are_those_of_the_whole(
    tmp_path: Path, task: ScoringTask, rate_hz: int, name: str, channels: int, subtype: str
) -> None:
    path = write_noise(tmp_path / name, rate_hz, 60.0, channels, subtype)
    pieces = list(plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, SMALL_PIECES))
    assert len(pieces) == 4
    whole, parts = score_chunk(task, Chunk(path)), [score_chunk(task, piece) for piece in pieces]
    assert b"".join(part.scores for part in parts) == whole.scores
    assert b"".join(part.levels for part in parts) == whole.levels
    rows = {row.tobytes() for row in np.frombuffer(whole.scores, np.float32).reshape(-1, 2)}
    assert len(rows) > 500, "windows score differently, or nothing is shown"
    assert [part.tail for part in parts[:-1]] == [part.head for part in parts[1:]]
    assert (parts[-1].end_sample, parts[0].end_sample) == (whole.end_sample, None)


@pytest.mark.slow
def test_pieces_are_exact_with_the_default_model_too(tmp_path: Path) -> None:
    path = tmp_path / "scene.wav"
    soundfile.write(path, demo_scene(44_100, 80.0).T, 44_100)
    contract = load_classifier_file("urban", "cpu").contract
    task = ScoringTask(ModelConfig(provider="cpu"), contract.weights_sha256)
    pieces = list(plan_chunks(find_recordings([path]).recordings[0], contract.features, ChunkPolicy(0, 32)))
    assert len(pieces) == 2
    whole, parts = score_chunk(task, Chunk(path)), [score_chunk(task, piece) for piece in pieces]
    assert b"".join(part.scores for part in parts) == whole.scores
    assert b"".join(part.levels for part in parts) == whole.levels


@pytest.mark.slow
def test_later_pieces_do_not_begin_at_the_start_of_the_recording(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "long.wav", 48_000, 90.0)
    pieces = list(plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, SMALL_PIECES))
    restart = restart_samples(48_000, SMALL_SPEC)
    assert restart is not None
    for piece in pieces[1:]:
        needed = (piece.first_window - 4) * SMALL_SPEC.window_hop_samples * 6
        assert piece.start_sample % restart == 0
        assert needed - restart - 2 * 48_000 < piece.start_sample < needed


@pytest.mark.slow
def test_a_piece_that_begins_elsewhere_shares_other_sound_with_its_neighbour(tmp_path: Path, task: ScoringTask) -> None:
    path = write_noise(tmp_path / "long.wav", 44_100, 60.0)
    first, second, *_ = plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, SMALL_PIECES)
    astray = Chunk(path, second.first_window, second.end_window, second.start_sample - 441)
    assert score_chunk(task, first).tail == score_chunk(task, second).head != score_chunk(task, astray).head


@pytest.mark.slow
def test_a_rate_that_shares_nothing_with_the_models_is_not_split(tmp_path: Path) -> None:
    assert restart_samples(44_057, SMALL_SPEC) is None
    path = write_noise(tmp_path / "strange.wav", 44_057, 60.0)
    assert list(plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, SMALL_PIECES)) == [Chunk(path)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_formats_that_cannot_be_entered_at_a_sample_are_not_split(tmp_path: Path, name: str) -> None:
    path = write_noise(tmp_path / name, 44_100, 60.0)
    assert list(plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, SMALL_PIECES)) == [Chunk(path)]


def test_small_files_are_not_even_opened(tmp_path: Path) -> None:
    path = tmp_path / "nonsense.wav"
    path.write_bytes(b"RIFF")
    assert list(plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, ChunkPolicy())) == [Chunk(path)]
    assert list(plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, SMALL_PIECES)) == [Chunk(path)]
