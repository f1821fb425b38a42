"""Processor time of the sound level meter.

Run `python benchmarks/level.py`; it takes half a minute and writes results/level.json.

Conventions: processor milliseconds for a second of 48 kHz stereo noise in blocks of 100 ms, on one thread. The meter in
the engine is the difference of two runs of the engine, with and without the meter, both without a model.
Memory is the highest of arrays and objects of one source's meter, without numpy itself.
Does not: count the thread that writes lines.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from typing import Any, Final

import numpy as np
from harness import (
    Results,
    Table,
    figure,
    machine_of,
    option_parser,
    provenance,
    restart_with_one_thread,
    table,
    with_range,
    write_results,
)
from scipy import signal

from soundwatch.daemon.config.config import DetectionConfig
from soundwatch.daemon.config.level import LevelConfig, LoudConfig
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.diagnostics.benchmark import (
    RATE_HZ,
    NoiseSource,
    NullClassifier,
    benchmark_context,
    error_logger,
)
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.level import bands as band_filters
from soundwatch.daemon.level import meter
from soundwatch.daemon.level.block_filter import block_filter
from soundwatch.daemon.level.meter import MeterState, measure
from soundwatch.daemon.level.tap import LevelMeter
from soundwatch.daemon.level.watch import LevelWatch, watch_rules
from soundwatch.daemon.level.weighting import weighting_sections

SECONDS: Final = 30
ROUNDS: Final = 9
NAMES: Final = {
    "filter": "weightings A and C by block filter",
    "scipy": "weightings A and C by `scipy.signal.sosfilt`",
    "meter": "meter alone: weightings, F, S, Leq",
    "bands": "meter alone with 1/3-octave bands",
    "engine": "meter in the engine, with periods and `loud`",
}


def cost_ms(call: Callable[[], object], seconds: float) -> float:
    """Return the processor time of a call for a second of sound."""
    started_ns = time.process_time_ns()
    call()
    return (time.process_time_ns() - started_ns) / 1e6 / seconds


def run_meter(noise: np.ndarray, *, bands: bool = False) -> None:
    """Measure all of the noise."""
    state, step = MeterState(), RATE_HZ // 10
    for first in range(0, noise.shape[1], step):
        state, _ = measure(state, Block(noise[:, first : first + step], RATE_HZ, first), bands=bands)


def memory_mb(noise: np.ndarray, *, bands: bool) -> float:
    """Return the highest memory of the meter of one source, its matrices included."""
    for cached in (meter._filters, meter._growth, band_filters._rise, band_filters._weights, band_filters._gains):
        cached.cache_clear()
    tracemalloc.start()
    run_meter(noise[:, : 3 * RATE_HZ], bands=bands)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return round(peak_bytes / 1e6, 1)


def engine_ms(contract: ModelContract, *, metered: bool) -> float:
    """Return the cost of the engine without a model."""
    context = benchmark_context(NullClassifier(contract))
    if metered:
        config = LevelConfig(enabled=True, loud=LoudConfig())

        def watch(_: str, contract: ModelContract) -> LevelWatch:
            rules = watch_rules(config, config.classes, DetectionConfig(), contract)
            return LevelWatch(config, rules, contract.features.rate_hz)

        level_tap = LevelMeter(
            watch, lambda _: None, lambda: UTC, context.live.publish_level, context.journal.append, error_logger()
        )
        context = replace(context, level_tap=level_tap)
    session = SourceSession(NoiseSource("noise", SECONDS))
    return cost_ms(lambda: Engine(context, error_logger()).run([session]), SECONDS)


def measured() -> dict[str, Any]:
    """Measure each part."""
    contract = load_classifier_file("urban", "cpu").contract
    noise = np.random.default_rng(0).normal(0, 0.1, (2, SECONDS * RATE_HZ)).astype(np.float32)
    second, sections = noise[:, :RATE_HZ], weighting_sections(RATE_HZ)
    filters, state = block_filter(sections, (2, 3), RATE_HZ), np.zeros((2, 6), np.float32)
    scipy_sections, scipy_state = np.insert(sections, 3, 1.0, axis=1), np.zeros((3, 2, 2))

    def scipy_filter() -> None:
        samples = second.astype(np.float64)
        c_weighted, _ = signal.sosfilt(scipy_sections[:2], samples, zi=scipy_state[:2])
        signal.sosfilt(scipy_sections[2:], c_weighted, zi=scipy_state[2:])

    rounds: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(ROUNDS + 1):
        rounds["filter"].append(min(cost_ms(lambda: filters.filter(state, second), 1) for _ in range(10)))
        rounds["scipy"].append(min(cost_ms(scipy_filter, 1) for _ in range(10)))
        rounds["meter"].append(cost_ms(lambda: run_meter(noise), SECONDS))
        rounds["bands"].append(cost_ms(lambda: run_meter(noise, bands=True), SECONDS))
        rounds["engine"].append(engine_ms(contract, metered=True) - engine_ms(contract, metered=False))
    memory = {"meter": memory_mb(noise, bands=False), "bands": memory_mb(noise, bands=True)}
    return {"ms_a_second": {name: figure(values[1:]) for name, values in rounds.items()}, "peak_mb": memory}


def cost_table(results: Results) -> Table:
    """Return the processor time and the memory of each part."""
    memory = {name: f"{peak_mb:.1f}" for name, peak_mb in results["peak_mb"].items()}
    rows = [(NAMES[name], with_range(value, 2), memory.get(name, "")) for name, value in results["ms_a_second"].items()]
    return table(("part", "processor time, ms", "memory, MB"), rows, machine_of(results))


TABLES: Final = {"level": {"level": cost_table}}


def main() -> None:
    """Measure and write the results."""
    option_parser(__doc__).parse_args()
    restart_with_one_thread()
    results = {**provenance("python benchmarks/level.py"), **measured()}
    write_results("level", results, TABLES["level"])


if __name__ == "__main__":
    main()
