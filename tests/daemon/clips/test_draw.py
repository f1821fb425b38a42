"""Pictures of clips that were stored without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from soundwatch.daemon.cli.clips import clips
from soundwatch.daemon.clips import draw
from soundwatch.daemon.clips.clip_names import list_pictures, picture_path
from soundwatch.daemon.clips.draw import clips_without_picture, draw_pictures
from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.core.files.clip_files import clip_picture_path


def stored(folder: Path, minute: int, samples: int = 800) -> Path:
    path = folder / f"20241111T00{minute:02}00000Z-mic-siren-0.9000-{minute:026}.flac"
    soundfile.write(path, np.full((samples, 1), 1000, np.int16), 8000)
    return path


def test_each_clip_without_a_picture_gets_one_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    old, new, damaged, empty = (stored(tmp_path, minute) for minute in range(4))
    damaged.write_bytes(b"fLaC and no sound")
    stored(tmp_path, 3, samples=0)
    picture_path(old).write_bytes(b"its own")
    (tmp_path / "notes.txt").touch()
    missing = clips_without_picture(tmp_path)
    assert missing == [empty, damaged, new]
    results = {result.clip: result.error for result in draw_pictures(missing)}
    assert results.pop(new) is None
    assert all(results.values())
    assert list_pictures(tmp_path) == {picture_path(old), picture_path(new)}
    assert picture_path(new).stat().st_mode & 0o777 == 0o600
    assert picture_path(old).read_bytes() == b"its own"
    assert clip_picture_path(tmp_path, new.name, None) == picture_path(new).resolve(), "its line names no picture"


def test_a_run_that_was_stopped_continues_where_it_was(tmp_path: Path) -> None:
    paths = [stored(tmp_path, minute) for minute in range(3)]
    results = draw_pictures(clips_without_picture(tmp_path))
    assert next(results).clip == paths[2]
    assert clips_without_picture(tmp_path) == [paths[1], paths[0]]


def test_a_clip_that_is_removed_meanwhile_is_skipped_and_a_full_disk_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [stored(tmp_path, minute) for minute in range(2)]
    missing = clips_without_picture(tmp_path)
    paths[1].unlink()
    [gone, drawn] = draw_pictures(missing)
    assert (gone.error is not None, drawn.error) == (True, None)
    picture_path(paths[0]).unlink()

    def replace_bytes(path: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(draw, "replace_bytes", replace_bytes)
    with pytest.raises(SinkError, match="No space left on device"):
        list(draw_pictures(clips_without_picture(tmp_path)))


def test_the_command_counts_what_it_drew(tmp_path: Path) -> None:
    stored(tmp_path, 0)
    stored(tmp_path, 1).write_bytes(b"")
    done = CliRunner().invoke(clips, ["pictures", "--clips", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "Pictures drawn: 1. Clips skipped: 1." in done.output
    assert "skipped 20241111T000100000Z" in done.output


def test_a_folder_that_is_not_there_has_no_clips(tmp_path: Path) -> None:
    assert clips_without_picture(tmp_path / "none") == []
