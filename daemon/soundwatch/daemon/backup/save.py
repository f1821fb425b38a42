"""Make a backup: configuration, calibrations, journal with its labels, and clips on request.

Conventions: the journal is copied by SQLite's backup interface, so the copy is one consistent state, also while a
daemon writes. The copy is made in a temporary folder in that of the archive; the next backup there removes the one of a
process that was killed. A clip that is deleted meanwhile is left out.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from soundwatch.daemon.backup.archive import CLIPS, CONFIG, JOURNAL, SourceFile, calibration_paths, write_archive
from soundwatch.daemon.config.clips_folder import clips_folder
from soundwatch.daemon.config.config import Config, node_name
from soundwatch.daemon.core.errors import ConfigError, SinkError, StoreError
from soundwatch.daemon.core.files.atomic_file import PART_SUFFIX, replace_file
from soundwatch.daemon.core.files.folder_lock import locked_folder
from soundwatch.daemon.core.files.unfinished import BACKUP_PREFIX, RESTORE_PREFIX, remove_unfinished
from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.journal.file.migrations import user_version
from soundwatch.daemon.journal.file.sqlite import copy_open_database
from soundwatch.daemon.journal.location import journal_path, open_for_reading


def save_backup(out: Path, config: Config, config_path: Path | None, *, clips: bool) -> list[str]:
    """Write a backup.

    Args:
        out: The archive.
        config: The configuration, with the journal and the clips that are saved.
        config_path: File of the configuration; None where it has none.
        clips: Also save the clips.

    Returns:
        Names of the saved files.

    Raises:
        ConfigError: No clips are configured, or `out` lies among the clips.
        SinkError: A file cannot be read or written, or the disk of the archive is full.
        StoreError: There is no journal, it cannot be read, or it cannot be copied.
    """
    saved_folder = _folder_of_clips(config, out) if clips else None
    try:
        remove_unfinished([out.parent], BACKUP_PREFIX)
        with (
            locked_folder(out.parent),
            tempfile.TemporaryDirectory(prefix=f"{BACKUP_PREFIX}{os.getpid()}-", dir=out.parent) as folder,
            closing(open_for_reading(config.journal)) as store,
        ):
            copy = store.transaction(lambda db: copy_open_database(db, Path(folder) / JOURNAL))
            journal_format = store.transaction(user_version)
            files = [*_config_files(config, config_path), SourceFile(JOURNAL, copy)]
            if saved_folder is not None:
                files += _clip_files(saved_folder, journal_path(config.journal))
            created, node = format_utc(time.time_ns()), node_name(config)
            replace_file(out, lambda part: write_archive(part, files, created, node, journal_format), mode=0o600)
    except OSError as error:
        raise SinkError(f"{error.filename or out}: {error.strerror}. The backup is not written.") from error
    except sqlite3.Error as error:
        failure = SinkError if error.sqlite_errorcode == sqlite3.SQLITE_FULL else StoreError
        raise failure(
            f"The journal cannot be copied to {out.parent}: {error}. The backup is not written. Free space there, or "
            "name another folder."
        ) from error
    return [file.name for file in files]


def _folder_of_clips(config: Config, out: Path) -> Path:
    """Return the folder of the clips, which the archive must not lie in."""
    folder = clips_folder(config.clips)
    if folder is None:
        raise ConfigError("--with-clips: the configuration has no clips.folder, so there are no clips to save.")
    if out.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{out} lies in the folder of the clips, which are saved too. Name another folder.")
    return folder


def _config_files(config: Config, path: Path | None) -> list[SourceFile]:
    """List the file of the configuration and those that it names; none where it has no file."""
    if path is None:
        return []
    return [SourceFile(CONFIG, path), *(SourceFile(name, own) for name, own in calibration_paths(config).items())]


def _clip_files(folder: Path, journal: Path | str) -> list[SourceFile]:
    """List the files of the folder of clips, without a journal that lies there and the parts of unfinished files."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    journals = tuple(f"{journal}{suffix}" for suffix in ("", "-wal", "-shm"))
    parts = [path for path in found if path.suffix == PART_SUFFIX or path.name.startswith(RESTORE_PREFIX)]
    clips = [path for path in found if str(path) not in journals and path not in parts]
    return [SourceFile(f"{CLIPS}/{path.relative_to(folder).as_posix()}", path) for path in clips]
