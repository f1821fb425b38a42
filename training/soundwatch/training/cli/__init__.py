"""The training room's commands, one module each.

Conventions: progress and warnings go to stderr; stdout is for results. Errors of the family in
`soundwatch.daemon.errors` end the program with their exit code and one message.
Does not: belong to the daemon; its command group loads these by name, and only when they are called.
"""

from soundwatch.training.cli.crossval import crossval
from soundwatch.training.cli.data import data
from soundwatch.training.cli.evaluate import evaluate
from soundwatch.training.cli.train import train

__all__ = ["crossval", "data", "evaluate", "train"]
