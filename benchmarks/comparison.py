"""Cost of one stream compared with other programs; each figure is a ratio from one run.

Run `python benchmarks/comparison.py` on an idle machine; it takes some minutes and writes results/comparison.json.
YAMNet's file is expected next to the checkout, silero-vad among the installed packages (`pip install --no-deps
silero-vad`: its own requirements would replace ONNX Runtime). A peer that is missing is reported as not run.

Conventions: one thread each, in its own process, by turns; processor milliseconds for a second of one stream.
soundwatch reads 48 kHz stereo and writes JSON; the others are given mono at their own rate, and only score it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from harness import (
    Results,
    Table,
    figure,
    in_own_process,
    machine_of,
    option_parser,
    provenance,
    table,
    with_range,
    write_results,
)

from soundwatch.daemon.diagnostics.benchmark import error_logger

ROOT: Final = Path(__file__).resolve().parents[1]
YAMNET: Final = ROOT.parent / "shared" / "models" / "yamnet.tflite"
SECONDS: Final = 60
ROUNDS: Final = 5

Peer = Callable[[str], tuple[Callable[[], object], float]]


def soundwatch(model: str) -> tuple[Callable[[], object], float]:
    """Everything from 48 kHz stereo samples to JSON lines through the live engine, and seconds of sound a call."""
    from soundwatch.daemon.diagnostics.benchmark import NoiseSource, benchmark_context
    from soundwatch.daemon.engine.engine import Engine
    from soundwatch.daemon.engine.session import SourceSession
    from soundwatch.daemon.inference.classifier import load_classifier_file

    context = benchmark_context(load_classifier_file(model, "cpu"))
    return lambda: Engine(context, error_logger()).run([SourceSession(NoiseSource("noise", SECONDS))]), SECONDS


def soundwatch_int8(_: str) -> tuple[Callable[[], object], float]:
    """Return the path of `soundwatch` with the int8 version of the default model."""
    return soundwatch("urban-int8")


def torchaudio_path(model: str) -> tuple[Callable[[], object], float]:
    """Build the front end and network in torch, one window at a time, from mono at the model's rate to scores."""
    import torch

    from soundwatch.daemon.inference.classifier import load_classifier_file
    from soundwatch.training.model.frontend import MelFrontEnd
    from soundwatch.training.model.network import build_network
    from soundwatch.training.model.recipe_file import load_recipe

    torch.set_num_threads(1)
    contract = load_classifier_file(model, "cpu").contract
    spec = contract.features
    front_end = MelFrontEnd(spec)
    network = build_network(load_recipe(contract.provenance.recipe), len(contract.labels)).eval()
    samples = torch.randn(1, spec.channels, spec.window_samples) * 0.1

    def step() -> object:
        with torch.inference_mode():
            return torch.sigmoid(network(front_end.features(samples)))

    return step, spec.window_hop_samples / spec.rate_hz


def yamnet(hop_s: float) -> Peer:
    """YAMNet's tflite build, its front end inside, on mono at 16 kHz."""

    def open_it(_: str) -> tuple[Callable[[], object], float]:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(YAMNET), num_threads=1)
        interpreter.allocate_tensors()
        place = interpreter.get_input_details()[0]["index"]
        samples = np.random.default_rng(0).normal(0, 0.1, 15_600).astype(np.float32)

        def step() -> object:
            interpreter.set_tensor(place, samples)
            return interpreter.invoke()

        return step, hop_s

    return open_it


def silero(_: str) -> tuple[Callable[[], object], float]:
    """Build the speech filter silero-vad in ONNX Runtime, 32 ms at a time, on mono at 16 kHz."""
    import onnxruntime

    spec = importlib.util.find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name="silero_vad")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(Path(spec.origin).with_name("data") / "silero_vad.onnx"), options, providers=["CPUExecutionProvider"]
    )
    given = {
        "input": np.random.default_rng(0).normal(0, 0.1, (1, 576)).astype(np.float32),
        "state": np.zeros((2, 1, 128), np.float32),
        "sr": np.array(16_000, np.int64),
    }
    return lambda: session.run(None, given), 0.032


PEERS: Final[dict[str, Peer]] = {
    "soundwatch": soundwatch,
    "soundwatch, urban-int8": soundwatch_int8,
    "YAMNet, tflite, no overlap": yamnet(0.975),
    "YAMNet, tflite, half overlap": yamnet(0.4875),
    "torchaudio and torch, the same network": torchaudio_path,
    "silero-vad (speech only)": silero,
}


def measure(name: str, model: str) -> dict[str, float]:
    """Measure one peer in this process: processor time and memory."""
    step, seconds = PEERS[name](model)
    step()
    rounds = max(2, round(SECONDS / seconds))
    cpu_ns = time.process_time_ns()
    for _ in range(rounds):
        step()
    cpu_ms = (time.process_time_ns() - cpu_ns) / 1e6 / rounds / seconds
    found = re.search(r"VmRSS:\s*(\d+)", Path("/proc/self/status").read_text())
    return {"cpu_ms_a_second": cpu_ms, "resident_mb": int(found[1]) / 1024 if found else 0.0}


def in_its_own_process(name: str, model: str) -> dict[str, float] | str:
    """Measure one peer in its own process, or return why it cannot run."""
    try:
        return in_own_process(__file__, "--model", model, "--one", name)
    except subprocess.CalledProcessError as error:
        return str(error.stderr.strip().splitlines()[-1])


def compare(model: str) -> list[dict[str, Any]]:
    """Run all programs in turn, and return their costs and the ratios within a round."""
    rounds = [{name: in_its_own_process(name, model) for name in PEERS} for _ in range(ROUNDS)]
    peers: list[dict[str, Any]] = []
    for name in PEERS:
        own = [item[name] for item in rounds]
        measured = [item for item in own if isinstance(item, dict)]
        if len(measured) < ROUNDS:
            peers.append({"name": name, "not_run": next(item for item in own if isinstance(item, str))})
            continue
        ours = [item["soundwatch"] for item in rounds]
        ratios = [
            mine["cpu_ms_a_second"] / base["cpu_ms_a_second"]
            for mine, base in zip(measured, ours, strict=True)
            if isinstance(base, dict)
        ]
        figures = {key: figure([item[key] for item in measured]) for key in measured[0]}
        peers.append({"name": name, **figures, "times_soundwatch": figure(ratios)})
    return peers


def main() -> None:
    """Compare all, or measure one for the comparison."""
    parser = option_parser(__doc__)
    parser.add_argument("--model", default="urban")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.model)))
        return

    from soundwatch.daemon.inference.classifier import load_classifier_file

    results = {
        **provenance("python benchmarks/comparison.py"),
        "model": load_classifier_file(options.model, "cpu").contract.identity,
        "peers": compare(options.model),
    }
    write_results("comparison", results, TABLES["comparison"])


def peers_table(results: Results) -> Table:
    """Return a row for each peer: cost, memory, and what its cost is to soundwatch's in the same round."""
    rows = []
    for peer in results["peers"]:
        if "not_run" in peer:
            rows.append((peer["name"], "not run", "", peer["not_run"]))
            continue
        cost, times = with_range(peer["cpu_ms_a_second"], 2), with_range(peer["times_soundwatch"], 2)
        rows.append((peer["name"], cost, times, f"{peer['resident_mb']['median']:.0f}"))
    headings = ("system", "processor time for a second, ms", "times soundwatch's", "resident, MB")
    return table(headings, rows, machine_of(results))


TABLES: Final = {
    "comparison": {
        "peers": peers_table,
    },
}


if __name__ == "__main__":
    main()
