"""The commands of training, one module each.

Conventions: progress and warnings go to stderr, results to stdout. An error of `soundwatch.daemon.core.errors` ends the
program with its exit code and one message.
Never: be imported by the daemon before one of these commands is called.
"""

from soundwatch.training.cli.crossval import crossval
from soundwatch.training.cli.data import data
from soundwatch.training.cli.evaluate import evaluate
from soundwatch.training.cli.train import train

__all__ = ["crossval", "data", "evaluate", "train"]
