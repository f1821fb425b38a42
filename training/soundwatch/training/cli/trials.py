"""Options of `soundwatch evaluate` for scenarios: street, open set, robustness.

Conventions: None is an option that was not given. This module imports none of the scenarios.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
import numpy as np

from soundwatch.daemon.cli.options import FiniteRange
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.cli.options import negatives_option, sounds_option
from soundwatch.training.evaluation.options import TrialOptions

_MEANT_FOR: Final[dict[str, frozenset[str]]] = {
    "snr_db": frozenset({"street"}),
    "minutes": frozenset({"street", "open-set"}),
    "negatives": frozenset({"street", "open-set"}),
    "unseen": frozenset({"street", "open-set"}),
    "sounds": frozenset({"street"}),
    "limit": frozenset({"open-set", "robustness"}),
    "seed": frozenset({"street", "open-set", "robustness"}),
}


class Ratios(click.ParamType[tuple[float, ...]]):
    """List of decibels, separated by commas."""

    name = "ratios"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Convert `20,10` to (20.0, 10.0)."""
        if isinstance(value, tuple):
            return value
        try:
            ratios = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            ratios = ()
        if not ratios or not np.isfinite(ratios).all():
            self.fail(f"{value!r} is not a list of ratios; write decibels with commas, e.g. 20,10,5,0.", param, ctx)
        return ratios


Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS: Final = (
    click.option(
        "--street", "trial", flag_value="street", help="Test on the folds' clips mixed over ambience instead."
    ),
    click.option("--open-set", "trial", flag_value="open-set", help="Test on sounds of none of the classes instead."),
    click.option(
        "--robustness",
        "trial",
        flag_value="robustness",
        help="Test on clips degraded by microphones and rooms instead.",
    ),
    negatives_option,
    sounds_option(),
    click.option("--unseen", is_flag=True, help="No training used the negatives or sounds: use them all."),
    click.option("--snr-db", type=Ratios(), help="Clips above ambience in the street.  [default: 20,10,5,0]"),
    click.option(
        "--minutes", type=FiniteRange(0, min_open=True), help="Minutes of each street or ambience.  [default: 60]"
    ),
    click.option("--limit", type=click.IntRange(1), help="Take so many clips or recordings at random.  [default: all]"),
    click.option("--seed", type=click.IntRange(0), help="Seed of all random draws of a trial.  [default: 1]"),
)


def trial_options(command: Command) -> Command:
    """Add the options to a command, as keyword arguments."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_options(options: TrialOptions) -> None:
    """Refuse an option that does not apply to the scenario.

    Raises:
        ConfigError: An option does not apply, or a required one is missing.
    """
    for name, trials in _MEANT_FOR.items():
        if getattr(options, name) not in (None, False, ()) and options.trial not in trials:
            wanted = " or ".join(f"--{trial}" for trial in sorted(trials))
            raise ConfigError(f"--{name.replace('_', '-')} is only for {wanted}; leave it out, or add one of these.")
    if options.sounds and (options.negatives or options.snr_db):
        raise ConfigError("--sounds has its own negatives and ratios; leave out --negatives and --snr-db.")
    if options.trial == "open-set" and not options.negatives:
        raise ConfigError("--open-set needs --negatives: a folder of recordings of none of the model's classes.")
