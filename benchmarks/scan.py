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
from harness import Results, Table, in_own_process, machine_of, option_parser, provenance, table, write_results

from soundwatch.daemon.app import scan
from soundwatch.daemon.capture.demo.scene import demo_scene
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.detection.rules import build_rules, thresholds_in_force
from soundwatch.daemon.diagnostics.benchmark import error_logger
from soundwatch.daemon.inference.classifier import load_classifier_file
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
    with tempfile.TemporaryDirectory() as folder, scan.select_workers(engine, None, workers)() as pool:
        out, log = Path(folder, "events.jsonl"), error_logger()
        started = time.monotonic()
        scan.run_scan(Config(), [archive], out, "jsonl", 0, lambda: contextlib.nullcontext(pool), log)
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
    outputs = len(contract.trained_labels) + len(contract.tags)
    scores = rng.beta(0.3, 2.0, (windows, outputs)).astype(np.float32)
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
    parser = option_parser(__doc__)
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
    write_results("scan", results, TABLES["scan"])


CORES: Final = 8  # of each machine of the model on paper
ARCHIVE_H: Final = 100_000
EFFICIENCY: Final = 0.8


def scan_table(results: Results) -> Table:
    """Return a row for each scan."""
    audio_h = results["audio_h"]
    rows = []
    for entry in results["scans"]:
        alone = next(one for one in results["scans"] if one["engine"] == entry["engine"] and one["workers"] == 1)
        efficiency = alone["wall_s"] / entry["wall_s"] / entry["workers"]
        local = entry["engine"] == "local"  # Ray's processes are not children of this one
        rows.append(
            (
                entry["engine"],
                str(entry["workers"]),
                f"{entry['wall_s']:.1f}",
                f"{audio_h * 3600 / entry['wall_s']:,.0f}",
                f"{efficiency:.2f}",
                f"{audio_h * 3600 / entry['cpu_s']:,.0f}" if local else "",
                f"{entry['worker_mb']:.0f}" if local else "",
                f"{entry['coordinator_mb']:.0f}",
            )
        )
    headings = ("engine", "workers", "time, s", "hours of audio an hour", "efficiency")
    more = ("hours of audio an hour of a core", "MB a worker", "MB of the coordinator")
    note = (
        f"{audio_h:g} hours of 48 kHz mono in 16 bits, {results['archive_bytes'] / 1e9:.1f} GB, half of them in "
        f"one file. The machine's load just before was {results['load_before']}."
    )
    return table((*headings, *more), rows, f"{note} {machine_of(results)}")


def scan_model_table(results: Results) -> Table:
    """Return the estimated duration of a scan for several numbers of machines."""
    alone = next(entry for entry in results["scans"] if entry["engine"] == "local" and entry["workers"] == 1)
    a_core = results["audio_h"] * 3600 / alone["cpu_s"]
    bytes_a_second = results["archive_bytes"] / results["audio_h"] / 3600
    rows = []
    for machines in (1, 10, 1000):
        rate = machines * CORES * a_core * EFFICIENCY
        rows.append(
            (
                f"{machines:,}",
                f"{rate:,.0f}",
                _time(ARCHIVE_H / rate),
                f"{rate * bytes_a_second / 1e6:,.0f} MB/s",
                f"{(CORES * alone['worker_mb'] + alone['coordinator_mb']) / 1000:.1f} GB",
                _time(ARCHIVE_H / results["judged_windows_a_second"]),
            )
        )
    headings = (
        "machines",
        "hours of audio an hour",
        f"{ARCHIVE_H:,} hours are scored in",
        "they read",
        "memory of each",
        "then one process judges for",
    )
    note = (
        f"On paper, from the measured {a_core:,.0f} hours of audio an hour of a core and "
        f"{results['judged_windows_a_second']:,} windows a second judged: {CORES} such cores a machine, an "
        f"efficiency of {EFFICIENCY}, a window a second, 48 kHz mono in 16 bits uncompressed, and a disk or network "
        "that gives what is read."
    )
    return table(headings, rows, note)


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"


TABLES: Final = {
    "scan": {
        "scan": scan_table,
        "scan-model": scan_model_table,
    },
}


if __name__ == "__main__":
    main()
