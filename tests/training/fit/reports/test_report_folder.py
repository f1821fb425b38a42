"""The files of a report are put in place together, or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from soundwatch.daemon.core.errors import SinkError
from soundwatch.training.fit.reports.report_folder import report_folder


def _write_half(out: Path) -> None:
    with report_folder(out) as folder:
        (folder / "evaluation.json").write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_no_part_of_a_report_and_the_former_one_whole(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text("former")
    with pytest.raises(SinkError, match=r"cannot be written to .*No space left on device"):
        _write_half(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]
    assert (tmp_path / "evaluation.json").read_text() == "former"


def test_all_files_of_a_report_are_put_in_place_and_a_link_stays(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.md").symlink_to(tmp_path / "store" / "report.md")
    with report_folder(out) as folder:
        for name in ("report.json", "report.md"):
            (folder / name).write_text(name)
    assert {path.name for path in out.iterdir()} == {"report.json", "report.md"}
    assert (tmp_path / "store" / "report.md").read_text() == "report.md"
