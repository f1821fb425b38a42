"""The recording that comes with the program."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from soundwatch.daemon.capture.demo.sample import SAMPLE_PATH, recording_path
from support.cli_runner import lines_of, soundwatch

ROOT = Path(__file__).parents[4]


@pytest.mark.slow
def test_the_sample_is_replayed_and_classified_by_its_name(tmp_path: Path) -> None:
    done = soundwatch("replay", "sample", cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    ended = [line["class"] for line in lines_of(done.stdout) if line["type"] == "end"]
    assert ended == ["dog_bark", "car_horn"]
    done = soundwatch("classify", "sample", cwd=tmp_path, timeout=300)
    assert done.stdout.startswith(b"sample: dog_bark 0.")


def test_a_file_of_that_name_comes_before_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "sample"
    path.touch()
    assert recording_path(path) == path
    assert recording_path(Path("other.wav")) == Path("other.wav")
    assert recording_path(Path("sample")) == SAMPLE_PATH


def test_the_sample_is_small_and_its_license_is_named() -> None:
    assert SAMPLE_PATH.stat().st_size < 200_000
    assert soundfile.info(SAMPLE_PATH).duration == 24.0
    assert SAMPLE_PATH.name in (ROOT / "NOTICE").read_text("utf-8")
