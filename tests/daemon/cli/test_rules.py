"""`soundwatch rules` on a journal file."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from soundwatch.daemon.cli import soundwatch
from support.sink_harness import SinkHarness

CONFIG = """
place: {time_zone: Asia/Tokyo}
clips: {folder: clips}
rules:
  dogs:
    when: {classes: [dog_bark], sources: [yard]}
    then: {send: ["json:alerts"], clip: attach}
"""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    harness = SinkHarness(tmp_path / "j.db")
    harness.event("start", "A", source="yard")
    harness.close()
    return tmp_path / "j.db"


def rules(*arguments: str, tmp_path: Path) -> str:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    done = CliRunner().invoke(
        soundwatch, ["rules", *arguments, "--config", str(config), "--journal", str(tmp_path / "j.db")]
    )
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.usefixtures("journal")
def test_a_trial_has_times_of_the_place_and_claims_nothing_about_a_clip(tmp_path: Path) -> None:
    lines = rules("test", "--since", "2026-11-01T00:00Z", tmp_path=tmp_path).splitlines()
    assert lines[0].startswith("2026-11-22 17:15:02+09:00  dogs  dog bark: dog bark at yard")
    assert "clip" not in lines[0]
    assert lines[1] == "dogs: 1 would have been sent; held: none"


@pytest.mark.usefixtures("journal")
def test_an_explanation_names_each_condition(tmp_path: Path) -> None:
    lines = rules("explain", "A", tmp_path=tmp_path).splitlines()
    assert lines[0] == "dogs: sent (line 1)"
    assert "  when.sources: yes; seen yard, wanted yard" in lines
