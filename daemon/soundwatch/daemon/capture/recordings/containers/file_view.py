"""A part of a file as a separate file, for libsndfile's virtual input.

Conventions: offset 0 is the first byte of the part's header. A read error ends the view and is kept in `error`, since
an exception cannot pass through libsndfile.
Does not: close the file.
"""

from __future__ import annotations

import io
from typing import Any

from soundwatch.daemon.capture.recordings.containers.layout import Part


class FileView:
    """A read-only view.

    Args:
        file: The file.
        part: The part to present.
        header: Bytes in front of the range; None for the part's header.
    """

    def __init__(self, file: io.BufferedReader, part: Part, header: bytes | None) -> None:
        self._file = file
        self._part = part
        self._header = part.header if header is None else header
        self._position = 0
        self.error: OSError | None = None

    @property
    def left_bytes(self) -> int:
        """Number of bytes after the position."""
        return max(0, self._size - self._position)

    @property
    def file_position(self) -> int:
        """The position as an offset in the file."""
        return self._part.start + max(0, self._position - len(self._header))

    @property
    def _size(self) -> int:
        return len(self._header) + self._part.size_bytes

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, count: int = -1) -> bytes:
        """Read up to `count` bytes, all of the rest if negative; none at the end or after an error."""
        content = bytearray(self.left_bytes if count < 0 else min(count, self.left_bytes))
        return bytes(content[: self.readinto(content)])

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, and return the number of bytes; 0 at the end or after an error."""
        wanted = min(len(buffer), self.left_bytes) if self.error is None else 0
        head = self._header[self._position : self._position + wanted]
        buffer[: len(head)] = head
        count = len(head)
        try:
            if count < wanted:
                place = self._part.start + self._position + count - len(self._header)
                if self._file.tell() != place:
                    self._file.seek(place)
                count += self._file.readinto(memoryview(buffer)[count:wanted])
        except OSError as error:
            self.error = error
        self._position += count
        return count

    def write(self, content: bytes) -> int:
        """Refuse to write; libsndfile requires the method.

        Raises:
            OSError: Always.
        """
        raise io.UnsupportedOperation(f"{len(content)} bytes were to be written to a view of a recording")
