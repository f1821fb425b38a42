"""Reader of YAMNet's layers, for the initialization of a student.

Conventions: kernels are (out, in, M, T) float32, bands before frames; TensorFlow has frames first.
8-bit weights of the file are dequantized.
Source: YAMNet is MobileNet v1 with its batch norms folded into biases; every second convolution is depthwise.
Does not: run the layers (`distillation/teacher.py`), or initialize a student (`distillation/init_from_teacher.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soundwatch.daemon.core.errors import ModelError

_MEL_SHAPE: Final = [64, 257]
_STRIDES: Final = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)


@dataclass(frozen=True, slots=True)
class Layer:
    """Convolution of the teacher with its batch norm folded in.

    Attributes:
        kernel: Weights (out, in, M, T); in is 1 for a depthwise convolution.
        bias: Bias (out,).
        stride: Stride over bands and frames.
        depthwise: True for a depthwise convolution.
    """

    kernel: Tensor
    bias: Tensor
    stride: int
    depthwise: bool


@dataclass(frozen=True, slots=True)
class Trunk:
    """Layers of the teacher below its classes.

    Attributes:
        mel: Weights (M, F) of its mel bands.
        layers: Convolutions in order.
    """

    mel: Tensor
    layers: Sequence[Layer]


def read_trunk(path: Path) -> Trunk:
    """Read the convolutions and mel bands of YAMNet's .tflite file.

    Raises:
        ModelError: The file has other layers.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without delegates: a delegate would hide the single operations.
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    bands = [detail for detail in details.values() if list(detail["shape"]) == _MEL_SHAPE]
    operations = [operation for operation in interpreter._get_ops_details() if operation["op_name"].endswith("CONV_2D")]
    if len(bands) != 1 or len(operations) != 2 * len(_STRIDES) - 1:
        raise ModelError(
            f"{path} has {len(operations)} convolutions and {len(bands)} tables of mel bands; YAMNet's "
            f"{2 * len(_STRIDES) - 1} and 1 were expected."
        )
    layers = []
    for place, operation in enumerate(operations):
        kernel, bias = (_values(interpreter, details[index]) for index in operation["inputs"][1:3])
        depthwise = operation["op_name"] == "DEPTHWISE_CONV_2D"
        order = (3, 0, 2, 1) if depthwise else (0, 3, 2, 1)
        stride = _STRIDES[(place + 1) // 2] if depthwise or place == 0 else 1
        layers.append(
            Layer(torch.from_numpy(kernel.transpose(order).copy()), torch.from_numpy(bias), stride, depthwise)
        )
    return Trunk(torch.from_numpy(_values(interpreter, bands[0])), layers)


def _values(interpreter: Any, detail: dict[str, Any]) -> NDArray[np.float32]:
    """Read a tensor as float32, dequantized if it has 8 bits."""
    stored = interpreter.get_tensor(detail["index"])
    if stored.dtype != np.int8:
        return np.array(stored, np.float32)
    scale = detail["quantization_parameters"]
    shape = [1] * stored.ndim
    if len(scale["scales"]) > 1:
        shape[scale["quantized_dimension"]] = -1
    steps = stored.astype(np.float32) - scale["zero_points"].reshape(shape)
    return np.asarray(steps * scale["scales"].reshape(shape), np.float32)
