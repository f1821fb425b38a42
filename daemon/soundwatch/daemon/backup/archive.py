"""The archive of a backup: a compressed tar file that begins with a manifest of its files.

Conventions: names in the archive are `config.yaml`, `calibration.json`, `calibrations/SOURCE.json`, `journal.db` and
`clips/...`; a name from an archive is never a path until `check_name` has accepted it. Every file has its size and its
SHA-256 in the manifest, and all of them are checked before the first file is restored.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final
from urllib.parse import quote

import msgspec

from soundwatch.daemon import __version__
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.text.foreign_json import JSON_ERRORS

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
CONFIG: Final = "config.yaml"
CALIBRATION: Final = "calibration.json"
CALIBRATIONS: Final = "calibrations"
JOURNAL: Final = "journal.db"
CLIPS: Final = "clips"
LARGEST_MANIFEST_BYTES: Final = 64_000_000
_CHUNK_BYTES: Final = 1 << 20


class ArchivedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of an archive."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """First file of an archive: `format` is that of the archive, `journal_format` that of its journal."""

    format: int
    soundwatch: str
    created: str
    node: str
    journal_format: int | None
    files: tuple[ArchivedFile, ...]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to archive, and its name in the archive."""

    name: str
    path: Path


def write_archive(path: Path, files: Sequence[SourceFile], created: str, node: str, journal_format: int | None) -> None:
    """Write an archive.

    Raises:
        OSError: A file cannot be read, or the archive cannot be written.
    """
    listed = tuple(_described(file) for file in files)
    manifest = Manifest(
        format=FORMAT, soundwatch=__version__, created=created, node=node, journal_format=journal_format, files=listed
    )
    encoded = msgspec.json.encode(manifest)
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, compresslevel=6) as tar:
        _add(tar, MANIFEST, io.BytesIO(encoded), len(encoded))
        for file, archived in zip(files, listed, strict=True):
            with file.path.open("rb") as content:
                _add(tar, archived.name, content, archived.bytes)


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of an archive, and check every file against it.

    Raises:
        ConfigError: The file is no archive, is damaged, has a name that is not allowed, or is of a later format.
    """
    with _opened(path) as tar:
        first = tar.next()
        content = None if first is None or first.name != MANIFEST else tar.extractfile(first)
        if first is None or content is None or first.size > LARGEST_MANIFEST_BYTES:
            raise ConfigError(f"{path} is not a backup of soundwatch: its first file is not {MANIFEST}.")
        encoded = content.read()
        _check_format(path, encoded)
        manifest = msgspec.json.decode(encoded, type=Manifest)
        expected = {file.name: file for file in manifest.files}
        for name in expected:
            check_name(path, name)
        found = set()
        while (member := tar.next()) is not None:
            file = expected.get(member.name)
            if file is None or not member.isreg() or member.name in found:
                raise ConfigError(f"{path} contains {member.name!r}, which its manifest does not list as a file.")
            content = tar.extractfile(member)
            assert content is not None
            if _digest(content) != (file.sha256, file.bytes):
                raise ConfigError(f"{path} is damaged: {member.name} differs from its checksum. Use another backup.")
            found.add(member.name)
        if missing := expected.keys() - found:
            raise ConfigError(f"{path} is incomplete: {min(missing)} is missing. Use another backup.")
    return manifest


def extract_files(path: Path, take: Callable[[str, IO[bytes]], object]) -> None:
    """Give every file of a checked archive to `take`, with its name.

    Raises:
        ConfigError: The archive cannot be read.
        OSError: `take` has failed so.
    """
    failed: OSError | None = None
    with _opened(path) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() and member.name != MANIFEST else None
            if content is None:
                continue
            try:
                take(member.name, content)
            except gzip.BadGzipFile:
                raise
            except OSError as error:  # of the file that is written, not of the archive
                failed = error
                break
    if failed is not None:
        raise failed


def check_name(path: Path, name: str) -> None:
    """Refuse a name that a backup cannot have, such as one that leads out of its folder.

    Raises:
        ConfigError: The name is not allowed.
    """
    parts = PurePosixPath(name).parts
    allowed = name in (CONFIG, CALIBRATION, JOURNAL) or (len(parts) > 1 and parts[0] in (CALIBRATIONS, CLIPS))
    plain = name == "/".join(parts) and not any(part in (".", "..") for part in parts)
    if not (allowed and plain) or any(character in name for character in "\\:\0"):
        raise ConfigError(f"{path} contains the name {name!r}, which no backup of soundwatch has. It is not restored.")


def calibration_paths(config: Config) -> dict[str, Path]:
    """Return every calibration that a configuration names, by its name in an archive."""
    own = {name: source.detection.calibration for name, source in config.sources.items()}
    found = {f"{CALIBRATIONS}/{quote(name, safe='')}.json": path for name, path in own.items()}
    named = {CALIBRATION: config.detection.calibration} | found
    return {name: Path(path) for name, path in named.items() if isinstance(path, str)}


def copy_content(content: IO[bytes], path: Path, place: Path) -> None:
    """Write a file of an archive to a path, synchronized with the disk.

    Raises:
        OSError: The file cannot be written; the error names `place`, where the file is to go.
    """
    try:
        with path.open("wb") as file:
            while part := content.read(_CHUNK_BYTES):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
    except gzip.BadGzipFile:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(place)) from error


def _check_format(path: Path, encoded: bytes) -> None:
    class Format(msgspec.Struct):
        format: int

    found = msgspec.json.decode(encoded, type=Format).format
    if found != FORMAT:
        raise ConfigError(
            f"{path} is a backup of format {found}; this release reads format {FORMAT}. Restore it with the release "
            "that wrote it, or a later one."
        )


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive; errors in it become one message."""
    try:
        with tarfile.open(path, "r:gz") as tar:
            yield tar
    except (tarfile.TarError, zlib.error, EOFError, *JSON_ERRORS) as error:
        raise ConfigError(f"{path} is not a backup of soundwatch, or is damaged: {error}.") from error
    except OSError as error:  # gzip reports a wrong header and a wrong checksum so
        raise ConfigError(f"{path} cannot be read as a backup: {error.strerror or error}.") from error


def _described(file: SourceFile) -> ArchivedFile:
    with file.path.open("rb") as content:
        sha256, size = _digest(content)
    return ArchivedFile(name=file.name, bytes=size, sha256=sha256)


def _digest(content: IO[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while part := content.read(_CHUNK_BYTES):
        digest.update(part)
        size += len(part)
    return digest.hexdigest(), size


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    tar.addfile(member, content)
