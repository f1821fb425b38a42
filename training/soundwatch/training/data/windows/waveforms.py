"""Decoded clips of a run as 16-bit samples: in files mapped from the cache, or in one tensor on a device.

Conventions: both give equal numbers. A segment is (C, L) int16, zero before and after its clip, and goes with the scale
of its clip; C is the largest channel count of the clips, and mono clips are repeated. Rows of `SYNTHETIC` are zeros.
Does not: choose between both (`fit/setup/placement.py`), or draw segments (`data/windows/window_plan.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.cache import ClipCache
from soundwatch.training.data.windows.window_plan import Integers, WindowPlan

Request = tuple[Integers, Integers]  # rows (N,) and starts (N,)
Segments = tuple[Tensor, Tensor]  # int16 (N, C, L) and scales (N,)


class Waveforms(Protocol):
    """Samples of all clips of a run."""

    @property
    def lengths(self) -> Integers:
        """Samples per channel (M,)."""
        ...

    def segments(self, plans: Sequence[WindowPlan]) -> Iterator[Segments]:
        """Yield the segments of each batch."""
        ...


@dataclass(frozen=True, slots=True)
class ClipSizes:
    """Sizes of the clips.

    Attributes:
        lengths: Samples per channel (M,).
        channels: Channels (M,).
        scales: Size of a step (M,).
    """

    lengths: Integers
    channels: Integers
    scales: Tensor

    @property
    def mb(self) -> float:
        """Size of all samples in megabytes."""
        return float((self.lengths * self.channels).sum()) * 2 / 1e6


def measure_clips(clips: Sequence[Clip], cache: ClipCache) -> ClipSizes:
    """Read the sizes of all clips from the cache.

    Raises:
        DataError: A recording cannot be used.
    """
    stored = [cache.stored(clip) for clip in clips]
    shapes = np.array([pcm.samples.shape for pcm in stored], np.int64).reshape(-1, 2)
    return ClipSizes(shapes[:, 1], shapes[:, 0], torch.tensor([pcm.scale for pcm in stored], dtype=torch.float32))


@dataclass(frozen=True, slots=True)
class MappedClips(Dataset[Segments]):
    """Segments read from the files of the cache, in this process or in a worker process.

    Attributes:
        clips: Clips (M,).
        cache: Their cache.
        sizes: Their sizes.
        read_samples: Length L of a segment.
    """

    clips: tuple[Clip, ...]
    cache: ClipCache
    sizes: ClipSizes
    read_samples: int

    def __getitem__(self, request: Request) -> Segments:
        """Read the segments of one batch."""
        rows, starts = request
        channels = int(self.sizes.channels.max(initial=1))
        batch = np.zeros((len(rows), channels, self.read_samples), np.int16)
        for place, (row, start) in enumerate(zip(rows.tolist(), starts.tolist(), strict=True)):
            if row >= 0:
                samples = self.cache.stored(self.clips[row]).samples
                before = max(0, -start)
                part = samples[:, max(0, start) : max(0, start + self.read_samples)]
                batch[place, :, before : before + part.shape[1]] = part
        return torch.from_numpy(batch), self.sizes.scales[torch.from_numpy(rows).clamp(min=0)]


class RequestSampler(Sampler[Request]):
    """Requests of the current epoch, for workers that outlive it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __iter__(self) -> Iterator[Request]:
        """Yield the requests in order."""
        return iter(self.requests)

    def __len__(self) -> int:
        """Count the requests."""
        return len(self.requests)


@dataclass(frozen=True, slots=True)
class HostWaveforms:
    """Clips that stay in their files; worker processes read ahead.

    Attributes:
        dataset: Reader of segments.
        workers: Number of worker processes; 0 reads in this one.
        pinned: True reads into page-locked memory, from which a GPU copies while it computes.
    """

    dataset: MappedClips
    workers: int
    pinned: bool
    _sampler: RequestSampler = field(default_factory=RequestSampler)
    _loaders: list[DataLoader[Segments]] = field(default_factory=list)

    @property
    def lengths(self) -> Integers:
        """Samples per channel (M,)."""
        return self.dataset.sizes.lengths

    def segments(self, plans: Sequence[WindowPlan]) -> Iterator[Segments]:
        """Yield the segments of each batch."""
        self._sampler.requests = [(plan.rows, plan.starts) for plan in plans]
        if not self._loaders:
            self._loaders.append(self._start())
        yield from self._loaders[0]

    def _start(self) -> DataLoader[Segments]:
        several = {"persistent_workers": True, "prefetch_factor": 4} if self.workers else {}
        return DataLoader(
            self.dataset,
            batch_size=None,
            sampler=self._sampler,
            num_workers=self.workers,
            pin_memory=self.pinned,
            generator=torch.Generator(),  # the loader draws a seed, which must not come out of the run's numbers
            # A forked copy of a process with threads may hang.
            multiprocessing_context="forkserver" if self.workers else None,
            **several,  # type: ignore[arg-type]
        )


class DeviceWaveforms:
    """All clips in one tensor on a device.

    Args:
        dataset: Clips to load.
        device: Where the tensor is.
    """

    def __init__(self, dataset: MappedClips, device: torch.device) -> None:
        sizes = dataset.sizes
        self._sizes, self._read_samples, self._device = sizes, dataset.read_samples, device
        totals = sizes.lengths * sizes.channels
        self._flat = torch.empty(int(totals.sum()), dtype=torch.int16, device=device)
        ends = np.cumsum(totals)
        for clip, end, total in zip(dataset.clips, ends.tolist(), totals.tolist(), strict=True):
            planes = np.array(dataset.cache.stored(clip).samples, order="C")  # channel after channel
            self._flat[end - total : end] = torch.from_numpy(planes.reshape(-1)).to(device)
        table = np.stack([ends - totals, sizes.lengths, sizes.channels])
        self._table = torch.from_numpy(table).to(device)  # (3, M)
        self._scales = sizes.scales.to(device)

    @property
    def lengths(self) -> Integers:
        """Samples per channel (M,)."""
        return self._sizes.lengths

    def segments(self, plans: Iterable[WindowPlan]) -> Iterator[Segments]:
        """Yield the segments of each batch, gathered on the device."""
        width = int(self._sizes.channels.max(initial=1))
        channel = torch.arange(width, device=self._device)
        offset = torch.arange(self._read_samples, device=self._device)
        for plan in plans:
            rows = torch.from_numpy(plan.rows).to(self._device)
            starts = torch.from_numpy(plan.starts).to(self._device)
            first, length, channels = self._table[:, rows.clamp(min=0)]
            place = starts[:, None] + offset  # (N, L)
            inside = (place >= 0) & (place < length[:, None]) & (rows >= 0)[:, None]
            plane = torch.minimum(channel[None], channels[:, None] - 1) * length[:, None]  # (N, C)
            index = first[:, None, None] + plane[..., None] + torch.where(inside, place, 0)[:, None]
            yield self._flat[index] * inside[:, None], self._scales[rows.clamp(min=0)]
