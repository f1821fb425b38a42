"""Contract of a run's model, and the record of the run for later runs and reports.

Conventions: a contract describes the current weights, so every checkpoint gets a new one.
Does not: compute scores (`fit/scores/scoring.py`), or choose thresholds (`fit/scores/thresholds.py`).
"""

from __future__ import annotations

import os
import re

import torch

from soundwatch.daemon.core.model.contract import EvaluationScore, ModelContract, Provenance
from soundwatch.daemon.core.model.contract_text import LONGEST_GIVEN_NAME_BYTES
from soundwatch.daemon.inference.classifier import SHIPPED_MODELS
from soundwatch.training.fit.epochs.loop import Run
from soundwatch.training.fit.scores.scoring import Machine, RunRecord, ScoredClip
from soundwatch.training.fit.setup.machine import processor
from soundwatch.training.fit.setup.run_setup import RunSetup, describe_data, describe_hard_views
from soundwatch.training.model.checkpoint import hash_network
from soundwatch.training.model.code_version import code_version
from soundwatch.training.model.network import count_parameters

LICENCE = "weights from UrbanSound8K: CC BY-NC 3.0, non-commercial"
TEACHER_LICENCE = "initialized from YAMNet's first layers: Copyright Google, Apache-2.0"
EVERYDAY_LICENCE = "everyday sounds: each by its source's license"
OWN_LICENCE = "weights from recordings of your own: whatever terms those have"


def build_contract(
    run: Run, session: RunSetup, scores: tuple[EvaluationScore, ...], thresholds: dict[str, float]
) -> ModelContract:
    """Build the contract of the current weights."""
    recipe, split = session.recipe, session.split
    before = session.origin.contract if session.origin else None
    learned_from = (split.terms or OWN_LICENCE) if split.folder else LICENCE
    licences = [learned_from, *([before.provenance.licence] if before else [])]
    if session.inits_from_teacher:
        licences.append(TEACHER_LICENCE)
    if session.everyday.sources or session.other_sounds:
        licences.append(EVERYDAY_LICENCE)
    provenance = Provenance(
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        data=describe_data(session) + describe_hard_views(session.plan.hard_from),
        folds=tuple(sorted({*split.train_folds, *(before.provenance.folds if before else ())})),
        leaky_split=split.leaky or (before is not None and before.provenance.leaky_split),
        clips=len(session.train_clips),
        epochs=run.epoch,
        seed=recipe.seed,
        parameters=count_parameters(run.network),
        soundwatch=code_version(),
        torch=str(torch.__version__),
        licence="; ".join(dict.fromkeys(licences)),
        sources=session.everyday.sources,
    )
    return ModelContract(
        name=model_name(session),
        features=recipe.features,
        labels=session.labels,
        activation=recipe.activation,
        thresholds=thresholds,
        provenance=provenance,
        scores=scores,
        weights_sha256=hash_network(run.eval_model),
    )


def model_name(session: RunSetup) -> str:
    """Return the model's name.

    Without a name of its own, a run has the recipe's name if it is none of a shipped model, and else that of its
    folder, as a run of own classes.
    """
    if session.name:
        return session.name
    name = session.recipe.model or session.recipe.name
    if not session.split.folder and name not in SHIPPED_MODELS:
        return name
    word = re.sub(r"[^\w.-]+", "-", session.out.resolve().name).strip("-.")
    name = word.encode()[: LONGEST_GIVEN_NAME_BYTES - len("own-")].decode(errors="ignore") or "own"
    return f"own-{name}" if name in SHIPPED_MODELS else name


def build_record(
    run: Run, session: RunSetup, own: tuple[EvaluationScore, ...], held_out: tuple[ScoredClip, ...]
) -> RunRecord:
    """Build the record of a finished run."""
    on_cuda = session.device.type == "cuda"
    machine = Machine(
        processor=processor(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        device=torch.cuda.get_device_name() if on_cuda else "cpu",
    )
    train_accuracy = run.history[-1].get("train_accuracy")
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
        train_accuracy=None if train_accuracy is None else round(train_accuracy, 4),
    )
