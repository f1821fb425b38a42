"""The download through soundata, with a fake of its three calls instead of the archive."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from soundwatch.daemon.core.errors import DataError
from soundwatch.training.cli.data import data as data_command


class _Dataset:
    """What `soundata.initialize` gives, as far as the download uses it."""

    def __init__(self, home: Path, clips: Path, fault: Exception | None, missing: dict[str, list[str]]) -> None:
        self.home, self.clips, self.fault, self.missing = home, clips, fault, missing

    def download(self) -> None:
        if self.fault:
            raise self.fault
        for part in ("audio", "metadata"):
            (self.home / part).symlink_to(self.clips / part)

    def validate(self) -> tuple[dict[str, dict[str, list[str]]], dict[str, dict[str, list[str]]]]:
        return {"clips": self.missing}, {"clips": {}}


def _download(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clips: Path,
    fault: Exception | None = None,
    missing: dict[str, list[str]] | None = None,
) -> Result:
    def initialize(name: str, data_home: str) -> _Dataset:
        assert name == "urbansound8k"
        return _Dataset(Path(data_home), clips, fault, missing or {})

    monkeypatch.setitem(sys.modules, "soundata", SimpleNamespace(initialize=initialize))
    return CliRunner().invoke(data_command, ["download", str(tmp_path / "new" / "US8K")])


def test_a_download_stores_the_data_set_and_prints_the_next_command(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _download(tmp_path, monkeypatch, tiny_data)
    assert done.exception is None, done.exception
    assert done.stdout.startswith("29 clips in ")
    assert "Next: soundwatch data check" in done.stdout


@pytest.mark.parametrize("fault", [OSError("Network is unreachable"), ValueError("checksum differs"), EOFError("cut")])
def test_a_failed_download_is_reported(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    done = _download(tmp_path, monkeypatch, tiny_data, fault=fault)
    assert isinstance(done.exception, DataError)
    assert f"failed: {type(fault).__name__}: {fault}" in str(done.exception)
    assert "weebly.com" in str(done.exception)


def test_files_that_are_missing_after_a_download_are_counted(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _download(tmp_path, monkeypatch, tiny_data, missing={"1": ["a.wav"], "2": ["b.wav"]})
    assert "2 files in" in str(done.exception)
    assert "missing or damaged" in str(done.exception)


def test_without_soundata_the_one_command_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundata", None)
    done = CliRunner().invoke(data_command, ["download", str(tmp_path / "new")])
    assert isinstance(done.exception, DataError)
    assert "pip install '.[data]'" in str(done.exception)
    assert not (tmp_path / "new").exists()
