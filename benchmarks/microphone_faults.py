"""Faults of microphones, injected into a running daemon.

Run `python benchmarks/microphone_faults.py` (fifteen minutes; needs PulseAudio, see
tests/support/virtual_microphone.py); it writes results/microphone_faults.json.

A low tone, on and off, is played into a virtual microphone. It passes through the daemon's capture, engine and
journal, with a small model of a low and a high tone. Meanwhile a fault is injected, and later removed.

Conventions: `noticed` is the time from the injection to the `lost` line, `recovered` the time from the removal to the
`back` line, or from the `lost` line if the daemon has to recover without help. A set wall clock is noticed and
recovered by a `reanchored` line each; a program that was frozen, or could not write, by the `gap` of the missed sound,
counted from its resumption. The wall clock is not set, since other programs use it: the daemon's reading is shifted.
Missing sound is measured twice: from the blocks' own account, and from the growth of the blocks' delay (the minimum of
ten blocks, since deliveries are late by chance; accurate to 50 ms). An event is wrong if it is of the high tone, starts
before an earlier one has ended, has no end, or is out of order within its stream; a clock that is set back by minutes
begins a new stream.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness import option_parser, provenance, write_results
from microphone_faults_tables import TABLES
from microphone_scene import Scene, TimedSink, Wall, running_daemon

ROOT: Final = Path(__file__).resolve().parents[1]
AWAY_S: Final = 5.0
FROZEN_S: Final = 40.0  # the sound server keeps about 24
HOUR_NS: Final = 3_600_000_000_000
DISCONNECTS: Final = 100
WARM: Final = 10  # disconnects after which nothing may grow any more
AFTER_S: Final = 10.0  # an unreported loss is found within six seconds, and its block then has to pass
BLOCKS: Final = 10

sys.path.insert(0, str(ROOT / "tests"))
from support.virtual_microphone import RATE_HZ  # noqa: E402


def restart(scene: Scene) -> None:
    """Start the server again, with its microphones and what sounds at them."""
    scene.server.start()
    scene.play("vmic")


def replug(scene: Scene, rate_hz: int = RATE_HZ) -> None:
    """Plug the second microphone in again."""
    scene.server.plug_in("yard", rate_hz)
    scene.play("yard")


def nothing(_: Scene) -> None:
    """Do nothing: the daemon recovers without help."""


def to_process(number: int) -> Callable[[Scene], None]:
    """Send a signal to the capture process."""
    return lambda scene: os.kill(scene.source.process, number)


def suspend(number: int) -> Callable[[Scene], None]:
    """Make the source deliver nothing, or with 0 deliver again."""

    def do(scene: Scene) -> None:
        scene.server.ask("pactl", "suspend-sink", "vmic", str(number))

    return do


def freeze(_: Scene) -> None:
    """Stop this program for a while, as a machine that sleeps does."""
    stopped = os.getpid()
    with subprocess.Popen(["sh", "-c", f"kill -STOP {stopped}; sleep {FROZEN_S}; kill -CONT {stopped}"]):
        pass


def choke(scene: Scene) -> None:
    """Take no line from the engine for a while, which then takes no sound."""
    scene.sink.open.clear()
    time.sleep(FROZEN_S)
    scene.sink.open.set()


def set_clock(shift_ns: int) -> Callable[[Scene], None]:
    """Set the wall clock so far from the truth."""

    def do(_: Scene) -> None:
        Wall.shift_ns = shift_ns

    return do


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and the expected lines of the daemon.

    Attributes:
        name: For people.
        microphone: Which one.
        inject: Does it.
        mend: Undoes it.
        away_s: How long it stays.
        noticed: The expected line of the loss.
        recovered: The expected line of the return; None if the first line covers both.
        counts: Whether the injection itself is counted; it is not while nothing can be told.
    """

    name: str
    microphone: str
    inject: Callable[[Scene], None]
    mend: Callable[[Scene], None] = nothing
    away_s: float = 0.0
    noticed: str = "lost"
    recovered: str | None = "back"
    counts: bool = True


FAULTS: Final = (
    Fault("sound server killed, started again", "vmic", lambda scene: scene.server.kill(), restart, AWAY_S),
    Fault("microphone unplugged, plugged in again", "yard", lambda scene: scene.server.unplug("yard"), replug, AWAY_S),
    Fault(
        "the same, at another rate",
        "yard",
        lambda scene: scene.server.unplug("yard"),
        lambda scene: replug(scene, 16_000),
        AWAY_S,
    ),
    Fault(
        "sound server frozen (SIGSTOP), going on",
        "vmic",
        lambda scene: scene.server.stop(),
        lambda scene: scene.server.cont(),
        AWAY_S,
    ),
    Fault("microphone that delivers nothing, and does again", "vmic", suspend(1), suspend(0), AWAY_S),
    Fault("capture process killed", "default", to_process(signal.SIGKILL)),
    Fault("capture process frozen", "default", to_process(signal.SIGSTOP)),
    Fault(
        "wall clock set forth by an hour, and back",
        "vmic",
        set_clock(HOUR_NS),
        set_clock(0),
        AWAY_S,
        noticed="reanchored",
        recovered="reanchored",
    ),
    Fault(
        "wall clock set back by an hour, and forth",
        "vmic",
        set_clock(-HOUR_NS),
        set_clock(0),
        AWAY_S,
        noticed="reanchored",
        recovered="reanchored",
    ),
    Fault(
        f"all processes of the program frozen for {FROZEN_S:g} s",
        "vmic",
        freeze,
        noticed="gap",
        recovered=None,
        counts=False,
    ),
    Fault(f"no line taken for {FROZEN_S:g} s", "vmic", choke, noticed="gap", recovered=None, counts=False),
)


def endure(fault: Fault) -> Any:
    """Inject one fault, and return the measurements."""
    with running_daemon(fault.microphone) as (scene, steady, _):
        source, sink = scene.source, scene.sink
        lag_s, lost_s = min(source.lags_s[-BLOCKS:]), source.lost_s
        injected_s = time.monotonic()
        fault.inject(scene)
        injected_s = injected_s if fault.counts else time.monotonic()
        noticed_s = mended_s = recovered_s = sink.wait_for(fault.noticed, injected_s)
        if fault.away_s:
            time.sleep(max(0.0, injected_s + fault.away_s - time.monotonic()))
            mended_s = time.monotonic()
        fault.mend(scene)
        if fault.recovered is not None:
            recovered_s = sink.wait_for(fault.recovered, mended_s)
        time.sleep(AFTER_S)
        true_s, accounted_s = min(source.lags_s[-BLOCKS:]) - lag_s, source.lost_s - lost_s
    return {
        "noticed_s": round(noticed_s - injected_s, 2),
        "recovered_s": None if fault.recovered is None else round(recovered_s - mended_s, 2),
        "missing_accounted_s": round(accounted_s, 2),
        "missing_true_s": round(true_s, 2),
        "other_lost_s": round(steady.lost_s, 2) if fault.microphone == "yard" else None,
        **counted(sink),
    }


def disconnect(times: int) -> Any:
    """Unplug and plug in a microphone repeatedly while another runs, and measure the growth of resources."""
    noticed_s, recovered_s, warm = 0.0, 0.0, None
    with running_daemon("yard") as (scene, steady, _):
        for number in range(times):
            if number == WARM:
                warm = used_by(os.getpid())
            began_s = time.monotonic()
            scene.server.unplug("yard")
            noticed_s = max(noticed_s, scene.sink.wait_for("lost", began_s) - began_s)
            plugged_s = time.monotonic()
            scene.server.plug_in("yard")
            recovered_s = max(recovered_s, scene.sink.wait_for("back", plugged_s) - plugged_s)
        after = used_by(os.getpid())
    return {
        "times": times,
        "warm_times": WARM,
        "noticed_s": round(noticed_s, 2),
        "recovered_s": round(recovered_s, 2),
        "other_lost_s": round(steady.lost_s, 2),
        "warm": {"daemon": warm},
        "after": {"daemon": after},
        **counted(scene.sink),
    }


def used_by(process: int) -> dict[str, int]:
    """Return the resources of one process."""
    folder = Path("/proc", str(process))
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    return {
        "memory_kb": int(status["VmRSS"].split()[0]),
        "threads": int(status["Threads"]),
        "files": len(list((folder / "fd").iterdir())),
    }


def counted(sink: TimedSink) -> dict[str, int]:
    """Return the number of events and of wrong events."""
    lines = [line for _, line in sink.lines]
    wrong = (wrong_events([line for line in lines if line["source"] == source]) for source in ("mic0", "steady"))
    return {"events": sum(line["type"] == "start" for line in lines), "wrong_events": sum(wrong)}


def wrong_events(lines: list[dict[str, Any]]) -> int:
    """Return the number of a source's wrong events."""
    wrong, open_id, latest = 0, None, ""
    for line in lines:
        if line["type"] == "hello":  # a stream that begins after a clock was set back has earlier times
            latest = ""
        if line["type"] not in ("start", "update", "end"):
            continue
        fits = line["id"] != open_id if line["type"] == "start" else line["id"] == open_id
        fits = fits and (open_id is None or line["type"] != "start")
        wrong += line["class"] != "low" or not fits or line["time"] < latest or line["onset"] > line["time"]
        open_id, latest = None if line["type"] == "end" else line["id"], line["time"]
    return wrong + (open_id is not None)


def main() -> None:
    """Do every fault, several times, and write down what came of it."""
    parser = option_parser(__doc__)
    parser.add_argument("--times", type=int, default=3, help="how often each [default: 3]")
    parser.add_argument("--disconnects", type=int, default=DISCONNECTS, help=f"in a row [default: {DISCONNECTS}]")
    options = parser.parse_args()
    times, faults = options.times, []
    time.time_ns = lambda: Wall.true_ns() + Wall.shift_ns
    for fault in FAULTS:
        runs = [endure(fault) for _ in range(times)]
        faults.append({"name": fault.name, "runs": runs})
        print(fault.name, *runs, sep="\n  ", flush=True)
    disconnects = disconnect(options.disconnects)
    print(f"{options.disconnects} disconnects", disconnects, sep="\n  ", flush=True)
    results = {
        **provenance(f"python benchmarks/microphone_faults.py --times {times} --disconnects {options.disconnects}"),
        "faults": faults,
        "disconnects": disconnects,
    }
    write_results("microphone_faults", results, TABLES["microphone_faults"])


if __name__ == "__main__":
    main()
