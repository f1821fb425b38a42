"""Training loop, in reading order from top to bottom.

Conventions: all random numbers of an epoch come from (seed, epoch), so an interrupted and
resumed run ends with bit-identical weights, on one machine and number of threads (a test
proves it on the CPU; it was never tested on CUDA). The result is the weights of the last epoch (their running mean
if the recipe has one); no epoch is selected by scores.
Source: the structure is that of nanoGPT's `train.py`.
Does not: read command lines (`cli/train.py`), or write reports (`fit/reports/plots.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Final

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.data.windows.batches import Scored, scoring_batches
from soundwatch.training.data.windows.cache import ClipCache
from soundwatch.training.data.windows.window_plan import count_batches
from soundwatch.training.distillation.auxiliary import Auxiliary, start_auxiliary
from soundwatch.training.distillation.init_from_teacher import init_from_teacher, sample_clips
from soundwatch.training.fit.epochs.progress import RunProgress, clip_table, describe_start
from soundwatch.training.fit.scores.metrics import count_confusion, measure
from soundwatch.training.fit.scores.scoring import score_mels
from soundwatch.training.fit.setup.distributed import DistributedContext
from soundwatch.training.fit.setup.placement import place_waveforms
from soundwatch.training.fit.setup.run_setup import RunSetup
from soundwatch.training.fit.steps.examples import Batch, ClipBatches, DistillationBatches
from soundwatch.training.fit.steps.finetune import build_optimizer, freeze_layers, load_backbone
from soundwatch.training.fit.steps.loss_module import LossModule
from soundwatch.training.model.frontend import MelFrontEnd
from soundwatch.training.model.network import build_network, count_parameters, reset_head
from soundwatch.training.model.recipe import Recipe

CHECK_EVERY_STEPS: Final = 20  # to read a loss, the processor waits for an accelerator
NO_BREAK: Final = "\N{NO-BREAK SPACE}"

Row = dict[str, float | None]


@dataclass(slots=True)
class Run:
    """Mutable state of a run; a checkpoint stores exactly this.

    Attributes:
        network: Network under training.
        ema: Running mean of its weights; None if the recipe has none.
        auxiliary: Auxiliary layers of training; None without a teacher.
        optimizer: AdamW optimizer.
        scheduler: One-cycle learning rate schedule over all steps.
        epoch: Number of finished epochs.
        history: One row of figures per epoch.
    """

    network: nn.Sequential
    ema: nn.Sequential | None
    auxiliary: Auxiliary | None
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    epoch: int = 0
    history: list[Row] = field(default_factory=list)

    @property
    def eval_model(self) -> nn.Module:
        """Network of the result: the running mean if there is one."""
        return self.network if self.ema is None else self.ema


def start_run(
    setup: RunSetup, distillation_batches: DistillationBatches | None = None, read: ClipCache | None = None
) -> Run:
    """Start a run with random weights from the recipe's seed, pretrained weights, or the teacher's first layers.

    Raises:
        ConfigError: The network has another structure than the teacher that initializes it.
        ModelError: The teacher's layers cannot be read.
    """
    recipe = setup.recipe
    torch.backends.cudnn.deterministic = True  # cuDNN's fastest kernels add in a nondeterministic order
    torch.backends.cudnn.allow_tf32 = False  # resampling for playback speeds needs more than 10 bits
    seed_everything(recipe.seed, 0)
    # Channels-last memory is a fifth faster on CPUs and changes no weight.
    network = build_network(recipe, len(setup.labels))
    if setup.origin:
        load_backbone(network, setup.origin)
    if setup.inits_from_teacher and setup.teacher and read:
        sounds = sample_clips(setup.split.train, recipe.features.window_samples, read)
        init_from_teacher(network, setup.teacher.trunk(), sounds, recipe.features)
    if recipe.teaching and recipe.teaching.head == "zero":
        reset_head(network)
    network = setup.ranks.sync_layers(network)
    network = network.to(setup.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    auxiliary = (
        start_auxiliary(network, recipe, distillation_batches.teacher_targets.teacher_features)
        if distillation_batches
        else None
    )
    numbers = recipe.optimisation
    optimizer = build_optimizer(network, recipe, auxiliary)
    batches = distillation_batches.count() if distillation_batches else count_batches(setup.train_clips, recipe)
    steps = max(3, batches * recipe.epochs)  # torch divides by 0 for an annealing of no step
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps,
        pct_start=max(numbers.warmup_share, 2 / steps),  # torch divides by 0 for a warm-up of one step
        anneal_strategy=numbers.anneal,
    )
    return Run(network, deepcopy(network) if numbers.ema_decay else None, auxiliary, optimizer, scheduler)


def seed_everything(seed: int, epoch: int) -> np.random.Generator:
    """Seed torch and return a numpy generator, both from (seed, epoch) alone."""
    torch.manual_seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0]))
    return np.random.default_rng((seed, epoch))


def train(
    run: Run,
    setup: RunSetup,
    read: ClipCache,
    save: Callable[[Run], None],
    console: Console,
    distillation_batches: DistillationBatches | None = None,
) -> None:
    """Train the remaining epochs on the run's clips or on distillation batches, and save after each.

    Raises:
        ConfigError: The loss is no longer a finite number.
    """
    recipe, device = setup.recipe, setup.device
    front_end = MelFrontEnd(recipe.features).to(device)
    examples = distillation_batches or _clip_batches(setup, read, console)
    held_out = mel_batches(setup.split.test, setup, read, front_end)
    progress = RunProgress(console, recipe.epochs, run.epoch, examples.count())
    if run.epoch < recipe.epochs:
        start = describe_start(setup, count_parameters(run.network), examples.count())
        console.print(start, highlight=False, markup=False, soft_wrap=True)
        console.print(clip_table(setup))

    while run.epoch < recipe.epochs:
        epoch = run.epoch + 1
        began_s = time.monotonic()
        rng = seed_everything(recipe.seed, epoch)
        run.network.train()
        if recipe.finetune:
            freeze_layers(run.network, recipe.finetune, epoch)
        loss_module = setup.ranks.wrap_ddp(LossModule(run.network, run.auxiliary, recipe, device))
        losses, learning_rate = list[Tensor](), 0.0
        counts = torch.zeros(2, dtype=torch.int64, device=device)
        with progress.epoch(epoch) as advance:
            for batch in examples.epoch(rng):
                learning_rate = float(run.scheduler.get_last_lr()[-1])
                loss, step_counts = _step(run, loss_module, recipe, setup.ranks, batch)
                losses.append(loss)
                counts += step_counts
                if len(losses) % CHECK_EVERY_STEPS == 0:
                    _refuse_not_finite(losses[-CHECK_EVERY_STEPS - 1 :], len(losses), epoch)
                advance()
        _refuse_not_finite(losses, len(losses), epoch)
        run.epoch = epoch
        hits, counted = setup.ranks.sum_counts(counts).tolist()
        row: Row = {"epoch": epoch, "train_loss": float(np.mean(torch.stack(losses).tolist()))}
        row["train_accuracy"] = hits / counted if counted else None
        row["learning_rate"] = learning_rate  # of the last step; the schedule is undefined after the end
        row |= held_out_figures(run.eval_model, held_out, setup)
        row["seconds"] = time.monotonic() - began_s
        run.history.append(row)
        save(run)
        console.print(describe(row, recipe.epochs, console.width), highlight=False, soft_wrap=True)


def _step(
    run: Run, loss_module: nn.Module, recipe: Recipe, ranks: DistributedContext, batch: Batch
) -> tuple[Tensor, Tensor]:
    """Update the weights once, then their running mean, and return the loss and this rank's counts (2,)."""
    shard = ranks.shard(batch)
    own_loss, counts = loss_module(shard.mel_db, shard.targets, shard.teacher_features, shard.groups)
    loss, mean_loss = ranks.reduce_loss(own_loss)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    run.optimizer.step()
    run.scheduler.step()
    if run.ema is not None:
        # A smaller decay at the start keeps the initial weights from staying in the mean for many epochs.
        steps = run.scheduler.last_epoch
        _update_ema(run.ema, run.network, min(recipe.optimisation.ema_decay, (1 + steps) / (10 + steps)))
    return mean_loss, counts


def try_step(run: Run, setup: RunSetup, clips: int) -> None:
    """Compute the gradients of silent examples, to see if their memory is there; no weight changes.

    Raises:
        torch.OutOfMemoryError: The memory is not there.
    """
    recipe, device = setup.recipe, setup.device
    run.optimizer.zero_grad(set_to_none=True)
    samples = torch.zeros(clips, recipe.features.channels, recipe.features.window_samples, device=device)
    mel_db = MelFrontEnd(recipe.features).to(device).features(samples)
    targets = torch.zeros(clips, len(setup.labels), device=device)
    loss, _ = LossModule(run.network, run.auxiliary, recipe, device)(mel_db, targets, None)
    loss.backward()


def _clip_batches(setup: RunSetup, read: ClipCache, console: Console) -> ClipBatches:
    """Load the training clips to where the run reads them."""
    waveforms = place_waveforms(setup.train_clips, setup.recipe, read, setup.device, setup.loading, console)
    return ClipBatches(setup.train_clips, len(setup.labels), setup.recipe, waveforms, setup.device)


@torch.no_grad()
def _update_ema(ema: nn.Module, network: nn.Module, decay: float) -> None:
    """Update the running mean, including batch norm's statistics."""
    pairs = [*zip(ema.state_dict().values(), network.state_dict().values(), strict=True)]
    floats = [(mean, value) for mean, value in pairs if mean.is_floating_point()]
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    average([mean for mean, _ in floats], [value for _, value in floats], 0)
    for mean, value in pairs:
        if not mean.is_floating_point():
            mean.copy_(value)


def mel_batches(clips: tuple[Clip, ...], setup: RunSetup, read: ClipCache, front_end: MelFrontEnd) -> list[Scored]:
    """Compute mel decibels, targets and clip indexes of the test clips, once for all epochs."""
    batches = scoring_batches(clips, len(setup.labels), setup.recipe, read)
    return [
        (front_end.features(samples.to(setup.device)).cpu(), targets, places) for samples, targets, places in batches
    ]


def held_out_figures(network: nn.Module, held_out: list[Scored], setup: RunSetup) -> Row:
    """Compute loss, accuracy, macro F1 and recalls on the test clips; an empty row without clips."""
    if not held_out:
        return {}
    test_loss, scores = score_mels(network, held_out, setup.recipe, setup.device)
    class_ids = np.array([clip.class_id for clip in setup.split.test if clip.class_id is not None], np.int64)
    metrics = measure(count_confusion(scores, class_ids))
    row: Row = {"test_loss": test_loss, "accuracy": metrics.accuracy, "macro_f1": metrics.macro_f1}
    return row | {f"recall_{label}": value for label, value in zip(setup.labels, metrics.recall, strict=True)}


def _refuse_not_finite(losses: list[Tensor], steps: int, epoch: int) -> None:
    """Raise `ConfigError` if one of the last losses of `steps` steps is not a finite number."""
    values = torch.stack(losses).double()
    wrong = (~values.isfinite()).nonzero()
    if len(wrong):
        place = int(wrong[0])
        before = f"{float(values[place - 1]):.3g}" if place else "nothing"
        raise ConfigError(
            f"The loss is {float(values[place])} at step {steps - len(losses) + place + 1} of epoch {epoch}, after "
            f"{before}; a finite number was expected. Lower max_learning_rate in the recipe (--lr of `train`); the "
            "checkpoint of the epoch before is kept."
        )


def describe(row: Row, epochs: int, columns: int) -> str:
    """Format the figures of one epoch as lines: the totals, and the recall of each class."""
    totals = [f"epoch {row['epoch']}/{epochs}", f"loss {row['train_loss']:.3f}"]
    if row.get("train_accuracy") is not None:
        totals.append(f"accuracy {row['train_accuracy']:.3f}")
    if row.get("accuracy") is not None:
        totals.append(f"held out: loss {row['test_loss']:.3f}")
        totals += [f"accuracy {row['accuracy']:.3f}", f"macro F1 {row['macro_f1']:.3f}"]
    recalls = {key.removeprefix("recall_"): value for key, value in row.items() if key.startswith("recall_")}
    recall = [f"{label} {value:.2f}" for label, value in recalls.items() if value is not None]
    lines = _wrapped([*totals, f"({row['seconds']:.0f} s)"], columns)
    return "\n".join(lines + (_wrapped(["  recall", *recall], columns) if recall else []))


def _wrapped(entries: list[str], columns: int) -> list[str]:
    """Wrap entries between, and not within, at a number of columns."""
    text = "  ".join(entry.replace(" ", NO_BREAK) for entry in entries)
    lines = wrap(text, columns, subsequent_indent=NO_BREAK * 10, break_long_words=False, break_on_hyphens=False)
    return [line.replace(NO_BREAK, " ") for line in lines]
