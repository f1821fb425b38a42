"""Folder for files that are not verified yet, and the files that an output folder already has.

Conventions: a folder inside the output folder, so that a verified file is put in place by a rename. The next export
into the output folder removes that of a process that was killed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from soundwatch.daemon.cli.options import check_overwrite
from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.core.files.folder_lock import locked_folder
from soundwatch.daemon.core.files.unfinished import EXPORT_PREFIX, remove_unfinished
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.export.model_card import card_name, model_card


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """Make the folder, and the output folder if it does not exist; what is left in the folder is removed at the end.

    Raises:
        SinkError: The output folder cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        remove_unfinished([out], EXPORT_PREFIX)
        prefix = f"{EXPORT_PREFIX}{os.getpid()}-"
        with locked_folder(out), tempfile.TemporaryDirectory(dir=out, prefix=prefix) as folder:
            yield Path(folder)
    except OSError as error:
        raise SinkError(
            f"{out} cannot be written to: {error.strerror or error}. Choose another --out, or make room."
        ) from error


def check_outputs(out: Path, names: Iterable[str], overwrite: bool, *inputs: Path | None) -> None:
    """Refuse to replace files or folders of these names in the output folder without `--overwrite`, before the work.

    Raises:
        ConfigError: One exists, or is a file that the command reads.
    """
    for name in names:
        check_overwrite(out / name, overwrite, *inputs)


def check_card(out: Path, contract: ModelContract, overwrite: bool) -> None:
    """Refuse to replace another model card of this name without `--overwrite`; an equal one may be written again.

    Raises:
        ConfigError: There is another one.
    """
    card = out / card_name(contract)
    try:
        equal = card.read_bytes() == model_card(contract).encode()
    except OSError:
        equal = False
    if not equal:
        check_overwrite(card, overwrite)
