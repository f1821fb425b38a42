"""TorchScript files of the shipped models, which the package has as ONNX only.

Conventions: a file is made once, by `soundwatch export` in a process of its own, and kept as
`soundwatch/models/HASH/NAME.ts` in XDG_CACHE_HOME or ~/.cache, where HASH is that of the ONNX file.
Does not: import torch or the export here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.core.files.atomic_file import replace_bytes
from soundwatch.daemon.core.model.contract import INT8_SUFFIX
from soundwatch.daemon.core.process.extras import install_command
from soundwatch.daemon.core.process.program_log import program_log

USUAL_S: Final = 60.0  # of a slow board
EXPORT_S: Final = 600.0
_PROGRAM: Final = "import sys; from soundwatch.daemon.cli import main; main(sys.argv[1:])"


def shipped_torchscript(name: str, shipped: Path) -> Path:
    """Return the TorchScript file of a shipped model; export it if the cache does not have it.

    Args:
        name: Name of the model.
        shipped: Its ONNX file.

    Raises:
        ModelError: The model is in 8 bits, torch is not installed, or the export failed.
    """
    if name.endswith(INT8_SUFFIX):
        raise ModelError(
            f"{name} has 8-bit integers, which only its ONNX file has. Use backend onnx, or the model "
            f"{name.removesuffix(INT8_SUFFIX)}."
        )
    if importlib.util.find_spec("torch") is None:
        raise ModelError(
            f"Backend torchscript needs torch, which is not installed. Install it with {install_command('training')}, "
            "or use backend onnx."
        )
    folder = _cache_folder() / hashlib.sha256(shipped.read_bytes()).hexdigest()[:12]
    file = folder / f"{name}.ts"
    if file.is_file():
        return file
    log = program_log()
    try:
        folder.mkdir(parents=True, exist_ok=True)  # before an export, which takes a minute
        with tempfile.TemporaryDirectory(prefix="soundwatch-export-") as made:  # an ended export leaves its parts
            if log is not None:
                log.info("torchscript_export_started", model=name, file=str(file), usual_s=USUAL_S, limit_s=EXPORT_S)
            _export(name, Path(made))
            replace_bytes(file, (Path(made) / file.name).read_bytes())
    except OSError as error:
        raise ModelError(f"{file} cannot be written: {error.strerror}. {_by_hand(name)}") from error
    return file


def _export(name: str, out: Path) -> None:
    """Export the TorchScript file of a shipped model into a folder, in a process of its own.

    Raises:
        ModelError: The export failed.
    """
    words = ["export", name, "--format", "torchscript", "--out", str(out)]
    try:
        done = subprocess.run(  # noqa: S603  # our own program
            [sys.executable, "-P", "-c", _PROGRAM, *words],  # -P: no module of the current folder
            capture_output=True,
            text=True,
            timeout=EXPORT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"The TorchScript file of {name} was not exported within {EXPORT_S:g} s. {_by_hand(name)}"
        ) from error
    if done.returncode != 0 or not (out / f"{name}.ts").is_file():
        reason = " ".join(done.stderr.split()[-40:]) or f"it ended with code {done.returncode}"
        raise ModelError(f"The TorchScript file of {name} cannot be exported: {reason} {_by_hand(name)}")


def _by_hand(name: str) -> str:
    return (
        f"Try `soundwatch export {name} --format torchscript --out models`, then `--model models/{name}.ts`, "
        "or use backend onnx."
    )


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  # raises nothing
    return Path(base) / "soundwatch" / "models"
