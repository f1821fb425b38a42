"""Processor time of a stream by stage, with a lower bound from operations and bytes.

Run `python benchmarks/stages.py`; it takes half a minute and writes results/stages.json.

Conventions: processor milliseconds for a second of one stream of 48 kHz stereo, through the live engine. A stage's
floor is the larger of its operations over this core's speed in multiplying matrices and its bytes over its speed in
copying, both measured here. Operations: of the resampler those of a direct filter as steep as libsoxr's; of the
spectra 5/2 N log2 N each; of mels the dense product; of the network its multiplications and additions, by the file.
Does not: say that a floor can be reached.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from harness import (
    Results,
    Table,
    machine_of,
    model_option,
    provenance,
    restart_with_one_thread,
    table,
    with_range,
    write_results,
)

from soundwatch.daemon.diagnostics.benchmark import RATE_HZ, NoiseSource, benchmark_context, error_logger
from soundwatch.daemon.engine import engine, threads
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.inference.classifier import LoadedModel, load_classifier_file
from soundwatch.daemon.pipeline import pipeline

SECONDS: Final = 120
ROUNDS: Final = 5
STAGES: Final = {
    "resample": (pipeline, "resample"),
    "window": (pipeline, "window"),
    "mel": (pipeline, "mel"),
    "level": (pipeline, "level_dbfs"),
    "classify": (threads, "classify_windows"),
    "decide": (pipeline, "decide"),
    "join blocks": (engine, "coalesce_blocks"),
}
STOP_DB: Final = 125.0  # libsoxr's HQ: 20 bits and the rest of the chain
PASS_SHARE: Final = 0.913  # of the output's band


def timed(call: Callable[..., Any], spent_ns: Counter[str], name: str) -> Callable[..., Any]:
    """Classifier that sums its thread's processor time."""

    def measured(*arguments: Any) -> Any:
        started_ns = time.thread_time_ns()
        try:
            return call(*arguments)
        finally:
            spent_ns[name] += time.thread_time_ns() - started_ns

    return measured


def profile(model: LoadedModel) -> dict[str, float]:
    """Return milliseconds for a second of a stream, by stage; the rest of the total is `hand-over and lines`."""
    spent_ns = Counter[str]()
    originals = {name: getattr(*place) for name, place in STAGES.items()}
    for name, (module, attribute) in STAGES.items():
        setattr(module, attribute, timed(originals[name], spent_ns, name))
    try:
        started_ns = time.process_time_ns()
        engine.Engine(benchmark_context(model), error_logger()).run([SourceSession(NoiseSource("noise", SECONDS))])
        total_ns = time.process_time_ns() - started_ns
    finally:
        for name, (module, attribute) in STAGES.items():
            setattr(module, attribute, originals[name])
    spent_ns["hand-over and lines"] = total_ns - sum(spent_ns.values())
    return {name: each_ns / 1e6 / SECONDS for name, each_ns in spent_ns.items()} | {"all": total_ns / 1e6 / SECONDS}


def multiplications(path: Path) -> int:
    """Count the multiplications of one window: outputs of convolutions and products times their summed inputs."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    weights = {item.name: list(item.dims) for item in graph.initializer}
    shapes = {
        item.name: [max(1, size.dim_value) for size in item.type.tensor_type.shape.dim]
        for item in (*graph.value_info, *graph.output)
    }
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            total += math.prod(shapes[node.output[0]][1:]) * math.prod(weights[node.input[1]][1:])
        elif node.op_type in ("Gemm", "MatMul") and node.input[1] in weights:
            total += math.prod(weights[node.input[1]])
    return total


def floors(model: LoadedModel) -> dict[str, tuple[float, float]]:
    """Operations and bytes for a second of a stream, by stage, in millions."""
    spec = model.contract.features
    frames = spec.rate_hz / spec.hop_samples
    bins = spec.n_fft // 2 + 1
    windows = spec.rate_hz / spec.window_hop_samples
    transition = math.pi * (1 - PASS_SHARE) * min(1.0, spec.rate_hz / RATE_HZ)
    taps = (STOP_DB - 8) / (2.285 * transition)  # Kaiser's estimate of a filter's length
    narrow = 2 if spec.channels == 2 else 1
    fft = 2.5 * spec.n_fft * math.log2(spec.n_fft) + spec.n_fft + 3 * bins
    map_bytes = 4 * math.prod(spec.input_shape)
    resampled = narrow * spec.rate_hz
    return {
        "resample": ((2 * taps * resampled + (2 - narrow) * RATE_HZ) / 1e6, 4 * (2 * RATE_HZ + resampled) / 1e6),
        "window": (0.0, windows * 4 * narrow * (spec.window_samples + spec.window_samples) / 1e6),
        "mel": (
            narrow * frames * (fft + 2 * bins * spec.n_mels) / 1e6,
            (4 * resampled + 2 * windows * map_bytes) / 1e6,
        ),
        "level": (windows * 2 * narrow * spec.window_samples / 1e6, windows * 4 * narrow * spec.window_samples / 1e6),
        "classify": (windows * 2 * multiplications(model.path) / 1e6, windows * map_bytes / 1e6),
    }


def core_speed() -> tuple[float, float]:
    """Thousand million operations and bytes a second of one core, at their best."""
    matrix = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
    source, target = np.ones(16_000_000, np.float32), np.empty(16_000_000, np.float32)
    products, copies = [], []
    for _ in range(20):
        started = time.perf_counter()
        matrix @ matrix
        products.append(time.perf_counter() - started)
        started = time.perf_counter()
        np.copyto(target, source)
        copies.append(time.perf_counter() - started)
    return 2 * 512**3 / min(products) / 1e9, 2 * source.nbytes / min(copies) / 1e9


def measure(model: str) -> dict[str, Any]:
    """Format the profile and the floors."""
    opened = load_classifier_file(model, "cpu")
    profile(opened)
    rounds = [profile(opened) for _ in range(ROUNDS)]
    giga_operations, giga_bytes = core_speed()
    known = floors(opened)
    stages = []
    for name in (*STAGES, "hand-over and lines", "all"):
        values = [item[name] for item in rounds]
        spread = {"median": statistics.median(values), "min": min(values), "max": max(values)}
        stage: dict[str, Any] = {"name": name} | {key: round(value, 4) for key, value in spread.items()}
        if name in known:
            operations, moved = known[name]
            floor_ms = max(operations / giga_operations, moved / giga_bytes)
            stage |= {"million_operations": round(operations, 2), "mb": round(moved, 2), "floor_ms": round(floor_ms, 4)}
        stages.append(stage)
    return {
        "core": {"giga_operations_s": round(giga_operations), "giga_bytes_s": round(giga_bytes, 1)},
        "ms_a_second": stages,
    }


def main() -> None:
    """Measure and write the results."""
    model = model_option(__doc__)
    restart_with_one_thread()
    identity = load_classifier_file(model, "cpu").contract.identity
    results = {**provenance("python benchmarks/stages.py"), "model": identity, "stages": measure(model)}
    write_results("stages", results, TABLES["stages"])


def stages_table(results: Results) -> Table:
    """Return the processor time of each stage for a second of one stream, with its lower bound."""
    core = results["stages"]["core"]
    rows = []
    for stage in results["stages"]["ms_a_second"]:
        if "floor_ms" not in stage:
            floor = ("", "", "", "")
        else:
            times = stage["median"] / stage["floor_ms"]
            operations, moved = f"{stage['million_operations']:.1f}", f"{stage['mb']:.2f}"
            floor = (operations, moved, f"{stage['floor_ms']:.3f}", f"{times:.1f}")
        rows.append((stage["name"], with_range(stage, 3), *floor))
    headings = ("stage", "processor time, ms", "million operations", "MB moved", "floor, ms", "times its floor")
    note = (
        f"This core multiplies matrices at {core['giga_operations_s']} thousand million operations a second and copies "
        f"{core['giga_bytes_s']:.0f} GB a second.\n"
        f"{machine_of(results)}"
    )
    return table(headings, rows, note)


TABLES: Final = {"stages": {"stages": stages_table}}


if __name__ == "__main__":
    main()
