"""One training run from its setup to a finished folder.

Conventions: the folder holds `checkpoint.pt` (which describes itself), `log.csv`, `curves.png` and,
at the end, `run.json` and `confusion.png`. Progress goes to the console.
Does not: compute gradients (`fit/epochs/loop.py`), or export (the export package reads the checkpoint).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import torch
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError, ModelError
from soundwatch.daemon.core.files.unfinished import remove_unfinished
from soundwatch.daemon.core.model.contract import EvaluationScore, decode_contract, encode_contract
from soundwatch.training.data.windows.batches import Reader
from soundwatch.training.data.windows.cache import ClipCache, cache_folder
from soundwatch.training.distillation.augmented_views import View, plan_views
from soundwatch.training.distillation.hard_views import weigh_views
from soundwatch.training.distillation.soft_labels import soft_targets
from soundwatch.training.distillation.street_mixes import StreetMix
from soundwatch.training.distillation.street_plan import plan_mixes
from soundwatch.training.distillation.street_sounds import class_sounds, negative_sounds
from soundwatch.training.distillation.teacher_targets import cache_teacher_targets
from soundwatch.training.fit.epochs.loop import Run, start_run, train, try_step
from soundwatch.training.fit.head.fitted_head import fit_run
from soundwatch.training.fit.reports.plots import draw_curves, write_log
from soundwatch.training.fit.reports.run_log import RunLog
from soundwatch.training.fit.reports.run_result import RunResult, find_mistakes
from soundwatch.training.fit.runs.held_out_scores import (
    confusion_of,
    final_scores,
    score_folds,
    score_held_out,
    write_record,
    writing_to,
)
from soundwatch.training.fit.runs.run_record import build_contract, build_record
from soundwatch.training.fit.scores.scoring import RunRecord
from soundwatch.training.fit.scores.thresholds import default_thresholds
from soundwatch.training.fit.setup.run_setup import RunSetup, describe_data
from soundwatch.training.fit.steps.examples import DistillationBatches
from soundwatch.training.fit.steps.memory import describe_shortage, find_fitting_batch
from soundwatch.training.model import checkpoint as checkpoints
from soundwatch.training.model.checkpoint import Checkpoint
from soundwatch.training.model.recipe import Distillation, Recipe, encode_recipe

CURVES_EVERY_S: Final = 30.0  # drawing takes longer than an epoch of a few recordings


def run_session(session: RunSetup, resume: bool, console: Console, logs: Sequence[RunLog] = ()) -> RunRecord:
    """Train, score, and write a finished folder.

    Args:
        session: Inputs of the run.
        resume: True to continue from the checkpoint.
        console: Console of the run.
        logs: Callbacks of the main rank.

    Raises:
        ConfigError: The folder holds another run, the loss is no longer finite, or a batch does not fit the memory.
        DataError: A clip cannot be decoded.
        SinkError: The folder cannot be written.
    """
    recipe, out = session.recipe, session.out
    path = out / checkpoints.FILE_NAME
    _refuse_folder(path, resume)
    read = ClipCache(recipe.features, cache_folder())
    everything = (*session.train_clips, *session.split.test, *session.held_out_negatives)
    for ours in session.ranks.main_first():
        if ours:
            read.fill(everything, console)
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
        if session.ranks.is_main:
            remove_unfinished([out])  # what a run left that was killed while it wrote

    drawn_s = time.monotonic()

    def save(run: Run) -> None:
        nonlocal drawn_s
        if not session.ranks.is_main:
            return
        with writing_to(out):
            _save(run, session, (), default_thresholds(session.labels))
            write_log(out / "log.csv", run.history)
            if run.epoch >= recipe.epochs or time.monotonic() - drawn_s >= CURVES_EVERY_S:
                draw_curves(out / "curves.png", run.history)
                drawn_s = time.monotonic()
        for log in logs:
            log.log_epoch(run.history[-1])

    distillation_batches = None
    for ours in session.ranks.main_first():
        if ours:
            distillation_batches = _prepare_distillation(session, read, console)
    run = start_run(session, distillation_batches, read)
    if resume:
        _resume(run, session, path)
    _fit(run, session, read, save, console, distillation_batches)
    return _finish(run, session, read, logs)


def _refuse_folder(path: Path, resume: bool) -> None:
    """Refuse to resume a run that is not there, and to start one over another.

    Raises:
        ConfigError: The option does not fit the folder.
    """
    if resume and not path.exists():
        raise ConfigError(f"--resume, and there is no {path} to resume from; leave it out to start a run.")
    if path.exists() and not resume:
        raise ConfigError(f"{path} exists already; --resume continues it, another --out starts a new run.")


def _fit(
    run: Run,
    session: RunSetup,
    read: ClipCache,
    save: Callable[[Run], None],
    console: Console,
    distillation_batches: DistillationBatches | None,
) -> None:
    """Train the remaining epochs, or fit the head.

    Raises:
        ConfigError: The loss is no longer finite, or a batch does not fit the memory.
    """
    recipe = session.recipe
    try:
        if recipe.finetune and recipe.finetune.head == "fitted":
            fit_run(run, session, read, save, console)
        else:
            train(run, session, read, save, console, distillation_batches)
        return
    except KeyboardInterrupt:
        console.print(
            f"Stopped after epoch {run.epoch} of {recipe.epochs}; {session.resumed_by} continues it."
            if run.epoch
            else "Stopped before the end of the first epoch, so nothing was stored; the same command starts again."
        )
        raise
    except torch.OutOfMemoryError:
        pass  # the traceback holds the tensors of the step, so they are free only after this block
    raise ConfigError(_describe_shortage(run, session))


def _describe_shortage(run: Run, session: RunSetup) -> str:
    """Describe a batch that does not fit, with one that does; several processes cannot try one."""
    batch_clips = session.recipe.batch_clips
    torch.cuda.empty_cache()
    if session.ranks.joined:
        return (
            f"The memory of {session.device} is too small for this process's share of {batch_clips} clips a step; "
            "use a smaller --batch, or more processes on other devices."
        )
    return describe_shortage(
        session.device, batch_clips, find_fitting_batch(batch_clips, lambda clips: try_step(run, session, clips))
    )


def _prepare_distillation(session: RunSetup, read: Reader, console: Console) -> DistillationBatches | None:
    """Compute the distillation batches of the session's clips; None without a teacher."""
    recipe, clips = session.recipe, session.train_clips
    if recipe.teaching is None or session.teacher is None:
        return None
    views = _plan(session, recipe, recipe.teaching)
    teacher_targets = cache_teacher_targets(views, len(session.labels), recipe.features, session.teacher, read, console)
    soft_labels = soft_targets(teacher_targets, recipe.teaching.heads, recipe.seed, recipe.teaching.bfloat16)
    weights = weigh_views(session.earlier, teacher_targets, recipe, session.device) if session.earlier else None
    return DistillationBatches(teacher_targets, soft_labels, len(clips), recipe, session.device, weights)


def _plan(session: RunSetup, recipe: Recipe, distillation: Distillation) -> list[View | StreetMix]:
    """Plan views of all clips; with street mixes, views of the labeled clips only, and mixes of all sounds."""
    if recipe.street is None:
        return [*plan_views(session.train_clips, distillation, recipe.augmentation.synthetic_negative_share)]
    sounds = (
        *class_sounds(session.split.train, session.labels),
        *session.everyday.sounds,
        *negative_sounds(session.negatives),
    )
    return [*plan_views(session.split.train, distillation, 0.0), *plan_mixes(sounds, recipe.street)]


def _resume(run: Run, session: RunSetup, path: Path) -> None:
    """Restore a run from its checkpoint.

    Raises:
        ConfigError: The checkpoint is of another run.
        ModelError: The checkpoint does not read, or lacks a part of the state.
    """
    state = checkpoints.read_checkpoint(path)
    checkpoints.refuse_other_run(state, session.recipe, session.plan, path)
    try:
        run.network.load_state_dict(state.model)
        if run.ema is not None and state.ema is not None:
            run.ema.load_state_dict(state.ema)
        if run.auxiliary is not None and state.hint is not None:
            run.auxiliary.load_state_dict(state.hint)
        run.optimizer.load_state_dict(state.optimiser)
        if state.scheduler.keys() != run.scheduler.state_dict().keys():
            raise ValueError("a part of the schedule is missing")
        run.scheduler.load_state_dict(state.scheduler)
    except (RuntimeError, LookupError, ValueError, TypeError) as error:
        raise ModelError(
            f"The state in {path} does not fit its run ({type(error).__name__}); a checkpoint that `soundwatch train` "
            "wrote with this version of torch was expected. Start a new run with another --out."
        ) from error
    if checkpoints.hash_network(run.eval_model) != decode_contract(state.contract, str(path)).weights_sha256:
        raise ModelError(f"The weights in {path} are not those that its contract names. Start a new run with --out.")
    run.epoch, run.history = state.epoch, state.history


def _save(run: Run, session: RunSetup, scores: tuple[EvaluationScore, ...], thresholds: dict[str, float]) -> None:
    """Write the checkpoint with a contract of the current state."""
    contract = build_contract(run, session, scores, thresholds)
    state = Checkpoint(
        contract=encode_contract(contract),
        recipe=encode_recipe(session.recipe),
        plan=msgspec.json.encode(session.plan).decode(),
        model=run.network.state_dict(),
        ema=None if run.ema is None else run.ema.state_dict(),
        optimiser=run.optimizer.state_dict(),
        scheduler=run.scheduler.state_dict(),
        epoch=run.epoch,
        history=run.history,
        hint=None if run.auxiliary is None else run.auxiliary.state_dict(),
    )
    checkpoints.save_checkpoint(session.out / checkpoints.FILE_NAME, state)


def _finish(run: Run, session: RunSetup, read: ClipCache, logs: Sequence[RunLog]) -> RunRecord:
    """Score the held-out clips, and write the final contract and the record of the run."""
    held_out = score_held_out(run.eval_model, session, read)
    fold_scores = score_folds(held_out, session, describe_data(session))
    record = build_record(run, session, fold_scores, held_out)
    if not session.ranks.is_main:
        return record
    with writing_to(session.out):
        _save(run, session, *final_scores(held_out, fold_scores, session))
        write_record(record, session)
    if logs:
        result = _result(session, record, read)
        for log in logs:
            log.log_result(result)
    return record


def _result(session: RunSetup, record: RunRecord, read: ClipCache) -> RunResult:
    """Collect the results of a finished run for its callbacks."""
    labeled = record.held_out[: len(session.split.test)]  # the held-out negatives follow
    return RunResult(
        record=record,
        labels=session.labels,
        rate_hz=session.recipe.features.rate_hz,
        confusion=confusion_of(labeled) if labeled else None,
        mistakes=find_mistakes(session.split.test, labeled, session.labels, read),
    )
