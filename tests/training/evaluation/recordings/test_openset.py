"""Sounds of none of the classes, and what they raise."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from rich.console import Console

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.training.data.datasets.negatives import split_negatives
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.evaluation.detection.offline_detection import DetectedEvent, MemorySource, detect_in_blocks
from soundwatch.training.evaluation.pages.report_page import to_markdown
from soundwatch.training.evaluation.pages.trial_pages import openset_page
from soundwatch.training.evaluation.recordings.openset import (
    COMPOSITION,
    OpenSetReport,
    _active_s,
    evaluate_openset,
    wilson,
)
from soundwatch.training.sounds.ambience import ambiences
from support.band_model import write_band_model
from support.fakes import tone

SILENT = Console(file=io.StringIO())


@pytest.fixture(autouse=True)
def _nobody_talks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def bands(tmp_path: Path) -> Classifier:
    return load_classifier_file(write_band_model(tmp_path / "bands.onnx"))


@pytest.fixture
def negatives(tmp_path: Path) -> tuple[Clip, ...]:
    """Rain that is quiet, and a whistle that the band model takes for its own."""
    rng = np.random.default_rng(1)
    sounds: dict[str, np.ndarray] = {
        "Rain/quiet": 1e-4 * rng.standard_normal((1, 16_000)),
        "Rain/quieter": 1e-5 * rng.standard_normal((1, 16_000)),
        "Whistle/loud": tone(3000, 2.0),
    }
    for name, sound in sounds.items():
        path = tmp_path / "negatives" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound.T, 8000, subtype="FLOAT")
    return sum(split_negatives(tmp_path / "negatives"), ())


def test_an_hour_of_ambience_is_an_hour() -> None:
    assert sum(minutes * len(levels) for _, levels, minutes in COMPOSITION) == 60
    assert {kind for kind, _, _ in COMPOSITION} >= set(ambiences([], 1)[0])


def test_silence_raises_nothing(bands: Classifier) -> None:
    heard, length_s = detect_in_blocks(MemorySource(np.zeros((2, 44_100 * 5), np.float32), 44_100).to_its_end(), bands)
    assert heard == []
    assert length_s == pytest.approx(5)


def test_events_are_reported_in_seconds(bands: Classifier) -> None:
    sound = np.concatenate([np.zeros((1, 8000)), tone(3000, 2.0), np.zeros((1, 8000))], axis=1).astype(np.float32)
    (event,), _ = detect_in_blocks(MemorySource(sound, 8000).to_its_end(), bands)
    assert event.label == "high"
    assert event.onset_s == pytest.approx(1.0, abs=0.2)
    assert event.decision_s == pytest.approx(1.2, abs=0.1)  # the second of two windows, a hop of 0.1 s apart
    assert event.offset_s == pytest.approx(3.0, abs=0.3)


def test_only_the_whistle_raises_an_event(bands: Classifier, negatives: tuple[Clip, ...]) -> None:
    report = evaluate_openset(bands, negatives, (), False, 2, 1, SILENT)
    assert (report.negatives.recordings, report.negatives.raised, report.raised_share) == (3, 1, 0.3333)
    assert {kind: (item.recordings, item.raised) for kind, item in report.kinds.items()} == {
        "Rain": (2, 0),
        "Whistle": (1, 1),
    }
    assert [(alarm.recording, alarm.classes) for alarm in report.alarms] == [("Whistle/loud.wav", ("high",))]


def test_no_recording_is_no_figure(bands: Classifier) -> None:
    with pytest.raises(DataError, match="There is no recording to test"):
        evaluate_openset(bands, (), (), True, 2, 1, SILENT)


def test_ambience_is_counted_by_part_and_by_the_hour(bands: Classifier, negatives: tuple[Clip, ...]) -> None:
    report = evaluate_openset(bands, negatives[:1], negatives, False, 6, 1, SILENT)
    parts = {(part.kind, part.level_dbfs): part for part in report.ambience}
    assert parts["digital silence", None].events == {}
    assert parts["brown noise", -70.0].events == {}
    loud = parts["pink noise", -30.0]
    assert loud.minutes == pytest.approx(0.2, abs=1e-3)
    assert sum(loud.events.values()) > 0
    assert loud.active_share == pytest.approx(1, abs=0.1)
    hours = sum(part.minutes for part in report.ambience) / 60
    assert report.ambience_h == pytest.approx(hours, abs=1e-4)
    events = sum(sum(part.events.values()) for part in report.ambience)
    assert report.false_events_per_h == pytest.approx(events / hours, rel=1e-3)
    assert report.false_events_per_h_high > report.false_events_per_h


def test_the_report_can_be_read_back_and_its_page_has_a_title(bands: Classifier, negatives: tuple[Clip, ...]) -> None:
    report = evaluate_openset(bands, negatives, negatives, True, 2, 1, SILENT)
    assert msgspec.json.decode(msgspec.json.encode(report), type=OpenSetReport) == report
    page = to_markdown(openset_page(report))
    assert "3 recordings that training holds out: 1 raise an event, 33.3 %" in page
    assert "| Whistle | 1 | 1 |" in page
    assert "| digital silence |  | " in page


def test_wilsons_interval_is_that_of_the_hand() -> None:
    # 1 of 10: (0.1 + 0.19208) / 1.38416 -+ 1.96 sqrt(0.009 + 0.009604) / 1.38416
    assert wilson(1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    assert wilson(0, 20)[0] == 0
    assert wilson(20, 20)[1] == pytest.approx(1)


def test_time_in_two_events_at_once_counts_once() -> None:
    assert (
        _active_s(
            [
                DetectedEvent("a", 0, 1, 10),
                DetectedEvent("b", 5, 6, 8),
                DetectedEvent("b", 9, 10, 12),
                DetectedEvent("a", 20, 21, 21),
            ]
        )
        == 13
    )
