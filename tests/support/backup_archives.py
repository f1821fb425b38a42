"""Backups of a home, and archives with other contents."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

from soundwatch.daemon.backup.restore import RestoreTargets
from soundwatch.daemon.backup.save import save_backup
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.journal.store import JournalStore

TABLES = ("lines", "labels", "cursors", "identity", "ages", "clip_folders")


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
