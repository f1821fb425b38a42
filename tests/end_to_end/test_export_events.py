"""Export of the journal's events to files of other programs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support.band_model import write_band_model
from support.cli_runner import soundwatch
from support.fakes import silence, tone

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a state folder whose journal has the events of one recording with two sounds."""
    folder = tmp_path_factory.mktemp("recorded")
    sound = [silence(0.5, RATE_HZ), tone(300, 0.8, RATE_HZ), silence(1, RATE_HZ), tone(3000, 0.8, RATE_HZ)]
    soundfile.write(folder / "two.wav", np.concatenate([*sound, silence(1, RATE_HZ)], axis=1).T, RATE_HZ)
    config = folder / "config.yaml"
    model = write_band_model(folder / "bands.onnx")
    config.write_text(
        f"sources: {{two: {{device: {folder}/two.wav}}}}\nmodel: {{file: {model}}}\n"
        "detection: {min_duration_s: 0.1, cooldown_s: 0.1}\n"
    )
    state = folder / "state"
    assert soundwatch("run", "--config", config, env={"STATE_DIRECTORY": str(state)}).returncode == 0
    return state


@pytest.fixture
def journal(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program read that journal."""
    monkeypatch.setenv("STATE_DIRECTORY", str(recorded))


@pytest.mark.usefixtures("journal")
def test_events_become_rows_with_their_times(tmp_path: Path) -> None:
    assert soundwatch("export-events", tmp_path / "events.csv").returncode == 0
    rows = list(csv.DictReader((tmp_path / "events.csv").read_text().splitlines()))
    assert [row["class"] for row in rows] == ["low", "high"]
    assert float(rows[0]["onset_s"]) == pytest.approx(0.5, abs=0.2)
    assert float(rows[1]["onset_s"]) == pytest.approx(2.3, abs=0.2)


@pytest.mark.usefixtures("journal")
def test_selected_lines_are_exported_byte_for_byte(tmp_path: Path) -> None:
    assert soundwatch("export-events", tmp_path / "all.jsonl").returncode == 0
    assert (tmp_path / "all.jsonl").read_bytes() == soundwatch("tail", "--since", "24h").stdout
    assert soundwatch("export-events", tmp_path / "low.jsonl", "--class", "low").returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "low.jsonl").read_text().splitlines()]
    assert {line["class"] for line in lines} == {"low"}


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize("format_", ["parquet", "audacity", "raven"])
def test_every_format_can_be_written(tmp_path: Path, format_: str) -> None:
    done = soundwatch("export-events", tmp_path / "out", "--format", format_)
    if b"pyarrow" in done.stderr:
        pytest.skip("pyarrow is not installed")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").exists()


@pytest.mark.usefixtures("journal")
def test_an_existing_file_is_replaced_only_on_request(tmp_path: Path) -> None:
    out = tmp_path / "events.csv"
    out.write_text("mine")
    refused = soundwatch("export-events", out)
    assert refused.returncode == 2
    assert b"--overwrite" in refused.stderr
    assert out.read_text() == "mine"
    done = soundwatch("export-events", out, "--overwrite", "--type", "start")
    assert done.returncode == 0
    assert done.stderr.startswith(b"2 lines of ")
    assert str(out).encode() in done.stderr


def test_without_a_journal_nothing_is_written(tmp_path: Path) -> None:
    done = soundwatch("export-events", tmp_path / "events.csv")
    assert done.returncode == 9
    assert not (tmp_path / "events.csv").exists()
