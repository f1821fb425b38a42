"""Throughput of `soundwatch scan` with 1 and 2 workers, as processes and on a Ray cluster of this machine.

Run `python benchmarks/scan.py` on an idle machine; it takes some minutes and writes results/scan.json. It first writes
an archive: hours of the demo scene, 48 kHz mono, 16 bits, one file that is divided and the rest of half an hour each.

Conventions: a scan's time is from its first chunk to the complete output; it includes the start of the workers and not
that of the command. Processor time is that of the workers and the main process, on which other load has little effect.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile
from harness import in_own_process, provenance, write_results

from soundwatch.daemon.capture.demo import demo_scene
from soundwatch.daemon.core.config import Config
from soundwatch.daemon.detection.rules import build_rules, thresholds_in_force
from soundwatch.daemon.diagnostics.benchmark import error_logger
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.scan import run
from soundwatch.daemon.scan.emit import DecisionContext, emit_lines
from soundwatch.daemon.scan.worker import ChunkScores

RATE_HZ: Final = 48_000
HALF_HOUR_S: Final = 1800


def make_archive(folder: Path, half_hours: int) -> int:
    """Write one recording of half the duration and others of half an hour; return their size in bytes."""
    minute = (demo_scene(RATE_HZ, 60.0).mean(0) * 32_767).astype(np.int16)
    for name, count in (("long", half_hours // 2), *((f"part{n:03d}", 1) for n in range(half_hours - half_hours // 2))):
        with soundfile.SoundFile(folder / f"{name}.wav", "w", RATE_HZ, 1, "PCM_16") as file:
            for _ in range(count * HALF_HOUR_S // 60):
                file.write(minute)
    return sum(path.stat().st_size for path in folder.iterdir())


def run_once(engine: str, workers: int, archive: Path) -> dict[str, Any]:
    """Run one scan in this process, which must be new."""
    with tempfile.TemporaryDirectory() as folder, run.select_workers(engine, None, workers)() as pool:
        out, log = Path(folder, "events.jsonl"), error_logger()
        started = time.monotonic()
        run.run_scan(Config(), [archive], out, "jsonl", 0, lambda: contextlib.nullcontext(pool), log)
        wall_s = time.monotonic() - started
    for worker in multiprocessing.active_children():  # counted after they have exited
        worker.join()
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "engine": engine,
        "workers": workers,
        "wall_s": round(wall_s, 2),
        "cpu_s": round(sum(use.ru_utime + use.ru_stime for use in (own, children)), 2),
        "coordinator_mb": round(own.ru_maxrss / 1024, 1),
        "worker_mb": round(children.ru_maxrss / 1024, 1),
    }


def detection_windows_per_s() -> float:
    """Measure the windows a second that detection processes on one core of the main process."""
    contract = load_classifier_file("urban", "cpu").contract
    rules, windows = build_rules(Config().detection, contract), 20_000
    context = DecisionContext(
        "bench", contract, rules, thresholds_in_force(rules, contract.labels), 0, {Path("bench.wav"): "bench"}
    )
    spec, rng = contract.features, np.random.default_rng(0)
    scores = rng.beta(0.3, 2.0, (windows, len(contract.labels))).astype(np.float32)
    chunk_scores = ChunkScores(
        provider="",
        rate_hz=RATE_HZ,
        channels=1,
        has_sound=True,
        scores=scores.tobytes(),
        levels=np.zeros(windows).tobytes(),
        end_sample=(windows - 1) * spec.window_hop_samples + spec.window_samples,
    )
    started = time.process_time()
    for _ in emit_lines([(Path("bench.wav"), [chunk_scores])], context):
        pass
    return windows / (time.process_time() - started)


def main() -> None:
    """Measure all variants, or the one named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half-hours", type=int, default=12, help="of sound in the archive")
    parser.add_argument("--engines", default="local,ray")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        engine, workers, archive = options.one
        print(json.dumps(run_once(engine, int(workers), Path(archive))))
        return

    with tempfile.TemporaryDirectory() as folder:
        archive_bytes = make_archive(Path(folder), options.half_hours)
        engines = options.engines.split(",")
        runs = [("--one", engine, str(workers), folder) for engine in engines for workers in (1, 2)]
        scans = [in_own_process(__file__, *run) for run in runs]
    results = {
        **provenance(f"python benchmarks/scan.py --half-hours {options.half_hours} --engines {options.engines}"),
        "load_before": round(os.getloadavg()[0], 1),
        "model": load_classifier_file("urban", "cpu").contract.identity,
        "audio_h": options.half_hours / 2,
        "archive_bytes": archive_bytes,
        "scans": scans,
        "judged_windows_a_second": round(detection_windows_per_s()),
    }
    write_results("scan", results)


if __name__ == "__main__":
    main()
