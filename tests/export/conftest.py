"""One small checkpoint and its exported files, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rich.console import Console

from soundwatch.export.exporter import export_checkpoint
from support.checkpoint_factory import write_checkpoint

QUIET = Console(quiet=True)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("run") / "checkpoint.pt")


@pytest.fixture(scope="session")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported")
    export_checkpoint(checkpoint, ["onnx", "torchscript"], out, None, QUIET)
    return out
