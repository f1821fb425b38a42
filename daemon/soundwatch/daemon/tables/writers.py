"""Lines to the files that other programs open: JSON lines, CSV, Parquet, Audacity's labels, Raven's selection tables.

Conventions: lines come as bytes of JSON in the order they were written, `hello` before the events of its stream; a file
that is open for reading is such lines. JSON lines are kept as they are; in all other formats a row is an event, made of
its `start`, `update` and `end`, and stands where its last line stood. An event that lasts to the end of the lines has a
row with what is known. `onset_s` and `offset_s` count from the start of the recording or stream.
A file appears under its name once it is whole, or not at all, and takes the place of one that was there; so does
Audacity's folder, but only of one that holds nothing but labels.
Source: Audacity's and Raven Pro's manuals; Raven's columns in the order that BirdNET-Analyzer writes them, whose
`Begin Time (s)` counts through all recordings that are opened together.
Does not: choose events.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from soundwatch.daemon.core.atomic_file import replace_file
from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.tables.audacity_folder import check_replaceable

TableFormat = Literal["jsonl", "csv", "parquet", "audacity", "raven"]
FORMATS: Final[tuple[TableFormat, ...]] = ("jsonl", "csv", "parquet", "audacity", "raven")
_SUFFIXES: Final[dict[str, TableFormat]] = {
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
}
_ROWS_AT_ONCE: Final = 8192


class EventRow(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """An event, as tables have it; times in UTC, `_s` in seconds of its recording or stream."""

    file: str | None
    source: str
    node: str
    class_: str
    class_id: int
    onset: str
    offset: str | None
    onset_s: float | None
    offset_s: float | None
    duration_s: float | None
    peak_score: float
    level_dbfs: float | None
    reason: str | None
    id: str
    model: str
    provider: str


class _Told(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """What tables need of any line."""

    type: str
    node: str | None = None
    source: str | None = None
    description: str | None = None
    stream_start: str | None = None
    id: str = ""
    class_: str = ""
    class_id: int = 0
    onset: str = ""
    offset: str | None = None
    duration_s: float | None = None
    peak_score: float = 0.0
    level_dbfs: float | None = None
    reason: str | None = None
    final: bool = True
    model: str = ""
    provider: str = ""


class _Stream(msgspec.Struct, frozen=True):
    """What events count from.

    Attributes:
        description: The recording's path, or what the device is called.
        start: UTC of its first sample.
        before_s: How long all that had ended before it lasted.
    """

    description: str | None = None
    start: datetime | None = None
    before_s: float = 0.0


def resolve_format(path: Path, named: TableFormat | None) -> TableFormat:
    """The format that a file is to have, by its name where none is asked for.

    Raises:
        ConfigError: Its name does not tell, or what is asked for is not installed or may not be put there.
    """
    chosen = named or _SUFFIXES.get(path.suffix.lower())
    if chosen is None:
        raise ConfigError(
            f"{path} does not tell its format; name it .jsonl, .csv or .parquet, or give --format {'|'.join(FORMATS)}."
        )
    if chosen == "audacity":
        check_replaceable(path)
    if chosen == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401  # before hours of work, not after
        except ImportError as error:
            raise ConfigError(
                "Parquet needs the Python package pyarrow, which is not installed. Install it with: "
                "pip install 'soundwatch[scan]'; or name a .jsonl or .csv file."
            ) from error
    return chosen


def write_table(lines: Iterable[bytes], path: Path, format_: TableFormat) -> None:
    """Write lines to a file of this format; for Audacity to a folder, one file a recording.

    Raises:
        ConfigError: Its folder holds what is none of ours.
        SinkError: It cannot be written; nothing of it is left.
    """

    def write(part: Path) -> None:
        _WRITERS[format_](lines, part)
        if part.is_dir():
            check_replaceable(path)
            shutil.rmtree(path, ignore_errors=True)

    try:
        replace_file(path, write)
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written: {error.strerror or error}. Give a place in a folder that exists, that has "
            "room and that this user may write to."
        ) from error


def event_rows(lines: Iterable[bytes]) -> Iterator[tuple[EventRow, _Stream]]:
    """The events that lines tell of, and the stream of each."""
    streams: dict[tuple[str | None, str | None], _Stream] = {}
    lasting: dict[str, tuple[_Told, _Stream]] = {}
    ended_s = 0.0
    for line in lines:
        told = msgspec.json.decode(line, type=_Told)
        where = (told.node, told.source)
        if told.type == "hello":
            start = datetime.fromisoformat(told.stream_start) if told.stream_start else None
            streams[where] = _Stream(told.description, start, ended_s)
        elif told.type == "stats" and told.final:
            ended_s += told.duration_s or 0.0
        elif told.type in ("start", "update", "end") and told.id:
            first, stream = lasting.pop(told.id, (told, streams.get(where, _Stream())))
            event = msgspec.structs.replace(told, level_dbfs=first.level_dbfs)
            if told.type == "end":
                yield _row(event, stream), stream
            else:
                lasting[told.id] = event, stream
    for told, stream in lasting.values():
        yield _row(told, stream), stream


def _row(told: _Told, stream: _Stream) -> EventRow:
    return EventRow(
        file=stream.description,
        source=told.source or "",
        node=told.node or "",
        class_=told.class_,
        class_id=told.class_id,
        onset=told.onset,
        offset=told.offset,
        onset_s=_since(stream.start, told.onset),
        offset_s=_since(stream.start, told.offset),
        duration_s=told.duration_s,
        peak_score=told.peak_score,
        level_dbfs=told.level_dbfs,
        reason=told.reason,
        id=told.id,
        model=told.model,
        provider=told.provider,
    )


def _since(start: datetime | None, moment: str | None) -> float | None:
    if start is None or moment is None:
        return None
    return (datetime.fromisoformat(moment) - start).total_seconds()


def _write_jsonl(lines: Iterable[bytes], path: Path) -> None:
    with path.open("wb") as file:
        file.writelines(lines)


def _write_csv(lines: Iterable[bytes], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(EventRow.__struct_encode_fields__)
        writer.writerows(msgspec.structs.astuple(row) for row, _ in event_rows(lines))


def _write_parquet(lines: Iterable[bytes], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    moment = pyarrow.timestamp("ms", tz="UTC")
    types = {str: pyarrow.string(), int: pyarrow.int32(), float: pyarrow.float64()}
    columns = [
        (field.encode_name, moment if field.name in ("onset", "offset") else types[_plain(field.type)])
        for field in msgspec.structs.fields(EventRow)
    ]
    schema = pyarrow.schema(columns)
    rows = (msgspec.to_builtins(row) for row, _ in event_rows(lines))
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _ROWS_AT_ONCE)):
            for row in batch:
                row |= {key: row[key] and datetime.fromisoformat(row[key]) for key in ("onset", "offset")}
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))


def _plain(type_: Any) -> type:
    """`str` of `str | None`."""
    return type_ if isinstance(type_, type) else _plain(type_.__args__[0])


def _write_raven(lines: Iterable[bytes], path: Path) -> None:
    headings = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Class", "Score")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, escapechar="\\")
        writer.writerow((*headings, "Begin Path", "File Offset (s)"))
        for number, (row, stream) in enumerate(event_rows(lines), 1):
            onset_s, offset_s = _on_a_recording(row)
            times = (f"{stream.before_s + onset_s:.3f}", f"{stream.before_s + offset_s:.3f}")
            where = (row.file or row.source, f"{onset_s:.3f}")
            writer.writerow((number, "Spectrogram 1", 1, *times, row.class_, f"{row.peak_score:.4f}", *where))


def _write_audacity(lines: Iterable[bytes], path: Path) -> None:
    path.mkdir()
    names: dict[_Stream, Path] = {}
    for row, stream in event_rows(lines):
        if stream not in names:
            names[stream] = _free(path, row)
        onset_s, offset_s = _on_a_recording(row)
        with names[stream].open("a", encoding="utf-8", newline="\n") as file:
            file.write(f"{onset_s:.6f}\t{offset_s:.6f}\t{row.class_} {row.peak_score:.2f}\n")


def _free(folder: Path, row: EventRow) -> Path:
    """A recording's labels lie as the recording does, under the folder; those of a microphone by its name."""
    recording = Path(row.file or "")
    if not recording.stem or recording.stem not in row.source:
        recording = Path(row.source.replace(os.sep, "_"))
    inside = [part for part in recording.parts if part not in (recording.anchor, os.pardir)]
    path, number = folder.joinpath(*inside[:-1], f"{inside[-1]}.txt"), 1
    path.parent.mkdir(parents=True, exist_ok=True)
    while path.exists():
        number += 1
        path = path.with_name(f"{inside[-1]}-{number}.txt")
    return path


def _on_a_recording(row: EventRow) -> tuple[float, float]:
    """Where an event lies on its recording, in seconds; one that still lasted ends where it began.

    Raises:
        ConfigError: Nothing tells where its stream began.
    """
    if row.onset_s is None:
        raise ConfigError(
            f"The lines have no hello of {row.source} before its event of {row.onset}, so where that lies on the sound "
            "is not known. Include the stream's start, or choose csv, parquet or jsonl."
        )
    return row.onset_s, row.onset_s if row.offset_s is None else row.offset_s


_WRITERS: Final[dict[TableFormat, Callable[[Iterable[bytes], Path], None]]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
    "audacity": _write_audacity,
    "raven": _write_raven,
}
