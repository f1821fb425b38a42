"""Backups of a machine, restored in an empty folder."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from soundwatch.daemon.app.detached_view import detached_view
from soundwatch.daemon.backup.archive import FORMAT, MANIFEST, read_manifest
from soundwatch.daemon.backup.restore import RestoreTargets, restore_backup
from soundwatch.daemon.backup.save import save_backup
from soundwatch.daemon.core.config import Config, JournalConfig
from soundwatch.daemon.core.config_file import load_config
from soundwatch.daemon.core.errors import ConfigError, StoreError
from soundwatch.daemon.diagnostics.finding import CheckInput
from soundwatch.daemon.diagnostics.storage_checks import check_unfinished
from soundwatch.daemon.journal.labels import set_label
from soundwatch.daemon.journal.lock import JournalLock
from soundwatch.daemon.journal.store import JournalStore
from support.busy_week import FIRST, event_lines, write_busy_journal
from support.cli_runner import SOUNDWATCH, soundwatch
from support.journal_factory import row

TABLES = ("lines", "labels", "cursors", "identity", "ages", "clip_folders")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder with a configuration, a calibration, clips, and an open journal with labels."""
    home = tmp_path / "old"
    (home / "clips" / "siren").mkdir(parents=True)
    (home / "clips" / "siren" / "a.flac").write_bytes(b"sound")
    (home / "calibration.json").write_text("{}")
    (home / "config.yaml").write_text(
        "node: balcony\ndetection: {calibration: calibration.json}\n"
        f"journal: {{path: {home}/journal.db}}\nclips: {{folder: {home}/clips}}\n"
    )
    store = write_busy_journal(home / "journal.db")
    set_label(store, f"01JD8Z{1:020d}", "2024-11-12T00:00:00.000Z", "car_horn")
    yield home
    store.close()


def rows(path: Path) -> dict[str, list[Any]]:
    store = JournalStore(path, writing=False)
    found = {table: store.query(f"SELECT * FROM {table}") for table in TABLES}  # noqa: S608
    assert store.query("PRAGMA integrity_check") == [("ok",)]
    store.close()
    return found


def saved(home: Path, *, clips: bool = False) -> Path:
    out = home.parent / "machine.backup"
    save_backup(out, load_config(home / "config.yaml"), home / "config.yaml", clips=clips)
    return out


def new_place(home: Path) -> RestoreTargets:
    new = home.parent / "new"
    return RestoreTargets(new / "config.yaml", str(new / "journal.db"), str(new / "clips"))


def rebuilt(archive: Path, change: Any) -> Path:
    """Write an archive again with members that `change` has changed."""
    out = archive.with_name("changed.backup")
    with tarfile.open(archive) as old, tarfile.open(out, "w:gz") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            for name, data in change(member.name, content.read()):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                new.addfile(info, io.BytesIO(data))
    return out


@pytest.mark.slow
def test_a_machine_is_moved_to_an_empty_folder_by_the_commands(home: Path, tmp_path: Path) -> None:
    out, new = tmp_path / "b.backup", tmp_path / "new"
    done = soundwatch("backup", out, "--with-clips", "--config", home / "config.yaml", timeout=120)
    assert done.returncode == 0, done.stderr
    assert out.stat().st_mode & 0o777 == 0o600
    options = ("--config", new / "config.yaml", "--journal", new / "journal.db", "--clips", new / "clips")
    done = soundwatch("restore", out, *options, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[0] == f"config.yaml: {new / 'config.yaml'}"
    assert rows(new / "journal.db") == rows(home / "journal.db")
    for name in ("config.yaml", "calibration.json", "clips/siren/a.flac"):
        assert (new / name).read_bytes() == (home / name).read_bytes()
    again = soundwatch("restore", out, *options, timeout=120)
    assert again.returncode == 2
    assert b"exists, so nothing is restored" in again.stderr


def test_a_backup_while_lines_are_written_is_one_state(home: Path) -> None:
    store = JournalStore(home / "journal.db")
    first, ended = store.last_seq() + 1, threading.Event()

    def write() -> None:
        seq = first
        while not ended.is_set():  # an event's lines go in one commit
            start, end = event_lines(seq, FIRST, 1.0)
            store.commit([row(seq, start), row(seq + 1, end)])
            seq += 2

    writer = threading.Thread(target=write)
    writer.start()
    try:
        out = saved(home)
    finally:
        ended.set()
        writer.join()
        store.close()
    restore_backup(out, new_place(home), overwrite=False)
    found, whole = rows(home.parent / "new" / "journal.db")["lines"], rows(home / "journal.db")["lines"]
    assert found == whole[: len(found)]
    assert (len(found) - first + 1) % 2 == 0


def test_existing_data_is_replaced_only_if_asked_and_never_under_a_daemon(home: Path) -> None:
    out, targets = saved(home), new_place(home)
    restore_backup(out, targets, overwrite=False)
    journal = home.parent / "new" / "journal.db"
    (home.parent / "new" / "config.yaml").write_text("node: changed\n")
    with pytest.raises(ConfigError, match="exists, so nothing is restored"):
        restore_backup(out, targets, overwrite=False)
    lock = JournalLock(journal)
    with pytest.raises(StoreError, match="in use by another soundwatch"):
        restore_backup(out, targets, overwrite=True)
    assert targets.config_path.read_text() == "node: changed\n"
    lock.release()
    restore_backup(out, targets, overwrite=True)
    assert load_config(targets.config_path).node == "balcony"
    assert rows(journal) == rows(home / "journal.db")


class KilledError(BaseException):
    """The end of a process at a given place."""


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_restore_that_is_killed_leaves_the_former_journal_or_the_restored_one(
    home: Path, monkeypatch: pytest.MonkeyPatch, is_replaced: bool
) -> None:
    out, targets = saved(home), new_place(home)
    restore_backup(out, targets, overwrite=False)
    restored = rows(journal := home.parent / "new" / "journal.db")
    store = JournalStore(journal)
    last_seq = store.last_seq()
    store.commit([replace(found, seq=last_seq + number) for number, found in enumerate(store.stored_after(0, 49), 1)])
    files = {path: path.read_bytes() for path in journal.parent.glob("journal.db*")}  # as a killed daemon leaves them
    store.close()
    for path, content in files.items():
        path.write_bytes(content)
    assert (journal.parent / "journal.db-wal").stat().st_size > 0
    rename = Path.replace

    def renamed(part: Path, place: Path) -> None:
        if place.name == "journal.db" and not is_replaced:
            raise KilledError
        rename(part, place)
        if place.name == "journal.db":
            raise KilledError

    monkeypatch.setattr(Path, "replace", renamed)
    with pytest.raises(KilledError):
        restore_backup(out, targets, overwrite=True)
    found = rows(journal)["lines"]
    assert len(found) == len(restored["lines"]) + (0 if is_replaced else 49)


def test_a_restore_removes_the_files_of_one_that_was_killed(home: Path) -> None:
    out, targets = saved(home), new_place(home)
    restore_backup(out, targets, overwrite=False)
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    stale = targets.config_path.with_name(f".soundwatch-restore-{ended.pid}-0")
    running = targets.config_path.with_name(f".soundwatch-restore-{os.getppid()}-1")
    for path in (stale, running):
        path.write_text("")
    backup = targets.config_path.with_name(f".soundwatch-backup-{ended.pid}-x_1")
    backup.mkdir()
    config = Config(journal=JournalConfig(path=str(targets.config_path.with_name("none.db"))))
    case = CheckInput(config, None, targets.config_path, listens=False, view=detached_view)
    assert [found.seen.partition(" ")[0] for found in check_unfinished(case)] == [str(backup), str(stale)]
    restore_backup(out, targets, overwrite=True)
    assert (stale.exists(), running.exists()) == (False, True)
    with pytest.raises(StoreError, match="There is no journal"):
        save_backup(targets.config_path.with_name("new.backup"), config, None, clips=False)
    assert not backup.exists(), "the next backup there removes the folder of one that was killed"


def test_the_calibrations_of_sources_are_restored_where_the_configuration_names_them(home: Path) -> None:
    (home / "own").mkdir()
    for name in ("yard", "roof"):
        (home / "own" / f"{name}.json").write_text(f'{{"{name}": 1}}')
    with (home / "config.yaml").open("a") as file:
        file.write(
            "sources:\n  yard: {detection: {calibration: own/yard.json}}\n"
            "  'roof 2': {detection: {calibration: own/roof.json}}\n  street: {detection: {calibration: false}}\n"
        )
    paths = restore_backup(saved(home), new_place(home), overwrite=False)
    new = home.parent / "new"
    for name in ("calibration.json", "own/yard.json", "own/roof.json"):
        assert (new / name).read_bytes() == (home / name).read_bytes()
    assert [name for name in paths if name.startswith("calibrations/")] == [
        "calibrations/yard.json",
        "calibrations/roof%202.json",
    ]


@pytest.mark.skipif(os.name != "posix", reason="this system has no limits of files")
def test_a_disk_without_space_for_the_copy_is_a_message_and_leaves_nothing(home: Path, tmp_path: Path) -> None:
    size = (home / "journal.db").stat().st_size
    folder = tmp_path / "out"
    folder.mkdir()
    limited = ["/bin/sh", "-c", f'ulimit -f {size // 512 // 4}; exec "$@"', "sh", SOUNDWATCH]
    command = [*limited, "backup", str(folder / "b.backup"), "--config", str(home / "config.yaml")]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode == 9, done.stderr
    assert b"cannot be copied to" in done.stderr
    assert b"Traceback" not in done.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="this system has no limits of files")
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_disk_without_space_for_the_files_is_named_and_nothing_changes(home: Path, overwrite: bool) -> None:
    import resource

    archive, new = saved(home, clips=True), new_place(home)
    if overwrite:
        restore_backup(archive, new, overwrite=False)
        new.config_path.write_text("node: other\n")
    before = {path: path.read_bytes() for path in home.parent.rglob("*") if path.is_file()}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((home / "journal.db").stat().st_size // 2, limit[1]))
    try:
        with pytest.raises(ConfigError, match=r"new/journal.db: File too large. Nothing is restored. Free space there"):
            restore_backup(archive, new, overwrite=overwrite)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert {path: path.read_bytes() for path in home.parent.rglob("*") if path.is_file()} == before
    assert new.config_path.parent.exists() == overwrite


def test_a_folder_in_the_place_of_a_file_is_refused(home: Path) -> None:
    new = new_place(home)
    new.config_path.mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"config.yaml is a folder"):
        restore_backup(saved(home), new, overwrite=True)


def test_a_backup_among_the_clips_is_refused_and_a_journal_there_is_no_clip(home: Path) -> None:
    config = load_config(home / "config.yaml")
    for out in (home / "clips" / "a.backup", home / "clips" / "siren" / ".." / "b.backup"):
        with pytest.raises(ConfigError, match="lies in the folder of the clips"):
            save_backup(out, config, None, clips=True)
    assert len(list((home / "clips").rglob("*"))) == 2
    wide = msgspec.structs.replace(config, clips=msgspec.structs.replace(config.clips, folder=str(home)))
    names = save_backup(home.parent / "c.backup", wide, None, clips=True)
    assert "clips/clips/siren/a.flac" in names
    assert not [name for name in names if name.startswith("clips/journal.db")]


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "clips/../../evil", "clips/./a", "journal.db-wal", "clips\\a"]
)
def test_a_name_that_leads_elsewhere_is_refused(home: Path, name: str) -> None:
    def change(member: str, data: bytes) -> list[tuple[str, bytes]]:
        if member == MANIFEST:
            return [(member, data.replace(b'"config.yaml"', msgspec.json.encode(name)))]
        return [(name if member == "config.yaml" else member, data)]

    with pytest.raises(ConfigError, match="no backup of soundwatch has"):
        restore_backup(rebuilt(saved(home), change), new_place(home), overwrite=True)
    assert not (home.parent / "new").exists()
    assert not (home.parent / "evil").exists()


def test_a_damaged_or_foreign_archive_is_refused_before_anything_is_written(home: Path) -> None:
    out = saved(home)

    def flip(member: str, data: bytes) -> list[tuple[str, bytes]]:
        return [(member, data.replace(b"siren", b"sirex", 1) if member == "journal.db" else data)]

    def drop(member: str, data: bytes) -> list[tuple[str, bytes]]:
        return [] if member == "journal.db" else [(member, data)]

    def add(member: str, data: bytes) -> list[tuple[str, bytes]]:
        return [(member, data), ("clips/more", b"")] if member == "journal.db" else [(member, data)]

    def later(member: str, data: bytes) -> list[tuple[str, bytes]]:
        return [(member, data.replace(b'"format":%d' % FORMAT, b'"format":9', 1))]

    for change, message in (
        (flip, "differs from its checksum"),
        (drop, "journal.db is missing"),
        (add, "does not list"),
        (later, "format 9; this release reads"),
    ):
        with pytest.raises(ConfigError, match=message):
            restore_backup(rebuilt(out, change), new_place(home), overwrite=True)
    whole = out.read_bytes()
    for content in (b"", b"not a backup", whole[: len(whole) // 2], whole[:300]):
        out.write_bytes(content)
        with pytest.raises(ConfigError, match="backup"):
            restore_backup(out, new_place(home), overwrite=True)
    assert not (home.parent / "new").exists()


def test_a_journal_of_a_later_release_is_refused(home: Path) -> None:
    def change(member: str, data: bytes) -> list[tuple[str, bytes]]:
        return [(member, data.replace(b'"journal_format":', b'"journal_format":9', 1))]

    with pytest.raises(StoreError, match="Install that release"):
        restore_backup(rebuilt(saved(home), change), new_place(home), overwrite=True)


def test_without_a_configuration_only_the_journal_is_saved(home: Path) -> None:
    out = home.parent / "journal.backup"
    save_backup(out, load_config(home / "config.yaml"), None, clips=False)
    assert [file.name for file in read_manifest(out).files] == ["journal.db"]


def test_clips_that_are_not_configured_are_an_error(home: Path) -> None:
    (home / "config.yaml").write_text(f"journal: {{path: {home}/journal.db}}\n")
    with pytest.raises(ConfigError, match=r"has no clips\.folder"):
        saved(home, clips=True)
