"""Cost of a shadow model, and its effect on the delay of the active model.

Run `python benchmarks/shadow.py` on an idle machine; it takes some minutes and writes results/shadow.json.

Conventions: streams as in `streams.py`, in real time, each trial in its own process. The second model is of the
first one's size: the same file. Trials without it, and with it on each share of the windows, are run by turns, so that
whatever else the machine does falls on all of them; a ratio is of two trials of one turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Final

import numpy as np
from harness import Results, Table, machine_of, option_parser, provenance, resident_mb, table, write_results
from streams import Paced, Timed

from soundwatch.daemon.config.config import Config, ShadowConfig
from soundwatch.daemon.diagnostics.benchmark import benchmark_context, error_logger
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.shadow.build import open_shadow
from soundwatch.daemon.sinks.direct import DirectWriter

SHARES: Final = (0.0, 0.1, 1.0)


class Summed:
    """A sink that counts compared windows."""

    name = "summed"

    def __init__(self) -> None:
        self.windows = self.dropped_windows = 0

    def write(self, line: bytes) -> None:
        """Count the windows of a line."""
        record = json.loads(line)
        if record["type"] == "shadow":
            self.windows += record["windows"]
            self.dropped_windows += record["dropped_windows"]

    def close(self) -> None:
        """Do nothing."""


def trial(model: str, share: float, streams: int, seconds: float) -> dict[str, Any]:
    """Some streams in real time, with a second model on this share of their windows."""
    sink = Summed()
    context = replace(
        benchmark_context(load_classifier_file(model, "cpu")), journal=DirectWriter([Summed()], error_logger())
    )
    if share:
        shadow = open_shadow(
            Config(shadow=ShadowConfig(file=model, share=share)),
            replace(context, journal=DirectWriter([sink], error_logger())),
            error_logger(),
        )
        shadow.start()
        context = replace(context, shadow=shadow)
    engine = Timed(context)
    cpu_s = time.process_time()
    engine.run([SourceSession(Paced(f"mic{number}", seconds, number / streams)) for number in range(streams)])
    if share:
        shadow.close("ended")
    cpu_s = time.process_time() - cpu_s
    return {
        "share": share,
        "cpu_ms_a_second": round(cpu_s * 1000 / streams / seconds, 3),
        "delay_ms": {
            name: round(float(np.percentile(np.array(engine.delays_ms), q)), 2)
            for name, q in (("p50", 50), ("p99", 99))
        },
        "windows": len(engine.delays_ms),
        "compared": sink.windows,
        "dropped": sink.dropped_windows,
        "resident_mb": round(resident_mb(), 1),
    }


def main() -> None:
    """Measure all, or one trial."""
    parser = option_parser(__doc__)
    parser.add_argument("--model", default="urban")
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(trial(options.model, options.one, options.streams, options.seconds)))
        return

    asked = ("--model", options.model, "--streams", str(options.streams), "--seconds", str(options.seconds))
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # as the command line sets it
    turns = []
    for _ in range(options.turns):
        turn = []
        for share in SHARES:
            command = [sys.executable, __file__, *asked, "--one", str(share)]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            turn.append(json.loads(done.stdout.splitlines()[-1]))
        turns.append(turn)
    results = {
        **provenance("python benchmarks/shadow.py"),
        "model": load_classifier_file(options.model, "cpu").contract.identity,
        "streams": options.streams,
        "seconds": options.seconds,
        "turns": turns,
    }
    write_results("shadow", results, TABLES["shadow"])


def shadow_table(results: Results) -> Table:
    """Return a row for each share of the windows."""
    rows = []
    for trials in zip(*results["turns"], strict=True):
        ratios = [
            trial["cpu_ms_a_second"] / turn[0]["cpu_ms_a_second"]
            for trial, turn in zip(trials, results["turns"], strict=True)
        ]
        share = trials[0]["share"]
        rows.append(
            (
                f"on {share:g} of the windows" if share else "none",
                _spread([trial["cpu_ms_a_second"] for trial in trials], 2),
                _spread(ratios, 2) if share else "",
                _spread([trial["delay_ms"]["p50"] for trial in trials], 1),
                _spread([trial["resident_mb"] for trial in trials], 0),
                f"{sum(trial['compared'] for trial in trials)} and {sum(trial['dropped'] for trial in trials)}"
                if share
                else "",
            )
        )
    headings = ("a shadow", "processor time for a second of a stream, ms", "ratio to none")
    more = ("last sample of a window to written line, ms", "MB", "windows compared and dropped")
    note = (
        f"Median, least and most of {len(results['turns'])} turns, each of {results['streams']} streams of 48 kHz "
        f"stereo for {results['seconds']:g} s in real time; the second model is as large as the first. The rows were "
        "measured in turns, so that other load affects all of them."
    )
    return table((*headings, *more), rows, f"{note} {machine_of(results)}")


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


TABLES: Final = {
    "shadow": {
        "shadow": shadow_table,
    },
}


if __name__ == "__main__":
    main()
