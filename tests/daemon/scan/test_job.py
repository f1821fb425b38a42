"""A scan is stopped, killed, damaged and fed what cannot be read, and nothing is lost or done twice."""

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

from soundwatch.daemon.capture import Recording
from soundwatch.daemon.capture.source_names import name_recordings
from soundwatch.daemon.core.clock import SampleClock
from soundwatch.daemon.core.config import Config, DetectionConfig, ModelConfig
from soundwatch.daemon.core.errors import ConfigError, ProviderError, SourceError
from soundwatch.daemon.detection.rules import build_rules, thresholds_in_force
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.scan import run
from soundwatch.daemon.scan.chunks import Chunk, ChunkPolicy
from soundwatch.daemon.scan.discover import find_recordings
from soundwatch.daemon.scan.job import WorkerPool
from soundwatch.daemon.scan.worker import ChunkScores, ScoringTask, score_chunk
from soundwatch.daemon.sinks.worker import DirectWriter
from support.band_model import TAGGED_CONTRACT, write_band_model
from support.fakes import SMALL_CONTRACT, silence, tone
from support.memory_logger import MemoryLogger

QUIET = MemoryLogger("error")
SMALL_PIECES = ChunkPolicy(from_bytes=100_000, piece_windows=48)


@dataclass
class HereAndNow:
    """Workers without a process; they note what they were given, and can be made to fail."""

    most: float = float("inf")
    spoilt: Callable[[Chunk, ChunkScores], ChunkScores] = lambda _, scores: scores
    given: list[Chunk] = field(default_factory=list)

    def score_all(
        self, task: ScoringTask, pieces: Iterator[Chunk], stopping: Callable[[], bool]
    ) -> Iterator[tuple[Chunk, ChunkScores]]:
        assert not stopping()
        for piece in pieces:
            if len(self.given) >= self.most:
                raise KeyboardInterrupt
            self.given.append(piece)
            yield piece, self.spoilt(piece, score_chunk(task, piece))

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
    """Two folders; the longest recording is long enough to be split."""
    scene = np.concatenate([silence(1.0), tone(300, 2.0), silence(2.0), tone(3000, 1.5), silence(1.0)], axis=1)
    root = tmp_path / "archive"
    for folder, name, times in (("a", "one.wav", 1), ("a", "long.wav", 4), ("b", "one.flac", 2)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        soundfile.write(root / folder / name, np.tile(scene, times).T, 8000)
    (root / "b" / "notes.txt").write_text("not a recording")
    (root / "b" / "._one.wav").write_text("what some systems leave")
    return root


def scan(config: Config, archive: Path, out: Path, workers: HereAndNow) -> bytes:
    run.run_scan(config, [archive], out, "jsonl", 0, lambda: workers, QUIET, SMALL_PIECES)
    return without_file(out.read_bytes())


def without_file(lines: bytes) -> bytes:
    """The lines without the key that only a scan writes."""
    return re.sub(rb',"file":"[^"]*"', b"", lines)


def replayed(config: Config, archive: Path) -> bytes:
    """What `replay` writes of the same recordings."""
    classifier = load_classifier(config.model, config.detection.tags)
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
def test_a_scan_writes_what_replay_writes_and_leaves_nothing_else(
    config: Config, archive: Path, tmp_path: Path
) -> None:
    workers = HereAndNow()
    lines = scan(config, archive, tmp_path / "events.jsonl", workers)
    assert [piece.path.name for piece in workers.given] == ["long.wav"] * 6 + ["one.wav", "one.flac"]
    assert lines == replayed(config, archive)
    assert lines.count(b'"type":"end"') == 2 * 7
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "bands.onnx", "events.jsonl"}


def test_a_scan_writes_tags_and_events_of_tags_as_replay_does(archive: Path, tmp_path: Path) -> None:
    model = ModelConfig(file=str(write_band_model(tmp_path / "tagged.onnx", TAGGED_CONTRACT)), provider="cpu")
    config = Config(node="test", model=model, detection=DetectionConfig(tags=("whistle",)))
    lines = scan(config, archive, tmp_path / "events.jsonl", HereAndNow())
    assert lines == replayed(config, archive)
    assert lines.count(b'"also":') == lines.count(b'"peak_score":')
    assert lines.count(b'"class":"whistle"') == lines.count(b'"experimental":true') > 0


@pytest.mark.slow
@pytest.mark.parametrize("most", range(8))
def test_a_scan_cut_off_anywhere_goes_on_without_repeating_or_losing_a_piece(
    config: Config, archive: Path, tmp_path: Path, most: int
) -> None:
    first, second = HereAndNow(most), HereAndNow()
    with pytest.raises(KeyboardInterrupt):
        scan(config, archive, tmp_path / "events.jsonl", first)
    assert not (tmp_path / "events.jsonl").exists()
    assert scan(config, archive, tmp_path / "events.jsonl", second) == replayed(config, archive)
    assert len(first.given) == most
    assert len({*first.given, *second.given}) == len(first.given) + len(second.given) == 8


@pytest.mark.slow
@pytest.mark.parametrize("cut_bytes", [1, 7, 60, 400])
def test_a_torn_record_is_scored_again(config: Config, archive: Path, tmp_path: Path, cut_bytes: int) -> None:
    out = tmp_path / "events.jsonl"
    with pytest.raises(KeyboardInterrupt):
        scan(config, archive, out, HereAndNow(5))
    kept = tmp_path / "events.jsonl.scan"
    os.truncate(kept, kept.stat().st_size - cut_bytes)
    again = HereAndNow()
    assert scan(config, archive, out, again) == replayed(config, archive)
    assert len(again.given) == 4


@pytest.mark.slow
def test_a_recording_that_has_changed_is_scored_again(config: Config, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        scan(config, archive, tmp_path / "events.jsonl", HereAndNow(7))
    soundfile.write(archive / "a" / "one.wav", tone(3000, 2.0).T, 8000)
    again = HereAndNow()
    assert scan(config, archive, tmp_path / "events.jsonl", again) == replayed(config, archive)
    assert [piece.path.name for piece in again.given] == ["one.wav", "one.flac"]


@pytest.mark.slow
def test_what_cannot_be_read_is_told_at_the_end_and_tried_again_by_the_same_command(
    config: Config, archive: Path, tmp_path: Path
) -> None:
    out, bad = tmp_path / "events.jsonl", archive / "a" / "bad.wav"
    bad.write_bytes(b"RIFF and nothing else")
    broken = (archive / "a" / "one.wav").read_bytes()
    (archive / "b" / "cut.wav").write_bytes(broken[: len(broken) // 3])
    with pytest.raises(SourceError, match=r"2 of 5 recordings or folders were not heard to their end"):
        scan(config, archive, out, HereAndNow())
    told = str(QUIET.written)
    assert "bad.wav is not a recording" in told
    assert "cut.wav is truncated" in told
    assert without_file(out.read_bytes()) == replayed(config, archive)
    assert b'"reason":"source_lost"' in out.read_bytes()
    soundfile.write(bad, tone(300, 2.0).T, 8000)
    (archive / "b" / "cut.wav").unlink()
    again = HereAndNow()
    assert scan(config, archive, out, again) == replayed(config, archive)
    assert [piece.path.name for piece in again.given] == ["bad.wav"]


@pytest.mark.slow
def test_pieces_that_do_not_agree_are_heard_again_in_one(config: Config, archive: Path, tmp_path: Path) -> None:
    def astray(piece: Chunk, scores: ChunkScores) -> ChunkScores:
        wrong = piece.first_window == 96
        return msgspec.structs.replace(scores, head=b"other", scores=scores.levels) if wrong else scores

    workers = HereAndNow(spoilt=astray)
    assert scan(config, archive, tmp_path / "events.jsonl", workers) == replayed(config, archive)
    assert workers.given[-1] == Chunk(archive / "a" / "long.wav")
    assert len(workers.given) == 9


@pytest.mark.slow
def test_a_piece_that_fails_costs_the_whole_recording_a_second_hearing(
    config: Config, archive: Path, tmp_path: Path
) -> None:
    def failing(piece: Chunk, scores: ChunkScores) -> ChunkScores:
        return scores if piece.whole or not piece.first_window else ChunkScores(provider="", end_sample=0, failure="no")

    workers = HereAndNow(spoilt=failing)
    assert scan(config, archive, tmp_path / "events.jsonl", workers) == replayed(config, archive)


@pytest.mark.slow
def test_thresholds_may_change_between_two_runs_since_only_scores_are_kept(
    config: Config, archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "events.jsonl"
    with pytest.raises(KeyboardInterrupt):
        scan(config, archive, out, HereAndNow(7))
    stricter = msgspec.structs.replace(
        config, detection=msgspec.structs.replace(config.detection, max_duration_s=0.5, cooldown_s=0.1)
    )
    assert scan(stricter, archive, out, HereAndNow()) == replayed(stricter, archive) != replayed(config, archive)


def test_another_models_scores_are_not_gone_on_with(config: Config, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        scan(config, archive, tmp_path / "events.jsonl", HereAndNow(2))
    other = msgspec.structs.replace(SMALL_CONTRACT, weights_sha256="cd" * 32)
    write_band_model(Path(config.model.file), other)
    with pytest.raises(ConfigError, match=r"holds scores by double@sha256:abab.*and double@sha256:cdcd.* is to go on"):
        scan(config, archive, tmp_path / "events.jsonl", HereAndNow())


def test_a_file_that_is_no_scans_is_not_overwritten(config: Config, archive: Path, tmp_path: Path) -> None:
    mine = tmp_path / "events.jsonl.scan"
    mine.write_text("a diary that happens to have this name\n")
    with pytest.raises(ConfigError, match="is in the way: no scan wrote it"):
        scan(config, archive, tmp_path / "events.jsonl", HereAndNow())
    assert mine.read_text().startswith("a diary")


@pytest.mark.slow
def test_two_scans_do_not_write_to_one_file(config: Config, archive: Path, tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="this system has no file locks of that kind")

    def meanwhile(_: Chunk, scores: ChunkScores) -> ChunkScores:
        with pytest.raises(ConfigError, match="Another scan is writing"):
            scan(config, archive, tmp_path / "events.jsonl", HereAndNow())
        return scores

    scan(config, archive, tmp_path / "events.jsonl", HereAndNow(spoilt=meanwhile))


def test_workers_that_run_the_model_on_different_kinds_of_machine_are_refused(
    config: Config, archive: Path, tmp_path: Path
) -> None:
    def mixed(piece: Chunk, scores: ChunkScores) -> ChunkScores:
        return msgspec.structs.replace(scores, provider="CUDAExecutionProvider") if piece.first_window else scores

    with pytest.raises(ProviderError, match="CUDAExecutionProvider runs the model on one worker and CPUExecution"):
        scan(config, archive, tmp_path / "events.jsonl", HereAndNow(spoilt=mixed))


def test_a_folder_without_recordings_is_refused(config: Config, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    with pytest.raises(SourceError, match="There is 1 files, none of which has a recording's name"):
        scan(config, tmp_path / "empty", tmp_path / "events.jsonl", HereAndNow())


def test_a_recording_that_two_paths_reach_is_heard_once(archive: Path) -> None:
    found = find_recordings([archive / "b", archive, archive / "a" / "one.wav"]).recordings
    assert [each.path.name for each in found] == ["one.flac", "long.wav", "one.wav"]
