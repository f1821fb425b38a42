"""Clips a second of training by stage, before and after whole batches were augmented as tensor code, and an estimate.

    python benchmarks/training.py --data UrbanSound8K

Stages of the recipe `urban` on the clips of fold 1, in batches of the recipe: decode (read and resample into the
cache), read, augment (speed, place, gain, noise), mel, masks and mixup, forward, backward, step. Each stage is timed
alone, on one core, in processor time, as the median of rounds, so that other programs count little. `before` runs the
augmentation of the commit BEFORE, taken from the repository's history, on the same clips and without synthetic sounds.
The estimate for one H200 is computed and not measured: operations by torch's counter over a tenth of the card's peak in
bfloat16, and kernels of a step times 10 microseconds; the larger counts. Writes benchmarks/results/training.json.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Final

import msgspec
import numpy as np
import torch
from harness import Results, Table, machine_of, provenance, table, write_results
from torch import nn
from torch.profiler import ProfilerActivity
from torch.utils.flop_counter import FlopCounterMode

from soundwatch.training.data.augment import augment_mel, mix
from soundwatch.training.data.cache import ClipCache
from soundwatch.training.data.render import render_windows
from soundwatch.training.data.urbansound8k import Clip, split_by_folds
from soundwatch.training.data.waveforms import HostWaveforms, MappedClips, measure_clips
from soundwatch.training.data.window_plan import longest_read, plan_epoch, targets_of
from soundwatch.training.fit.loss_module import LossModule
from soundwatch.training.model.frontend import MelFrontEnd
from soundwatch.training.model.network import build_network
from soundwatch.training.model.recipe import Recipe
from soundwatch.training.model.recipe_file import load_recipe

BEFORE: Final = "eade271"
OLD_FILE: Final = "training/soundwatch/training/data/augment.py"
BATCHES: Final = 4
ROUNDS: Final = 3
ALL_CLIPS: Final = 8732
FOLDS: Final = 10
PEAK_SHARE: Final = 0.1  # of a small network's operations at batch 32, an assumption
H200_OPERATIONS_S: Final = 989e12  # bfloat16, dense
KERNEL_S: Final = 10e-6
CORES: Final = 2
CPU: Final = torch.device("cpu")


def per_second(clips: int, call: Callable[[], object]) -> float:
    """Return clips a second, as the median of rounds after one warm-up."""
    call()
    durations_s = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        call()
        durations_s.append(time.process_time() - began_s)
    return round(clips / statistics.median(durations_s), 1)


def old_augmentation() -> ModuleType:
    """Load the augmentation of the commit before."""
    command = ["git", "show", f"{BEFORE}:{OLD_FILE}"]
    source = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    module = ModuleType("old_augmentation")
    exec(compile(source, OLD_FILE, "exec"), module.__dict__)  # noqa: S102  # a file of this repository
    return module


def measure(recipe: Recipe, clips: tuple[Clip, ...], folder: Path) -> dict[str, Any]:
    """Measure all stages, and count operations and kernels of a step."""
    cache = ClipCache(recipe.features, folder)
    began_s = time.process_time()
    sizes = measure_clips(clips, cache)
    decode = round(len(clips) / (time.process_time() - began_s), 1)
    host = HostWaveforms(MappedClips(clips, cache, sizes, longest_read(recipe)), 0, pinned=False)
    plans = plan_epoch(clips, host.lengths, recipe, np.random.default_rng(1))[:BATCHES]
    count = sum(len(plan.rows) for plan in plans)
    segments = list(host.segments(plans))
    front_end, numbers = MelFrontEnd(recipe.features), recipe.augmentation
    windows = [render_windows(part, plan, recipe) for part, plan in zip(segments, plans, strict=True)]
    mels = [front_end.features(samples) for samples in windows]
    targets = [targets_of(plan, clips, 10) for plan in plans]
    rng = np.random.default_rng(1)
    mixed = [
        mix(augment_mel(mel, numbers), target, numbers.mixup_alpha, rng)
        for mel, target in zip(mels, targets, strict=True)
    ]
    network = build_network(recipe, 10).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    module = LossModule(network, None, recipe, CPU)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    old = old_augmentation()
    samples = [cache(clip) for clip in clips[:count]]

    def augment_before() -> None:
        for clip in samples:
            old.augment_samples(clip, recipe.features.window_samples, numbers, rng)

    def forward() -> list[torch.Tensor]:
        return [module(mel, target, None)[0] for mel, target in mixed]

    def both() -> None:
        for mel, target in mixed:
            module(mel, target, None)[0].backward()

    both()
    speeds = {
        "decode and resample": decode,
        "read from the cache": per_second(count, lambda: list(host.segments(plans))),
        "augment, before": per_second(len(samples), augment_before),
        "augment": per_second(
            count, lambda: [render_windows(*pair, recipe) for pair in zip(segments, plans, strict=True)]
        ),
        "mel": per_second(count, lambda: [front_end.features(window) for window in windows]),
        "masks and mixup": per_second(
            count,
            lambda: [
                mix(augment_mel(m, numbers), t, numbers.mixup_alpha, rng) for m, t in zip(mels, targets, strict=True)
            ],
        ),
        "forward": per_second(count, forward),
        "forward and backward": per_second(count, both),
        "step": per_second(count, lambda: [optimizer.step() for _ in plans]),
    }
    return {"clips_s": speeds} | _counts(module, mixed[0], recipe, segments[0], plans[0])


def _counts(module: nn.Module, batch: Any, recipe: Recipe, segments: Any, plan: Any) -> dict[str, Any]:
    """Count the operations of the network and the kernels of a step; every operation of the CPU counts as a kernel."""
    with FlopCounterMode(display=False) as counter:
        module(*batch, None)[0].backward()
    with torch.profiler.profile(activities=[ProfilerActivity.CPU]) as profile:
        MelFrontEnd(recipe.features).features(render_windows(segments, plan, recipe))
        module(*batch, None)[0].backward()
    kernels = [event for event in profile.events() if not event.cpu_children and event.name.startswith("aten::")]
    return {"operations": counter.get_total_flops(), "kernels": len(kernels), "batch": len(batch[1])}


def estimate(part: dict[str, Any], recipe: Recipe) -> dict[str, float]:
    """Estimate the time of all folds on these cores, from the stages, and on one H200, from the counts."""
    share = 1 + recipe.augmentation.synthetic_negative_share
    clips = ALL_CLIPS * (FOLDS - 1) * share * recipe.epochs
    stages = ("read from the cache", "mel", "masks and mixup", "forward and backward", "step")
    after_s = sum(1 / part["clips_s"][name] for name in (*stages, "augment"))
    before_s = sum(1 / part["clips_s"][name] for name in (*stages, "augment, before"))
    step_s = max(part["operations"] / (PEAK_SHARE * H200_OPERATIONS_S), part["kernels"] * KERNEL_S)
    return {
        "hours_before": round(clips * before_s / CORES / 3600, 1),
        "hours": round(clips * after_s / CORES / 3600, 1),
        "minutes_h200": round(clips / part["batch"] * step_s / 60, 1),
    }


def render(results: Results) -> Table:
    """Render the table of the documentation."""
    rows = [[name, f"{value:,.0f}"] for name, value in results["clips_s"].items()]
    times = results["estimate"]
    note = (
        f"{FOLDS} folds of {ALL_CLIPS:,} clips, {results['epochs']} epochs each: {times['hours']} h on two cores, "
        f"calculated from the stages ({times['hours_before']} h before). {times['minutes_h200']} minutes on one H200 "
        f"is an estimate from {results['operations'] / 1e9:.1f} thousand million operations and "
        f"{results['kernels']} kernels a step of {results['batch']} clips: no GPU was available, and CUDA was not run. "
        f"Processor time. {machine_of(results)}"
    )
    return table(["stage", "clips a second, one core"], rows, note)


TABLES: Final = {"training": {"training": render}}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = load_recipe("urban")
    clips = split_by_folds(options.data, (1,), ()).train[: BATCHES * recipe.batch_clips]
    with TemporaryDirectory() as folder:
        part = measure(recipe, clips, Path(folder))
    results = provenance("python benchmarks/training.py --data UrbanSound8K") | part
    results |= {
        "epochs": recipe.epochs,
        "before": BEFORE,
        "estimate": estimate(part, recipe),
    }
    write_results("training", msgspec.to_builtins(results), TABLES["training"])


if __name__ == "__main__":
    main()
