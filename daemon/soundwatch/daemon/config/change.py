"""Records of a change of the configuration file by a running daemon, and the interface of what changes it.

Conventions: a key's path is the names of the keys from the top. A tag names the content of the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.yaml_edit import KeyPath
from soundwatch.daemon.core.errors import ConfigError


class ConfigConflictError(ConfigError):
    """The file was changed since it was read."""


class ConfigBusyError(ConfigError):
    """A change of the file is being applied, and its end was not awaited."""


@dataclass(frozen=True, slots=True)
class ConfigContent:
    """The present content of the configuration file.

    Attributes:
        path: The file.
        tag: Tag of the content.
        config: The configuration that the content gives.
        keys: Paths of the values that the content has.
        problem: Reason why the file cannot be changed; empty if it can.
    """

    path: Path
    tag: str
    config: Config
    keys: frozenset[KeyPath]
    problem: str


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line that a change deletes or adds, without secrets.

    Attributes:
        number: Number of the line in the former text, or in the new one.
        kind: Whether the line is deleted or added.
        text: The line.
    """

    number: int
    kind: Literal["deleted", "added"]
    text: str


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A change of the file.

    Attributes:
        state: `checked` if nothing was written, `unchanged` for an equal content, `reloaded` if the new values are in
            force, `restart` if they are after a restart.
        tag: Tag of the content from now on.
        lines: The lines that differ.
        restart: Keys that need a restart.
        detail: Changes by the reload.
        backup: Path of the copy of the former content; None if nothing was written.
    """

    state: Literal["checked", "unchanged", "reloaded", "restart"]
    tag: str
    lines: Sequence[DiffLine]
    restart: Sequence[str] = ()
    detail: str = ""
    backup: str | None = None


class ConfigEditor(Protocol):
    """Editor of the configuration file (`app/config_editor.py`)."""

    def read(self) -> ConfigContent:
        """Return the present content."""

    def change(
        self, changes: Mapping[KeyPath, Any], removed: Sequence[KeyPath], tag: str, *, dry_run: bool
    ) -> ConfigChange:
        """Check and write other values, and reload."""
