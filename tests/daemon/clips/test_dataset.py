"""Labels from the terminal, and the folder that is made of them, which the training room takes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from soundwatch.daemon.clips.clip_names import list_clips
from soundwatch.daemon.clips.clip_store import ClipStore
from soundwatch.daemon.clips.dataset import export_labeled_clips
from soundwatch.daemon.config.config import ClipsConfig
from soundwatch.daemon.core.errors import ConfigError, DataError, SinkError
from soundwatch.daemon.events.schema import Line
from soundwatch.daemon.journal.queries.labels import known_classes, last_event_line, parse_label, set_label
from soundwatch.daemon.journal.store import JournalStore
from support.cli_runner import soundwatch
from support.clip_factory import clip
from support.journal_factory import clip_line, event, hello, write_journal

CLASSES = ("dog_bark", "siren")


def id_of(number: int) -> str:
    return f"{number:026d}"


@pytest.fixture
def journal(tmp_path: Path) -> JournalStore:
    """Ten events, the first six with a clip, in three hours."""
    lines: list[Line] = [hello(*CLASSES), *(event(id_of(number)) for number in range(10))]
    store = write_journal(tmp_path / "journal.db", *lines)
    shelf = ClipStore(tmp_path / "clips", ClipsConfig(max_age_days=36_500))
    for number in range(6):
        shelf.save(clip(second=1800 * number, id_=id_of(number), source="mic 0"))
    return store


def set_event_label(store: JournalStore, number: int, class_: str | None) -> None:
    set_label(store, id_of(number), "2026-09-22T08:00:00.000Z", class_)


def test_labeled_clips_are_copied_into_a_folder_a_class_and_those_of_none_aside(
    journal: JournalStore, tmp_path: Path
) -> None:
    for number, class_ in [(0, "siren"), (1, "siren"), (2, "dog_bark"), (3, None), (4, "Kettle whistle"), (7, "siren")]:
        set_event_label(journal, number, class_)
    lesson = export_labeled_clips(journal, tmp_path / "clips", tmp_path / "lesson")
    assert lesson.copied == {"siren": 2, "dog_bark": 1, "negatives": 1, "Kettle whistle": 1}
    assert lesson.skipped == {"no clip was made": 1}
    found = {path.relative_to(tmp_path / "lesson").parent.as_posix() for path in (tmp_path / "lesson").rglob("*.flac")}
    assert found == {"sounds/siren", "sounds/dog_bark", "sounds/Kettle whistle", "negatives"}
    assert len(list_clips(tmp_path / "clips")) == 6, "copied, not moved"


def test_clips_of_one_source_and_hour_are_one_recording(journal: JournalStore, tmp_path: Path) -> None:
    for number in range(6):
        set_event_label(journal, number, "siren")
    export_labeled_clips(journal, tmp_path / "clips", tmp_path / "lesson")
    recordings = {path.name.partition("-")[0] for path in (tmp_path / "lesson/sounds/siren").iterdir()}
    assert len(recordings) == 3, "two in each of three hours"


def test_labels_without_a_clip_are_reported_with_the_reason(tmp_path: Path) -> None:
    lines: list[Line] = [
        event(id_of(0)),
        clip_line(id_of(0), reason="speech"),
        event(id_of(1)),
        clip_line(id_of(1), file="gone.flac"),
        event(id_of(2)),
        event(id_of(3)),
    ]
    store = write_journal(tmp_path / "journal.db", *lines)
    ClipStore(tmp_path / "clips", ClipsConfig()).save(clip(id_=id_of(3)))
    for number in range(4):
        set_event_label(store, number, "siren")
    assert export_labeled_clips(store, tmp_path / "clips", tmp_path / "lesson").skipped == {
        "the clip was not written: speech": 1,
        "the clip is there no more": 1,
        "no clip was made": 1,
    }


def test_nothing_to_copy_and_a_folder_that_is_not_empty_are_refused(journal: JournalStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There are no labels"):
        export_labeled_clips(journal, tmp_path / "clips", tmp_path / "lesson")
    set_event_label(journal, 8, "siren")
    with pytest.raises(DataError, match=r"No labeled event has a clip in .*no clip was made: 1"):
        export_labeled_clips(journal, tmp_path / "clips", tmp_path / "lesson")
    set_event_label(journal, 0, "siren")
    with pytest.raises(DataError, match="clips is not empty"):
        export_labeled_clips(journal, tmp_path / "clips", tmp_path / "clips")


@pytest.mark.skipif(os.name != "posix", reason="this system has no limits of files")
def test_a_disk_without_space_for_the_clips_leaves_no_data_set(journal: JournalStore, tmp_path: Path) -> None:
    import resource

    for number in range(6):
        set_event_label(journal, number, "siren")
    (tmp_path / f".lesson.{2**30}.part" / "sounds").mkdir(parents=True)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with pytest.raises(SinkError, match=r"lesson cannot be written: File too large\. Nothing is left of it"):
            export_labeled_clips(journal, tmp_path / "clips", tmp_path / "lesson")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not list(tmp_path.glob("*lesson*"))


def test_a_label_is_right_none_or_a_class_and_a_misspelled_one_is_refused(journal: JournalStore) -> None:
    found = last_event_line(journal, id_of(1))
    known = known_classes(journal)
    assert known == list(CLASSES)
    assert parse_label("right", found, known) == "siren"
    assert parse_label("none", found, known) is None
    assert parse_label("kettle", found, known) == "kettle"
    with pytest.raises(ConfigError, match="did you mean dog_bark"):
        parse_label("dog_barc", found, known)
    with pytest.raises(ConfigError, match="cannot name a class"):
        parse_label("../etc", found, known)
    with pytest.raises(ConfigError, match=r"'xxx.* cannot name a class: .*, in at most 255 bytes"):
        parse_label("x" * 256, found, known)
    for id_ in ("X", "\udcff"):
        with pytest.raises(ConfigError, match=f"There is no event {id_}"):
            last_event_line(journal, id_)


@pytest.mark.slow
def test_labels_from_the_terminal_become_a_folder_that_training_accepts(journal: JournalStore, tmp_path: Path) -> None:
    path, lesson = str(journal.path), tmp_path / "lesson"
    for number, said in enumerate(["right", "right", "dog_bark", "none", "dog_bark", "right"]):
        done = soundwatch("label", id_of(number), said, "--journal", path)
        assert done.returncode == 0, done.stderr
    assert soundwatch("label", id_of(0), "dog_barc", "--journal", path).returncode == 2
    assert soundwatch("label", "nothing", "right", "--journal", path).returncode == 2
    made = soundwatch("teach", lesson, "--journal", path, "--clips", tmp_path / "clips")
    assert made.returncode == 0, made.stderr
    assert made.stdout.decode().split() == ["2", "dog_bark", "1", "negatives", "3", "siren"]
    checked = soundwatch("data", "check", lesson / "sounds", "--layout", "folders", "--json")
    assert checked.returncode == 0, checked.stderr
    assert all(finding["severity"] == "warning" for finding in json.loads(checked.stdout)["findings"])
    again = soundwatch("teach", lesson, "--journal", path, "--clips", tmp_path / "clips")
    assert again.returncode == 7
    assert b"is not empty" in again.stderr


@pytest.mark.slow
def test_a_journal_that_a_daemon_writes_to_takes_labels_all_the_while(journal: JournalStore, tmp_path: Path) -> None:
    done = soundwatch("label", id_of(1), "none", "--journal", str(journal.path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"siren of 2026-09-21T14:13:21.000Z at mic0: none of the classes\n"
    assert journal.query("SELECT id, class FROM labels") == [(id_of(1), None)]


@pytest.mark.slow
def test_without_clips_there_is_nothing_to_teach(journal: JournalStore, tmp_path: Path) -> None:
    done = soundwatch("teach", tmp_path / "lesson", "--journal", str(journal.path))
    assert done.returncode == 2
    assert b"No folder of clips is configured" in done.stderr
