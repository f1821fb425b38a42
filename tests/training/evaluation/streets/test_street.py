"""A street's scene is as stated, and what a model finds in it is counted right."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from soundwatch.daemon.core.errors import ContractError, DataError
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.training.data.audio.read_audio import RATE_HZ, read_mono, rms
from soundwatch.training.data.datasets.labeled_clips import LabeledClips, labeled_clips
from soundwatch.training.data.datasets.urbansound8k import split_by_folds
from soundwatch.training.evaluation.pages.report_page import to_markdown
from soundwatch.training.evaluation.pages.trial_pages import street_page
from soundwatch.training.evaluation.streets.street import StreetReport, evaluate_street, foreground_clips
from soundwatch.training.evaluation.streets.street_scene import AMBIENCE_DBFS, GAP_S, plan_scene, render_scene
from soundwatch.training.sounds.ambience import ambiences, gain_to_dbfs
from support.band_model import write_band_model
from support.tone_classifier import TenTones

SILENT = Console(file=io.StringIO())


@pytest.fixture(autouse=True)
def _nobody_talks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def data(tiny_data: Path) -> LabeledClips:
    return labeled_clips(split_by_folds(tiny_data, (1, 2), ()))


def test_onsets_have_the_stated_distance_and_no_class_repeats(data: LabeledClips) -> None:
    placed = plan_scene(data, 1, 3600)
    assert len(placed) == 20
    assert {item.clip for item in placed} == set(data.clips)
    assert all(before.label != after.label for before, after in pairwise(placed))
    assert {item.label for item in placed[:10]} == {item.label for item in placed[10:]}
    lengths_s = [read_mono(item.clip.path).size / RATE_HZ for item in placed]
    ends_s = [0.0, *(value.onset_sample / RATE_HZ + length for value, length in zip(placed, lengths_s, strict=True))]
    for value, end_s in zip(placed, ends_s, strict=False):
        assert GAP_S[0] - 1e-3 <= value.onset_sample / RATE_HZ - end_s <= GAP_S[1] + 1e-3


def test_a_scene_ends_in_time(data: LabeledClips) -> None:
    placed = plan_scene(data, 1, 60)
    assert 4 <= len(placed) <= 9
    assert placed == plan_scene(data, 1, 3600)[: len(placed)]
    assert plan_scene(data, 2, 60) != placed


def test_clips_of_one_class_make_no_scene(data: LabeledClips) -> None:
    with pytest.raises(
        DataError, match=r"2 clips in the foreground and 60 minutes make no scene; clips of two classes"
    ):
        plan_scene(replace(data, clips=tuple(clip for clip in data.clips if clip.class_id == 3)), 1, 3600)


@pytest.mark.parametrize("snr_db", [20.0, 0.0])
def test_a_clip_has_the_stated_level_above_the_ambience(data: LabeledClips, snr_db: float) -> None:
    placed = plan_scene(data, 1, 3600)
    blocks = list(render_scene(placed, ambiences([], 1)[0]["pink noise"], snr_db))
    scene = np.concatenate([block.samples[0] for block in blocks])
    assert [block.first_sample for block in blocks] == [0, *np.cumsum([b.samples.shape[1] for b in blocks])[:-1]]
    ambience = ambiences([], 1)[0]["pink noise"].take(scene.size) * gain_to_dbfs(AMBIENCE_DBFS)
    assert 20 * np.log10(rms(ambience)) == pytest.approx(AMBIENCE_DBFS, abs=0.2)
    alone = scene - ambience
    for item in placed:
        length = read_mono(item.clip.path).size
        clip = alone[item.onset_sample : item.onset_sample + length]
        assert 20 * np.log10(rms(clip)) - AMBIENCE_DBFS == pytest.approx(snr_db, abs=0.01)
        assert not alone[item.onset_sample - RATE_HZ : item.onset_sample].any()


def test_loud_tones_are_all_found_and_nothing_else(data: LabeledClips) -> None:
    report = evaluate_street(TenTones(), data, (), (30.0, -30.0), 60, 1, SILENT)
    loud, drowned = report.levels
    assert (loud.found.reference, loud.found.estimated, loud.found.matched) == (20, 20, 20)
    assert (loud.found.recall, loud.found.precision, loud.found.f1, loud.macro_f1) == (1, 1, 1, 1)
    assert loud.false_events_per_h == 0
    assert loud.found_tight.recall == 1
    # A window of 0.4 s holds a tone at once; the second witness ends at most 0.1 s after 0.2 s.
    assert loud.latency_s is not None
    assert 0 < loud.latency_s.median <= loud.latency_s.p95 < 0.6
    assert loud.onset_late_s is not None
    assert abs(loud.onset_late_s.median) <= 0.1
    assert (drowned.found.recall, drowned.found.estimated, drowned.latency_s) == (0, 0, None)
    assert (report.collar_s, report.tight_collar_s) == (0.5, 0.1)
    assert (report.clips, report.recordings) == (20, 20)
    assert report.ambience == ("pink noise", "brown noise")
    assert loud.hours == pytest.approx(drowned.hours)


def test_false_events_near_and_far_from_clips_are_counted_separately(data: LabeledClips) -> None:
    # A clip of the fourth class that plays the tone of the fifth: one miss, and one false event beside it.
    clips = tuple(replace(clip, class_id=3) if clip.class_id == 4 else clip for clip in data.clips)
    level = evaluate_street(TenTones(), replace(data, clips=clips), (), (30.0,), 60, 1, SILENT).levels[0]
    missed = level.found.reference - level.found.matched
    assert missed >= 1
    assert level.found.estimated - level.found.matched == missed
    assert level.false_events_per_h == pytest.approx(missed / level.hours, abs=0.01)
    assert level.false_events_alone_per_h == 0


def test_the_report_can_be_read_back_and_its_page_has_a_title(data: LabeledClips) -> None:
    report = evaluate_street(TenTones(), data, (), (20.0,), 2, 1, SILENT)
    assert msgspec.json.decode(msgspec.json.encode(report), type=StreetReport) == report
    assert report == evaluate_street(TenTones(), data, (), (20.0,), 2, 1, SILENT)
    page = to_markdown(street_page(report))
    assert page.startswith("# tones@sha256:abababababab in a street of UrbanSound8K folds 1, 2\n")
    assert "at most 0.5 s (a window and a hop)" in page
    assert "Left out: babble: espeak-ng is not installed" in page
    assert "| 20 dB | 100.0 % |" in page


def test_only_clips_in_the_foreground_are_mixed(tiny_data: Path, data: LabeledClips) -> None:
    metadata = tiny_data / "metadata" / "UrbanSound8K.csv"
    assert foreground_clips(tiny_data, data) == data
    metadata.write_text(metadata.read_text().replace("104-4-0-0.wav,1,0.0,0.5,1", "104-4-0-0.wav,1,0.0,0.5,2"))
    assert len(foreground_clips(tiny_data, data).clips) == len(data.clips) - 1
    with metadata.open(newline="") as file:
        rows = [[cell for place, cell in enumerate(row) if place != 4] for row in csv.reader(file)]
    with metadata.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(DataError, match="and lacks salience"):
        foreground_clips(tiny_data, data)


def test_a_model_of_other_classes_is_refused(data: LabeledClips, tmp_path: Path) -> None:
    bands = load_classifier_file(write_band_model(tmp_path / "bands.onnx"))
    with pytest.raises(ContractError, match="has the labels low, high"):
        evaluate_street(bands, data, (), (20.0,), 2, 1, SILENT)
