"""Place of the training clips of a run: on the device, or in the files of the cache with processes that read ahead.

Conventions: the place changes no weight. On the device the clips may take half of the free memory.
Does not: decode (`data/windows/cache.py`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Literal

import torch
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.cache import ClipCache
from soundwatch.training.data.windows.waveforms import (
    DeviceWaveforms,
    HostWaveforms,
    MappedClips,
    Waveforms,
    measure_clips,
)
from soundwatch.training.data.windows.window_plan import longest_read
from soundwatch.training.model.recipe import Recipe

FREE_SHARE: Final = 0.5
MAX_WORKERS: Final = 4

Place = Literal["auto", "device", "host"]


@dataclass(frozen=True, slots=True)
class Loading:
    """Path of examples to the device.

    Attributes:
        place: Where decoded clips are; "auto" puts them on an accelerator if they fit.
        workers: Number of processes that read ahead; None decides.
    """

    place: Place = "auto"
    workers: int | None = None


DEFAULT_LOADING: Final = Loading()


def place_waveforms(
    clips: tuple[Clip, ...], recipe: Recipe, cache: ClipCache, device: torch.device, loading: Loading, console: Console
) -> Waveforms:
    """Load the clips to where the run reads them, and print the decision.

    Raises:
        ConfigError: Workers are wanted for clips on the device, or too many; or the clips do not fit the device.
        DataError: A recording cannot be used.
    """
    cores = os.cpu_count() or 1
    most = max(MAX_WORKERS, 2 * cores)
    if loading.workers is not None and loading.workers > most:
        raise ConfigError(
            f"--workers {loading.workers}, and at most {most} are of use on this machine of {cores} cores; each is a "
            "process with torch in memory. Give a smaller number, or leave it out."
        )
    sizes = measure_clips(clips, cache)
    dataset = MappedClips(clips, cache, sizes, longest_read(recipe))
    on_device = loading.place == "device" or (loading.place == "auto" and _fits(sizes.mb, device))
    if on_device and loading.workers:
        raise ConfigError(
            f"--workers {loading.workers}, and the clips are on {device}, where no process reads ahead; leave it out, "
            "or add --data-on host."
        )
    if on_device:
        _print(console, f"data: {sizes.mb:.1f} MB of decoded clips on {device}")
        try:
            return DeviceWaveforms(dataset, device)
        except torch.OutOfMemoryError as error:
            raise ConfigError(f"{sizes.mb:.0f} MB of clips do not fit {device}; use --data-on host.") from error
    workers = _default_workers(device) if loading.workers is None else loading.workers
    readers = f"{workers} processes read ahead" if workers else "read by this process"
    _print(console, f"data: {sizes.mb:.1f} MB of decoded clips in the cache, {readers}")
    return HostWaveforms(dataset, workers, device.type == "cuda")


def _fits(size_mb: float, device: torch.device) -> bool:
    """Return True if an accelerator has enough free memory; the memory of a CPU is the page cache's."""
    if device.type == "cuda":
        return size_mb * 1e6 <= FREE_SHARE * torch.cuda.mem_get_info(device)[0]
    return device.type == "mps" and size_mb * 1e6 <= FREE_SHARE * torch.mps.recommended_max_memory()


def _default_workers(device: torch.device) -> int:
    """Return no workers for a CPU, whose cores train, and as many as there are spare cores for an accelerator."""
    return 0 if device.type == "cpu" else max(1, min(MAX_WORKERS, (os.cpu_count() or 1) - 1))


def _print(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
