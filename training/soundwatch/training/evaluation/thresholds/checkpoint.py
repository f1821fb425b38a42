"""Thresholds of a finished run, selected on streets with its cross-validation runs.

Conventions: these runs have an equal recipe and held-out folds; the run's checkpoint is rewritten with another
contract and unchanged weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from soundwatch.daemon.core.model.contract import decode_contract
from soundwatch.training.data.datasets.everyday_sounds import EverydayClip
from soundwatch.training.evaluation.streets.held_out import hold_out, open_network
from soundwatch.training.evaluation.thresholds.street import ROLES, choose_in_street, describe_evidence, gather_evidence
from soundwatch.training.model import checkpoint as checkpoints
from soundwatch.training.model.recipe import decode_recipe


def choose_for_run(
    out: Path, runs: Sequence[Path], root: Path, sounds: Sequence[EverydayClip], console: Console
) -> dict[str, float]:
    """Select thresholds at the recipe's price, and write them into the run's checkpoint.

    Args:
        out: Folder of the run.
        runs: Folders of finished runs with held-out folds.
        root: Folder of UrbanSound8K.
        sounds: Everyday sounds; only those with the role validation are used.
        console: Console for the progress.

    Raises:
        DataError: A run has no held-out fold, or there are too few clips for a street.
        ModelError: A checkpoint cannot be read.
    """
    path = out / checkpoints.FILE_NAME
    state = checkpoints.read_checkpoint(path)
    contract = decode_contract(state.contract, str(path))
    networks = [hold_out(open_network(run), root, None) for run in runs]
    evidence = gather_evidence(networks, sounds, ROLES, console)
    price = decode_recipe(state.recipe).false_event_price
    chosen = choose_in_street(evidence, contract, price, describe_evidence(networks, sounds, ROLES))
    checkpoints.replace_contract(path, chosen)
    return chosen.thresholds
