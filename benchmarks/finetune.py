"""New classes from a few clips: a trained network's layers against training from scratch, on classes left out.

    python benchmarks/finetune.py --data UrbanSound8K --teacher YAMNET.tflite --negatives DIR

A network learns seven of the ten classes on folds 1 and 3, by the default model's recipe in fewer epochs. Then, for
each seed, 24 clips of each of the three other classes are drawn from the same folds, and what learns from them is
scored on fold 2's clips of these three. From nothing it gets the recipe `urban` with as many epochs, and with twice as
many. Only our labels leave the three classes out: YAMNet, the teacher, heard all ten kinds of sound in AudioSet. So
one more way starts from YAMNet's first layers as they are, before any of our labels.

With --choose, the few clips come from half of the recordings of folds 1 and 3 and the other half is scored; the
recipe `finetune` was chosen so, and nothing was on fold 2. The first network is kept in runs/finetune-taught, and not
trained again while it is there. Writes benchmarks/results/finetune.json.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Final

import msgspec
import numpy as np
import torch
from harness import Results, Table, option_parser, share, table, write_results
from rich.console import Console

from soundwatch.export.exporter import export_checkpoint
from soundwatch.training.data.datasets.negatives import split_negatives
from soundwatch.training.data.datasets.urbansound8k import Clip, Split, split_by_folds
from soundwatch.training.data.windows.cache import ClipCache, cache_folder
from soundwatch.training.distillation.teacher import YamNet
from soundwatch.training.fit.epochs.loop import Run, mel_batches, start_run, train
from soundwatch.training.fit.runs.run import run_session
from soundwatch.training.fit.scores import scoring
from soundwatch.training.fit.scores.metrics import count_confusion, measure
from soundwatch.training.fit.setup.run_setup import RunSetup
from soundwatch.training.model.checkpoint import FILE_NAME
from soundwatch.training.model.frontend import MelFrontEnd
from soundwatch.training.model.labels import LABELS
from soundwatch.training.model.pretrained import PretrainedModel, adapt_recipe, backbone_state, load_pretrained
from soundwatch.training.model.recipe import Recipe
from soundwatch.training.model.recipe_file import load_recipe

OUT = Path(__file__).parent / "results" / "finetune.json"
NEW = ("dog_bark", "drilling", "siren")
BASE = Path("runs") / "finetune-taught"
KNOWN = tuple(label for label in LABELS if label not in NEW)
CLIPS = 24
SEEDS = (1, 2, 3, 4, 5)
CHOOSING_SEEDS = (11, 12, 13, 14)
BASE_EPOCHS = 12
TRAINED = "the model file of a network trained on the seven other classes"
CPU = torch.device("cpu")
CONSOLE = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Way:
    """One way of learning the new classes.

    Attributes:
        recipe: How.
        origin: What it starts from; None is nothing.
    """

    recipe: Recipe
    origin: PretrainedModel | None


def main() -> None:
    """Run all of it and write the results."""
    parser = option_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder in UrbanSound8K's layout")
    parser.add_argument("--teacher", type=Path, required=True, help="YAMNet's .tflite file")
    parser.add_argument("--negatives", type=Path, action="append", default=[], help="sounds of none of the classes")
    parser.add_argument("--choose", action="store_true", help="score recordings of folds 1 and 3, and write nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began_s = time.process_time()
    whole = split_by_folds(options.data, (1, 3), (2,))
    base = base_session(whole, options.teacher, options.negatives)
    ways = make_ways(base, make_base(base))
    for way in ways.values():
        reader(way.recipe).fill((*whole.train, *whole.test), CONSOLE)
    if options.choose:
        ways = {TRAINED: ways[TRAINED]}
        splits = {seed: few_clips(*halves(whole.train, seed), seed) for seed in CHOOSING_SEEDS}
    else:
        splits = {seed: few_clips(whole.train, whole.test, seed) for seed in SEEDS}
    accuracy: dict[str, list[float]] = {name: [] for name in ways}
    for seed, split in splits.items():
        for name, way in ways.items():
            accuracy[name].append(learn(way, split, seed))
            CONSOLE.print(f"seed {seed}, from {name}: {accuracy[name][-1]:.3f}")
    results = describe(base, ways[TRAINED], splits, accuracy) | {"cpu_s": round(time.process_time() - began_s)}
    if not options.choose:
        write_results("finetune", results, TABLES["finetune"])
    else:
        print(json.dumps(results, indent=1))


def base_session(whole: Split, teacher: Path, negatives: Sequence[Path]) -> RunSetup:
    """Build the training of the network of the seven classes."""
    recipe = msgspec.structs.replace(load_recipe("urban-taught"), epochs=BASE_EPOCHS)
    split = replace(whole, train=of_classes(whole.train, KNOWN), test=(), test_folds=(), labels=KNOWN)
    learned, _ = split_negatives(*negatives)
    return RunSetup(recipe, split, learned, (), (), BASE, CPU, None, YamNet(teacher))


def make_base(session: RunSetup) -> Path:
    """Return the ONNX file of the network of the seven classes."""
    checkpoint = session.out / FILE_NAME
    if not (session.out / scoring.FILE_NAME).exists():
        run_session(session, checkpoint.exists(), CONSOLE)
    files, _ = export_checkpoint(checkpoint, ["onnx"], session.out, None, CONSOLE)
    return files[0]


def make_ways(base: RunSetup, model: Path) -> dict[str, Way]:
    """Build all ways under their names, the shipped one first."""
    finetune, urban = adapt_recipe(load_recipe("finetune"), str(model)), load_recipe("urban")
    trained = load_pretrained(str(model), finetune)
    first_layers = PretrainedModel(trained.contract, backbone_state(start_run(base, None, reader(base.recipe)).network))
    scratch = msgspec.structs.replace(urban, batch_clips=finetune.batch_clips, epochs=finetune.epochs)
    longer = msgspec.structs.replace(scratch, epochs=2 * scratch.epochs)
    return {
        TRAINED: Way(finetune, trained),
        "YAMNet's first layers, before any label": Way(finetune, first_layers),
        "nothing": Way(scratch, None),
        "nothing, twice the epochs": Way(longer, None),
    }


def reader(recipe: Recipe) -> ClipCache:
    """Reads clips with the recipe's front end."""
    return ClipCache(recipe.features, cache_folder())


def of_classes(clips: tuple[Clip, ...], labels: tuple[str, ...]) -> tuple[Clip, ...]:
    """Return the clips of some classes with new class ids."""
    return tuple(
        replace(clip, class_id=labels.index(LABELS[clip.class_id]))
        for clip in clips
        if clip.class_id is not None and LABELS[clip.class_id] in labels
    )


def halves(clips: tuple[Clip, ...], seed: int) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    """Clips of half of each class's recordings, and those of the other half."""
    rng = np.random.default_rng(seed)
    first: set[str] = set()
    for class_id in range(len(LABELS)):
        recordings = sorted({clip.recording for clip in clips if clip.class_id == class_id})
        first |= {recordings[place] for place in rng.permutation(len(recordings))[: len(recordings) // 2]}
    sides = [[clip for clip in clips if (clip.recording in first) == side] for side in (True, False)]
    return tuple(sides[0]), tuple(sides[1])


def few_clips(learned: tuple[Clip, ...], scored: tuple[Clip, ...], seed: int) -> Split:
    """`CLIPS` of each new class to learn from, of as many recordings as there are, and all of the scored ones."""
    rng = np.random.default_rng(seed)
    train_clips: list[Clip] = []
    for label in NEW:
        clips = of_classes(learned, (label,))
        taken: dict[str, int] = {}
        ranked = []
        for index in rng.permutation(len(clips)):  # a recording's first clip before any recording's second
            taken[clips[index].recording] = taken.get(clips[index].recording, 0) + 1
            ranked.append((taken[clips[index].recording], clips[index]))
        chosen = [clip for _, clip in sorted(ranked, key=lambda item: item[0])[:CLIPS]]
        train_clips += [replace(clip, class_id=NEW.index(label)) for clip in chosen]
    return Split(tuple(train_clips), of_classes(scored, NEW), (1, 3), (2,), False, {}, 0, NEW)


def learn(way: Way, split: Split, seed: int) -> float:
    """Accuracy on the scored clips after learning from the few, by the last epoch."""
    recipe = msgspec.structs.replace(way.recipe, seed=seed)
    session = RunSetup(recipe, replace(split, test=()), (), (), (), Path(), CPU, way.origin)
    read = reader(recipe)
    run = start_run(session)
    train(run, session, read, _keep_nothing, Console(quiet=True))
    held_out = mel_batches(split.test, session, read, MelFrontEnd(recipe.features))
    _, scores = scoring.score_mels(run.eval_model, held_out, recipe, CPU)
    class_ids = np.array([clip.class_id for clip in split.test], np.int64)
    return round(measure(count_confusion(scores, class_ids)).accuracy, 4)


def describe(
    base: RunSetup, way: Way, splits: Mapping[int, Split], accuracy: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Collect all figures, with the inputs that they were made with."""
    assert way.origin is not None
    made_by = way.origin.contract.provenance
    return {
        "command": "python benchmarks/finetune.py --data DIR --teacher YAMNET.tflite --negatives DIR",
        "known": KNOWN,
        "new": NEW,
        "clips_a_class": CLIPS,
        "tested_clips": len(next(iter(splits.values())).test),
        "base": {"recipe": made_by.recipe, "recipe_sha256": made_by.recipe_sha256, "epochs": base.recipe.epochs},
        "finetune_sha256": way.recipe.sha256,
        "epochs": way.recipe.epochs,
        "seeds": tuple(splits),
        "accuracy": {name: spread(values) for name, values in accuracy.items()},
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation and the values themselves, one a seed."""
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    return {"mean": round(mean, 4), "deviation": round(deviation, 4), "seeds": [round(value, 4) for value in values]}


def _keep_nothing(run: Run) -> None:
    """Keep nothing; the runs are scored at once."""
    del run


def finetune_table(results: Results) -> Table:
    """Return a row for each way of learning new classes: accuracy over the seeds, and the distance to the first way."""
    rows = []
    first = next(iter(results["accuracy"].values()))["seeds"]
    for name, figures in results["accuracy"].items():
        behind = [100 * (ours - theirs) for ours, theirs in zip(first, figures["seeds"], strict=True)]
        gap = f"{mean(behind):.1f} ± {stdev(behind):.1f} points" if figures["seeds"] != first else ""
        seeds = ", ".join(share(value) for value in figures["seeds"])
        rows.append((name, f"{share(figures['mean'])} ± {share(figures['deviation'])}", gap, seeds))
    note = (
        f"A network of {len(results['known'])} classes, trained by `{results['base']['recipe']}`, learned "
        f"{', '.join(results['new'])} from {results['clips_a_class']} clips each in {results['epochs']} epochs; "
        f"accuracy on {results['tested_clips']} clips of other recordings, mean and standard deviation over "
        f"{len(results['seeds'])} seeds, each with other clips to learn from. "
        f"`{results['command']}` took {results['cpu_s'] / 60:.0f} minutes of one core."
    )
    return table(("starting from", "accuracy", "behind the first, seed by seed", "each seed"), rows, note)


TABLES: Final = {
    "finetune": {
        "finetune": finetune_table,
    },
}


if __name__ == "__main__":
    main()
