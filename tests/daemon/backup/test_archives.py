"""Archives and configurations that are refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from soundwatch.daemon.backup.archive import FORMAT, MANIFEST, read_manifest
from soundwatch.daemon.backup.restore import restore_backup
from soundwatch.daemon.backup.save import save_backup
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.errors import ConfigError, StoreError
from support.backup_archives import new_place, rebuilt, saved


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
