"""Cost of one live microphone: processor time and memory of all processes, compared with a minimal stream.

Run `python benchmarks/live.py` on an idle machine. A virtual microphone (`tests/support/virtual_microphone.py`) plays
the demo scene in a loop. In each round `soundwatch run --device pulse`, a minimal `sounddevice` stream with blocks of
100 ms that drops its blocks, and the sound server's own recorder `parec` run one after another, each for the given
time after a warm-up. The ratio is taken within each round.

Processor time is that of a program and its children; the sound server's is reported apart. Memory is PSS, the share of
each process in the memory that it maps, and the memory alone: PSS if no other program used its libraries.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import soundfile
from harness import (
    ONE_THREAD,
    Results,
    Table,
    figure,
    machine_of,
    option_parser,
    provenance,
    table,
    with_range,
    write_results,
)

from soundwatch.daemon.capture.demo.scene import demo_scene
from soundwatch.daemon.inference.classifier import load_classifier_file

ROOT: Final = Path(__file__).resolve().parents[1]
SOUNDWATCH: Final = str(Path(sys.executable).with_name("soundwatch"))
WARM_UP_S: Final = 8.0
MINIMAL: Final = """
import sounddevice, threading
with sounddevice.InputStream(device="pulse", samplerate=44100, channels=2, dtype="float32", blocksize=4410,
                             latency=0.3, callback=lambda *_: None):
    threading.Event().wait()
"""


def commands(model: str, earlier: str | None = None) -> dict[str, list[str]]:
    """Return the programs that are compared; `earlier` is the command of an earlier version's installation."""
    programs = {
        "soundwatch": [SOUNDWATCH, "run", "--device", "pulse", "--model", model],
        **({"soundwatch before": [earlier, "run", "--device", "pulse", "--model", model]} if earlier else {}),
        "minimal sounddevice stream": [sys.executable, "-c", MINIMAL],
    }
    if shutil.which("parec"):
        programs["parec"] = ["parec", "--format=float32le", "--rate=44100", "--channels=2", "--latency-msec=300"]
    return programs


def descendants(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children = [
        int(child)
        for tasks in Path(f"/proc/{pid}/task").glob("*/children")
        for child in tasks.read_text(encoding="ascii").split()
    ]
    return [pid, *(found for child in children for found in descendants(child))]


def cpu_ns(pids: list[int]) -> int:
    """Return the processor time of all threads of some processes, to the nanosecond."""
    return sum(
        int(schedstat.read_text(encoding="ascii").split()[0])
        for pid in pids
        for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def pss_mb(pids: list[int]) -> float:
    """Return the proportional memory of some processes."""
    sizes_kb = [
        int(line.split()[1])
        for pid in pids
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        if line.startswith("Pss:")
    ]
    return round(sum(sizes_kb) / 1024, 1)


def alone_mb(pids: list[int]) -> float:
    """Return the memory of some processes if no other process shared their files: each resident file counts once."""
    anonymous_kb, files_kb = 0, Counter[str]()
    for pid in pids:
        of_process_kb, file = Counter[str](), ""
        for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
            key, *rest = line.split(maxsplit=5)
            if not key.endswith(":"):
                file = rest[-1] if len(rest) == 5 else ""
            elif key == "Rss:":
                of_process_kb[file] += int(rest[0])
            elif key == "Anonymous:":
                of_process_kb[file] -= int(rest[0])
                anonymous_kb += int(rest[0])
        files_kb |= of_process_kb  # the larger of both
    return round((anonymous_kb + files_kb.total()) / 1024, 1)


def measure(command: list[str], env: dict[str, str], server: int, seconds: float) -> dict[str, float]:
    """Run a program, and return its cost per second of sound and that of the sound server."""
    process = subprocess.Popen(
        command, env=os.environ | ONE_THREAD | env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(WARM_UP_S)
        pids = descendants(process.pid)
        before, server_before, began_s = cpu_ns(pids), cpu_ns([server]), time.perf_counter()
        time.sleep(seconds)
        elapsed_s = time.perf_counter() - began_s
        spent, server_spent = cpu_ns(pids) - before, cpu_ns([server]) - server_before
        return {
            "cpu_ms_a_second": spent / 1e6 / elapsed_s,
            "server_ms_a_second": server_spent / 1e6 / elapsed_s,
            "pss_mb": pss_mb(pids),
            "alone_mb": alone_mb(pids),
            "processes": float(len(pids)),
        }
    finally:
        process.terminate()
        process.wait(20)


def run(model: str, rounds: int, seconds: float, earlier: str | None) -> dict[str, Any]:
    """Measure all programs in each round, one after another."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.virtual_microphone import VirtualMicrophone  # the microphone of the tests

    programs = commands(model, earlier)
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.wav"
        soundfile.write(scene, demo_scene(44_100, 60.0).T, 44_100, subtype="PCM_16")
        microphone = VirtualMicrophone(Path(tempfile.mkdtemp(prefix="soundwatch-")))
        loop = f"while :; do paplay -d vmic {scene}; done"
        player = subprocess.Popen(["sh", "-c", loop], env=os.environ | microphone.env, start_new_session=True)
        try:
            for _ in range(rounds):
                for name, command in programs.items():
                    cost = measure(command, microphone.env, microphone.server_pid, seconds)
                    measured[name].append(cost)
                    print(name, {key: round(value, 2) for key, value in cost.items()}, file=sys.stderr, flush=True)
        finally:
            os.killpg(player.pid, 15)
            microphone.kill()
    minimal = measured["minimal sounddevice stream"]
    results: dict[str, Any] = {}
    for name, costs in measured.items():
        results[name] = {key: figure([cost[key] for cost in costs]) for key in costs[0]}
        ratios = [
            cost["cpu_ms_a_second"] / other["cpu_ms_a_second"] for cost, other in zip(costs, minimal, strict=True)
        ]
        results[name]["times_minimal"] = figure(ratios)
    return results


def main() -> None:
    """Measure and write the results."""
    parser = option_parser(__doc__)
    parser.add_argument("--model", default="urban")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--earlier", metavar="SOUNDWATCH", help="the command of an earlier version, for a comparison")
    parser.add_argument("--no-results", action="store_true", help="print the figures only")
    options = parser.parse_args()
    programs = run(options.model, options.rounds, options.seconds, options.earlier)
    if options.no_results:
        print(programs)
        return
    earlier = " --earlier SOUNDWATCH" if options.earlier else ""
    command = f"python benchmarks/live.py --rounds {options.rounds} --seconds {options.seconds:g}{earlier}"
    model = load_classifier_file(options.model, "cpu").contract.identity
    write_results("live", {**provenance(command), "model": model, "programs": programs}, TABLES["live"])


def summary_table(results: Results) -> Table:
    """Return the cost of the whole program in three rows."""
    whole = results["programs"]["soundwatch"]
    rows = (
        (
            "processor time for a second of a live microphone, all processes",
            f"{whole['cpu_ms_a_second']['median']:.1f} ms",
        ),
        ("processor time, relative to a minimal stream of the device", f"{whole['times_minimal']['median']:.1f} times"),
        ("memory, all processes (PSS)", f"{whole['pss_mb']['median']:.0f} MB"),
        ("the same, if no other program uses its libraries", f"{whole['alone_mb']['median']:.0f} MB"),
    )
    return table(("what", "figure"), rows, machine_of(results))


def programs_table(results: Results) -> Table:
    """Return a row for each program."""
    rows = (
        (
            name,
            with_range(costs["cpu_ms_a_second"], 1),
            with_range(costs["times_minimal"], 2),
            with_range(costs["server_ms_a_second"], 1),
            with_range(costs["pss_mb"], 0),
            with_range(costs["alone_mb"], 0),
        )
        for name, costs in results["programs"].items()
    )
    headings = (
        "program",
        "processor time, ms a second",
        "times the minimal stream",
        "sound server, ms a second",
        "PSS, MB",
        "alone, MB",
    )
    return table(headings, rows, machine_of(results))


TABLES: Final = {"live": {"live-summary": summary_table, "live": programs_table}}


if __name__ == "__main__":
    main()
