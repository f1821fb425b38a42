"""The log's summary at the end of a run."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from soundwatch.daemon.app.reload import RunConfig
from soundwatch.daemon.app.summary import run_summary, uncalibrated_sources
from soundwatch.daemon.config.config import Config, DetectionConfig, JournalConfig
from soundwatch.daemon.config.source import SourceConfig, SourceDetectionConfig
from soundwatch.daemon.journal.file.sqlite import MEMORY
from soundwatch.daemon.status.snapshot import SourceStatus, StatusSnapshot
from support.journal_factory import hello

MEMORY_ONLY = Config(journal=JournalConfig(path="memory"))


def test_it_counts_the_events_of_all_sources_and_names_the_command_that_prints_them(tmp_path: Path) -> None:
    path = tmp_path / "my journal.db"
    line = hello("siren", "dog_bark")
    later = msgspec.structs.replace(line, stream_start="2027-01-01T00:00:00.000Z")
    snapshot = StatusSnapshot(
        {
            "yard": SourceStatus(hello=line, events={"siren": 1, "dog_bark": 1}),
            "street": SourceStatus(hello=later, events={"siren": 2}),
            "never": SourceStatus(),
        }
    )
    run_config = RunConfig(Config(journal=JournalConfig(path=str(path))), {})
    assert run_summary(snapshot, run_config, path) == {
        "events": "siren 3, dog_bark 1",
        "journal": str(path),
        "read": f"soundwatch tail --journal '{path}' --since {line.stream_start}",
    }
    assert run_summary(snapshot, run_config, path, failing=True)["journal"].endswith("it cannot be written")
    assert run_summary(snapshot, run_config, MEMORY) == {
        "events": "siren 3, dog_bark 1",
        "journal": "memory: not stored",
    }, "the file could not be opened"


def test_a_journal_in_memory_cannot_be_read_by_commands() -> None:
    summary = run_summary(
        StatusSnapshot({"mic0": SourceStatus()}), RunConfig(MEMORY_ONLY, {"mic0": SourceConfig()}), MEMORY
    )
    assert summary == {"events": "none", "journal": "memory: not stored"}


@pytest.mark.parametrize(
    ("common", "device", "own", "advised"),
    [
        (None, "default", None, True),
        (None, "USB PnP", None, True),
        ("calibration.json", "default", None, False),
        (None, "default", "street.json", False),
        (None, "default", False, False),
        (None, "demo", None, False),
        (None, "rtsp://camera/stream", None, False),
    ],
)
def test_a_microphone_without_a_calibration_gives_the_command_that_calibrates(
    common: str | None, device: str, own: str | bool | None, advised: bool
) -> None:
    config = msgspec.structs.replace(MEMORY_ONLY, detection=DetectionConfig(calibration=common))
    source = SourceConfig(device=device, detection=SourceDetectionConfig(calibration=own))
    snapshot = StatusSnapshot({"mic0": SourceStatus(hello=hello("siren"))})
    summary = run_summary(snapshot, RunConfig(config, {"mic0": source}), MEMORY)
    assert ("calibrate" in summary) == advised
    assert tuple(uncalibrated_sources(snapshot, RunConfig(config, {"mic0": source}))) == (("mic0",) if advised else ())
    assert uncalibrated_sources(StatusSnapshot({"mic0": SourceStatus()}), RunConfig(config, {"mic0": source})) == {}


@pytest.mark.parametrize(
    ("device", "configured", "file", "options"),
    [
        ("default", False, None, ""),
        ("default", True, None, ""),
        ("USB PnP", False, None, " --device 'USB PnP'"),
        ("USB PnP", True, "my.yaml", " --source bed --config my.yaml"),
        ("USB PnP", False, "my.yaml", " --device 'USB PnP' --config my.yaml"),
    ],
)
def test_the_command_that_calibrates_records_the_microphone_of_the_run(
    device: str, configured: bool, file: str | None, options: str
) -> None:
    path = None if file is None else Path(file)
    run_config = RunConfig(MEMORY_ONLY, {"bed": SourceConfig(device=device)}, ("bed",) if configured else (), path)
    snapshot = StatusSnapshot({"bed": SourceStatus(hello=hello("siren"))})
    command = f"soundwatch calibrate --background 3600{options}"
    assert run_summary(snapshot, run_config, MEMORY)["calibrate"] == command
