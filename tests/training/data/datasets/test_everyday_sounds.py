"""The everyday sounds are labeled as stated, and their split keeps kinds and recordings unseen."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from soundwatch.daemon.core.errors import DataError
from soundwatch.training.data.datasets.everyday_sounds import (
    COLUMNS,
    EverydayClip,
    count_drawable_kinds,
    draw_held_out_kinds,
    held_out_kinds,
    read_everyday_sounds,
)
from soundwatch.training.model.labels import LABELS
from support.everyday_folder import write_everyday_folder

REAL = Path(__file__).resolve().parents[5] / "shared" / "data" / "sounds"


@pytest.fixture
def clips(tmp_path: Path) -> dict[str, EverydayClip]:
    return {clip.file: clip for clip in read_everyday_sounds(write_everyday_folder(tmp_path))}


def test_a_clip_of_a_class_has_its_label_and_others_are_negatives(clips: dict[str, EverydayClip]) -> None:
    assert clips["siren/siren1.wav"].label == "siren"
    assert not clips["siren/siren1.wav"].is_negative
    assert clips["doorbell/d1.wav"].is_negative
    assert clips["doorbell/d1.wav"].near_label == "siren"


def test_backgrounds_are_no_foreground_negatives(clips: dict[str, EverydayClip]) -> None:
    assert clips["street/s1.wav"].is_background
    assert not clips["street/s1.wav"].is_negative


def test_classes_that_may_be_audible_are_uncertain(clips: dict[str, EverydayClip]) -> None:
    assert clips["cat/cat1.wav"].uncertain == {"dog_bark", "street_music"}
    assert clips["drums/drums1.wav"].uncertain == {"street_music"}
    assert clips["street_nyc/sensor2.wav"].uncertain == {"car_horn", "siren", "engine_idling", "air_conditioner"}


def test_only_a_street_whose_tags_name_no_target_is_a_clean_negative(clips: dict[str, EverydayClip]) -> None:
    assert clips["street_nyc/sensor1.wav"].is_clean_negative
    assert not clips["street_nyc/sensor2.wav"].is_clean_negative


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    root = write_everyday_folder(tmp_path)
    (root / "cat" / "cat1.wav").unlink()
    with pytest.raises(DataError, match=r"cat/cat1.wav is listed"):
        read_everyday_sounds(root)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("file,kind\na,b\n")
    with pytest.raises(DataError, match="and lacks recording, source, licence"):
        read_everyday_sounds(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_metadata_that_a_spreadsheet_saved_is_read(tmp_path: Path, encoding: str) -> None:
    root = write_everyday_folder(tmp_path)
    before, metadata = read_everyday_sounds(root), root / "metadata.csv"
    metadata.write_bytes(metadata.read_text().replace(",", ";").replace("\n", "\r\n").encode(encoding))
    assert read_everyday_sounds(root) == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"cat/cat1.wav,cat\n", r"line 2 has file 'cat/cat1\.wav', kind 'cat', recording ''"),
        (b"../cat1.wav,cat,1,,,,,,\n", r"line 2 has file '\.\./cat1\.wav'.* below the folder"),
        ("kät/cat1.wav,cat,1,,,,,,\n".encode("latin-1"), r"is not in UTF-8: byte \d+ is 0xe4\. Save it"),
        (b"cat/1.wav,cat,1,,,,,,\ncat/1.wav,cat,2,,,,,,\n", r"lists cat/1\.wav in two rows"),
        (b"", "lists no recordings"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    (tmp_path / "metadata.csv").write_bytes(",".join(COLUMNS).encode() + b"\n" + line)
    with pytest.raises(DataError, match=message):
        read_everyday_sounds(tmp_path)


def test_a_folder_without_metadata_is_refused_with_the_expected_layout(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"metadata.csv was expected"):
        read_everyday_sounds(tmp_path)


def test_at_least_25_kinds_are_held_out_and_none_is_a_class() -> None:
    assert len(held_out_kinds()) >= 25
    assert not held_out_kinds() & set(LABELS)


def test_the_draw_depends_on_the_names_alone() -> None:
    counts = {f"kind{number}": number for number in range(40)}
    assert draw_held_out_kinds(counts) == draw_held_out_kinds(dict(reversed(counts.items())))


@pytest.mark.skipif(not REAL.is_dir(), reason="the recordings are not here")
def test_the_real_split_keeps_kinds_and_recordings_apart() -> None:
    clips = read_everyday_sounds(REAL)
    roles = defaultdict(set)
    for clip in clips:
        roles[clip.recording].add(clip.role)
        assert (clip.role == "test_kinds") == (clip.kind in held_out_kinds())
    shared = {recording for recording, of in roles.items() if len(of) > 1}
    assert not [clip for clip in clips if clip.recording in shared and clip.role in ("train", "validation")]
    with (REAL / "metadata.csv").open(newline="") as file:
        assert set(draw_held_out_kinds(count_drawable_kinds(csv.DictReader(file)))) == held_out_kinds()
