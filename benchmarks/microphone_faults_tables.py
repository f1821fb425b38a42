"""Tables of benchmarks/microphone_faults.py: times, missing sound and growth of resources."""

from __future__ import annotations

from typing import Final

from harness import Results, Table, table


def faults_table(results: Results) -> Table:
    """Return a row for each fault."""
    rows: list[tuple[str, ...]] = []
    for fault in results["faults"]:
        runs = fault["runs"]
        off = max(runs, key=lambda run: abs(run["missing_accounted_s"] - run["missing_true_s"]))
        others = [run["other_lost_s"] for run in runs if run["other_lost_s"] is not None]
        rows.append(
            (
                fault["name"],
                f"{max(run['noticed_s'] for run in runs):.1f}",
                "" if runs[0]["recovered_s"] is None else f"{max(run['recovered_s'] for run in runs):.1f}",
                f"{off['missing_accounted_s']:.2f}",
                f"{off['missing_true_s']:.2f}",
                f"{max(others):.2f}" if others else "",
                f"{sum(run['wrong_events'] for run in runs)} of {sum(run['events'] for run in runs)}",
            )
        )
    rows.append(_disconnects(results["disconnects"]))
    titles = ("fault", "noticed after, s", "recovered after, s", "missing by account, s", "in truth, s")
    machine, times = results["machine"], len(results["faults"][0]["runs"])
    note = (
        f"`{results['command']}`, {results['date']}: the worst of {times} runs each, on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['system']}."
    )
    return table((*titles, "lost by another microphone, s", "wrong events"), rows, note)


def _disconnects(many: Results) -> tuple[str, ...]:
    """Format the row of one microphone that is unplugged repeatedly."""
    wrong = f"{many['wrong_events']} of {many['events']}"
    times = (f"{many['noticed_s']:.1f}", f"{many['recovered_s']:.1f}")
    return (f"unplugged {many['times']} times in a row", *times, "", "", f"{many['other_lost_s']:.2f}", wrong)


def growth_table(results: Results) -> Table:
    """Return the resources of the program during and after the disconnections."""
    many = results["disconnects"]
    warm, after = many["warm"]["daemon"], many["after"]["daemon"]
    memory = (f"{warm['memory_kb'] / 1000:.1f}", f"{after['memory_kb'] / 1000:.1f}")
    row = ("the program", *memory, *(f"{warm[what]}, {after[what]}" for what in ("threads", "files")))
    early, late = f"MB after {many['warm_times']}", f"after {many['times']}"
    return table(("process", early, late, "threads", "open files"), [row])


TABLES: Final = {
    "microphone_faults": {
        "faults": faults_table,
        "growth": growth_table,
    },
}
