"""`python -m soundwatch.training train ...`: the training room's commands without the daemon's program."""

from __future__ import annotations

import sys

import click

from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.training.cli.evaluate import evaluate
from soundwatch.training.cli.train import train


@click.group()
def main() -> None:
    """Train and evaluate soundwatch's networks."""


main.add_command(train)
main.add_command(evaluate)

if __name__ == "__main__":
    try:
        main()
    except SoundwatchError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
