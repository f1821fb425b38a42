"""One run on several processes: `torchrun --nproc-per-node N -m soundwatch.training train ...`.

Conventions: the run is the one that a single process does, to rounding. Every rank makes the same batches from the same
draws and learns from its own rows of each: batch norm's statistics are those of all rows, a dropout mask is drawn for
all rows, and gradients are weighted by rows, so that a last batch that cannot be dealt out evenly counts as it should.
The running mean moves alike on all ranks, since the weights do. There is no loss scale: on CUDA the network runs in
bfloat16, which has float32's range. The first rank writes and speaks; all of them score.
Source: PyTorch's DistributedDataParallel, by NCCL on CUDA and by gloo else. Its SyncBatchNorm knows CUDA only, so
`SyncBatchNorm2d` does the same with differentiable sums, on either.
Does not: share out the making of examples. Where that is what takes the time, more processes do not help.
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

from soundwatch.training.fit.examples import Batch


@dataclass(slots=True)
class RankRows:
    """Which rows of the batch at hand are a rank's own: `count` from `first`, of `total`."""

    first: int = 0
    count: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class DistributedContext:
    """This process among those of the run.

    Attributes:
        rank: Its number.
        world: How many there are.
        joined: Whether they are a group of torch's, be it of one.
        rows: What is its own of the batch at hand.
    """

    rank: int = 0
    world: int = 1
    joined: bool = False
    rows: RankRows = field(default_factory=RankRows)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def own(self, batch: Batch) -> Batch:
        """Its rows of a batch, noted for the layers that have to know."""
        total = len(batch.targets)
        first, end = (total * rank // self.world for rank in (self.rank, self.rank + 1))
        self.rows.first, self.rows.count, self.rows.total = first, end - first, total
        heard = None if batch.heard is None else batch.heard[first:end]
        groups = None if batch.groups is None else batch.groups[first:end]
        return Batch(batch.mel_db[first:end], batch.targets[first:end], heard, groups)

    def shared_layers(self, network: nn.Sequential) -> nn.Sequential:
        """The network with layers that act on all ranks' rows as one; its weights and their names stay."""
        if not self.joined:
            return network
        return nn.Sequential(*(_shared(layer, self.rows) for layer in network))

    def learner(self, lesson: nn.Module) -> nn.Module:
        """What gives a loss, such that gradients are all ranks'. Made anew when other weights are to move."""
        # Statistics are alike on all ranks without being sent.
        return DistributedDataParallel(lesson, broadcast_buffers=False) if self.joined else lesson

    def weigh(self, loss: Tensor) -> tuple[Tensor, float]:
        """A rank's mean loss as what it is to go back from, and the mean over all rows, which every rank is told."""
        share = loss * (self.rows.count / self.rows.total)
        everyones = share.detach().clone()
        if self.joined:
            distributed.all_reduce(everyones)
        return share * self.world, float(everyones)  # gradients are averaged over the ranks

    def in_turn(self) -> Iterator[bool]:
        """Twice around: what is done while it is true the first rank does before the others, who find it done."""
        for turn in (True, False):
            yield self.first is turn
            if self.joined:
                distributed.barrier()


SINGLE_PROCESS: Final = DistributedContext()


def distributed_context(device: torch.device) -> tuple[DistributedContext, torch.device]:
    """Among whom torchrun has started this process, and the device that is its own."""
    if "RANK" not in os.environ or "LOCAL_RANK" not in os.environ:
        return SINGLE_PROCESS, device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    return DistributedContext(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), joined=True), device


@contextmanager
def process_group(ranks: DistributedContext, device: torch.device) -> Iterator[None]:
    """While this lasts, the ranks that were started together can speak to each other."""
    if not ranks.joined:
        yield
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _shared(layer: nn.Module, rows: RankRows) -> nn.Module:
    """The layer, or what takes its place."""
    if isinstance(layer, nn.BatchNorm2d):
        shared = SyncBatchNorm2d(layer.num_features, layer.eps, layer.momentum)
        shared.weight, shared.bias = layer.weight, layer.bias
        shared.load_state_dict(layer.state_dict())
        return shared
    return SyncDropout(layer.p, rows) if isinstance(layer, nn.Dropout) else layer


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm by the mean and the deviation of all ranks' rows."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """Normalised (N, W, M, T); N may be 0."""
        if not self.training or not distributed.is_initialized():
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        maps = input.float()
        count = torch.tensor([maps.numel() / maps.shape[1]], device=maps.device)
        distributed.all_reduce(count)
        # Two sums, one after the other: a mean of squares less a squared mean would lose digits.
        mean = _everyones(maps.sum(dim=(0, 2, 3))) / count
        centred = maps - mean[:, None, None]
        variance = _everyones(centred.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        normalised: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normalised.to(input.dtype)


def _everyones(sums: Tensor) -> Tensor:
    """The sum over all ranks, through which gradients go back to all of them."""
    total: Tensor = all_reduce(sums)  # type: ignore[no-untyped-call]
    return total


class SyncDropout(nn.Dropout):
    """Dropout whose mask is drawn for all ranks' rows, of which each takes its own."""

    def __init__(self, p: float, rows: RankRows) -> None:
        super().__init__(p)
        self._rows = rows

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """Features (N, W), some of them zero."""
        if not self.training or not distributed.is_initialized():
            return super().forward(input)
        everyones = super().forward(input.new_ones(self._rows.total, *input.shape[1:]))
        return input * everyones[self._rows.first : self._rows.first + self._rows.count]
