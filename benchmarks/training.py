"""Clips a second of training by stage, before and after whole batches were augmented as tensor code, and an estimate.

    python benchmarks/training.py --data UrbanSound8K [--compile]

Stages of the recipe `urban` on the clips of fold 1, in batches of the recipe: decode (read and resample into the
cache), read, augment (speed, place, gain, noise), mel, masks and mixup, forward, backward, step. Each stage is timed
alone, on one core, in processor time, as the median of rounds, so that other programs count little. `before` has the
C library's own limits of the heap, and the augmentation of the commit BEFORE, taken from the repository's history, on
the same clips and without synthetic sounds. With --compile, forward and backward are measured with torch.compile too,
which takes some minutes; else its figures are those of the last run.
The estimate for one H200 is computed and not measured: operations by torch's counter over a tenth of the card's peak in
bfloat16, and kernels of a step times 10 microseconds; the larger counts. Writes benchmarks/results/training.json.
"""

from __future__ import annotations

import json
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
import torch._inductor.config
from harness import RESULTS, Results, Table, machine_of, option_parser, provenance, table, write_results
from torch import nn
from torch.profiler import ProfilerActivity
from torch.utils.flop_counter import FlopCounterMode

from soundwatch.daemon.core.process.memory import kept_heap
from soundwatch.training.data.datasets.urbansound8k import Clip, split_by_folds
from soundwatch.training.data.windows.augment import augment_mel, mix
from soundwatch.training.data.windows.cache import ClipCache
from soundwatch.training.data.windows.render import render_windows
from soundwatch.training.data.windows.waveforms import HostWaveforms, MappedClips, measure_clips
from soundwatch.training.data.windows.window_plan import longest_read, plan_epoch, targets_of
from soundwatch.training.fit.steps.loss_module import LossModule
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
BOTH: Final = "forward and backward"
HALVED: Final = "forward and backward, bfloat16"


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


def measure(recipe: Recipe, clips: tuple[Clip, ...], folder: Path, *, before: bool) -> dict[str, Any]:
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
    module = loss_module(recipe)
    halved = loss_module(msgspec.structs.replace(recipe, precision="bfloat16"))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)
    old = old_augmentation()
    samples = [cache(clip) for clip in clips[:count]]

    def augment_before() -> None:
        for clip in samples:
            old.augment_samples(clip, recipe.features.window_samples, numbers, rng)

    def forward() -> list[torch.Tensor]:
        return [module(mel, target, None)[0] for mel, target in mixed]

    def both(module: nn.Module) -> None:
        for mel, target in mixed:
            module(mel, target, None)[0].backward()

    def augment() -> None:
        for pair in zip(segments, plans, strict=True):
            render_windows(*pair, recipe)

    both(module)
    speeds = {
        "decode and resample": decode,
        "read from the cache": per_second(count, lambda: list(host.segments(plans))),
        "augment": per_second(len(samples), augment_before) if before else per_second(count, augment),
        "mel": per_second(count, lambda: [front_end.features(window) for window in windows]),
        "masks and mixup": per_second(
            count,
            lambda: [
                mix(augment_mel(m, numbers), t, numbers.mixup_alpha, rng) for m, t in zip(mels, targets, strict=True)
            ],
        ),
        "forward": per_second(count, forward),
        BOTH: per_second(count, lambda: both(module)),
        HALVED: per_second(count, lambda: both(halved)),
        "step": per_second(count, lambda: [optimizer.step() for _ in plans]),
    }
    return {"clips_s": speeds} | _counts(module, mixed[0], recipe, segments[0], plans[0])


def loss_module(recipe: Recipe) -> LossModule:
    """Build a network with its loss, in training."""
    network = build_network(recipe, 10).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return LossModule(network.train(), None, recipe, CPU)


def measure_compiled(recipe: Recipe) -> dict[str, dict[str, float]]:
    """Measure forward and backward with torch.compile, and how long the compilation takes, by precision."""
    mel_db = MelFrontEnd(recipe.features).features(torch.randn(recipe.batch_clips, 1, recipe.features.window_samples))
    torch._inductor.config.force_disable_caches = True
    targets, found = torch.zeros(recipe.batch_clips, 10), {}
    for precision in ("float32", "bfloat16"):
        module = torch.compile(loss_module(msgspec.structs.replace(recipe, precision=precision)))

        def both(module: Any = module) -> None:
            module(mel_db, targets, None)[0].backward()

        began_s = time.perf_counter()
        both()
        taken_s = round(time.perf_counter() - began_s)
        found[precision] = {"compile_s": taken_s, "clips_s": per_second(recipe.batch_clips, both)}
    return found


def _counts(module: nn.Module, batch: Any, recipe: Recipe, segments: Any, plan: Any) -> dict[str, Any]:
    """Count the operations of the network and the kernels of a step; every operation of the CPU counts as a kernel."""
    with FlopCounterMode(display=False) as counter:
        module(*batch, None)[0].backward()
    with torch.profiler.profile(activities=[ProfilerActivity.CPU]) as profile:
        MelFrontEnd(recipe.features).features(render_windows(segments, plan, recipe))
        module(*batch, None)[0].backward()
    kernels = [event for event in profile.events() if not event.cpu_children and event.name.startswith("aten::")]
    return {"operations": counter.get_total_flops(), "kernels": len(kernels), "batch": len(batch[1])}


def estimate(before: dict[str, float], part: dict[str, Any], recipe: Recipe) -> dict[str, float]:
    """Estimate the time of all folds on these cores, from the stages, and on one H200, from the counts."""
    share = 1 + recipe.augmentation.synthetic_negative_share
    clips = ALL_CLIPS * (FOLDS - 1) * share * recipe.epochs
    step_s = max(part["operations"] / (PEAK_SHARE * H200_OPERATIONS_S), part["kernels"] * KERNEL_S)

    def hours(speeds: dict[str, float], network: str) -> float:
        stages = ("read from the cache", "augment", "mel", "masks and mixup", network, "step")
        return round(clips * sum(1 / speeds[name] for name in stages) / CORES / 3600, 1)

    return {
        "hours_before": hours(before, BOTH),
        "hours": hours(part["clips_s"], BOTH),
        "hours_bfloat16": hours(part["clips_s"], HALVED),
        "minutes_h200": round(clips / part["batch"] * step_s / 60, 1),
    }


def render(results: Results) -> Table:
    """Render the table of the documentation."""
    before, times, compiled = results["before_clips_s"], results["estimate"], results["compiled"]
    rows = [[name, f"{before[name]:,.0f}", f"{value:,.0f}"] for name, value in results["clips_s"].items()]
    note = (
        f"{FOLDS} folds of {ALL_CLIPS:,} clips, {results['epochs']} epochs each, calculated from the stages, on two "
        f"cores with a fold on each: {times['hours_before']} h before, {times['hours']} h now, and "
        f"{times['hours_bfloat16']} h with `--precision bfloat16`. {times['minutes_h200']} minutes on one H200 "
        f"is an estimate from {results['operations'] / 1e9:.1f} thousand million operations and "
        f"{results['kernels']} kernels a step of {results['batch']} clips: no GPU was available, and CUDA was not run. "
        f"torch.compile gives {compiled['float32']['clips_s']:.0f} clips a second of forward and backward after "
        f"{compiled['float32']['compile_s']} s of compilation, and {compiled['bfloat16']['clips_s']:.0f} after "
        f"{compiled['bfloat16']['compile_s']} s in bfloat16. Processor time. {machine_of(results)}"
    )
    return table(["stage", "clips a second, one core, before", "now"], rows, note)


TABLES: Final = {"training": {"training": render}}


def main() -> None:
    """Measure and write."""
    parser = option_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = load_recipe("urban")
    clips = split_by_folds(options.data, (1,), ()).train[: BATCHES * recipe.batch_clips]
    with TemporaryDirectory() as folder, TemporaryDirectory() as other:
        before = measure(recipe, clips, Path(folder), before=True)["clips_s"]
        with kept_heap():
            part = measure(recipe, clips, Path(other), before=False)
    if options.compile:
        compiled = measure_compiled(recipe)
    else:
        compiled = json.loads((RESULTS / "training.json").read_text())["compiled"]
    results = provenance("python benchmarks/training.py --data UrbanSound8K --compile") | part
    results |= {
        "before_clips_s": before,
        "compiled": compiled,
        "epochs": recipe.epochs,
        "before": BEFORE,
        "estimate": estimate(before, part, recipe),
    }
    write_results("training", msgspec.to_builtins(results), TABLES["training"])


if __name__ == "__main__":
    main()
