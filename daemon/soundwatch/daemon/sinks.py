"""Where lines go: standard output and files.

Conventions: a sink is named on the command line (`-F`) and in the configuration (`sinks:`) alike:
`json` is standard output, `json:PATH` appends to a file. Each line reaches the operating system
before `write` returns.
Does not: decide what a failure means (`journal.py`).
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from soundwatch.daemon.errors import ConfigError, SinkError
from soundwatch.daemon.types import Sink


class LineFile:
    """Lines appended to an open file, unbuffered.

    A full disk can take a part of a line. The rest is then lost, and the next line that fits starts
    on a line of its own, so that readers see at most one broken line.
    """

    def __init__(self, name: str, file_descriptor: int, *, owned: bool) -> None:
        self.name = name
        self._file_descriptor = file_descriptor
        self._owned = owned
        self._torn = False

    def write(self, line: bytes) -> None:
        """Write one line.

        Raises:
            OSError: None or a part of it was written.
        """
        text = b"\n" + line if self._torn else line
        while text:
            written = os.write(self._file_descriptor, text)
            if written == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            text = text[written:]
            self._torn = bool(text)

    def close(self) -> None:
        """Close the file, if it was opened here."""
        if self._owned:
            self._owned = False
            os.close(self._file_descriptor)


def open_sink(text: str) -> Sink:
    """Open the sink that `-F` or `sinks:` names.

    Raises:
        ConfigError: No such kind of sink.
        SinkError: The file cannot be opened.
    """
    kind, _, path = text.partition(":")
    if kind != "json":
        raise ConfigError(f"-F {text} names no known sink; `json` (standard output) or `json:PATH` was wanted.")
    if not path:
        return LineFile("stdout", sys.stdout.fileno(), owned=False)
    try:
        file_descriptor = os.open(
            Path(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644
        )
    except OSError as error:
        raise SinkError(
            f"{path} cannot be opened for events: {error.strerror}. Give a file in a folder that exists and that "
            "this user may write to."
        ) from error
    return LineFile(path, file_descriptor, owned=True)
