"""A CSV file names each recording's file, class and fold, as ESC-50's does."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from soundwatch.daemon.cli import main
from soundwatch.daemon.core.errors import ConfigError, DataError
from soundwatch.training.data.datasets.csv_labels import Columns, list_csv, split_csv
from support.wav_files import write_wav

ESC50 = Columns("filename", "category", "fold")
KINDS = ("dog", "rain")


@pytest.fixture
def esc50(tmp_path: Path) -> Path:
    """A CSV file in meta/ with recordings in audio/: two classes in five folds, two files each."""
    (tmp_path / "meta").mkdir()
    (tmp_path / "audio").mkdir()
    rows = [
        (f"{fold}-{take}{kind}-A-{index}.wav", fold, index, kind)
        for fold in range(1, 6)
        for index, kind in enumerate(KINDS)
        for take in range(2)
    ]
    generator = np.random.default_rng(1)
    for name, *_ in rows:
        write_wav(tmp_path / "audio" / name, generator.normal(0, 0.1, 8_000), 16_000)
    file = tmp_path / "meta" / "esc50.csv"
    write(file, [("filename", "fold", "target", "category"), *rows])
    return file


def write(file: Path, rows: list[tuple[object, ...]], delimiter: str = ",") -> None:
    with file.open("w", newline="", encoding="utf-8-sig") as opened:
        csv.writer(opened, delimiter=delimiter).writerows(rows)


def test_folds_are_held_out_as_a_whole(esc50: Path) -> None:
    split = split_csv(esc50, ESC50, None, 0.2, None)
    assert split.labels == KINDS
    assert (len(split.train), len(split.test)) == (16, 4)
    assert len({clip.recording for clip in split.test}) == 1
    assert split.folder == "esc50"


def test_the_folds_to_test_on_can_be_named(esc50: Path) -> None:
    split = split_csv(esc50, ESC50, None, 0.2, (2, 5))
    assert {clip.path.name[0] for clip in split.test} == {"2", "5"}
    assert {clip.path.name[0] for clip in split.train} == {"1", "3", "4"}


def test_without_a_column_of_folds_each_file_is_a_recording(esc50: Path) -> None:
    split = split_csv(esc50, Columns("filename", "category"), None, 0.2, None)
    assert (len(split.train), len(split.test)) == (16, 4)
    assert len({clip.recording for clip in (*split.train, *split.test)}) == 20


def test_files_may_lie_beside_the_table_and_semicolons_may_separate_its_columns(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(8_000), 16_000)
    write(tmp_path / "labels.csv", [("Datei", "Klasse"), ("a.wav", "Türklingel"), ("b.wav", "घंटी")], ";")
    labels, clips, _ = list_csv(tmp_path / "labels.csv", Columns("Datei", "Klasse"))
    assert labels == ("Türklingel", "घंटी")
    assert [clip.path.name for clip in clips] == ["a.wav", "b.wav"]


def test_a_row_without_a_file_is_counted_and_left_out(esc50: Path) -> None:
    next((esc50.parents[1] / "audio").glob("3-1dog*")).unlink()
    split = split_csv(esc50, ESC50, None, 0.2, (1,))
    assert (len(split.train), split.missing) == (15, {0: 1})


@pytest.mark.parametrize(
    ("columns", "folds", "match"),
    [
        (Columns("file", "category"), None, r"has the columns filename, fold, target, category and lacks file\."),
        (Columns("filename", "category"), (1,), r"--columns has no column of them"),
        (ESC50, (7,), r"fold 7 has no recordings; there are fold 1, fold 2"),
        (ESC50, (1, 2, 3, 4, 5), r"leave at least one to learn from"),
    ],
)
def test_columns_and_folds_that_are_not_there_are_refused(
    esc50: Path, columns: Columns, folds: tuple[int, ...] | None, match: str
) -> None:
    with pytest.raises((ConfigError, DataError), match=match):
        split_csv(esc50, columns, None, 0.2, folds)


@pytest.mark.parametrize(
    ("row", "match"),
    [
        (("../../etc/passwd", "dog"), "a file name below the CSV file's folder"),
        (("", "dog"), "a file name below the CSV file's folder"),
        (("a.wav", ""), "a class were expected"),
        (("a.wav", "dog/cat"), "cannot name a class"),
        (("nowhere.wav", "dog"), "Put the CSV file beside the recordings"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_its_line(tmp_path: Path, row: tuple[str, str], match: str) -> None:
    write(tmp_path / "labels.csv", [("file", "class"), row])
    with pytest.raises(DataError, match=match):
        list_csv(tmp_path / "labels.csv", Columns("file", "class"))


def test_data_check_reports_classes_missing_files_and_files_listed_twice(
    esc50: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with esc50.open("a") as file:
        file.write("1-0dog-A-0.wav,2,1,rain\nnowhere.wav,1,0,dog\n")
    with pytest.raises(SystemExit) as stopped:
        main(["data", "check", str(esc50), "--layout", "csv", "--columns", "filename,category,fold", "--json"])
    assert stopped.value.code == 7
    found = msgspec.json.decode(capsys.readouterr().out)
    assert {kind: found["classes"][kind]["files"] for kind in KINDS} == {"dog": 10, "rain": 11}
    assert {"missing", "listed twice"} <= {finding["kind"] for finding in found["findings"]}


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--layout", "csv"], "--layout csv and --columns belong together"),
        (["--columns", "filename,category"], "--layout csv and --columns belong together"),
        (["--layout", "csv", "--columns", "filename"], "write FILE,CLASS or FILE,CLASS,FOLD"),
        (["--layout", "csv", "--columns", "filename,filename"], "names one column twice"),
        (["--layout", "csv", "--columns", "filename,category, category"], "names one column twice"),
    ],
)
def test_the_layout_and_its_columns_are_given_together(
    esc50: Path, capfd: pytest.CaptureFixture[str], words: list[str], match: str
) -> None:
    for command in (["data", "check", str(esc50)], ["train", "--data", str(esc50)], ["evaluate", "urban"]):
        with pytest.raises(SystemExit) as stopped:
            main([*command, *words])
        assert stopped.value.code == 2
        assert match in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize("name", ["a" * 300 + ".wav", "ä" * 128, "d/" * 1500 + "a.wav", "/".join(["f" * 200] * 25)])
@pytest.mark.parametrize("line", [2, 3])
def test_a_file_name_that_is_too_long_is_refused_with_its_line(tmp_path: Path, name: str, line: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(8_000), 16_000)
    rows = [("a.wav", "dog"), ("a.wav", "rain")]
    rows[line - 2] = (name, "dog")
    write(tmp_path / "labels.csv", [("file", "class"), *rows])
    with pytest.raises(DataError, match=rf"labels\.csv line {line} names the file .* bytes; at most 255 in each part"):
        split_csv(tmp_path / "labels.csv", Columns("file", "class"), None, 0.2, None)


@pytest.mark.skipif(os.name == "nt", reason="the longest path of Linux is built")
def test_a_recording_that_the_system_refuses_to_look_at_is_refused(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 210] * 10)
    deep.mkdir(parents=True)
    write(deep / "labels.csv", [("file", "class"), ("/".join(["f" * 200] * 10), "dog")])
    with pytest.raises(DataError, match="which cannot be looked at: File name too long"):
        list_csv(deep / "labels.csv", Columns("file", "class"))


@pytest.mark.slow
def test_a_table_is_trained_and_evaluated_with_its_folds(
    esc50: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = ["--data", str(esc50), "--layout", "csv", "--columns", "filename,category,fold"]

    def run(*words: str) -> None:
        with pytest.raises(SystemExit) as stopped:
            main(list(words))
        assert stopped.value.code == 0

    run("train", *data, "--recipe", "tutorial", "--epochs", "1", "--test-folds", "1", "--out", str(tmp_path / "run"))
    captured = capfd.readouterr()
    assert "--layout csv --columns filename,category,fold" in " ".join(captured.err.split())
    run("export", str(tmp_path / "run" / "checkpoint.pt"), "--out", str(tmp_path))
    model = capfd.readouterr().out.splitlines()[0]
    run("evaluate", model, *data, "--folds", "1", "--json")
    evaluation = msgspec.json.decode(capfd.readouterr().out)
    assert evaluation["clips"] == 4
