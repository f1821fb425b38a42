"""`soundwatch rules` on a journal file."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from soundwatch.daemon.cli import soundwatch
from soundwatch.daemon.events.health_schema import MuteLine
from soundwatch.daemon.events.schema import UNNUMBERED, GapLine
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


def rules(*arguments: str, tmp_path: Path, configured: str = CONFIG) -> str:
    config = tmp_path / "config.yaml"
    config.write_text(configured)
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
    assert lines[0].endswith("  A"), "the id, which `rules explain` takes"
    assert lines[1] == "dogs: 1 would have been sent; held: none"


@pytest.mark.usefixtures("journal")
def test_an_explanation_has_the_time_of_the_place_whose_windows_it_compares(tmp_path: Path) -> None:
    quiet = CONFIG.replace("    then:", "    not_when: {during: [{from: '17:00', to: '18:00'}]}\n    then:")
    assert "not_when.during: no; seen 2026-11-22 17:15:02+09:00, wanted outside 17:00 to 18:00" in rules(
        "explain", "A", tmp_path=tmp_path, configured=quiet
    )


def test_a_trial_has_the_text_of_a_digest(tmp_path: Path) -> None:
    harness = SinkHarness(tmp_path / "j.db")
    harness.event("start", "A")
    time = "2026-11-23T08:15:02.418Z"
    harness.journal.append(
        GapLine(seq=UNNUMBERED, time=time, node="n", source="mic0", start=time, duration_s=1.0, reason="capture")
    )
    harness.close()
    digest = "place: {time_zone: UTC}\nrules: {days: {when: {digest: {}}, then: {send: ['json:a']}}}\n"
    lines = rules("test", "--since", "2026-11-01T00:00Z", tmp_path=tmp_path, configured=digest).splitlines()
    assert lines[0] == "2026-11-23 08:15:02+00:00  days  digest of the day: "
    assert "22 November 2026" in lines[1]
    assert lines[-1] == "days: 1 would have been sent; held: none"
    assert len(lines) > 3


def test_a_message_that_a_schedule_mutes_while_it_waits_for_its_clip_is_held(tmp_path: Path) -> None:
    harness = SinkHarness(tmp_path / "j.db")
    harness.event("start", "A", source="yard")
    later, time = "2026-11-22T08:16:00.000Z", "2026-11-22T08:45:02.418Z"
    harness.journal.append(
        MuteLine(seq=UNNUMBERED, time=later, node="n", state="muted", rules=("dogs",), detail="Muted.")
    )
    harness.journal.append(
        GapLine(seq=UNNUMBERED, time=time, node="n", source="yard", start=time, duration_s=1.0, reason="capture")
    )
    harness.close()
    configured = (
        f"{CONFIG}\nsources: {{yard: {{}}}}\nschedules: {{n: {{when: [{{}}], then: {{mute_rules: [dogs]}}}}}}\n"
    )
    lines = rules("test", "--since", "2026-11-01T00:00Z", tmp_path=tmp_path, configured=configured).splitlines()
    assert lines == ["dogs: 0 would have been sent; held: schedules 1"]
    explained = rules("explain", "A", tmp_path=tmp_path, configured=configured).splitlines()
    assert explained[0] == "dogs: held (line 1)"
    assert explained[-1] == "  schedules: no; seen muted by a schedule, wanted not muted"


@pytest.mark.usefixtures("journal")
def test_an_explanation_names_each_condition(tmp_path: Path) -> None:
    lines = rules("explain", "A", tmp_path=tmp_path).splitlines()
    assert lines[0] == "dogs: sent (line 1)"
    assert "  when.sources: yes; seen yard, wanted yard" in lines
