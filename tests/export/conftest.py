"""One small checkpoint and its exported files, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console

from soundwatch.daemon.core.model.contract import ModelContract, encode_contract
from soundwatch.export import formats
from soundwatch.export.exporter import export_checkpoint
from soundwatch.training.model.checkpoint import hash_network
from support.checkpoint_factory import write_checkpoint

QUIET = Console(quiet=True)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _one_file_a_network() -> Iterator[None]:
    """Write each network and contract to ONNX once: torch takes 1.4 s of processor time, for equal bytes."""
    write, written = formats.WRITERS["onnx"], dict[tuple[str, str], bytes]()

    def write_once(network: torch.nn.Module, contract: ModelContract) -> bytes:
        key = hash_network(network), encode_contract(contract)
        if key not in written:
            written[key] = write(network, contract)
        return written[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(formats.WRITERS, "onnx", write_once)
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("run") / "checkpoint.pt")


@pytest.fixture(scope="session")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported")
    export_checkpoint(checkpoint, ["onnx", "torchscript"], out, None, QUIET)
    return out
