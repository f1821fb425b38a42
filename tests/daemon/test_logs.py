"""The diary: what is written, and what is left out."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from soundwatch.daemon.config import LogConfig
from soundwatch.daemon.logs import open_log


def test_elsewhere_than_on_a_terminal_an_entry_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    open_log(LogConfig()).warning("a sentence", source="mic0", lost_lines=3, cause=OSError("no room"))
    captured = capsys.readouterr()
    entry = json.loads(captured.err)
    assert captured.out == ""
    assert datetime.fromisoformat(entry.pop("timestamp")).utcoffset() is not None
    assert entry == {
        "source": "mic0", "lost_lines": 3, "cause": "no room", "event": "a sentence", "level": "warning",
    }  # fmt: skip


def test_pretty_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    open_log(LogConfig(format="pretty")).error("a source was lost", source="mic0", error="It broke.")
    assert capsys.readouterr().err.endswith("[error   ] a source was lost error='It broke.' source='mic0'\n")


@pytest.mark.parametrize(("level", "written"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_what_is_below_the_level_is_left_out(capsys: pytest.CaptureFixture[str], level: str, written: int) -> None:
    log = open_log(LogConfig(level=level))  # type: ignore[arg-type]
    for write in (log.debug, log.info, log.warning, log.error):
        write("a sentence")
    assert capsys.readouterr().err.count("\n") == written
