"""Backups of a machine, restored in an empty folder."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from soundwatch.daemon.app.detached_view import detached_view
from soundwatch.daemon.backup.restore import restore_backup
from soundwatch.daemon.backup.save import save_backup
from soundwatch.daemon.cli import soundwatch as commands
from soundwatch.daemon.config.config import Config, JournalConfig
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.errors import ConfigError, SinkError, StoreError
from soundwatch.daemon.core.files.folder_lock import locked_folder
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput
from soundwatch.daemon.diagnostics.doctor.storage_checks import check_unfinished
from soundwatch.daemon.journal.file.lock import JournalLock
from soundwatch.daemon.journal.store import JournalStore
from support.backup_archives import new_place, rows, saved
from support.busy_week import FIRST, event_lines
from support.cli_runner import SOUNDWATCH, soundwatch
from support.journal_factory import row


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


def test_an_archive_is_not_replaced_by_what_is_restored_from_it(home: Path) -> None:
    out = saved(home)
    before = out.read_bytes()
    with pytest.raises(ConfigError, match="is the archive itself"):
        restore_backup(out, replace(new_place(home), journal=str(out)), overwrite=True)
    assert out.read_bytes() == before


def test_a_file_that_a_command_reads_is_not_replaced_by_its_output(home: Path) -> None:
    (home / "link.db").symlink_to(home / "journal.db")
    for command in ("backup", "export-events --format csv", "digest --output"):
        for name in ("journal.db", "config.yaml", "link.db"):
            before = (home / name).read_bytes()
            arguments = [*command.split(), str(home / name), "--overwrite", "--config", str(home / "config.yaml")]
            with pytest.raises(ConfigError, match="is read by this command, so nothing is written to it"):
                commands.main(arguments, standalone_mode=False)
            assert (home / name).read_bytes() == before


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
    stale = targets.config_path.with_name(f".soundwatch-restore-{os.getppid()}-0")  # the id is that of another process
    stale.write_text("")
    backup = targets.config_path.with_name(f".soundwatch-backup-{os.getppid()}-x_1")
    backup.mkdir()
    config = Config(journal=JournalConfig(path=str(targets.config_path.with_name("none.db"))))
    case = CheckInput(config, None, targets.config_path, listens=False, view=detached_view)
    assert [found.seen.partition(" ")[0] for found in check_unfinished(case)] == [str(backup), str(stale)]
    with locked_folder(targets.config_path.parent):  # by another restore
        assert list(check_unfinished(case)) == []
        restore_backup(out, targets, overwrite=True)
        assert stale.exists()
    restore_backup(out, targets, overwrite=True)
    assert not stale.exists()
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
        with pytest.raises(SinkError, match=r"new/journal.db: File too large. Nothing is restored. Free space there"):
            restore_backup(archive, new, overwrite=overwrite)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert {path: path.read_bytes() for path in home.parent.rglob("*") if path.is_file()} == before
    assert new.config_path.parent.exists() == overwrite
