"""The folder of clips, as the configuration names it."""

from __future__ import annotations

from pathlib import Path

from soundwatch.daemon.config.config import ClipsConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.files.paths import expand_path, is_folder


def clips_folder(config: ClipsConfig) -> Path | None:
    """Return the folder of the clips; None if no clips are recorded."""
    return None if config.folder is None else expand_path(config.folder)


def existing_clips_folder(config: ClipsConfig) -> Path:
    """Return the folder of the clips for a program that only reads them.

    Raises:
        ConfigError: No clips are recorded, or there is no such folder.
    """
    folder = clips_folder(config)
    if folder is None:
        raise ConfigError(
            "No folder of clips is configured; name one with --clips DIR, or a configuration with --config."
        )
    if not is_folder(folder):
        raise ConfigError(f"There is no folder of clips at {folder}. Name another with --clips DIR or clips.folder.")
    return folder
