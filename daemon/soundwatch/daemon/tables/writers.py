"""Write lines as JSON lines, CSV, Parquet, labels of Audacity or selection tables of Raven.

Conventions: lines are bytes of JSON in the order of writing, `hello` before the events of its stream; a file that is
open for reading is an iterable of such lines. JSON lines are copied. In all other formats a row is an event, made of
its `start`, `update` and `end`, at the place of its last line. An event without an end has a row of the known values.
`onset_s` and `offset_s` count from the start of the recording or stream.
A file is complete or absent, and replaces an existing file; a folder of Audacity replaces only a folder of labels.
Source: the manuals of Audacity and Raven Pro; the columns of Raven in the order of BirdNET-Analyzer, whose
`Begin Time (s)` counts through all recordings that are opened together.
Does not: select events.
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
from soundwatch.daemon.core.extras import install_command
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
    """One row of a table; times in UTC, `_s` in seconds of the recording or stream."""

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


class _Fields(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """Fields of a line that tables use."""

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
    """Origin of the times of events.

    Attributes:
        description: Path of the recording, or name of the device.
        start: UTC of the first sample.
        before_s: Total duration of the recordings before this one.
    """

    description: str | None = None
    start: datetime | None = None
    before_s: float = 0.0


def resolve_format(path: Path, named: TableFormat | None) -> TableFormat:
    """Return the format of a file: the given one, or the one of its suffix.

    Raises:
        ConfigError: The suffix is unknown, a package is not installed, or the path cannot be replaced.
    """
    chosen = named or _SUFFIXES.get(path.suffix.lower())
    if chosen is None:
        raise ConfigError(
            f"The suffix of {path} names no format. Use .jsonl, .csv or .parquet, or give --format {'|'.join(FORMATS)}."
        )
    if chosen == "audacity":
        check_replaceable(path)
    if chosen == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401  # checked before the work begins
        except ImportError as error:
            raise ConfigError(
                "Parquet needs the Python package pyarrow, which is not installed. Install it with "
                f"{install_command('scan')}, or name a .jsonl or .csv file."
            ) from error
    return chosen


def write_table(lines: Iterable[bytes], path: Path, format_: TableFormat) -> None:
    """Write lines to a file; for Audacity to a folder with one file for each recording.

    Raises:
        ConfigError: The folder holds files that are not labels.
        SinkError: The file cannot be written; no part of it is left.
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
    """Yield the events of lines, each with its stream."""
    streams: dict[tuple[str | None, str | None], _Stream] = {}
    active: dict[str, tuple[_Fields, _Stream]] = {}
    ended_s = 0.0
    for line in lines:
        fields = msgspec.json.decode(line, type=_Fields)
        key = (fields.node, fields.source)
        if fields.type == "hello":
            start = datetime.fromisoformat(fields.stream_start) if fields.stream_start else None
            streams[key] = _Stream(fields.description, start, ended_s)
        elif fields.type == "stats" and fields.final:
            ended_s += fields.duration_s or 0.0
        elif fields.type in ("start", "update", "end") and fields.id:
            first, stream = active.pop(fields.id, (fields, streams.get(key, _Stream())))
            event = msgspec.structs.replace(fields, level_dbfs=first.level_dbfs)
            if fields.type == "end":
                yield _row(event, stream), stream
            else:
                active[fields.id] = event, stream
    for fields, stream in active.values():
        yield _row(fields, stream), stream


def _row(event: _Fields, stream: _Stream) -> EventRow:
    return EventRow(
        file=stream.description,
        source=event.source or "",
        node=event.node or "",
        class_=event.class_,
        class_id=event.class_id,
        onset=event.onset,
        offset=event.offset,
        onset_s=_since(stream.start, event.onset),
        offset_s=_since(stream.start, event.offset),
        duration_s=event.duration_s,
        peak_score=event.peak_score,
        level_dbfs=event.level_dbfs,
        reason=event.reason,
        id=event.id,
        model=event.model,
        provider=event.provider,
    )


def _since(start: datetime | None, time: str | None) -> float | None:
    if start is None or time is None:
        return None
    return (datetime.fromisoformat(time) - start).total_seconds()


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
    """Return `str` for `str | None`."""
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
    """Return an unused label file: at the relative path of the recording, or named after the microphone."""
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
    """Return onset and offset of an event in seconds; an event without an end ends at its onset.

    Raises:
        ConfigError: The start of its stream is unknown.
    """
    if row.onset_s is None:
        raise ConfigError(
            f"The lines have no hello of {row.source} before its event of {row.onset}, so its position in the "
            "recording is unknown. Include the start of the stream, or choose csv, parquet or jsonl."
        )
    return row.onset_s, row.onset_s if row.offset_s is None else row.offset_s


_WRITERS: Final[dict[TableFormat, Callable[[Iterable[bytes], Path], None]]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
    "audacity": _write_audacity,
    "raven": _write_raven,
}
