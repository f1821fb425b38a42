"""Batches of windows and targets for scoring.

Conventions: samples (N, C, S) float32 tensors, targets (N, K): one at a clip's class, zeros for a
negative. A batch has the largest channel count of its clips; mono clips are repeated to fit.
The windows are those of the daemon, every hop within the recording.
Does not: decode (`data/windows/cache.py`), or make training batches (`fit/steps/examples.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Samples
from soundwatch.training.data.audio.pcm_file import PcmClip
from soundwatch.training.data.audio.place import Number, place_first
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.cache import ClipCache
from soundwatch.training.model.recipe import Recipe

Reader = Callable[[Clip], Samples]
Scored = tuple[Tensor, Tensor, NDArray[np.int64]]


def scoring_batches(clips: Sequence[Clip], classes: int, recipe: Recipe, read: ClipCache) -> Iterator[Scored]:
    """Yield the unchanged windows of all clips in order: samples, targets, and the index (N,) of each window's clip."""
    windows = (
        (samples, place) for place, clip in enumerate(clips) for samples in _stored_windows(read.stored(clip), recipe)
    )
    while batch := list(islice(windows, recipe.batch_clips)):
        places = [place for _, place in batch]
        targets = _targets([clips[place] for place in places], classes)
        yield _stack([samples for samples, _ in batch]), targets, np.array(places, np.int64)


def _stored_windows(pcm: PcmClip, recipe: Recipe) -> Iterator[Samples]:
    """Yield the windows (C, W) of a stored recording one by one, so that a long one is not held in memory."""
    for numbers in daemon_windows(pcm.samples, recipe.features):
        yield PcmClip(numbers, pcm.scale).to_float()


def daemon_windows(samples: NDArray[Number], spec: FeatureSpec) -> list[NDArray[Number]]:
    """Return the windows (C, W) of a recording (C, S) whose mean score is the daemon's score."""
    starts = range(0, samples.shape[1] - spec.window_samples + 1, spec.window_hop_samples)
    if not starts:
        return [place_first(samples, spec.window_samples)]
    return [samples[:, start : start + spec.window_samples] for start in starts]


def _stack(windows: Sequence[Samples]) -> Tensor:
    """Stack windows (C or 1, S) to one tensor (N, C, S)."""
    channels = max(window.shape[0] for window in windows)
    wide = [np.broadcast_to(window, (channels, window.shape[1])) for window in windows]
    return torch.from_numpy(np.stack(wide).astype(np.float32, copy=False))


def _targets(clips: Sequence[Clip], classes: int) -> Tensor:
    """Build targets (N, K)."""
    targets = torch.zeros(len(clips), classes)
    for row, clip in enumerate(clips):
        if clip.class_id is not None:
            targets[row, clip.class_id] = 1.0
    return targets
