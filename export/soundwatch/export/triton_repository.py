"""Model repository for NVIDIA's Triton Inference Server.

Conventions: `NAME/config.pbtxt`, `NAME/1/model.onnx` and the card `NAME/NAME.md`; the folder that holds NAME is what
`tritonserver --model-repository` is given. The server has the network alone: mel decibels in, logits out. The front end
is the daemon's, by the contract, which the configuration carries among its parameters and the daemon asks for.
Source: Triton's model configuration, https://docs.nvidia.com/deeplearning/triton-inference-server.
Does not: prove the network (`exporter.py` has), or start a server.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from soundwatch.daemon.core.model.contract import CONTRACT_KEY, ModelContract, encode_contract
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.inference.onnx_model import TAG_OUTPUT
from soundwatch.daemon.inference.triton_client import MAX_BATCH_WINDOWS
from soundwatch.export.exporter import export_checkpoint
from soundwatch.export.report import Verification
from soundwatch.export.staging import check_outputs, staging_folder
from soundwatch.training.data.datasets.everyday_sounds import EverydayClip
from soundwatch.training.model.pretrained import open_model

QUEUE_US: Final = 5_000  # windows that come within it are one batch; a two-hundredth of a hop


def export_repository(
    checkpoint: Path,
    out: Path,
    clip: Path | None,
    console: Console,
    sounds: Sequence[EverydayClip] = (),
    *,
    overwrite: bool = False,
) -> tuple[list[Path], Verification]:
    """Write and verify the network, and put its repository in place.

    Args:
        checkpoint: What `soundwatch train` wrote.
        out: The model repository, made if it is not there; other models in it stay.
        clip: A recording for the probe clip; None for one made by code.
        console: For progress.
        sounds: As in `export_checkpoint`.
        overwrite: Replace the model in the repository.

    Returns:
        The files in place, the card last, and the verification.

    Raises:
        SoundwatchError: As `export_checkpoint`.
    """
    check_outputs(out, [open_model(checkpoint)[1].name], overwrite)
    with staging_folder(out) as folder:
        (model, card), verification = export_checkpoint(checkpoint, ["onnx"], folder, clip, console, sounds)
        contract = load_classifier_file(model, "cpu").contract
        version = folder / "repository" / "1"
        version.mkdir(parents=True)
        model.replace(version / "model.onnx")
        card.replace(version.parent / card.name)
        (version.parent / "config.pbtxt").write_text(configuration(contract), encoding="utf-8")
        place = out / contract.name
        if place.exists():
            shutil.move(place, folder / "before")
        version.parent.replace(place)
    return [place / name for name in ("config.pbtxt", "1/model.onnx", card.name)], verification


def configuration(contract: ModelContract) -> str:
    """Return the text of `config.pbtxt`."""
    shape = ", ".join(map(str, contract.features.input_shape))
    widths = {"logits": len(contract.labels)} | ({TAG_OUTPUT: len(contract.tags)} if contract.tags else {})
    outputs = ", ".join(
        f'{{ name: "{name}" data_type: TYPE_FP32 dims: [ {width} ] }}' for name, width in widths.items()
    )
    return f"""# Written by `soundwatch export --format triton` for {contract.identity}.
name: {json.dumps(contract.name)}
backend: "onnxruntime"
max_batch_size: {MAX_BATCH_WINDOWS}
input [ {{ name: "mel_db" data_type: TYPE_FP32 dims: [ {shape} ] }} ]
output [ {outputs} ]

# Windows of many daemons that come within {QUEUE_US / 1000:g} ms are one batch.
dynamic_batching {{ max_queue_delay_microseconds: {QUEUE_US} }}

# One on each GPU; on the processor where there is none. Raise `count` until the GPU is busy.
instance_group [ {{ count: 1 kind: KIND_AUTO }} ]

# Ready means that a lone window and a full batch have been through it.
model_warmup [
{_warmup(1, shape)},
{_warmup(MAX_BATCH_WINDOWS, shape)}
]

# Contract that the daemon compares with its own.
parameters {{ key: {json.dumps(CONTRACT_KEY)} value {{ string_value: {json.dumps(encode_contract(contract))} }} }}
"""


def _warmup(windows: int, shape: str) -> str:
    given = f"data_type: TYPE_FP32 dims: [ {shape} ] random_data: true"
    return f'  {{ name: "{windows} windows" batch_size: {windows} inputs {{ key: "mel_db" value {{ {given} }} }} }}'
