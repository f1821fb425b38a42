"""A run whose head is fitted instead of trained: features of all clips, then the mean of heads without a fold each.

Conventions: the run has one epoch. Synthetic sounds are in every fit; other recordings are in folds.
Does not: choose thresholds (`evaluation/thresholds/fitted.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import nn

from soundwatch.training.data.datasets.negatives import is_synthetic
from soundwatch.training.data.windows.cache import ClipCache
from soundwatch.training.fit.epochs.loop import Row, Run, describe, held_out_figures, mel_batches
from soundwatch.training.fit.epochs.progress import clip_table
from soundwatch.training.fit.head.head_features import head_features
from soundwatch.training.fit.head.head_fit import Example, Head, score_unlike
from soundwatch.training.fit.setup.run_setup import RunSetup
from soundwatch.training.model.frontend import MelFrontEnd


def fit_run(run: Run, setup: RunSetup, read: ClipCache, save: Callable[[Run], None], console: Console) -> None:
    """Fit the head of a run, score the test clips, and save."""
    if run.epoch >= setup.recipe.epochs:
        return
    began_s = time.monotonic()
    console.print(clip_table(setup))
    examples = collect_examples(run.network, setup, read, console)
    counts = f"{len(setup.split.train)} clips and {len(examples) - len(setup.split.train)} other sounds"
    console.print(
        f"recipe: {setup.recipe.name}, a head fitted on features of {counts}", highlight=False, soft_wrap=True
    )
    left_out, alike = score_unlike(examples, len(setup.labels))
    for kind, class_id in sorted(alike.items()):
        console.print(f"[yellow]{kind} sounds like {setup.labels[class_id]}: left out of the other sounds.[/]")
    kept, head = left_out.examples, left_out.head
    _set_head(run.network, head)
    run.epoch = setup.recipe.epochs
    own = [one for one in kept if one.class_id is not None]
    right = [int(head.highest(one.features).argmax()) == one.class_id for one in own]
    row: Row = {"epoch": run.epoch, "train_loss": _loss(head, kept), "train_accuracy": float(np.mean(right))}
    held_out = mel_batches(setup.split.test, setup, read, MelFrontEnd(setup.recipe.features).to(setup.device))
    row |= held_out_figures(run.network, held_out, setup)
    row["seconds"] = time.monotonic() - began_s
    run.history.append(row)
    save(run)
    console.print(describe(row, setup.recipe.epochs, console.width), highlight=False, soft_wrap=True)


def collect_examples(network: nn.Sequential, setup: RunSetup, read: ClipCache, console: Console) -> list[Example]:
    """Compute the features of all training clips, and add the other sounds that ship with the network."""
    network.eval()
    examples = []
    clips = (*setup.split.train, *setup.negatives)
    for clip in track(clips, "Features", console=console, transient=True):
        features = head_features(network, setup.recipe.features, read(clip), setup.device)
        if len(features):
            group = None if clip.class_id is None and is_synthetic(clip) else f"own {clip.recording}"
            examples.append(Example(features, clip.class_id, group))
    sounds = setup.other_sounds.sounds if setup.other_sounds else ()
    examples += [Example(sound.features, None, f"kind {sound.kind}", sound.kind) for sound in sounds]
    return examples


def _set_head(network: nn.Sequential, head: Head) -> None:
    layer = network[-1]
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight))
        layer.bias.copy_(torch.from_numpy(head.bias))


def _loss(head: Head, examples: Sequence[Example]) -> float:
    """Compute the mean binary cross-entropy of the recordings' highest scores."""
    losses = []
    for one in examples:
        scores = np.clip(head.highest(one.features).astype(np.float64), 1e-7, 1 - 1e-7)
        wanted = np.zeros(len(scores))
        if one.class_id is not None:
            wanted[one.class_id] = 1
        losses.append(-np.mean(wanted * np.log(scores) + (1 - wanted) * np.log(1 - scores)))
    return float(np.mean(losses))
