"""`soundwatch thresholds`: choose a model's thresholds by false events an hour, and write the model with them."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from soundwatch.daemon.cli.options import FiniteRange, GivenPath, overwrite_option
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.inference.classifier import load_classifier_file, resolve_model
from soundwatch.export.model_card import card_name, operation_table
from soundwatch.export.rewrite import write_with_contract
from soundwatch.export.staging import check_outputs, staging_folder
from soundwatch.training.cli.options import Folds, sounds_option
from soundwatch.training.data.datasets.everyday_sounds import read_everyday_sounds
from soundwatch.training.evaluation.streets.held_out import hold_out, open_network
from soundwatch.training.evaluation.thresholds.street import (
    ROLES,
    UNSEEN_ROLES,
    choose_in_street,
    describe_evidence,
    gather_evidence,
)
from soundwatch.training.model.recipe import Recipe
from soundwatch.training.model.recipe_file import load_recipe, shipped_recipes


@click.command()
@click.argument("model")
@click.option("--data", "root", type=GivenPath(), required=True, help="UrbanSound8K, for the targets.")
@sounds_option(required=True)
@click.option(
    "--held-out",
    "networks",
    multiple=True,
    metavar="MODEL|RUN",
    help="A network of the model's recipe that holds folds back: choose on its scores. Repeatable.  [default: MODEL]",
)
@click.option(
    "--folds", type=Folds(), help="Folds of the targets.  [default: those that the network has not learned from]"
)
@click.option(
    "--price",
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    help="Share of the sounds found that one false event an hour is worth.  [default: the recipe's]",
)
@click.option("--unseen", is_flag=True, help="No training used the sounds: choose on those meant for training, too.")
@click.option("--out", type=GivenPath(), required=True, help="Folder for the model and its card.")
@overwrite_option
@click.option("--cache", type=GivenPath(), help="Keep scores there, so that another price is quick.")
def thresholds(
    model: str,
    root: Path,
    sounds: Path,
    networks: tuple[str, ...],
    folds: tuple[int, ...] | None,
    price: float | None,
    unseen: bool,
    out: Path,
    overwrite: bool,
    cache: Path | None,
) -> None:
    """Choose thresholds on streets and everyday sounds at a price a false event, and write MODEL with them.

    MODEL is an ONNX file or a shipped model's name. Of the sounds only those whose role is validation are used.
    """
    console = Console(stderr=True)
    contract = load_classifier_file(model, "cpu", "onnx").contract
    price = _recipe_of(contract).false_event_price if price is None else price
    check_outputs(out, (f"{contract.name}.onnx", card_name(contract)), overwrite, resolve_model(model))
    with staging_folder(out):
        pass  # a folder that cannot be written to is refused before the work
    clips = read_everyday_sounds(sounds)
    held_out = [hold_out(open_network(network), root, folds) for network in networks or (model,)]
    for network in held_out:
        _check_labels(network.classifier.contract, contract)
        if network.learned:
            names = ", ".join(map(str, network.learned))
            console.print(f"[yellow]The network was trained on fold {names}: too much is found.[/]")
    roles = UNSEEN_ROLES if unseen else ROLES
    evidence = gather_evidence(held_out, clips, roles, console, cache)
    chosen = choose_in_street(evidence, contract, price, describe_evidence(held_out, clips, roles))
    files = write_with_contract(model, chosen, out)
    console.print(operation_table(chosen), highlight=False, markup=False)
    for file in files:
        click.echo(file)


def _check_labels(found: ModelContract, wanted: ModelContract) -> None:
    if found.labels != wanted.labels:
        raise ConfigError(
            f"--held-out {found.identity} has the labels {', '.join(found.labels)}, and {wanted.identity} has "
            f"{', '.join(wanted.labels)}; networks of one recipe were expected."
        )


def _recipe_of(contract: ModelContract) -> Recipe:
    """Return the recipe of a model, if the recipe is shipped."""
    name = contract.provenance.recipe
    if name not in shipped_recipes():
        raise ConfigError(f"{contract.identity} was made by recipe {name}, which is not shipped; give --price.")
    return load_recipe(name)
