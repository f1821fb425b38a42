"""The documentation's tables of what running costs.

Conventions: as in `figures.py`. A figure is its median with its range.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any, Final

from tables import table

Results = dict[str, Any]


def measured(figure: dict[str, float], digits: int) -> str:
    """Median and range of a figure."""
    return f"{figure['median']:.{digits}f} ({figure['min']:.{digits}f} to {figure['max']:.{digits}f})"


def machine_of(results: Results) -> str:
    """What was measured, where and when, in a sentence."""
    machine = results["machine"]
    model = f"model `{results['model']}`, " if "model" in results else ""
    return (
        f"`{results['command']}`, {results['date']}: soundwatch {results['version']}, {model}"
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}."
    )


def stage_ms(results: Results, name: str) -> float:
    """Processor time of a stage for a second of one stream."""
    return float(next(stage["median"] for stage in results["stages"]["ms_a_second"] if stage["name"] == name))


def runtime_summary(results: Results) -> str:
    """What running costs, in a few rows."""
    microphone, replay = results["microphone"], results["replay"]
    rows = (
        ("start to first line (`hello`), from a microphone", f"{microphone['hello_s']['median']:.2f} s"),
        ("processor time for a second of 48 kHz stereo", f"{stage_ms(results, 'all'):.1f} ms"),
        ("recordings, on one core", f"{replay['times_real_time_once_started']:.0f} times real time"),
        ("window heard to line written", f"{microphone['window_to_line_ms']['median']:.0f} ms"),
        ("memory", f"{microphone['resident_mb']:.0f} MB"),
    )
    return f"{table(('what', 'figure'), rows)}\n\n{machine_of(results)}"


def runtime(results: Results) -> str:
    """What running costs, with ranges."""
    microphone, replay = results["microphone"], results["replay"]
    rows = (
        ("`soundwatch --help`, start to end, s", measured(results["help_s"], 2)),
        ("`soundwatch run`, start to `hello`, s", measured(microphone["hello_s"], 2)),
        (f"last sample of a window to its line, ms ({microphone['events']} lines)", _ms(microphone, "window_to_line")),
        ("resident memory after a minute, MB", f"{microphone['resident_mb']:.0f}"),
        (
            f"`soundwatch replay` of {replay['audio_s'] / 60:.0f} minutes, processor time, s",
            f"{replay['cpu_s']:.2f}: {replay['times_real_time_a_core']:.0f} times real time on one core, "
            f"{replay['times_real_time_once_started']:.0f} once started",
        ),
    )
    return f"{table(('what', 'median (range)'), rows)}\n\n{machine_of(results)}"


def _ms(microphone: Results, what: str) -> str:
    return measured(microphone[f"{what}_ms"], 0)


def stages(results: Results) -> str:
    """Processor time of each stage for a second of one stream, beside its floor."""
    core = results["stages"]["core"]
    rows = []
    for stage in results["stages"]["ms_a_second"]:
        if "floor_ms" not in stage:
            floor = ("", "", "", "")
        else:
            times = stage["median"] / stage["floor_ms"]
            operations, moved = f"{stage['million_operations']:.1f}", f"{stage['mb']:.2f}"
            floor = (operations, moved, f"{stage['floor_ms']:.3f}", f"{times:.1f}")
        rows.append((stage["name"], measured(stage, 3), *floor))
    headings = ("stage", "processor time, ms", "million operations", "MB moved", "floor, ms", "times its floor")
    note = (
        f"This core multiplies matrices at {core['giga_operations_s']} thousand million operations a second and copies "
        f"{core['giga_bytes_s']:.0f} GB a second."
    )
    return f"{table(headings, rows)}\n\n{note}"


def memory(results: Results) -> str:
    """What a listening program holds, by what it is."""
    microphone = results["microphone"]
    if "resident_by_part_mb" not in microphone:
        return "Not measured yet."
    rows = [(name, f"{each_mb:.0f}") for name, each_mb in microphone["resident_by_part_mb"].items()]
    return table(("what", "resident, MB"), [*rows, ("**all**", f"**{microphone['resident_mb']:.0f}**")])


def peers(results: Results) -> str:
    """A row a peer: cost, memory, and what its cost is to soundwatch's in the same round."""
    rows = []
    for peer in results["peers"]:
        if "not_run" in peer:
            rows.append((peer["name"], "not run", "", peer["not_run"]))
            continue
        cost, times = measured(peer["cpu_ms_a_second"], 2), measured(peer["times_soundwatch"], 2)
        rows.append((peer["name"], cost, times, f"{peer['resident_mb']['median']:.0f}"))
    headings = ("system", "processor time for a second, ms", "times soundwatch's", "resident, MB")
    return f"{table(headings, rows)}\n\n{machine_of(results)}"


def streams(results: Results) -> str:
    """A row a number of streams in real time."""
    rows = [
        (
            str(each["streams"]),
            f"{each['seconds'] / 60:g}",
            f"{each['windows']:,} of {each['windows_wanted']:,}",
            str(each["windows_late"]),
            f"{each['delay_ms']['p50']:.1f}, {each['delay_ms']['p99']:.1f}",
            f"{each['cores_busy']:.2f}",
            f"{each['cpu_ms_a_second']:.2f}",
            f"{each['resident_mb']:.0f}",
            f"{each['mb_a_stream']:.2f}" if each["streams"] > 1 else "",
        )
        for each in results["live"]
    ]
    headings = (
        "streams",
        "minutes",
        "windows told",
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
    return f"{table(headings, rows)}\n\n{note}\n\n{machine_of(results)}"


def web(results: Results) -> str:
    """What the page costs, without and with one who looks."""
    names = {"without": "without a page", "unwatched": "with it, nobody looks", "watched": "with it, one looks"}
    rows = []
    for kind, name in names.items():
        shares = [each["share_of_a_core"][kind] for each in results["rounds"]]
        added = "" if kind == "without" else f"{100 * results['added_share_of_a_core'][kind]:+.2f} %"
        worst = "" if kind == "without" else f"{100 * results['worst_added_share_of_a_core'][kind]:+.2f} %"
        memory = f"{results['resident_mb'][kind]:.0f}"
        rows.append((name, f"{100 * statistics.median(shares):.2f} %", added, worst, memory))
    headings = ("daemon on the demo scene", "of a core", "added, median", "added, worst", "resident, MB")
    note = f"A viewer is sent {results['viewer_bytes_a_second'] / 1000:.1f} kB a second."
    return f"{table(headings, rows)}\n\n{note}\n\n{machine_of(results)}"


RUNTIME_FIGURES: Final[dict[str, tuple[str, Callable[[Results], str]]]] = {
    "runtime-summary": ("runtime.json", runtime_summary),
    "runtime": ("runtime.json", runtime),
    "stages": ("runtime.json", stages),
    "memory": ("runtime.json", memory),
    "peers": ("comparison.json", peers),
    "streams": ("streams.json", streams),
    "web": ("web.json", web),
}
