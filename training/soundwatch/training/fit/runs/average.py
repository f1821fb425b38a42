"""Mean of the final weights of several finished runs, as a finished run of its own.

Conventions: the runs have one recipe and equal data, and differ in their seed or in the run of `--hard-from`. The mean
is of weights, of batch norm's statistics and of the tag layer; integers are those of the first run, as are its recipe
and seed. Networks that start from equal weights (a teacher's or a pretrained network's) have a useful mean; others do
not.
Source: Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models".
Does not: train, or choose thresholds by false events (`soundwatch thresholds`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import pairwise

import msgspec
import torch
from rich.console import Console
from torch import Tensor, nn

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract import EvaluationScore, ModelContract, Provenance, encode_contract
from soundwatch.training.data.windows.cache import ClipCache, cache_folder
from soundwatch.training.fit.runs.held_out_scores import (
    final_scores,
    score_folds,
    score_held_out,
    write_record,
    writing_to,
)
from soundwatch.training.fit.runs.run_record import model_name
from soundwatch.training.fit.scores.scoring import RunRecord, ScoredClip
from soundwatch.training.fit.setup.run_setup import RunSetup, describe_hard_views
from soundwatch.training.model.checkpoint import (
    FILE_NAME,
    AveragedRun,
    Checkpoint,
    DataPlan,
    FinishedRun,
    hash_network,
    save_checkpoint,
)
from soundwatch.training.model.code_version import code_version
from soundwatch.training.model.recipe import Recipe, encode_recipe

_LONGEST_SHOWN = 40  # letters of a value in a message; sections and hashes are longer
_MAY_DIFFER = ("seed", "false_event_price", "hard_from")


def refuse_differences(runs: Sequence[FinishedRun]) -> None:
    """Refuse runs whose weights have no common mean.

    Raises:
        ConfigError: Fewer than two runs are given, two have equal weights, one is a mean itself or of classes of its
            own, or recipes or data differ.
    """
    if len(runs) < 2:
        raise ConfigError(f"{len(runs)} run is given; two or more were expected.")
    for run in runs:
        if run.plan.averaged:
            raise ConfigError(f"{run.folder} is the mean of several runs itself; give those runs instead.")
        if not run.plan.train_folds:
            raise ConfigError(
                f"{run.folder} is a run of classes of its own; runs on folds of UrbanSound8K were expected."
            )
    for run in runs[1:]:
        names = _differences(runs[0].recipe, run.recipe) + _differences(runs[0].plan, run.plan)
        if names:
            raise ConfigError(
                f"{run.folder} differs from {runs[0].folder} in {', '.join(names)}; runs of one recipe on equal data "
                "that differ in --seed or --hard-from alone were expected. Train it again with equal options."
            )
    by_weights = sorted(runs, key=lambda run: run.contract.weights_sha256)
    for one, other in pairwise(by_weights):
        if one.contract.weights_sha256 == other.contract.weights_sha256:
            raise ConfigError(f"{one.folder} and {other.folder} have equal weights; give runs of different seeds.")


def _differences(wanted: Recipe | DataPlan, found: Recipe | DataPlan) -> list[str]:
    """Return the names of the fields that differ and must not, with both values where they are short."""
    names = []
    for name in wanted.__struct_fields__:
        one, other = getattr(wanted, name), getattr(found, name)
        if one != other and name not in _MAY_DIFFER:
            is_short = max(len(str(one)), len(str(other))) <= _LONGEST_SHOWN
            names.append(f"{name} ({other}, not {one})" if is_short else name)
    return names


def average_weights(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Compute the mean of equal shapes, tensor by tensor; integers are those of the first state."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in states[0].items()
    }


def average_runs(
    runs: Sequence[FinishedRun], records: Sequence[RunRecord], session: RunSetup, console: Console
) -> RunRecord:
    """Average runs, score the result on their held-out clips, and write a finished folder.

    Args:
        runs: Runs that `refuse_differences` accepts.
        records: Records of these runs.
        session: Recipe of the first run, held-out clips and negatives, sources of scores, and the output.
        console: Console for the progress.

    Raises:
        ConfigError: The output folder has a run, or the held-out clips are others than those of the runs.
        DataError: A clip cannot be decoded.
        SinkError: The folder cannot be written.
    """
    path = session.out / FILE_NAME
    if path.exists():
        raise ConfigError(f"{path} exists already; choose another --out.")
    _refuse_other_clips(records[0], session)
    network = deepcopy(runs[0].network)
    network.load_state_dict(average_weights([run.network.state_dict() for run in runs]))
    read = ClipCache(session.recipe.features, cache_folder())
    read.fill((*session.split.test, *session.held_out_negatives), console)
    with writing_to(session.out):
        session.out.mkdir(parents=True, exist_ok=True)
    held_out = score_held_out(network.to(session.device), session, read)
    words = f", mean of the weights of {len(runs)} runs"
    trained_on = records[0].scores[0].trained_on + words if records[0].scores else ""
    fold_scores = score_folds(held_out, session, trained_on)
    plan = msgspec.structs.replace(runs[0].plan, hard_from=None, averaged=tuple(map(_averaged, runs)))
    scores, thresholds = final_scores(held_out, fold_scores, session)
    contract = msgspec.structs.replace(
        runs[0].contract,
        name=model_name(session),
        thresholds=thresholds,
        provenance=_provenance(runs[0], plan, words),
        scores=scores,
        weights_sha256=hash_network(network),
        operation=None,
    )
    record = _record(records, plan, fold_scores, held_out)
    with writing_to(session.out):
        save_checkpoint(path, _checkpoint(network, contract, plan, runs))
        write_record(record, session)
    return record


def _record(
    records: Sequence[RunRecord],
    plan: DataPlan,
    scores: tuple[EvaluationScore, ...],
    held_out: tuple[ScoredClip, ...],
) -> RunRecord:
    """Return the record of the mean: that of the first run, with the time of all."""
    return msgspec.structs.replace(
        records[0],
        plan=plan,
        seconds=round(sum(record.seconds for record in records), 1),
        torch=str(torch.__version__),
        scores=scores,
        held_out=held_out,
        train_accuracy=None,
    )


def _refuse_other_clips(record: RunRecord, session: RunSetup) -> None:
    """Refuse held-out clips other than those that a run was scored on."""
    clips = session.split.test + session.held_out_negatives
    found, wanted = {clip.name for clip in clips}, {clip.clip for clip in record.held_out}
    if found != wanted:
        raise ConfigError(
            f"There are {len(found)} held-out clips and negatives, of which {len(found - wanted)} are new and "
            f"{len(wanted - found)} of the runs' {len(wanted)} are missing; give the --data and --negatives that the "
            "runs were trained with."
        )


def _averaged(run: FinishedRun) -> AveragedRun:
    return AveragedRun(seed=run.recipe.seed, weights_sha256=run.contract.weights_sha256, hard_from=run.plan.hard_from)


def _provenance(first: FinishedRun, plan: DataPlan, words: str) -> Provenance:
    """Return the origin of the mean: that of the first run, and the seed and weights of each run."""
    origin = first.contract.provenance
    data = origin.data.removesuffix(describe_hard_views(first.plan.hard_from))
    parts = [
        f"seed {run.seed}, weights {run.weights_sha256[:12]}{describe_hard_views(run.hard_from)}"
        for run in plan.averaged
    ]
    return msgspec.structs.replace(
        origin,
        data=f"{data}{words}: {'; '.join(parts)}",
        soundwatch=code_version(),
        torch=str(torch.__version__),
    )


def _checkpoint(network: nn.Module, contract: ModelContract, plan: DataPlan, runs: Sequence[FinishedRun]) -> Checkpoint:
    """Return the checkpoint of a mean, which has a tag layer where its runs have one, and no state to resume from."""
    recipe = runs[0].recipe
    auxiliary = [run.auxiliary for run in runs if run.auxiliary is not None]
    return Checkpoint(
        contract=encode_contract(contract),
        recipe=encode_recipe(recipe),
        plan=msgspec.json.encode(plan).decode(),
        model=network.state_dict(),
        ema=None,
        optimiser={},
        scheduler={},
        epoch=recipe.epochs,
        history=[],
        hint=average_weights(auxiliary) if auxiliary else None,
    )
