"""Download of UrbanSound8K with `soundata`, which knows its address and the hashes of its files.

Source: soundata (Fuentes et al. 2021), `initialize(name, data_home).download()`, then `.validate()`.
Does not: mirror the data, or load it: `train` reads the downloaded layout.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.process.extras import install_command
from soundwatch.training.data.datasets.urbansound8k import OBTAIN, read_metadata

DATASET = "urbansound8k"


def download(folder: Path) -> int:
    """Download UrbanSound8K into a folder; existing files are not downloaded again.

    Returns:
        The number of clips in the folder.

    Raises:
        DataError: soundata is not installed, the download failed, or files are missing after it or damaged.
    """
    try:
        soundata = importlib.import_module("soundata")
    except ModuleNotFoundError as error:
        raise DataError(
            f"The download needs the Python package {error.name}, which is not installed. Install it with "
            f"{install_command('data')}."
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        dataset = soundata.initialize(DATASET, data_home=str(folder))
        dataset.download()
        missing, damaged = dataset.validate()
    except Exception as error:  # exceptions of its network library and of zipfile
        raise DataError(
            f"The download into {folder} failed: {type(error).__name__}: {error}. What is complete is kept; give the "
            f"same command again. {OBTAIN}"
        ) from error
    # Both are {"clips": {id: [paths]}, "metadata": {id: [paths]}}.
    wrong = sum(len(paths) for kind in (missing, damaged) for files in kind.values() for paths in files.values())
    if wrong:
        raise DataError(
            f"{wrong} files in {folder} are missing or damaged after the download. Remove {folder} and give the same "
            "command again."
        )
    return sum(clip.is_there for clip in read_metadata(folder))
