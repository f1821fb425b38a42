"""New classes from a few clips: a trained network's layers against training from scratch, on classes left out.

    python benchmarks/finetune.py --data UrbanSound8K

A network learns seven of the ten classes on folds 1 and 3. Then, for each seed, 24 clips of each of the three
other classes are drawn from the same folds, and what learns from them is scored on fold 2's clips of these three.
From scratch it gets the recipe `urban` with as many epochs, and with twice as many. Nothing is chosen on the scores.
The first network is kept in runs/finetune-base, and not trained again. Writes benchmarks/results/finetune.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console

from soundwatch.daemon.types import Samples
from soundwatch.export.exporter import export_checkpoint
from soundwatch.training.cache import cache_folder, cached, fill_cache
from soundwatch.training.checkpoint import FILE_NAME
from soundwatch.training.data import Clip, Split, split_by_folds
from soundwatch.training.frontend import MelFrontEnd
from soundwatch.training.labels import LABELS
from soundwatch.training.loop import Run, mel_batches, start_run, train
from soundwatch.training.metrics import count_confusion, measure
from soundwatch.training.origin import read_origin
from soundwatch.training.recipe import Recipe, load_recipe
from soundwatch.training.run import run_session
from soundwatch.training.scoring import score_mels
from soundwatch.training.session import Session

OUT = Path(__file__).parent / "results" / "finetune.json"
NEW = ("dog_bark", "drilling", "siren")
BASE = Path("runs") / "finetune-base"
KNOWN = tuple(label for label in LABELS if label not in NEW)
CLIPS = 24
SEEDS = (1, 2, 3)
BASE_EPOCHS = 16
CONSOLE = Console(stderr=True)


def main() -> None:
    """Run all of it and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder in UrbanSound8K's layout")
    root = parser.parse_args().data
    torch.set_num_threads(1)
    began_s = time.process_time()
    whole = split_by_folds(root, (1, 3), (2,))
    finetune, urban = load_recipe("finetune"), load_recipe("urban")
    scratch = msgspec.structs.replace(urban, batch_clips=finetune.batch_clips, epochs=finetune.epochs)
    fill_cache((*whole.train, *whole.test), urban.features, cache_folder(), CONSOLE)
    accuracy: dict[str, list[float]] = {}
    model = make_base(msgspec.structs.replace(urban, epochs=BASE_EPOCHS), whole, BASE)
    arms: dict[str, tuple[Recipe, Path | None]] = {
        "from the model file of the first network": (finetune, model),
        "from nothing": (scratch, None),
        "from nothing, twice the epochs": (msgspec.structs.replace(scratch, epochs=2 * scratch.epochs), None),
    }
    for seed in SEEDS:
        few = few_clips(whole, seed)
        for name, (recipe, start) in arms.items():
            accuracy.setdefault(name, []).append(learn(msgspec.structs.replace(recipe, seed=seed), few, start))
            CONSOLE.print(f"seed {seed}, {name}: {accuracy[name][-1]:.3f}")
    results = {
        "command": "python benchmarks/finetune.py --data DIR",
        "known": KNOWN,
        "new": NEW,
        "clips_a_class": CLIPS,
        "tested_clips": len(few_clips(whole, SEEDS[0]).test),
        "base": {"recipe_sha256": urban.sha256, "epochs": BASE_EPOCHS, "folds": (1, 3)},
        "finetune_sha256": finetune.sha256,
        "epochs": finetune.epochs,
        "seeds": SEEDS,
        "cpu_s": round(time.process_time() - began_s),
        "accuracy": {
            name: {
                "mean": round(statistics.mean(each), 4),
                "deviation": round(statistics.stdev(each), 4),
                "seeds": each,
            }
            for name, each in accuracy.items()
        },
    }
    OUT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results["accuracy"], indent=1))


def of_classes(clips: tuple[Clip, ...], labels: tuple[str, ...]) -> tuple[Clip, ...]:
    """The clips of some classes, numbered anew."""
    return tuple(
        replace(clip, class_id=labels.index(LABELS[clip.class_id]))
        for clip in clips
        if clip.class_id is not None and LABELS[clip.class_id] in labels
    )


def make_base(recipe: Recipe, whole: Split, folder: Path) -> Path:
    """The ONNX file of a network of the seven classes."""
    split = replace(whole, train=of_classes(whole.train, KNOWN), test=(), test_folds=(), labels=KNOWN)
    session = Session(recipe, split, (), (), (), folder, torch.device("cpu"))
    run_session(session, (folder / FILE_NAME).exists(), CONSOLE)
    files, _ = export_checkpoint(folder / FILE_NAME, ["onnx"], folder, None, CONSOLE)
    return files[0]


def few_clips(whole: Split, seed: int) -> Split:
    """`CLIPS` of each new class to learn from, of as many recordings as there are, and all of the test fold's."""
    rng = np.random.default_rng(seed)
    train: list[Clip] = []
    for label in NEW:
        clips = of_classes(whole.train, (label,))
        taken: dict[str, int] = {}
        ranked = []
        for index in rng.permutation(len(clips)):  # a recording's first clip before any recording's second
            taken[clips[index].recording] = taken.get(clips[index].recording, 0) + 1
            ranked.append((taken[clips[index].recording], clips[index]))
        chosen = [clip for _, clip in sorted(ranked, key=lambda item: item[0])[:CLIPS]]
        train += [replace(clip, class_id=NEW.index(label)) for clip in chosen]
    return replace(whole, train=tuple(train), test=of_classes(whole.test, NEW), labels=NEW)


def learn(recipe: Recipe, split: Split, start: Path | None) -> float:
    """Accuracy on the test fold after learning from the few clips."""
    origin = read_origin(str(start), recipe) if start else None
    session = Session(recipe, split, (), (), (), Path(), torch.device("cpu"), origin)

    def read(clip: Clip) -> Samples:
        return cached(clip, recipe.features, cache_folder())

    run = start_run(replace(session, split=replace(split, test=())))
    train(run, replace(session, split=replace(split, test=())), read, _keep_nothing, Console(quiet=True))
    held_out = mel_batches(split.test, session, read, MelFrontEnd(recipe.features))
    _, scores = score_mels(run.counts, held_out, recipe, session.device)
    truths = np.array([clip.class_id for clip in split.test], np.int64)
    return round(measure(count_confusion(scores, truths)).accuracy, 4)


def _keep_nothing(run: Run) -> None:
    """The runs are scored and forgotten."""
    del run


if __name__ == "__main__":
    main()
