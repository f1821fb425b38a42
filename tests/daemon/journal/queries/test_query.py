"""Queries of the journal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.journal.entry import StoredLine
from soundwatch.daemon.journal.file.sqlite import MEMORY
from soundwatch.daemon.journal.queries.follow import follow_lines
from soundwatch.daemon.journal.queries.query import (
    PAGE_LINES,
    LineFilter,
    check_names,
    parse_filter,
    read_last_lines,
    read_lines,
)
from soundwatch.daemon.journal.store import JournalStore

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def row(seq: int, kind: str = "start", source: str = "mic0", class_: str | None = "siren", hour: int = 0) -> StoredLine:
    return StoredLine(seq, f"2026-11-26T{hour:02}:00:00.000Z", kind, source, class_, None, b"%d\n" % seq)


@pytest.fixture
def store() -> JournalStore:
    store = JournalStore(MEMORY)
    store.commit(
        [
            row(1),
            replace(row(2, "hello", class_=None), line=b'{"classes":["siren","car_horn"]}\n'),
            row(3, source="yard", hour=5),
            row(4, class_="dog_bark", hour=6),
        ]
    )
    return store


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (LineFilter(), [1, 2, 3, 4]),
        (LineFilter(after_seq=2), [3, 4]),
        (LineFilter(since="2026-11-26T05:00:00.000Z"), [3, 4]),
        (LineFilter(until="2026-11-26T05:00:00.000Z"), [1, 2]),
        (LineFilter(classes=("siren",)), [1, 3]),
        (LineFilter(classes=("siren", "dog_bark"), sources=("mic0",)), [1, 4]),
        (LineFilter(types=("hello",)), [2]),
        (LineFilter(classes=("siren'; DROP TABLE lines; --",)), []),
    ],
)
def test_lines_are_found_by_number_time_class_source_and_type(
    store: JournalStore, wanted: LineFilter, found: list[int]
) -> None:
    assert [entry.seq for entry in read_lines(store, wanted)] == found
    assert [entry.seq for entry in read_last_lines(store, wanted, 2)] == found[-2:]


def test_more_lines_than_a_page_are_all_found_once() -> None:
    store = JournalStore(MEMORY)
    store.commit([row(seq) for seq in range(1, 2 * PAGE_LINES + 5)])
    assert [entry.seq for entry in read_lines(store, LineFilter())] == list(range(1, 2 * PAGE_LINES + 5))


def test_new_lines_follow_stored_ones_without_a_gap_or_repetition(store: JournalStore) -> None:
    to_come = iter([[row(5), row(6, class_=None)], [row(7)], []])

    def wait(_: float) -> None:
        store.commit(next(to_come))

    found = follow_lines(store, LineFilter(classes=("siren",), after_seq=1), wait=wait)
    assert [int(next(found)) for _ in range(3)] == [3, 5, 7]


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("2026-11-26T13:00:00+02:00", "2026-11-26T11:00:00.000Z"),
        ("90s", "2026-11-26T11:58:30.000Z"),
        ("10m", "2026-11-26T11:50:00.000Z"),
        ("2h", "2026-11-26T10:00:00.000Z"),
        ("7d", "2026-11-19T12:00:00.000Z"),
        ("2w", "2026-11-12T12:00:00.000Z"),
    ],
)
def test_a_moment_is_a_time_with_its_zone_or_an_age(text: str, since: str) -> None:
    assert parse_filter(NOW, since=text).since == since
    assert parse_filter(NOW, until=text).until == since


def test_a_number_means_the_lines_after_that_one() -> None:
    assert parse_filter(NOW, since="#12") == LineFilter(after_seq=12)


def test_after_a_number_beyond_all_lines_there_is_none(store: JournalStore) -> None:
    assert not list(read_lines(store, parse_filter(NOW, since="#99999999999999999999")))


def test_two_moments_without_time_between_them_are_refused() -> None:
    with pytest.raises(ConfigError, match="No time is between --since 1h and --until 2h"):
        parse_filter(NOW, since="1h", until="2h")


@pytest.mark.parametrize(
    ("text", "expected_message"),
    [
        ("yesterday", "is no moment"),
        ("#" + 5000 * "1", "is no moment"),
        ("2026-11-26T13:00:00", "has no zone"),
        ("99999999999d", "before the year 1"),
        ("999999999999999999999w", "before the year 1"),
        ("0001-01-01T00:00:00+14:00", "before the year 1"),
        ("9999-12-31T23:59:59-14:00", "after the year 9999"),
    ],
)
def test_an_invalid_time_is_refused_with_examples(text: str, expected_message: str) -> None:
    with pytest.raises(ConfigError, match=expected_message):
        parse_filter(NOW, since=text)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (LineFilter(classes=("sirene",)), "--class sirene is unknown; did you mean siren"),
        (LineFilter(sources=("yad",)), "--source yad is unknown; did you mean yard"),
        (LineFilter(types=("begin",)), "--type begin is unknown; known: clip, differ"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(store: JournalStore, wanted: LineFilter, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_names(store, wanted)


def test_names_of_the_journal_and_classes_of_its_streams_are_accepted(store: JournalStore) -> None:
    check_names(store, LineFilter(classes=("dog_bark", "car_horn"), sources=("yard",), types=("end",)))
    check_names(JournalStore(MEMORY), LineFilter(classes=("siren",), sources=("mic0",)))


@pytest.mark.parametrize("damage", [b'{"classes"', b"\xff\n", b"[]\n", b'{"classes":7}\n'])
def test_a_damaged_hello_line_hides_no_class_and_ends_nothing(damage: bytes) -> None:
    store = JournalStore(MEMORY)
    store.commit([replace(row(1, "hello", class_=None), line=damage), row(2)])
    check_names(store, LineFilter())
    check_names(store, LineFilter(classes=("siren",)))
    with pytest.raises(ConfigError, match="did you mean siren"):
        check_names(store, LineFilter(classes=("sirene",)))
