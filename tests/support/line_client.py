"""A client of the socket server."""

from __future__ import annotations

import json
import socket
from typing import Any

from support.cli_runner import VALIDATOR

PATIENCE_S = 60.0


class Client:
    """A client that reads lines."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address)
        self.socket.settimeout(PATIENCE_S)
        self._file = self.socket.makefile("rb")

    def line(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._file.readline())
        VALIDATOR.validate(found)
        return found

    def rest(self) -> list[dict[str, Any]]:
        """Read all lines up to the end of the connection."""
        return [json.loads(line) for line in self._file]

    def close(self) -> None:
        self._file.close()
        self.socket.close()
