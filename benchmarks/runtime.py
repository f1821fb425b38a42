"""Cost of running: start-up, archive speed, memory, and latency of the microphone.

Run `python benchmarks/runtime.py` on an idle machine; it takes three minutes and writes results/runtime.json,
from which the documentation's tables are made. Figures are medians with their range.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile
from harness import (
    Results,
    Table,
    figure,
    machine_of,
    option_parser,
    provenance,
    repeat,
    table,
    with_range,
    write_results,
)

from soundwatch.daemon.capture.demo.scene import demo_scene
from soundwatch.daemon.inference.classifier import load_classifier_file

ROOT = Path(__file__).resolve().parents[1]
SOUNDWATCH = str(Path(sys.executable).with_name("soundwatch"))
RESULTS = ROOT / "benchmarks" / "results" / "runtime.json"

PARTS = {
    "[": "heap, stacks and the like",
    "onnxruntime": "ONNX Runtime's library",
    "numpy": "Python's and its packages' libraries",
    "python": "Python's and its packages' libraries",
}


def help_s() -> float:
    """Measure `soundwatch --help` from start to end."""
    started = time.perf_counter()
    subprocess.run([SOUNDWATCH, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def hello_s(source: list[str], env: dict[str, str]) -> float:
    """Measure `soundwatch run` from its start to its first line."""
    started = time.perf_counter()
    with subprocess.Popen(
        [SOUNDWATCH, "run", *source], env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        elapsed = time.perf_counter() - started
        process.terminate()
    assert b'"hello"' in line, line
    return elapsed


def replay(model: str, folder: Path) -> dict[str, float]:
    """Replay ten minutes and one minute of the demo scene, to separate start-up from processing."""
    minute = demo_scene(44_100, 60.0)[0]
    cpu_s = {}
    for minutes in (1, 10):
        path = folder / f"{minutes}.wav"
        soundfile.write(path, np.tile(minute, minutes), 44_100, subtype="PCM_16")
        cpu_s[minutes] = min(_replay_cpu_s(model, path) for _ in range(3))
    return {
        "audio_s": 600.0,
        "cpu_s": round(cpu_s[10], 2),
        "times_real_time_a_core": round(600 / cpu_s[10]),
        "times_real_time_once_started": round(540 / (cpu_s[10] - cpu_s[1])),
    }


def _replay_cpu_s(model: str, path: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([SOUNDWATCH, "replay", str(path), "--model", model], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def live(model: str, folder: Path) -> dict[str, Any]:
    """Play the demo scene into a virtual microphone, and measure the delay of lines and the memory."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.virtual_microphone import VirtualMicrophone  # the one that the tests hear through

    path = folder / "scene.wav"
    soundfile.write(path, demo_scene(44_100, 60.0).T, 44_100, subtype="PCM_16")
    microphone = VirtualMicrophone(Path(tempfile.mkdtemp(prefix="soundwatch-")))
    try:
        arguments = ["--device", "pulse", "--model", model]
        start_up = repeat(5, lambda: hello_s(arguments, microphone.env))
        late_ms, onset_ms, memory_mb = _latencies(arguments, microphone, path)
    finally:
        microphone.kill()
    return {
        "hello_s": start_up,
        "window_to_line_ms": figure(late_ms),
        "onset_to_start_ms": figure(onset_ms),
        "resident_mb": memory_mb["all"],
        "resident_by_part_mb": {name: each_mb for name, each_mb in memory_mb.items() if name != "all"},
        "events": len(late_ms),
    }


def _latencies(arguments: list[str], microphone: Any, path: Path) -> tuple[list[float], list[float], dict[str, float]]:
    """Per event line, how long after its window's last sample it was read; per start, how long after its onset."""
    late_ms: list[float] = []
    onset_ms: list[float] = []
    memory_mb: list[dict[str, float]] = []
    process = subprocess.Popen(
        [SOUNDWATCH, "run", *arguments],
        env=os.environ | microphone.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )

    def play() -> None:
        microphone.play(path)
        memory_mb.append(_resident_mb(process.pid))
        process.terminate()

    player = threading.Thread(target=play)
    with process:
        for line, read_unix_s in _timed_lines(process):
            if line["type"] == "hello":
                player.start()
            if line["type"] in ("start", "update", "end") and line["reason"] != "shutdown":
                late_ms.append((read_unix_s - datetime.fromisoformat(line["time"]).timestamp()) * 1000)
            if line["type"] == "start":
                onset_ms.append(float(line["latency_ms"]))
    player.join()
    return late_ms, onset_ms, memory_mb[0]


def _timed_lines(process: subprocess.Popen[bytes]) -> Iterator[tuple[dict[str, Any], float]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line), time.time()


def _resident_mb(pid: int) -> dict[str, float]:
    """Return the memory of a process by kind; shared libraries count completely."""
    held_kb = dict.fromkeys(("all", *PARTS.values(), "other libraries, most of the sound system's"), 0)
    part = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            path = words[5] if len(words) > 5 else "[anonymous]"
            parts = [name for mark, name in PARTS.items() if mark in path]
            part = parts[0] if parts else "other libraries, most of the sound system's"
        elif words[0] == "Rss:":
            held_kb["all"] += int(words[1])
            held_kb[part] += int(words[1])
    return {name: round(each_kb / 1024, 1) for name, each_kb in held_kb.items()}


def main() -> None:
    """Measure all and write the results."""
    parser = option_parser(__doc__)
    parser.add_argument("--model", default="urban")
    model = parser.parse_args().model
    with tempfile.TemporaryDirectory() as folder:
        results = {
            **provenance("python benchmarks/runtime.py"),
            "model": load_classifier_file(model).contract.identity,
            "help_s": repeat(9, help_s),
            "replay": replay(model, Path(folder)),
            "microphone": live(model, Path(folder)),
        }
    RESULTS.parent.mkdir(exist_ok=True)
    write_results("runtime", results, TABLES["runtime"])


def runtime_summary_table(results: Results) -> Table:
    """Return the time to start and the speed on recordings."""
    microphone, replay = results["microphone"], results["replay"]
    rows = (
        ("start to first line (`hello`), from a microphone", f"{microphone['hello_s']['median']:.2f} s"),
        ("recordings, on one core", f"{replay['times_real_time_once_started']:.0f} times real time"),
    )
    return table(("what", "figure"), rows, machine_of(results))


def runtime_table(results: Results) -> Table:
    """Return the cost of running with ranges."""
    microphone, replay = results["microphone"], results["replay"]
    rows = (
        ("`soundwatch --help`, start to end, s", with_range(results["help_s"], 2)),
        ("`soundwatch run`, start to `hello`, s", with_range(microphone["hello_s"], 2)),
        (f"last sample of a window to its line, ms ({microphone['events']} lines)", _ms(microphone, "window_to_line")),
        ("resident memory of the main process after a minute, MB", f"{microphone['resident_mb']:.0f}"),
        (
            f"`soundwatch replay` of {replay['audio_s'] / 60:.0f} minutes, processor time, s",
            f"{replay['cpu_s']:.2f}: {replay['times_real_time_a_core']:.0f} times real time on one core, "
            f"{replay['times_real_time_once_started']:.0f} once started",
        ),
    )
    return table(("what", "median (range)"), rows, machine_of(results))


def _ms(microphone: Results, what: str) -> str:
    return with_range(microphone[f"{what}_ms"], 0)


def memory_table(results: Results) -> Table:
    """Return the memory of a running program by its parts."""
    microphone = results["microphone"]
    if "resident_by_part_mb" not in microphone:
        return table((), (), "Not measured yet.")
    rows = [(name, f"{each_mb:.0f}") for name, each_mb in microphone["resident_by_part_mb"].items()]
    return table(("what", "resident, MB"), [*rows, ("**all**", f"**{microphone['resident_mb']:.0f}**")])


TABLES: Final = {
    "runtime": {
        "runtime-summary": runtime_summary_table,
        "runtime": runtime_table,
        "memory": memory_table,
    },
}


if __name__ == "__main__":
    main()
