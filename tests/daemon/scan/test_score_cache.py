"""The file that holds the scores of a scan until it is complete."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.scan.chunks import Chunk
from soundwatch.daemon.scan.discover import RecordingFile
from soundwatch.daemon.scan.process_pool import worker_crash_reason
from soundwatch.daemon.scan.score_cache import ScoreCache


def test_a_full_disk_is_named_with_the_file_and_closing_the_file_hides_no_error(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, limit[1]))
    try:
        with pytest.raises(SinkError, match=r"Scores cannot be written to .*out.scan: File too large"):
            ScoreCache(tmp_path / "out.scan", "double")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def test_zeros_that_a_loss_of_power_left_are_no_record(tmp_path: Path) -> None:
    path = tmp_path / "out.scan"
    ScoreCache(path, "double").close()
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(4096))
    ScoreCache(path, "double").close()
    assert path.read_bytes() == whole
    path.write_bytes(bytes(4096))
    with pytest.raises(ConfigError, match="is no file of a scan"):
        ScoreCache(path, "double")


def test_a_pipe_a_device_or_a_folder_is_no_place_for_scores(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.scan")
    (tmp_path / "device.scan").symlink_to(os.devnull)
    (tmp_path / "folder.scan").mkdir()
    for name in ("pipe", "device", "folder"):
        with pytest.raises(SinkError, match=rf"{name}.scan is no regular file"):
            ScoreCache(tmp_path / f"{name}.scan", "double")


def test_a_file_without_scores_belongs_to_no_model(tmp_path: Path) -> None:
    path = tmp_path / "out.scan"
    for model in ("broken", "mended"):
        ScoreCache(path, model).close()
    cache = ScoreCache(path, "mended")
    cache.add(RecordingFile(tmp_path / "a.wav", 1, 1), Chunk(tmp_path / "a.wav"), worker_crash_reason(Chunk(path), 3))
    cache.close()
    with pytest.raises(ConfigError, match="holds scores of mended"):
        ScoreCache(path, "another")
