"""Restore a backup: check the whole archive and all targets, then write the files.

Conventions: the configuration goes to the file that the user names; the calibrations to their places in that
configuration; the journal and the clips to the places of the restored configuration, or to those that the user names.
Nothing is written if a target exists, without `overwrite`, or while a daemon uses the journal that would be replaced.
All files are first written beside their places, then renamed: a full disk leaves everything as before.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
from soundwatch.daemon.backup.install import install_files, new_folders
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.errors import ConfigError, SinkError, StoreError
from soundwatch.daemon.core.files.paths import is_there
from soundwatch.daemon.journal.file.lock import JournalLock
from soundwatch.daemon.journal.file.migrations import FORMAT
from soundwatch.daemon.journal.location import journal_path


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
        ConfigError: The archive is refused, or a target exists.
        SinkError: A file cannot be written.
        StoreError: The journal is of a later release, or a daemon uses the journal that would be replaced.
    """
    manifest = read_manifest(archive)
    if manifest.journal_format is not None and manifest.journal_format > FORMAT:
        raise StoreError(
            f"{archive} has a journal of format {manifest.journal_format} by soundwatch {manifest.soundwatch}; this "
            f"release reads up to {FORMAT}. Install that release, or a later one."
        )
    try:
        paths = _paths(manifest, archive, targets)
        _check_free(paths.values(), archive, overwrite=overwrite)
        with new_folders(paths.values()), _writer_lock(paths.get(JOURNAL)):
            install_files(archive, paths)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        do = "Free space there, or name another place" if full else "Name another place"
        raise SinkError(f"{error.filename or archive}: {error.strerror}. Nothing is restored. {do}.") from error
    return paths


def _check_free(paths: Iterable[Path], archive: Path, *, overwrite: bool) -> None:
    """Refuse places that are taken."""
    existing = [path for path in paths if is_there(path)]
    if any(path.samefile(archive) for path in existing):
        raise ConfigError(f"{archive} is the archive itself, so nothing is restored to it. Name another place.")
    if folders := [path for path in existing if path.is_dir()]:
        raise ConfigError(f"{folders[0]} is a folder, where a file would be restored. Name another place.")
    if existing and not overwrite:
        raise ConfigError(f"{existing[0]} exists, so nothing is restored. Name another place, or add --overwrite.")


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
        extract_files(archive, lambda name, content: copy_content(content, path, path) if name == CONFIG else None)
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
    absent = not path.exists()
    lock = JournalLock(path)
    try:
        yield
    except BaseException:
        if absent and path.stat().st_size == 0:  # the lock made the file
            path.unlink()
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
        raise
    finally:
        lock.release()
