"""torchaudio's transforms, importable with a torch that was built without CUDA.

Purpose: PyPI's x86-64 wheel of torchaudio is a CUDA build. With a CPU torch its import fails on a
missing `libc10_cuda.so`, which only two unused functions (rnnt_loss, forced_align) need.
All its transforms are plain torch. If torch has no CUDA, a stub replaces the module that loads those
libraries before torchaudio is imported.
Source: torchaudio's `_extension/__init__.py`, release 2.11.
Does not: load or save audio; soundfile does that.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import torch


def _stub_extension() -> ModuleType:
    """Build a stub of `torchaudio._extension` that reports no compiled library."""
    stub: Any = ModuleType("torchaudio._extension")
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
    stub._IS_ALIGN_AVAILABLE = False
    stub._check_cuda_version = lambda: None
    stub.fail_if_no_align = lambda function: function
    module: ModuleType = stub
    return module


if torch.version.cuda is None:
    sys.modules.setdefault("torchaudio._extension", _stub_extension())

from torchaudio.transforms import (  # noqa: E402 - only after the stub is in place
    AmplitudeToDB,
    FrequencyMasking,
    MelSpectrogram,
    Resample,
    TimeMasking,
)

__all__ = ["AmplitudeToDB", "FrequencyMasking", "MelSpectrogram", "Resample", "TimeMasking"]
