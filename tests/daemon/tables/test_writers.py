"""Lines as the files that other programs open."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.tables.writers import FORMATS, TableFormat, resolve_format, write_table


def lines(*, hello: bool = True) -> Iterator[bytes]:
    """Return lines of two recordings of a minute; the second's event has no end."""
    for name, seconds in (("one", (1, 4)), ("two", (2, None))):
        common = {"node": "edge", "source": name}
        event = common | {
            "id": f"ID{name}",
            "class": "siren",
            "class_id": 8,
            "onset": f"2026-11-22T08:00:0{seconds[0]}.250Z",
            "model": "urban@sha256:ab",
            "provider": "CPUExecutionProvider",
        }
        written: list[dict[str, object]] = [
            event | {"type": "start", "score": 0.8, "peak_score": 0.8, "level_dbfs": -20.0, "level_dba": 60.0},
            event | {"type": "update", "score": 0.7, "peak_score": 0.9, "level_dbfs": -30.0},
        ]
        if hello:
            start: dict[str, object] = {
                "type": "hello",
                "stream_start": "2026-11-22T08:00:00.000Z",
                "description": f"rec/{name}.wav",
            }
            written.insert(0, common | start)
        if seconds[1]:
            end = {"offset": "2026-11-22T08:00:04.000Z", "duration_s": 2.75, "reason": "decay", "level_dbfs": None}
            end |= {"level_dba": 50.0, "peak_level_dba": 71.5, "calibrated": True}
            written += [event | {"type": "end", "score": 0.1, "peak_score": 0.9} | end]
            written += [common | {"type": "stats", "duration_s": 60.0}]
        yield from (msgspec.json.encode(line) + b"\n" for line in written)


def test_json_lines_are_kept_as_they_are(tmp_path: Path) -> None:
    write_table(lines(), tmp_path / "events.jsonl", "jsonl")
    assert (tmp_path / "events.jsonl").read_bytes() == b"".join(lines())


def test_a_row_of_csv_is_an_event_with_its_level_when_it_began_and_its_highest_score(tmp_path: Path) -> None:
    write_table(lines(), tmp_path / "events.csv", "csv")
    with (tmp_path / "events.csv").open(newline="") as file:
        one, two = csv.DictReader(file)
    assert (one["file"], one["class"], one["onset_s"], one["offset_s"]) == ("rec/one.wav", "siren", "1.25", "4.0")
    assert (one["peak_score"], one["level_dbfs"], one["reason"]) == ("0.9", "-20.0", "decay")
    assert (one["level_dba"], one["peak_level_dba"], one["calibrated"]) == ("60.0", "71.5", "True")
    assert (two["level_dba"], two["peak_level_dba"], two["calibrated"]) == ("60.0", "", "")
    assert (two["file"], two["onset_s"], two["offset"], two["offset_s"]) == ("rec/two.wav", "2.25", "", "")


def test_seconds_of_a_stream_leave_out_what_a_clock_skipped(tmp_path: Path) -> None:
    """A machine without a battery starts in 1970; the network sets its clock during the first event."""
    common = {"node": "edge", "source": "mic0"}
    event: dict[str, object] = {"class": "siren", "peak_score": 0.9, "duration_s": 4.0, "reason": "decay"}
    first = event | {"id": "1", "onset": "1970-01-01T00:00:10.000Z"}
    second = event | {"id": "2", "onset": "2026-11-30T21:31:00.000Z", "offset": "2026-11-30T21:31:04.000Z"}
    step: dict[str, object] = {
        "state": "reanchored",
        "reason": "clock_step",
        "shift_ms": 1_796_074_188_000,
    }  # 00:00:12 is 21:30:00
    written: list[dict[str, object]] = [
        {"type": "hello", "stream_start": "1970-01-01T00:00:00.000Z"},
        first | {"type": "start"},
        {"type": "health"} | step,
        first | {"type": "end", "offset": "2026-11-30T21:30:02.000Z"},
        second | {"type": "start"},
        second | {"type": "end"},
    ]
    write_table((msgspec.json.encode(common | line) + b"\n" for line in written), tmp_path / "events.csv", "csv")
    with (tmp_path / "events.csv").open(newline="") as file:
        found = [(row["onset_s"], row["offset_s"]) for row in csv.DictReader(file)]
    assert found == [("10.0", "14.0"), ("72.0", "76.0")]


@pytest.mark.slow
def test_parquet_has_timestamps_and_nulls(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    write_table(lines(), tmp_path / "events.parquet", "parquet")
    one, two = parquet.read_table(tmp_path / "events.parquet").to_pylist()
    assert one["onset"] == datetime(2026, 11, 22, 8, 0, 1, 250_000, UTC)
    assert (one["class"], one["class_id"], one["duration_s"]) == ("siren", 8, 2.75)
    assert two["offset"] is two["offset_s"] is two["reason"] is None


def test_no_events_are_a_table_with_no_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    write_table([], tmp_path / "events.parquet", "parquet")
    assert parquet.read_table(tmp_path / "events.parquet").column_names[:3] == ["file", "source", "node"]
    write_table([], tmp_path / "events.csv", "csv")
    assert (tmp_path / "events.csv").read_text().startswith("file,source,node,class,class_id,onset,offset,onset_s")


def test_raven_counts_through_the_recordings_and_within_each(tmp_path: Path) -> None:
    write_table(lines(), tmp_path / "events.txt", "raven")
    head, one, two = (row.split("\t") for row in (tmp_path / "events.txt").read_text().splitlines())
    assert head == [
        *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Class", "Score"),
        *("Begin Path", "File Offset (s)"),
    ]
    assert one == ["1", "Spectrogram 1", "1", "1.250", "4.000", "siren", "0.9000", "rec/one.wav", "1.250"]
    assert two[3:5] + two[7:] == ["62.250", "62.250", "rec/two.wav", "2.250"]


def test_audacity_has_a_file_of_labels_for_each_recording(tmp_path: Path) -> None:
    write_table(lines(), tmp_path / "labels", "audacity")
    assert (tmp_path / "labels" / "rec" / "one.wav.txt").read_text() == "1.250000\t4.000000\tsiren 0.90\n"
    assert (tmp_path / "labels" / "rec" / "two.wav.txt").read_text() == "2.250000\t2.250000\tsiren 0.90\n"


def test_labels_take_the_place_of_labels_and_of_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    for _ in range(2):
        write_table(lines(), folder, "audacity")
        stale = folder / "rec" / "gone.wav.txt"
        assert not stale.exists()
        stale.write_text("1.0\t2.0\tsiren 0.90\n")
    note = folder / "rec" / "notes.txt"
    note.write_text("do not lose this")
    for refused in (lambda: resolve_format(folder, "audacity"), lambda: write_table(lines(), folder, "audacity")):
        with pytest.raises(ConfigError, match=r"notes\.txt is not a label file"):
            refused()
    assert note.read_text() == "do not lose this"
    assert stale.exists()


@pytest.mark.parametrize("format_", ["audacity", "raven"])
def test_labels_of_a_stream_whose_start_is_not_known_are_refused(tmp_path: Path, format_: TableFormat) -> None:
    with pytest.raises(ConfigError, match="no hello of one before its event of 2026-11-22T08:00:01"):
        write_table(lines(hello=False), tmp_path / "events", format_)
    assert list(tmp_path.iterdir()) == []


class _CutOffError(Exception):
    """An error in the middle of a write."""


@pytest.mark.parametrize("format_", FORMATS)
def test_a_file_is_whole_or_not_there(tmp_path: Path, format_: TableFormat) -> None:
    if format_ == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    (tmp_path / "events").mkdir() if format_ == "audacity" else (tmp_path / "events").write_text("before")

    def cut_off() -> Iterator[bytes]:
        yield from lines()
        raise _CutOffError

    with pytest.raises(_CutOffError):
        write_table(cut_off(), tmp_path / "events", format_)
    assert [path.name for path in tmp_path.iterdir()] == ["events"]
    assert format_ == "audacity" or (tmp_path / "events").read_text() == "before"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"nowhere/events\.csv cannot be written: No such file"):
        write_table(lines(), tmp_path / "nowhere" / "events.csv", "csv")


def test_a_name_without_a_known_suffix_needs_a_format() -> None:
    assert resolve_format(Path("a.CSV"), None) == "csv"
    assert resolve_format(Path("a.txt"), "raven") == "raven"
    with pytest.raises(ConfigError, match=r"The suffix of a\.txt names no format"):
        resolve_format(Path("a.txt"), None)
