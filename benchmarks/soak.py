"""A day of sound through the whole program at full speed, with its use of resources.

Run `python benchmarks/soak.py --hours 24` (five minutes on a quiet machine; Mosquitto is used if it is installed); it
writes results/soak.json and draws docs/pictures/soak.png.

A real `soundwatch run` reads the repeated demo scene as raw PCM on standard input, with backpressure and without
losses. Its journal is a file; it writes to standard output, a file, an MQTT broker and a page with one viewer. Memory,
threads and open files are read from /proc.

Conventions: hours are of sound. Growth is measured from the end of the first hour to the end of the last, since
libraries are loaded and buffers filled in the first hour.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from harness import Results, Table, free_port, option_parser, provenance, table, write_results

from soundwatch.daemon.capture.demo.scene import demo_scene

ROOT: Final = Path(__file__).resolve().parents[1]
PICTURE: Final = ROOT / "docs" / "pictures" / "soak.png"
SOUNDWATCH: Final = str(Path(sys.executable).with_name("soundwatch"))
RATE_HZ: Final = 16_000
SCENE_S: Final = 60
HOUR_S: Final = 3600
LOOKS_AN_HOUR: Final = 6


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[str | None]:
    """Start a Mosquitto, or return None if it is not installed."""
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if mosquitto is None:
        yield None
        return
    port, config = free_port(), folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    with subprocess.Popen([mosquitto, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as it:
        try:
            yield f"mqtt://127.0.0.1:{port}"
        finally:
            it.terminate()


def watch(url: str, seen: list[int]) -> None:
    """Read the page's stream until it ends."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url) as stream:  # noqa: S310 -- our own address
        for line in stream:
            seen[0] += len(line)


def look(pid: int) -> dict[str, int]:
    """Return the resources of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {
        "memory_kb": int(fields["VmRSS"].split()[0]),
        "threads": int(fields["Threads"]),
        "files": sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
    }


def soak(hours: float, folder: Path) -> dict[str, Any]:
    """Feed it, and look at it six times an hour of sound."""
    scene = (demo_scene(RATE_HZ, SCENE_S).mean(axis=0) * 32767).astype("<i2").tobytes()
    page = f"http://127.0.0.1:{free_port()}"
    with broker(folder) as address:
        sinks = ["json", f"json:{folder}/events.jsonl", page, *([address] if address else [])]
        command = [
            SOUNDWATCH,
            "run",
            "--device",
            "-",
            "--pcm",
            f"s16le,{RATE_HZ},1",
            "--journal",
            f"{folder}/journal.db",
        ]
        with (
            (folder / "stdout.jsonl").open("wb") as out,
            (folder / "said.log").open("wb") as said,
            subprocess.Popen(
                [*command, *(word for sink in sinks for word in ("-F", sink))],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=said,
            ) as process,
        ):
            assert process.stdin is not None
            began_s, seen = time.monotonic(), [0]
            looks: list[dict[str, float]] = []
            viewer = threading.Thread(target=watch, args=(f"{page}/api/stream", seen), daemon=True)
            for scenes in range(1, round(hours * HOUR_S / SCENE_S) + 1):
                process.stdin.write(scene)
                if scenes == 2:
                    viewer.start()
                if scenes * SCENE_S % (HOUR_S // LOOKS_AN_HOUR) == 0:
                    looks.append({"hours": scenes * SCENE_S / HOUR_S, **look(process.pid)})
            process.stdin.close()
            code = process.wait()
            took_s = time.monotonic() - began_s
        lines = [json.loads(line) for line in (folder / "stdout.jsonl").read_text().splitlines()]
        filed = [json.loads(line)["seq"] for line in (folder / "events.jsonl").read_text().splitlines()]
    return {
        "hours": hours,
        "took_s": round(took_s, 1),
        "exit_code": code,
        "sinks": [sink.partition(":")[0] for sink in sinks],
        "lines": len(lines),
        "events": sum(line["type"] == "start" for line in lines),
        "lost_lines": len(lines) - len(set(filed) & {line["seq"] for line in lines}),
        "coverage": next(line["coverage"] for line in reversed(lines) if line["type"] == "stats"),
        "page_bytes": seen[0],
        "journal_bytes": (folder / "journal.db").stat().st_size,
        "looks": looks,
    }


def draw(results: dict[str, Any]) -> None:
    """Memory, threads and files over the hours of sound."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    looks = results["looks"]
    hours = np.array([item["hours"] for item in looks])
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(7, 4), sharex=True, layout="constrained", height_ratios=(2, 1))
    top.plot(hours, [item["memory_kb"] / 1000 for item in looks], color="#2a6f97")
    top.set_ylim(0, 1.2 * max(item["memory_kb"] for item in looks) / 1000)
    top.set_ylabel("resident, MB")
    top.set_title(f"{results['hours']:g} hours of sound in {results['took_s']:.0f} s", loc="left")
    bottom.step(hours, [item["files"] for item in looks], where="post", label="open files", color="#2a6f97")
    bottom.step(hours, [item["threads"] for item in looks], where="post", label="threads", color="#c8553d")
    bottom.set_ylim(0, 1.6 * max(item["files"] for item in looks))
    bottom.set_xlabel("hours of sound")
    bottom.legend(frameon=False, ncols=2, loc="upper right")
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--hours", type=float, default=24.0, help="of sound")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = {
            **provenance(f"python benchmarks/soak.py --hours {arguments.hours:g}"),
            **soak(arguments.hours, Path(folder)),
        }
    write_results("soak", results, TABLES["soak"])
    draw(results)
    print({key: value for key, value in results.items() if key != "looks"})


def soak_table(results: Results) -> Table:
    """Return a row for each figure of a day through the whole program."""
    looks = [look for look in results["looks"] if look["hours"] >= 1]
    first, last = looks[0], looks[-1]
    most = max(look["memory_kb"] for look in looks)
    rows = [
        ("sound", f"{results['hours']:g} hours in {results['took_s']:.0f} s"),
        ("lines, events", f"{results['lines']:,}, {results['events']:,}"),
        ("lines that the file lacks", str(results["lost_lines"])),
        ("share of the sound that was processed", f"{results['coverage']:g}"),
        (
            "resident memory after an hour, at the most, at the end, MB",
            " ".join(f"{kilobytes / 1000:.1f}" for kilobytes in (first["memory_kb"], most, last["memory_kb"])),
        ),
        ("threads after an hour, at the end", f"{first['threads']}, {last['threads']}"),
        ("open files after an hour, at the end", f"{first['files']}, {last['files']}"),
    ]
    machine = results["machine"]
    note = (
        f"`{results['command']}`, {results['date']}, sinks {', '.join(results['sinks'])}: {machine['processor']}, "
        f"{machine['cores']} cores, {machine['system']}."
    )
    return table(("what", "figure"), rows, note)


TABLES: Final = {
    "soak": {
        "soak": soak_table,
    },
}


if __name__ == "__main__":
    main()
