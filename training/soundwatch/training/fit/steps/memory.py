"""Batch that fits the memory of an accelerator, after a step that did not.

Conventions: the batch is halved until a step succeeds, so the answer is tried and not estimated.
Does not: continue the run; another batch gives other weights, so a person decides.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


def find_fitting_batch(batch_clips: int, try_step: Callable[[int], None]) -> int | None:
    """Return the first of a half, a quarter ... of the batch that fits; None if not even one clip does."""
    clips = batch_clips // 2
    while clips:
        try:
            try_step(clips)
        except torch.OutOfMemoryError:
            clips //= 2
        else:
            return clips
    return None


def describe_shortage(device: torch.device, batch_clips: int, fitting: int | None) -> str:
    """Return the sentence about a batch that does not fit, with one that does."""
    seen = f"The memory of {device} is too small for {batch_clips} clips a step"
    if fitting is None:
        return f"{seen}, and for one; end other programs on the device, or use --device cpu."
    return f"{seen}; use --batch {fitting}, which fits now, or end other programs on the device."
