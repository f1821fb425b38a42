"""Joined scores of chunks are bit-identical to those of the whole recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

from soundwatch.daemon.capture.demo.scene import demo_scene
from soundwatch.daemon.config.config import ModelConfig
from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.inference.content_hash import CONTENT_KEY
from soundwatch.daemon.scan.chunks import Chunk, ChunkPolicy, plan_chunks, restart_samples
from soundwatch.daemon.scan.discover import find_recordings
from soundwatch.daemon.scan.worker import ScoringTask, score_chunk
from support.band_model import write_band_model
from support.fakes import SMALL_SPEC

SMALL_CHUNKS = ChunkPolicy(from_bytes=0, chunk_windows=160)  # 16 s of SMALL_SPEC


@pytest.fixture
def task(tmp_path: Path) -> ScoringTask:
    model = write_band_model(tmp_path / "bands.onnx")
    return ScoringTask(ModelConfig(file=str(model), provider="cpu"), load_classifier_file(model, "cpu").content_sha256)


def write_noise(path: Path, rate_hz: int, seconds: float, channels: int = 1, subtype: str | None = None) -> Path:
    """Write noise whose level and spectrum vary, so that no two windows have equal scores."""
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
def test_scores_levels_and_digests_of_chunks_match_the_whole_recording(
    tmp_path: Path, task: ScoringTask, rate_hz: int, name: str, channels: int, subtype: str
) -> None:
    path = write_noise(tmp_path / name, rate_hz, 60.0, channels, subtype)
    chunks = list(plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, SMALL_CHUNKS))
    assert len(chunks) == 4
    whole, parts = score_chunk(task, Chunk(path)), [score_chunk(task, chunk) for chunk in chunks]
    assert b"".join(part.scores for part in parts) == whole.scores
    assert b"".join(part.levels for part in parts) == whole.levels
    rows = {row.tobytes() for row in np.frombuffer(whole.scores, np.float32).reshape(-1, 2)}
    assert len(rows) > 500, "equal scores would prove nothing"
    assert [part.tail for part in parts[:-1]] == [part.head for part in parts[1:]]
    assert (parts[-1].end_sample, parts[0].end_sample) == (whole.end_sample, None)


@pytest.mark.slow
def test_chunks_are_exact_with_the_default_model(tmp_path: Path) -> None:
    path = tmp_path / "scene.wav"
    soundfile.write(path, demo_scene(44_100, 80.0).T, 44_100)
    model = load_classifier_file("urban", "cpu")
    contract, task = model.contract, ScoringTask(ModelConfig(provider="cpu"), model.content_sha256)
    chunks = list(plan_chunks(find_recordings([path]).recordings[0], contract.features, ChunkPolicy(0, 32)))
    assert len(chunks) == 2
    whole, parts = score_chunk(task, Chunk(path)), [score_chunk(task, chunk) for chunk in chunks]
    assert b"".join(part.scores for part in parts) == whole.scores
    assert b"".join(part.levels for part in parts) == whole.levels


@pytest.mark.slow
def test_later_chunks_do_not_begin_at_the_start_of_the_recording(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "long.wav", 48_000, 90.0)
    chunks = list(plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, SMALL_CHUNKS))
    restart = restart_samples(48_000, SMALL_SPEC)
    assert restart is not None
    for chunk in chunks[1:]:
        needed = (chunk.first_window - 4) * SMALL_SPEC.window_hop_samples * 6
        assert chunk.start_sample % restart == 0
        assert needed - restart - 2 * 48_000 < chunk.start_sample < needed


@pytest.mark.slow
def test_a_misaligned_chunk_has_a_different_digest(tmp_path: Path, task: ScoringTask) -> None:
    path = write_noise(tmp_path / "long.wav", 44_100, 60.0)
    first, second, *_ = plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, SMALL_CHUNKS)
    misaligned = Chunk(path, second.first_window, second.end_window, second.start_sample - 441)
    assert score_chunk(task, first).tail == score_chunk(task, second).head != score_chunk(task, misaligned).head


@pytest.mark.slow
def test_a_recording_at_a_rate_without_a_short_common_multiple_is_not_split(tmp_path: Path) -> None:
    assert restart_samples(44_057, SMALL_SPEC) is None
    path = write_noise(tmp_path / "strange.wav", 44_057, 60.0)
    assert list(plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, SMALL_CHUNKS)) == [Chunk(path)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_formats_without_exact_seeking_are_not_split(tmp_path: Path, name: str) -> None:
    path = write_noise(tmp_path / name, 44_100, 60.0)
    assert list(plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, SMALL_CHUNKS)) == [Chunk(path)]


def test_small_files_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "nonsense.wav"
    path.write_bytes(b"RIFF")
    assert list(plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, ChunkPolicy())) == [Chunk(path)]
    assert list(plan_chunks(find_recordings([path]).recordings[0], SMALL_SPEC, SMALL_CHUNKS)) == [Chunk(path)]


def test_a_worker_with_the_same_weights_and_another_graph_is_refused(task: ScoringTask, tmp_path: Path) -> None:
    altered = onnx.load(task.model.file)
    altered.graph.node.append(onnx.helper.make_node("Identity", [altered.graph.output[0].name], ["unused"]))
    entries = {entry.key: entry.value for entry in altered.metadata_props if entry.key != CONTENT_KEY}
    onnx.helper.set_model_props(altered, entries)  # as a file that declares no hash
    (tmp_path / "altered.onnx").write_bytes(altered.SerializeToString())
    path = write_noise(tmp_path / "noise.wav", 8000, 1.0)
    with pytest.raises(ModelError, match=r"has the content .*; .* was expected"):
        score_chunk(replace(task, model=ModelConfig(file=str(tmp_path / "altered.onnx"), provider="cpu")), Chunk(path))
