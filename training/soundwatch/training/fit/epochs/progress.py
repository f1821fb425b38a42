"""Description of a run before its first epoch, and its rate and time left.

Conventions: text for people, on stderr. Times are estimates from the steps so far; scoring after each epoch is in
them from the second epoch on.
Does not: change the run, or draw random numbers.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from soundwatch.training.data.windows.cache import cache_folder, size_mb
from soundwatch.training.fit.setup.machine import processor
from soundwatch.training.fit.setup.run_setup import RunSetup

ESTIMATE_STEPS: Final = 10  # steps before the expected time is printed; the first one is not measured
LINE_EVERY_S: Final = 60.0


def describe_start(session: RunSetup, parameters: int, steps: int) -> str:
    """Describe device, recipe, clips, network and cache of a run in lines.

    Args:
        session: Inputs of the run.
        parameters: Number of parameters of the network.
        steps: Number of steps per epoch.
    """
    recipe, split = session.recipe, session.split
    on_cuda = session.device.type == "cuda"
    device = torch.cuda.get_device_name() if on_cuda else f"{processor()}, {torch.get_num_threads()} threads"
    others = len(session.train_clips) - len(split.train)
    clips = (*session.train_clips, *split.test, *session.held_out_negatives)
    learning_rate = recipe.optimisation.max_learning_rate
    return "\n".join(
        (
            f"device: {session.device.type} ({device})",
            f"recipe: {recipe.name} ({recipe.sha256[:12]}), learning rate up to {learning_rate}",
            f"clips: {len(split.train)} and {others} other sounds to train on, {len(split.test)} and "
            f"{len(session.held_out_negatives)} other sounds to test",
            f"network: {parameters:,} parameters",
            f"steps: {recipe.epochs} epochs of {steps} steps of {recipe.batch_clips} clips",
            f"cache: about {size_mb(clips, recipe.features)} MB of decoded clips in {cache_folder()}",
        )
    )


def clip_table(session: RunSetup) -> Table:
    """Build a table of the labeled clips, a row per class and a column per fold and side."""
    split = session.split
    counts = Counter(
        (side, clip.fold, clip.class_id)
        for side, clips in (("train", split.train), ("test", split.test))
        for clip in clips
    )
    columns = sorted({(side, fold) for side, fold, _ in counts}, key=lambda column: (column[0] == "test", column[1]))
    table = Table("class", box=box.SIMPLE)
    for side, fold in columns:
        table.add_column(f"{side} {fold}" if fold else side, justify="right")
    for class_id, label in enumerate(split.labels):
        table.add_row(label, *(str(counts[side, fold, class_id]) for side, fold in columns))
    return table


class RunProgress:
    """Rate and time left of a run: a bar on a terminal, one line a minute elsewhere.

    Args:
        console: Console of the run.
        epochs: Number of epochs of the run.
        finished: Number of epochs that are finished already.
        steps: Number of steps per epoch.
        clock_s: Monotonic clock.
    """

    def __init__(
        self, console: Console, epochs: int, finished: int, steps: int, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._epochs, self._steps, self._clock_s = console, epochs, steps, clock_s
        self._left = (epochs - finished) * steps
        self._done = 0
        self._began_s = self._line_s = clock_s()

    @contextmanager
    def epoch(self, number: int) -> Iterator[Callable[[], None]]:
        """Show one epoch; the result is called after each of its steps."""
        title = f"epoch {number}/{self._epochs}"
        with Progress(console=self._console, transient=True, disable=not self._console.is_terminal) as bar:
            task = bar.add_task(title, total=self._steps)
            done_before = self._done

            def advance() -> None:
                self._finish_step(f"{title} step {self._done - done_before + 1}/{self._steps}")
                bar.update(task, advance=1, description=f"{title}  {self._rate()}")

            yield advance

    def _finish_step(self, place: str) -> None:
        """Count a step, and print the expected time once and, without a terminal, a line a minute."""
        now_s = self._clock_s()
        self._done += 1
        self._left -= 1
        if self._done == 1:
            self._began_s = now_s  # the first step also loads libraries and plans kernels
        if self._done == ESTIMATE_STEPS + 1 and self._left:
            self._print(f"expected time, without scoring: {self._rate()}")
        elif not self._console.is_terminal and now_s - self._line_s >= LINE_EVERY_S:
            self._line_s = now_s
            self._print(f"{place}  {self._rate()}")

    def _rate(self) -> str:
        """Format the steps per second and the time left."""
        elapsed_s = self._clock_s() - self._began_s
        if self._done < 2 or elapsed_s <= 0:
            return "first step done" if self._done else "first step"
        rate = (self._done - 1) / elapsed_s
        return f"{rate:.3g} steps/s, about {format_time(self._left / rate)} left"

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def format_time(duration_s: float) -> str:
    """Format a duration in seconds, minutes or hours."""
    if duration_s < 90:
        return f"{duration_s:.0f} s"
    return f"{duration_s / 60:.0f} min" if duration_s < 90 * 60 else f"{duration_s / 3600:.1f} h"
