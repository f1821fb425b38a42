"""Restore a backup: check the whole archive and all targets, then write the files.

Conventions: the configuration goes to the file that the user names; the calibrations to their places in that
configuration; the journal and the clips to the places of the restored configuration, or to those that the user names.
Nothing is written if a target exists, without `overwrite`, or while a daemon uses the journal that would be replaced.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from soundwatch.daemon.backup.archive import (
    CALIBRATION,
    CALIBRATIONS,
    CLIPS,
    CONFIG,
    JOURNAL,
    Manifest,
    calibration_paths,
    copy_content,
    extract_files,
    read_manifest,
)
from soundwatch.daemon.core.atomic_file import replace_file
from soundwatch.daemon.core.config import Config
from soundwatch.daemon.core.config_file import load_config
from soundwatch.daemon.core.errors import ConfigError, StoreError
from soundwatch.daemon.journal.location import journal_path
from soundwatch.daemon.journal.lock import JournalLock
from soundwatch.daemon.journal.migrations import FORMAT


@dataclass(frozen=True, slots=True)
class RestoreTargets:
    """Places that the user names; None for those of the restored configuration.

    Attributes:
        config_path: Configuration file.
        journal: Journal file.
        clips_folder: Folder of clips.
    """

    config_path: Path
    journal: str | None = None
    clips_folder: str | None = None


def restore_backup(archive: Path, targets: RestoreTargets, *, overwrite: bool) -> dict[str, Path]:
    """Restore a backup.

    Returns:
        The path of each restored file, by its name in the archive.

    Raises:
        ConfigError: The archive is refused, a target exists, or a file cannot be written.
        StoreError: The journal is of a later release, or a daemon uses the journal that would be replaced.
    """
    manifest = read_manifest(archive)
    if manifest.journal_format is not None and manifest.journal_format > FORMAT:
        raise StoreError(
            f"{archive} has a journal of format {manifest.journal_format} by soundwatch {manifest.soundwatch}; this "
            f"release reads up to {FORMAT}. Install that release, or a later one."
        )
    paths = _paths(manifest, archive, targets)
    existing = [path for path in paths.values() if path.exists()]
    if existing and not overwrite:
        raise ConfigError(f"{existing[0]} exists, so nothing is restored. Name another place, or add --overwrite.")
    try:
        with _writer_lock(paths.get(JOURNAL)):
            extract_files(archive, lambda name, content: _write(name, content, paths[name]))
    except OSError as error:
        raise ConfigError(
            f"{error.filename or archive}: {error.strerror}. The backup is not fully restored."
        ) from error
    return paths


def _paths(manifest: Manifest, archive: Path, targets: RestoreTargets) -> dict[str, Path]:
    """Return the target of each file."""
    names = [file.name for file in manifest.files]
    config, calibrations = _archived_config(archive) if CONFIG in names else (Config(), {})
    paths: dict[str, Path] = {}
    for name in names:
        if name == CONFIG:
            paths[name] = targets.config_path
        elif name == CALIBRATION or name.startswith(f"{CALIBRATIONS}/"):
            if name not in calibrations:
                raise ConfigError(f"{archive} has the calibration {name}, which its configuration does not name.")
            paths[name] = targets.config_path.parent / calibrations[name]
        elif name == JOURNAL:
            paths[name] = _journal_target(config, targets)
        else:
            folder = targets.clips_folder or config.clips.folder
            if folder is None:
                raise ConfigError(f"{archive} has clips, and its configuration has no clips.folder. Add --clips DIR.")
            paths[name] = Path(folder).expanduser() / name.removeprefix(f"{CLIPS}/")
    return paths


def _archived_config(archive: Path) -> tuple[Config, dict[str, Path]]:
    """Read the configuration of an archive, and its calibrations as they are written there, by their names."""
    with tempfile.TemporaryDirectory(prefix="soundwatch-restore-") as folder:
        path = Path(folder) / CONFIG
        extract_files(archive, lambda name, content: copy_content(content, path) if name == CONFIG else None)
        config = load_config(path)
    named = calibration_paths(config).items()
    return config, {name: found.relative_to(folder) if found.is_relative_to(folder) else found for name, found in named}


def _journal_target(config: Config, targets: RestoreTargets) -> Path:
    journal = config.journal
    if targets.journal is not None:
        journal = msgspec.structs.replace(journal, path=targets.journal)
    path = journal_path(journal)
    if not isinstance(path, Path):
        raise ConfigError("The restored configuration keeps its journal in memory. Give a file with --journal.")
    return path


@contextmanager
def _writer_lock(path: Path | None) -> Iterator[None]:
    """Hold the lock of the journal that is replaced, so nothing is written while a daemon uses the journal."""
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    absent = not path.exists()
    lock = JournalLock(path)
    try:
        yield
    except BaseException:
        if absent and path.stat().st_size == 0:  # the lock made the file
            path.unlink()
        raise
    finally:
        lock.release()


def _write(name: str, content: IO[bytes], path: Path) -> None:
    """Write one file."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(path, lambda part: copy_content(content, part), mode=0o600)
    if name == JOURNAL:
        for suffix in ("-wal", "-shm"):  # of the journal that was replaced
            path.with_name(path.name + suffix).unlink(missing_ok=True)
