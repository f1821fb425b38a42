"""Splits keep recordings apart, and a wrong data set is named as such."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from soundwatch.daemon.core.errors import ConfigError, DataError
from soundwatch.training.data.datasets.urbansound8k import Clip, read_metadata, split_by_folds, split_leakily


def test_a_clip_has_its_fold_class_and_recording(tiny_data: Path) -> None:
    clip = read_metadata(tiny_data)[1]
    assert clip == Clip(tiny_data / "audio" / "fold1" / "101-1-0-0.wav", 1, 1, "101")


def test_all_folds_that_are_there_are_trained_on_by_default(tiny_data: Path) -> None:
    split = split_by_folds(tiny_data, None, ())
    assert (split.train_folds, len(split.train), split.test) == ((1, 2, 3), 29, ())


def test_kaggles_copy_with_folds_beside_the_metadata_is_read_too(tiny_data: Path, tmp_path: Path) -> None:
    kaggle = tmp_path / "kaggle"
    shutil.copytree(tiny_data / "audio", kaggle)
    shutil.copy(tiny_data / "metadata" / "UrbanSound8K.csv", kaggle)
    split, original = split_by_folds(kaggle, None, (2,)), split_by_folds(tiny_data, None, (2,))
    assert [clip.name for clip in split.train] == [clip.name for clip in original.train]
    assert split.train[0].path == kaggle / "fold1" / original.train[0].name


def test_a_clip_in_two_rows_is_refused_since_it_may_have_two_classes(tiny_data: Path) -> None:
    metadata = tiny_data / "metadata" / "UrbanSound8K.csv"
    metadata.write_text(metadata.read_text() + metadata.read_text().splitlines()[1] + "\n")
    with pytest.raises(DataError, match="is listed in two rows; each recording once was expected"):
        split_by_folds(tiny_data, None, (1,))


def test_a_folder_beside_the_data_set_is_answered_with_the_right_one(tiny_data: Path) -> None:
    for given in (tiny_data.parent, tiny_data / "audio", tiny_data / "audio" / "fold1"):
        with pytest.raises(DataError, match=f"Give {tiny_data}, which is one"):
            read_metadata(given)
    with pytest.raises(DataError, match=r"UrbanSound8K\.tar\.gz is an archive; unpack it"):
        read_metadata(tiny_data.parent / "UrbanSound8K.tar.gz")


def test_clips_that_are_elsewhere_are_named(tiny_data: Path) -> None:
    (tiny_data / "audio").rename(tiny_data / "clips")
    with pytest.raises(DataError, match=r"The first that the metadata lists is .*audio/fold1/.*wav"):
        split_by_folds(tiny_data, (1,), ())


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_metadata_that_a_spreadsheet_saved_is_read(tiny_data: Path, delimiter: str, encoding: str) -> None:
    before = read_metadata(tiny_data)
    metadata = tiny_data / "metadata" / "UrbanSound8K.csv"
    metadata.write_text(metadata.read_text().replace(",", delimiter), encoding)
    assert read_metadata(tiny_data) == before


def test_a_tested_fold_is_not_trained_on_by_default(tiny_data: Path) -> None:
    split = split_by_folds(tiny_data, None, (2,))
    assert split.train_folds == (1, 3)
    assert not {clip.recording for clip in split.train} & {clip.recording for clip in split.test}


def test_a_partly_present_fold_is_used_and_its_missing_clips_counted(tiny_data: Path) -> None:
    split = split_by_folds(tiny_data, (3,), (1,))
    assert len(split.train) == 9
    assert split.missing == {3: 1}


def test_a_missing_fold_is_an_error_that_names_the_present_ones(tiny_data: Path) -> None:
    shutil.rmtree(tiny_data / "audio" / "fold2")
    with pytest.raises(DataError, match=r"Fold 2 has no clips .* folds there: 1, 3\. .*soundata"):
        split_by_folds(tiny_data, (1, 2), ())


def test_a_fold_on_both_sides_is_refused(tiny_data: Path) -> None:
    with pytest.raises(ConfigError, match="Fold 1 is to be trained on and tested on"):
        split_by_folds(tiny_data, (1, 2), (1,))


def test_a_recording_that_is_scored_is_not_trained_on(tiny_data: Path) -> None:
    metadata = tiny_data / "metadata" / "UrbanSound8K.csv"
    lines = metadata.read_text().replace("205-5-0-0.wav", "105-5-0-9.wav")
    metadata.write_text(lines)
    (tiny_data / "audio" / "fold2" / "205-5-0-0.wav").rename(tiny_data / "audio" / "fold2" / "105-5-0-9.wav")
    split = split_by_folds(tiny_data, (1,), (2,))
    assert (len(split.train), len(split.test), split.withheld) == (9, 10, 1)
    assert not {clip.recording for clip in split.train} & {clip.recording for clip in split.test}


def test_a_leaky_split_is_marked(tiny_data: Path) -> None:
    split = split_leakily(tiny_data, seed=1)
    assert split.leaky
    assert (len(split.train), len(split.test)) == (23, 6)
    assert not set(split.train) & set(split.test)
    assert split == split_leakily(tiny_data, seed=1)


def test_a_missing_folder_is_refused_with_the_source_of_the_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No .*UrbanSound8K\.csv; .*pip install soundata"):
        read_metadata(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "has the columns a, b and lacks slice_file_name"),
        ("", r"has the columns \(none\)"),
        ("slice_file_name,fold,classID,class\n", "lists no recordings"),
        ("slice_file_name,fold,classID,class\nx.wav,one,0,air_conditioner\n", "line 2 has .*fold 'one'"),
        ("slice_file_name,fold,classID,class\nx.wav,1,0,dog_bark\n", "line 2 has .*class 'dog_bark'"),
        ("slice_file_name,fold,classID,class\nx.wav,1\n", "line 2 has .*classID ''"),
    ],
)
def test_other_metadata_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "UrbanSound8K.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_metadata(tmp_path)


def test_metadata_without_audio_is_refused(tiny_data: Path) -> None:
    shutil.rmtree(tiny_data / "audio")
    with pytest.raises(DataError, match="No clips are left to train on"):
        split_by_folds(tiny_data, None, ())


@pytest.mark.data
def test_the_official_folds_share_five_recordings_and_no_more(shared_data: Path) -> None:
    clips = read_metadata(shared_data / "urbansound8k")
    assert len(clips) == 8732
    folds: dict[str, set[int]] = {}
    for clip in clips:
        folds.setdefault(clip.recording, set()).add(clip.fold)
    shared = {recording for recording, where in folds.items() if len(where) > 1}
    assert shared == {"106905", "132016", "176638", "180937", "77751"}
