"""Hash of the tensors and the graph of a model file, which its metadata declares and `model.sha256` pins.

Conventions: SHA-256 in lower-case hexadecimal. Metadata is left out, since it declares the hash; everything that the
runtime computes with is included. Two exports of one network to two formats have different hashes.
Source: the fields of ONNX's ModelProto in protobuf's wire format; the records of a TorchScript archive, a ZIP file.
Does not: authenticate. Only a pin in the configuration recognizes a file whose declared hash was altered, too.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import ModelError

CONTENT_KEY: Final = "soundwatch.content_sha256"
DESCRIPTIVE_FIELDS: Final = frozenset({2, 3, 4, 5, 6, 14})  # producer, version, domain, model version, text, metadata
MAX_UNPACKED_BYTES: Final = 1 << 30
_DESCRIPTIVE_FOLDERS: Final = ("/extra/", "/.data/")


def onnx_content_sha256(content: bytes) -> str:
    """Hash the fields of a ModelProto that are not descriptive: graph, tensors, functions, operator sets.

    Raises:
        ValueError: The content is not in protobuf's wire format.
    """
    digest = hashlib.sha256()
    for number, field in _fields(content):
        if number not in DESCRIPTIVE_FIELDS:
            digest.update(field)
    return digest.hexdigest()


def torchscript_content_sha256(content: bytes) -> str:
    """Hash the records of a TorchScript archive but its extra files.

    Raises:
        ValueError: The content is not a ZIP file, or too large when unpacked.
    """
    import zipfile  # for this format only

    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            records = sorted(archive.infolist(), key=lambda record: record.filename)
            if sum(record.file_size for record in records) > MAX_UNPACKED_BYTES:
                raise ValueError(f"the archive unpacks to more than {MAX_UNPACKED_BYTES} bytes")
            for record in records:
                if not any(folder in record.filename for folder in _DESCRIPTIVE_FOLDERS):
                    name = record.filename.partition("/")[2]  # the first folder is named after the file
                    data = archive.read(record)
                    digest.update(f"{len(name)} {name} {len(data)}\n".encode() + data)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(str(error)) from error
    return digest.hexdigest()


def check_content(path: Path, computed: str, declared: str | None) -> None:
    """Refuse a file whose tensors or graph differ from the declared hash; files without one predate it.

    Raises:
        ModelError: The file was altered after its export.
    """
    if declared is not None and declared != computed:
        raise ModelError(
            f"{path} was altered after its export: its tensors and graph have the hash {computed[:12]}, and its "
            f"metadata declares {declared[:12]}. Copy the file again, or export the checkpoint again."
        )


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each top-level field, its tag included."""
    start = 0
    while start < len(content):
        tag, end = _varint(content, start)
        match tag & 7:
            case 0:
                _, end = _varint(content, end)
            case 1:
                end += 8
            case 2:
                length, end = _varint(content, end)
                end += length
            case 5:
                end += 4
            case _:
                raise ValueError(f"wire type {tag & 7} at byte {start}")
        if end > len(content):
            raise ValueError(f"the field at byte {start} ends after the content")
        yield tag >> 3, content[start:end]
        start = end


def _varint(content: bytes, start: int) -> tuple[int, int]:
    """Decode a variable-length integer; return it and the position after it."""
    value = 0
    for shift, byte in enumerate(content[start : start + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, start + shift + 1
    raise ValueError(f"no integer at byte {start}")
