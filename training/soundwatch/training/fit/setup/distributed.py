"""Distributed training on several processes: `torchrun --nproc-per-node N -m soundwatch.training train ...`.

Conventions: the run equals that of a single process, up to rounding. Every rank draws identical batches
and computes its own rows of each: batch norm's statistics are those of all rows, a dropout mask is drawn for
all rows, and gradients are weighted by rows, so an uneven last batch has the correct weight.
The running mean of the weights is equal on all ranks. There is no loss scaling: on CUDA the network runs in
bfloat16, which has float32's range. The main rank writes and prints; all ranks score.
Source: PyTorch's DistributedDataParallel, over NCCL on CUDA and over gloo elsewhere. Its SyncBatchNorm supports
CUDA only, so `SyncBatchNorm2d` computes it with differentiable sums on both.
Does not: distribute the preparation of examples. If that takes most of the time, more processes do not help.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

from soundwatch.training.fit.steps.examples import Batch


@dataclass(slots=True)
class RankRows:
    """Rows of the current batch that belong to a rank: `count` rows from `start`, of `total`."""

    start: int = 0
    count: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class DistributedContext:
    """Position of this process in the group of a run.

    Attributes:
        rank: Index of the process.
        world: Number of processes.
        joined: True if the processes form a torch process group, even of one.
        rows: Rows of the current batch that belong to this process.
    """

    rank: int = 0
    world: int = 1
    joined: bool = False
    rows: RankRows = field(default_factory=RankRows)

    @property
    def is_main(self) -> bool:
        """True for the rank that writes and prints."""
        return self.rank == 0

    def shard(self, batch: Batch) -> Batch:
        """Return this rank's rows of a batch, and record them for the synchronized layers."""
        total = len(batch.targets)
        start, end = (total * rank // self.world for rank in (self.rank, self.rank + 1))
        self.rows.start, self.rows.count, self.rows.total = start, end - start, total
        teacher_features = None if batch.teacher_features is None else batch.teacher_features[start:end]
        groups = None if batch.groups is None else batch.groups[start:end]
        return Batch(batch.mel_db[start:end], batch.targets[start:end], teacher_features, groups)

    def sync_layers(self, network: nn.Sequential) -> nn.Sequential:
        """Replace batch norm and dropout by layers that act on the rows of all ranks; weights and names stay."""
        if not self.joined:
            return network
        return nn.Sequential(*(_shared(layer, self.rows) for layer in network))

    def wrap_ddp(self, loss_module: nn.Module) -> nn.Module:
        """Wrap the loss module for gradients over all ranks. Call it again when the trainable weights change."""
        # Statistics are equal on all ranks without a broadcast.
        return DistributedDataParallel(loss_module, broadcast_buffers=False) if self.joined else loss_module

    def reduce_loss(self, loss: Tensor) -> tuple[Tensor, Tensor]:
        """Scale a rank's mean loss for the backward pass, and return it with the mean over the rows of all ranks."""
        share = loss * (self.rows.count / self.rows.total)
        total_loss = share.detach().clone()
        if self.joined:
            distributed.all_reduce(total_loss)
        return share * self.world, total_loss  # gradients are averaged over the ranks

    def sum_counts(self, counts: Tensor) -> Tensor:
        """Sum counts over all ranks."""
        if self.joined:
            distributed.all_reduce(counts)
        return counts

    def main_first(self) -> Iterator[bool]:
        """Yield True on the main rank first, then on the others."""
        for turn in (True, False):
            yield self.is_main is turn
            if self.joined:
                distributed.barrier()


SINGLE_PROCESS: Final = DistributedContext()


def distributed_context(device: torch.device) -> tuple[DistributedContext, torch.device]:
    """Read the rank from torchrun's environment, and return it with the device of this process."""
    if "RANK" not in os.environ or "LOCAL_RANK" not in os.environ:
        return SINGLE_PROCESS, device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    return DistributedContext(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), joined=True), device


@contextmanager
def process_group(ranks: DistributedContext, device: torch.device) -> Iterator[None]:
    """Join the process group for the duration of the context."""
    if not ranks.joined:
        yield
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _shared(layer: nn.Module, rows: RankRows) -> nn.Module:
    """Return the layer or its synchronized replacement."""
    if isinstance(layer, nn.BatchNorm2d):
        shared = SyncBatchNorm2d(layer.num_features, layer.eps, layer.momentum)
        shared.weight, shared.bias = layer.weight, layer.bias
        shared.load_state_dict(layer.state_dict())
        return shared
    return SyncDropout(layer.p, rows) if isinstance(layer, nn.Dropout) else layer


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the mean and the deviation of the rows of all ranks."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """Normalize (N, W, M, T); N may be 0."""
        if not self.training or not distributed.is_initialized():
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        maps = input.float()
        count = torch.tensor([maps.numel() / maps.shape[1]], device=maps.device)
        distributed.all_reduce(count)
        # Two successive sums: a mean of squares minus a squared mean would lose digits.
        mean = _sum_over_ranks(maps.sum(dim=(0, 2, 3))) / count
        centered = maps - mean[:, None, None]
        variance = _sum_over_ranks(centered.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        normalized: Tensor = centered * scale[:, None, None] + self.bias[:, None, None]
        return normalized.to(input.dtype)


def _sum_over_ranks(sums: Tensor) -> Tensor:
    """Sum over all ranks, with gradients to all of them."""
    total: Tensor = all_reduce(sums)  # type: ignore[no-untyped-call]
    return total


class SyncDropout(nn.Dropout):
    """Dropout with one mask for the rows of all ranks, of which each rank takes its own."""

    def __init__(self, p: float, rows: RankRows) -> None:
        super().__init__(p)
        self._rows = rows

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """Set some features (N, W) to zero."""
        if not self.training or not distributed.is_initialized():
            return super().forward(input)
        mask = super().forward(input.new_ones(self._rows.total, *input.shape[1:]))
        return input * mask[self._rows.start : self._rows.start + self._rows.count]
