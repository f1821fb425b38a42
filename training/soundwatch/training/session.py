"""One training run from options to a finished folder.

Conventions: the folder holds `checkpoint.pt` (which says all of itself), `log.csv`, `curves.png` and,
at the end, `run.json` and `confusion.png`. Everything a person reads on the way goes to the console.
Does not: compute gradients (`loop.py`), or export (the export room reads the checkpoint).
"""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console

from soundwatch.daemon.contract import ModelContract, Provenance, Score, encode_contract
from soundwatch.daemon.errors import ConfigError
from soundwatch.training import checkpoint as checkpoints
from soundwatch.training import scoring
from soundwatch.training.batches import Reader
from soundwatch.training.cache import cache_folder, cached, fill_cache
from soundwatch.training.checkpoint import Checkpoint, Plan
from soundwatch.training.data import Clip, Split
from soundwatch.training.frontend import MelFrontEnd
from soundwatch.training.labels import LABELS
from soundwatch.training.loop import Run, mel_batches, start_run, train
from soundwatch.training.metrics import count_confusion, measure
from soundwatch.training.network import count_parameters
from soundwatch.training.recipe import Recipe, encode_recipe
from soundwatch.training.report import draw_confusion, draw_curves, write_log
from soundwatch.training.scoring import Machine, RunRecord, ScoredClip, score_mels, to_score
from soundwatch.training.thresholds import choose_thresholds, default_thresholds

LICENCE = "weights from UrbanSound8K: CC BY-NC 3.0, non-commercial"


@dataclass(frozen=True, slots=True)
class Session:
    """What a run is given.

    Attributes:
        recipe: The experiment.
        split: UrbanSound8K clips to learn from and to score.
        negatives: Recordings of none of the classes to learn from.
        held_out_negatives: The same to score.
        sources: Finished runs of the same recipe whose scores the contract takes over.
        out: The run's folder.
        device: That computes.
    """

    recipe: Recipe
    split: Split
    negatives: tuple[Clip, ...]
    held_out_negatives: tuple[Clip, ...]
    sources: tuple[RunRecord, ...]
    out: Path
    device: torch.device

    @property
    def train_clips(self) -> tuple[Clip, ...]:
        """All that is learned from."""
        return self.split.train + self.negatives

    @property
    def plan(self) -> Plan:
        """The data, as a checkpoint remembers it."""
        sides = [[clip.path.name for clip in side] for side in (self.train_clips, self.split.test)]
        digest = hashlib.sha256(msgspec.json.encode(sides)).hexdigest()
        return Plan(
            train_folds=self.split.train_folds,
            test_folds=self.split.test_folds,
            leaky_split=self.split.leaky,
            clips_sha256=digest,
        )


def pick_device(name: str) -> torch.device:
    """The device of `--device`: auto is CUDA where torch finds it.

    Raises:
        ConfigError: CUDA was asked for and is not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda, and torch finds no CUDA device; use --device cpu, or install its driver.")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def run_session(session: Session, resume: bool, console: Console) -> RunRecord:
    """Train, score, and leave a finished folder.

    Raises:
        ConfigError: The folder holds another run, or the loss ceased to be finite.
        DataError: A clip cannot be decoded.
    """
    recipe, out = session.recipe, session.out
    path = out / checkpoints.FILE_NAME
    run = start_run(recipe, session.train_clips, session.device)
    if path.exists():
        _resume(run, session, path, resume)
    elif resume:
        raise ConfigError(f"--resume, and there is no {path} to go on from; leave it out to start a run.")
    folder = cache_folder()
    fill_cache(
        (*session.train_clips, *session.split.test, *session.held_out_negatives), recipe.features, folder, console
    )
    out.mkdir(parents=True, exist_ok=True)

    def read(clip: Clip) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return cached(clip, recipe.features, folder)

    def save(run: Run) -> None:
        _save(run, session, path, session_scores(session, ()), default_thresholds())
        write_log(out / "log.csv", run.history)
        draw_curves(out / "curves.png", run.history)

    train(run, recipe, session.train_clips, session.split.test, read, session.device, save, console)
    return _finish(run, session, read)


def _resume(run: Run, session: Session, path: Path, resume: bool) -> None:
    """Put a run where its checkpoint left it."""
    if not resume:
        raise ConfigError(f"{path} is there already; --resume goes on from it, another --out starts anew.")
    state = checkpoints.read_checkpoint(path)
    checkpoints.refuse_other_run(state, session.recipe, session.plan, path)
    run.network.load_state_dict(state.model)
    if run.ema is not None and state.ema is not None:
        run.ema.load_state_dict(state.ema)
    run.optimiser.load_state_dict(state.optimiser)
    run.scheduler.load_state_dict(state.scheduler)
    run.epoch, run.history = state.epoch, state.history


def _save(run: Run, session: Session, path: Path, scores: tuple[Score, ...], thresholds: dict[str, float]) -> None:
    """Write the checkpoint."""
    contract = build_contract(run, session, scores, thresholds)
    state = Checkpoint(
        contract=encode_contract(contract),
        recipe=encode_recipe(session.recipe),
        plan=msgspec.json.encode(session.plan).decode(),
        model=run.network.state_dict(),
        ema=None if run.ema is None else run.ema.state_dict(),
        optimiser=run.optimiser.state_dict(),
        scheduler=run.scheduler.state_dict(),
        epoch=run.epoch,
        history=run.history,
    )
    checkpoints.save_checkpoint(path, state)


def session_scores(session: Session, own: tuple[Score, ...]) -> tuple[Score, ...]:
    """Scores for the contract: the run's own, then those of the runs it takes over."""
    return own + tuple(score for source in session.sources for score in source.scores)


def build_contract(
    run: Run, session: Session, scores: tuple[Score, ...], thresholds: dict[str, float]
) -> ModelContract:
    """The contract of the weights that count now."""
    recipe, split = session.recipe, session.split
    provenance = Provenance(
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        data=describe_data(session),
        folds=split.train_folds,
        leaky_split=split.leaky,
        clips=len(session.train_clips),
        epochs=run.epoch,
        seed=recipe.seed,
        parameters=count_parameters(run.network),
        soundwatch=version("soundwatch"),
        torch=str(torch.__version__),
        licence=LICENCE,
    )
    return ModelContract(
        name=recipe.name,
        features=recipe.features,
        labels=LABELS,
        activation=recipe.activation,
        thresholds=thresholds,
        provenance=provenance,
        scores=scores,
        weights_sha256=checkpoints.hash_weights(run.counts.state_dict()),
    )


def describe_folds(folds: tuple[int, ...], split: Split) -> str:
    """Folds in words, with what is missing of them."""
    names = ", ".join(
        f"{fold} ({split.missing[fold]} clips missing)" if fold in split.missing else str(fold) for fold in folds
    )
    return f"UrbanSound8K fold{'s' if len(folds) > 1 else ''} {names}"


def describe_data(session: Session) -> str:
    """What was learned from, in words."""
    words = describe_folds(session.split.train_folds, session.split)
    if session.split.leaky:
        words = f"random {len(session.split.train)} clips of {words}"
    return f"{words} and {len(session.negatives)} other sounds" if session.negatives else words


def _finish(run: Run, session: Session, read: Reader) -> RunRecord:
    """Score what was held out, and write the contract's last form and the run's record."""
    recipe, split, out = session.recipe, session.split, session.out
    own: tuple[Score, ...] = ()
    held_out: tuple[ScoredClip, ...] = ()
    clips = split.test + session.held_out_negatives
    if clips:
        front_end = MelFrontEnd(recipe.features).to(session.device)
        batches = mel_batches(clips, recipe, read, front_end, session.device)
        _, values = score_mels(run.counts, batches, recipe, session.device)
        held_out = tuple(
            ScoredClip(clip=clip.path.name, class_id=clip.class_id, values=tuple(round(float(v), 5) for v in row))
            for clip, row in zip(clips, values, strict=True)
        )
        if split.test:
            class_ids = np.array([clip.class_id for clip in split.test], np.int64)
            metrics = measure(count_confusion(values[: len(split.test)], class_ids))
            tested_on = describe_folds(split.test_folds, split)
            tested_on = f"the other {len(split.test)} clips of {tested_on}" if split.leaky else tested_on
            own = (to_score(metrics, describe_data(session), tested_on),)
            draw_confusion(out / "confusion.png", metrics.confusion, f"{recipe.name}: {own[0].tested_on}")
    scores = session_scores(session, own)
    evidence = [clip for source in session.sources for clip in source.held_out]
    thresholds = choose_thresholds(evidence) if evidence else default_thresholds()
    _save(run, session, out / checkpoints.FILE_NAME, scores, thresholds)
    record = _record(run, session, own, held_out)
    (out / scoring.FILE_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
    return record


def _record(run: Run, session: Session, own: tuple[Score, ...], held_out: tuple[ScoredClip, ...]) -> RunRecord:
    """The finished run, as later runs and reports quote it."""
    on_cuda = session.device.type == "cuda"
    machine = Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        device=torch.cuda.get_device_name() if on_cuda else "cpu",
    )
    return RunRecord(
        recipe=session.recipe.name,
        recipe_sha256=session.recipe.sha256,
        plan=session.plan,
        negatives=len(session.negatives),
        epochs=run.epoch,
        seed=session.recipe.seed,
        parameters=count_parameters(run.network),
        clips=len(session.train_clips),
        seconds=round(sum(row["seconds"] or 0.0 for row in run.history), 1),
        machine=machine,
        torch=str(torch.__version__),
        scores=own,
        held_out=held_out,
    )


def _processor() -> str:
    """The CPU's model where Linux tells it, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
