"""Scans that are stopped, killed, damaged, or meet unreadable files lose no result and repeat no work."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from soundwatch.daemon.app.scan import run_scan
from soundwatch.daemon.capture import Recording
from soundwatch.daemon.capture.source_names import name_recordings
from soundwatch.daemon.config.config import Config, DetectionConfig, ModelConfig
from soundwatch.daemon.core.errors import ConfigError, ProviderError, SourceError
from soundwatch.daemon.core.time.clock import SampleClock
from soundwatch.daemon.detection.rules import build_rules, thresholds_in_force
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.scan.chunks import Chunk, ChunkPolicy
from soundwatch.daemon.scan.discover import find_recordings
from soundwatch.daemon.scan.job import WorkerPool
from soundwatch.daemon.scan.worker import ChunkScores, ScoringTask, score_chunk
from soundwatch.daemon.sinks.direct import DirectWriter
from support.band_model import TAGGED_CONTRACT, write_band_model
from support.fakes import SMALL_CONTRACT, silence, tone
from support.memory_logger import MemoryLogger

QUIET = MemoryLogger("error")
SMALL_CHUNKS = ChunkPolicy(from_bytes=100_000, chunk_windows=48)


@dataclass
class InlineWorkers:
    """Workers in this process; they record their chunks, and can be made to fail."""

    limit: float = float("inf")
    alter: Callable[[Chunk, ChunkScores], ChunkScores] = lambda _, scores: scores
    scored_chunks: list[Chunk] = field(default_factory=list)

    def score_all(
        self, task: ScoringTask, chunks: Iterator[Chunk], stopping: Callable[[], bool]
    ) -> Iterator[tuple[Chunk, ChunkScores]]:
        assert not stopping()
        for chunk in chunks:
            if len(self.scored_chunks) >= self.limit:
                raise KeyboardInterrupt
            self.scored_chunks.append(chunk)
            yield chunk, self.alter(chunk, score_chunk(task, chunk))

    def close(self) -> None:
        pass

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def config(tmp_path: Path) -> Config:
    model = write_band_model(tmp_path / "bands.onnx")
    return Config(node="test", model=ModelConfig(file=str(model), provider="cpu"))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Write two folders of recordings; the longest recording is split."""
    scene = np.concatenate([silence(1.0), tone(300, 2.0), silence(2.0), tone(3000, 1.5), silence(1.0)], axis=1)
    root = tmp_path / "archive"
    for folder, name, times in (("a", "one.wav", 1), ("a", "long.wav", 4), ("b", "one.flac", 2)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        soundfile.write(root / folder / name, np.tile(scene, times).T, 8000)
    (root / "b" / "notes.txt").write_text("not a recording")
    (root / "b" / "._one.wav").write_text("a file of the macOS Finder")
    return root


def scan(config: Config, archive: Path, out: Path, workers: InlineWorkers) -> bytes:
    run_scan(config, [archive], out, "jsonl", 0, lambda: workers, QUIET, SMALL_CHUNKS)
    return without_file(out.read_bytes())


def without_file(lines: bytes) -> bytes:
    """Remove the key that only a scan writes."""
    return re.sub(rb',"file":"[^"]*"', b"", lines)


def replayed(config: Config, archive: Path) -> bytes:
    """Return the lines of `replay` for the recordings."""
    classifier = load_classifier(config)
    rules = build_rules(config.detection, classifier.contract)
    lines = io.BytesIO()
    sink = type("Sink", (), {"name": "memory", "write": lambda _, line: lines.write(line), "close": lambda _: None})()
    in_force = thresholds_in_force(rules, classifier.contract.labels)
    context = EngineContext("test", classifier, rules, in_force, SampleClock(), DirectWriter([sink], MemoryLogger()))
    paths = [found.path for found in find_recordings([archive]).recordings]
    names = name_recordings(paths)
    for path in paths:
        with contextlib.suppress(SourceError):
            SourceSession(Recording(names[path], path, "fast", 0)).replay(context)
    return lines.getvalue()


@pytest.mark.slow
def test_a_scan_writes_the_lines_of_replay_and_leaves_no_other_file(
    config: Config, archive: Path, tmp_path: Path
) -> None:
    workers = InlineWorkers()
    lines = scan(config, archive, tmp_path / "events.jsonl", workers)
    assert [chunk.path.name for chunk in workers.scored_chunks] == ["long.wav"] * 6 + ["one.wav", "one.flac"]
    assert lines == replayed(config, archive)
    assert lines.count(b'"type":"end"') == 2 * 7
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "bands.onnx", "events.jsonl"}


def test_a_scan_does_not_replace_a_recording_by_its_output(config: Config, archive: Path) -> None:
    out = archive / "a" / "one.wav"
    before = out.read_bytes()
    with pytest.raises(ConfigError, match=r"one.wav is one of the recordings, which the output would replace"):
        scan(config, archive, archive / "b" / ".." / "a" / "one.wav", InlineWorkers())
    assert out.read_bytes() == before


def test_a_scan_writes_tags_and_events_of_tags_as_replay_does(archive: Path, tmp_path: Path) -> None:
    model = ModelConfig(file=str(write_band_model(tmp_path / "tagged.onnx", TAGGED_CONTRACT)), provider="cpu")
    config = Config(node="test", model=model, detection=DetectionConfig(tags=("whistle",)))
    lines = scan(config, archive, tmp_path / "events.jsonl", InlineWorkers())
    assert lines == replayed(config, archive)
    assert lines.count(b'"also":') == lines.count(b'"peak_score":')
    assert lines.count(b'"class":"whistle"') == lines.count(b'"experimental":true') > 0


@pytest.mark.slow
@pytest.mark.parametrize("limit", range(8))
def test_an_interrupted_scan_resumes_without_repeating_or_losing_a_chunk(
    config: Config, archive: Path, tmp_path: Path, limit: int
) -> None:
    first, second = InlineWorkers(limit), InlineWorkers()
    with pytest.raises(KeyboardInterrupt):
        scan(config, archive, tmp_path / "events.jsonl", first)
    assert not (tmp_path / "events.jsonl").exists()
    assert scan(config, archive, tmp_path / "events.jsonl", second) == replayed(config, archive)
    assert len(first.scored_chunks) == limit
    assert (
        len({*first.scored_chunks, *second.scored_chunks}) == len(first.scored_chunks) + len(second.scored_chunks) == 8
    )


@pytest.mark.slow
@pytest.mark.parametrize("cut_bytes", [1, 7, 60, 400])
def test_a_damaged_record_is_scored_again(config: Config, archive: Path, tmp_path: Path, cut_bytes: int) -> None:
    out = tmp_path / "events.jsonl"
    with pytest.raises(KeyboardInterrupt):
        scan(config, archive, out, InlineWorkers(5))
    cache = tmp_path / "events.jsonl.scan"
    os.truncate(cache, cache.stat().st_size - cut_bytes)
    resumed = InlineWorkers()
    assert scan(config, archive, out, resumed) == replayed(config, archive)
    assert len(resumed.scored_chunks) == 4


@pytest.mark.slow
def test_a_changed_recording_is_scored_again(config: Config, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        scan(config, archive, tmp_path / "events.jsonl", InlineWorkers(7))
    soundfile.write(archive / "a" / "one.wav", tone(3000, 2.0).T, 8000)
    resumed = InlineWorkers()
    assert scan(config, archive, tmp_path / "events.jsonl", resumed) == replayed(config, archive)
    assert [chunk.path.name for chunk in resumed.scored_chunks] == ["one.wav", "one.flac"]


@pytest.mark.slow
def test_findings_about_a_recording_are_logged(config: Config, archive: Path, tmp_path: Path) -> None:
    path = archive / "a" / "one.wav"
    content = bytearray(path.read_bytes())
    content[40:44] = bytes(4)
    path.write_bytes(content)
    log = MemoryLogger()
    run_scan(config, [archive / "a"], tmp_path / "events.jsonl", "jsonl", 0, InlineWorkers, log, SMALL_CHUNKS)
    (fields,) = log.fields("longer_than_declared")
    assert fields["file"] == str(path)
    assert "0.000 s are declared, 7.500 s are there" in fields["advice"]


@pytest.mark.slow
def test_unreadable_recordings_are_reported_at_the_end_and_tried_again(
    config: Config, archive: Path, tmp_path: Path
) -> None:
    out, bad = tmp_path / "events.jsonl", archive / "a" / "bad.wav"
    bad.write_bytes(b"RIFF and nothing else")
    broken = (archive / "a" / "one.wav").read_bytes()
    (archive / "b" / "cut.wav").write_bytes(broken[: len(broken) // 3])
    with pytest.raises(SourceError, match=r"2 of 5 recordings or folders could not be read to their end"):
        scan(config, archive, out, InlineWorkers())
    log_text = str(QUIET.written)
    assert "bad.wav is not a recording" in log_text
    assert "cut.wav is truncated" in log_text
    assert without_file(out.read_bytes()) == replayed(config, archive)
    assert b'"reason":"source_lost"' in out.read_bytes()
    soundfile.write(bad, tone(300, 2.0).T, 8000)
    (archive / "b" / "cut.wav").unlink()
    resumed = InlineWorkers()
    assert scan(config, archive, out, resumed) == replayed(config, archive)
    assert [chunk.path.name for chunk in resumed.scored_chunks] == ["bad.wav"]


@pytest.mark.slow
def test_chunks_with_different_digests_are_scored_again_as_one(config: Config, archive: Path, tmp_path: Path) -> None:
    def misaligned(chunk: Chunk, scores: ChunkScores) -> ChunkScores:
        wrong = chunk.first_window == 96
        return msgspec.structs.replace(scores, head=b"other", scores=scores.levels) if wrong else scores

    workers = InlineWorkers(alter=misaligned)
    assert scan(config, archive, tmp_path / "events.jsonl", workers) == replayed(config, archive)
    assert workers.scored_chunks[-1] == Chunk(archive / "a" / "long.wav")
    assert len(workers.scored_chunks) == 9


@pytest.mark.slow
def test_after_a_failed_chunk_the_whole_recording_is_scored_again(
    config: Config, archive: Path, tmp_path: Path
) -> None:
    def failing(chunk: Chunk, scores: ChunkScores) -> ChunkScores:
        return scores if chunk.whole or not chunk.first_window else ChunkScores(provider="", end_sample=0, failure="no")

    workers = InlineWorkers(alter=failing)
    assert scan(config, archive, tmp_path / "events.jsonl", workers) == replayed(config, archive)


@pytest.mark.slow
def test_thresholds_may_change_between_two_runs(config: Config, archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    with pytest.raises(KeyboardInterrupt):
        scan(config, archive, out, InlineWorkers(7))
    stricter = msgspec.structs.replace(
        config, detection=msgspec.structs.replace(config.detection, max_duration_s=0.5, cooldown_s=0.1)
    )
    assert scan(stricter, archive, out, InlineWorkers()) == replayed(stricter, archive) != replayed(config, archive)


def test_scores_of_another_model_are_refused(config: Config, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        scan(config, archive, tmp_path / "events.jsonl", InlineWorkers(2))
    other = msgspec.structs.replace(SMALL_CONTRACT, weights_sha256="cd" * 32)
    write_band_model(Path(config.model.file), other)
    with pytest.raises(ConfigError, match=r"holds scores of double@sha256:abab.*; this scan uses double@sha256:cdcd"):
        scan(config, archive, tmp_path / "events.jsonl", InlineWorkers())


def test_a_file_that_is_no_cache_is_not_overwritten(config: Config, archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "events.jsonl.scan"
    other.write_text("an unrelated text file with this name\n")
    with pytest.raises(ConfigError, match="exists and is no file of a scan"):
        scan(config, archive, tmp_path / "events.jsonl", InlineWorkers())
    assert other.read_text().startswith("an unrelated")


@pytest.mark.slow
def test_two_scans_do_not_write_to_one_file(config: Config, archive: Path, tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="this system has no file locks of that kind")

    def scan_concurrently(_: Chunk, scores: ChunkScores) -> ChunkScores:
        with pytest.raises(ConfigError, match="Another scan is writing"):
            scan(config, archive, tmp_path / "events.jsonl", InlineWorkers())
        return scores

    scan(config, archive, tmp_path / "events.jsonl", InlineWorkers(alter=scan_concurrently))


def test_scores_of_two_providers_are_refused(config: Config, archive: Path, tmp_path: Path) -> None:
    def mixed(chunk: Chunk, scores: ChunkScores) -> ChunkScores:
        return msgspec.structs.replace(scores, provider="CUDAExecutionProvider") if chunk.first_window else scores

    with pytest.raises(ProviderError, match="CUDAExecutionProvider runs the model on one worker and CPUExecution"):
        scan(config, archive, tmp_path / "events.jsonl", InlineWorkers(alter=mixed))


def test_a_folder_without_recordings_is_refused(config: Config, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    with pytest.raises(SourceError, match="1 file without a recording's suffix under"):
        scan(config, tmp_path / "empty", tmp_path / "events.jsonl", InlineWorkers())


def test_a_recording_under_two_paths_is_found_once(archive: Path) -> None:
    found = find_recordings([archive / "b", archive, archive / "a" / "one.wav"]).recordings
    assert [recording.path.name for recording in found] == ["one.flac", "long.wav", "one.wav"]
