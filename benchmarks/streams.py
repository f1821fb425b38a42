"""Many streams in real time through one engine, and a day through it as fast as it goes.

Run `python benchmarks/streams.py` on an idle machine; it takes `--minutes` for each number of streams and some more for
the day, and writes results/streams.json.

Conventions: a stream is 48 kHz stereo noise that comes in pieces of 100 ms, its start some way into a second like a
microphone's. As from a sound server or ffmpeg, pieces that no window needs yet wait, and are read as one block; with
`--apart` each piece is a block, as from the network.
A window is late if it is not written within a hop of its last block. Delays are from that block to the lines' write.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from harness import (
    Results,
    Table,
    in_own_process,
    machine_of,
    option_parser,
    provenance,
    resident_mb,
    table,
    write_results,
)
from other_load import BEFORE_S, OtherLoad, slowest_text

from soundwatch.daemon.capture.recordings.pacing import Pacer
from soundwatch.daemon.core.process.memory import limit_heap
from soundwatch.daemon.core.records.block import Block, read_only
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.core.records.window import FeatureWindow
from soundwatch.daemon.diagnostics.benchmark import BLOCK_SAMPLES, RATE_HZ, NoiseSource, benchmark_context, error_logger
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.engine.source_state import PendingItem
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.sinks.direct import DirectWriter

NOISE: Final = list(NoiseSource("noise", 1.0).blocks())


class Paced:
    """Noise that comes when a microphone's would."""

    def __init__(self, name: str, seconds: float, delay_s: float, apart: bool = False) -> None:
        self.info = SourceInfo(name, "noise", RATE_HZ, 2)
        self.start_unix_ns = 0
        self._seconds, self._delay_s, self._apart = seconds, delay_s, apart
        self._needed_sample = 0
        self._pacer = Pacer("real_time", RATE_HZ)

    def blocks(self) -> Iterator[Block]:
        """Blocks of one or several pieces."""
        time.sleep(self._delay_s)
        self.start_unix_ns = time.time_ns()
        self._pacer.wait_for(0)
        number, last = 0, round(10 * self._seconds)
        while number < last:
            wanted = 1 if self._apart else -(-self._needed_sample // BLOCK_SAMPLES) - number
            pieces = min(max(1, wanted), len(NOISE), last - number)
            if not self._pacer.wait_for((number + pieces) * BLOCK_SAMPLES):
                return
            noise = [NOISE[(number + piece) % len(NOISE)].samples for piece in range(pieces)]
            samples = read_only(np.concatenate(noise, axis=1))  # as a microphone's callback copies
            yield Block(samples, RATE_HZ, number * BLOCK_SAMPLES)
            number += pieces

    def gather_until(self, end_sample: int) -> None:
        """Let the next block end with the piece of this sample."""
        self._needed_sample = end_sample

    def stop(self) -> None:
        """Make `blocks` end."""
        self._pacer.stop()


class Timed(Engine):
    """An engine that records the delay of every window."""

    def __init__(self, context: EngineContext) -> None:
        super().__init__(context, error_logger())
        self.delays_ms, self.emitted_s = array("d"), array("d")

    def emit(self, batch: Sequence[PendingItem], scores: Sequence[Scores]) -> None:
        """Note it."""
        super().emit(batch, scores)
        now_ns = time.monotonic_ns()
        windows = [item for item in batch if isinstance(item.content, FeatureWindow)]
        self.delays_ms.extend((now_ns - item.since_ns) / 1e6 for item in windows)
        self.emitted_s.extend(now_ns / 1e9 for _ in windows)


class Counted(Engine):
    """An engine that counts its windows, and keeps nothing of them that could pass for its own growth."""

    def __init__(self, context: EngineContext) -> None:
        super().__init__(context, error_logger())
        self.windows = 0

    def emit(self, batch: Sequence[PendingItem], scores: Sequence[Scores]) -> None:
        """Count them."""
        super().emit(batch, scores)
        self.windows += len(scores)


class Counting:
    """A sink that counts lines by their type."""

    name = "counts"

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def write(self, line: bytes) -> None:
        """Count a line."""
        kind = json.loads(line)["type"]
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def close(self) -> None:
        """Do nothing."""


def live(model: str, streams: int, seconds: float, apart: bool = False) -> dict[str, Any]:
    """Some streams in real time."""
    limit_heap()  # as `soundwatch run`
    sink = Counting()
    context = replace(
        benchmark_context(load_classifier_file(model, "cpu")), journal=DirectWriter([sink], error_logger())
    )
    engine, spec = Timed(context), context.classifier.contract.features
    before_mb, held_mb = resident_mb(), list[float]()
    watch = threading.Timer(0.9 * seconds, lambda: held_mb.append(resident_mb()))
    watch.start()
    load, cpu_s, began_s = OtherLoad(), time.process_time(), time.monotonic()
    engine.run([SourceSession(Paced(f"mic{number}", seconds, number / streams, apart)) for number in range(streams)])
    cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - began_s
    load.end()
    wanted = streams * (1 + round(seconds * spec.rate_hz - spec.window_samples) // spec.window_hop_samples)
    hop_ms = spec.window_hop_samples / spec.rate_hz * 1000
    delays_ms = np.array(engine.delays_ms)
    slowest_s = engine.emitted_s[int(delays_ms.argmax())]
    return {
        "streams": streams,
        "seconds": seconds,
        "windows": len(delays_ms),
        "windows_wanted": wanted,
        "windows_late": int((delays_ms > hop_ms).sum()),
        "gap_lines": sink.counts.get("gap", 0),
        "health_lines": sink.counts.get("health", 0),
        "delay_ms": {name: round(float(np.percentile(delays_ms, q)), 1) for name, q in (("p50", 50), ("p99", 99))},
        "slowest": {"delay_ms": round(delays_ms.max(), 1), "at_s": round(slowest_s - began_s, 1)},
        "cores_busy": round(cpu_s / wall_s, 2),
        "other_cores_busy": {
            "mean": load.cores(began_s, began_s + wall_s),
            "before_slowest": load.cores(slowest_s - BEFORE_S, slowest_s),
        },
        "cpu_ms_a_second": round(cpu_s * 1000 / streams / seconds, 3),
        "resident_mb": round(held_mb[0], 1),
        "mb_a_stream": round((held_mb[0] - before_mb) / streams, 2),
    }


class Day(NoiseSource):
    """Hours of noise, with a look at the memory at the start of each and at the end."""

    def __init__(self, hours: int) -> None:
        super().__init__("day", 3600 * hours)
        self.resident_mb: list[float] = []

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks."""
        for block in super().blocks():
            if block.first_sample % (3600 * RATE_HZ) == 0:
                self.resident_mb.append(round(resident_mb(), 2))
            yield block
        self.resident_mb.append(round(resident_mb(), 2))


def day(model: str, hours: int) -> dict[str, Any]:
    """Run a day, or some hours, through the live engine, from a source that waits for the engine."""
    engine, source = Counted(benchmark_context(load_classifier_file(model, "cpu"))), Day(hours)
    cpu_s, wall_s = time.process_time(), time.monotonic()
    engine.run([SourceSession(source)])
    cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
    after_mb = source.resident_mb[1:]
    return {
        "hours": hours,
        "windows": engine.windows,
        "cpu_s": round(cpu_s, 1),
        "wall_s": round(wall_s, 1),
        "resident_mb": source.resident_mb,
        "growth_after_first_hour_mb": round(after_mb[-1] - after_mb[0], 2),
    }


def main() -> None:
    """Measure all, or one part of it."""
    parser = option_parser(__doc__)
    parser.add_argument("--model", default="urban")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument(
        "--streams", default="1,100,500", help="how many at once, one trial each; 600:10 for 10 minutes"
    )
    parser.add_argument("--apart", action="store_true", help="one block for each piece of 100 ms")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--hours", type=int, default=24, help="of sound, as fast as it goes")
    parser.add_argument("--day", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.day or options.one:
        seconds = options.minutes * 60
        part = (
            day(options.model, options.hours)
            if options.day
            else live(options.model, options.one, seconds, options.apart)
        )
        print(json.dumps(part))
        return

    common = (
        *(["--apart"] if options.apart else []),
        "--model",
        options.model,
        "--minutes",
        str(options.minutes),
        "--hours",
        str(options.hours),
    )
    asked = (
        "--apart " if options.apart else ""
    ) + f"--minutes {options.minutes:g} --streams {options.streams} --hours {options.hours}"
    results = {
        **provenance(f"python benchmarks/streams.py {asked}"),
        "model": load_classifier_file(options.model, "cpu").contract.identity,
        "live": [in_own_process(__file__, *common, *trial_options(trial)) for trial in options.streams.split(",")],
        "day": in_own_process(__file__, *common, "--day"),
    }
    write_results("streams", results, TABLES["streams"])


def trial_options(trial: str) -> tuple[str, ...]:
    """Return the options of a trial: a number of streams, and its own minutes after a colon."""
    streams, _, minutes = trial.partition(":")
    return ("--one", streams, *(("--minutes", minutes) if minutes else ()))


def streams_table(results: Results) -> Table:
    """Return a row for each number of streams in real time."""
    rows = [
        (
            str(run["streams"]),
            f"{run['seconds'] / 60:g}",
            f"{run['windows']:,} of {run['windows_wanted']:,}",
            str(run["windows_late"]),
            f"{run['delay_ms']['p50']:.1f}, {run['delay_ms']['p99']:.1f}",
            f"{run['cores_busy']:.2f}",
            f"{run['cpu_ms_a_second']:.2f}",
            f"{run['resident_mb']:.0f}",
            f"{run['mb_a_stream']:.2f}" if run["streams"] > 1 else "",
        )
        for run in results["live"]
    ]
    headings = (
        "streams",
        "minutes",
        "windows reported",
        "late",
        "delay, ms (median, 99 %)",
        "cores busy",
        "ms for a second of one",
        "resident, MB",
        "MB a stream",
    )
    day = results["day"]
    note = (
        f"{day['hours']} hours of sound through the same engine as fast as it goes: "
        f"{day['windows']:,} windows in {day['wall_s']:.0f} s; "
        f"{day['resident_mb'][1]:.1f} MB resident after the first hour and {day['resident_mb'][-1]:.1f} MB at the end."
    )
    slow = "".join(slowest_text(run) for run in results["live"] if run["windows_late"] and "slowest" in run)
    return table(headings, rows, f"{note}\n{slow}\n{machine_of(results)}")


TABLES: Final = {"streams": {"streams": streams_table}}


if __name__ == "__main__":
    main()
