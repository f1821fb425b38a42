"""Tables of benchmarks/robustness.py: conditions of microphones, other sounds and ambience."""

from __future__ import annotations

from typing import Final

from harness import Results, Table, machine_of, share, table


def network_title(entry: Results) -> str:
    """Format the name of a tested network with its held-out data."""
    folds = ", ".join(map(str, entry["holds_back_folds"]))
    return f"`{entry['recipe']}` without fold {folds}" if folds else f"`{entry['recipe']}` as shipped"


def models(entries: list[Results]) -> str:
    """Return the identities of the networks."""
    names = {f"`{entry['report']['model']}` ({network_title(entry)})": None for entry in entries}
    return ", ".join(names)


def openset_table(results: Results) -> Table:
    """Return a row for each network: other sounds that raise an event, and false events an hour of ambience."""
    rows = []
    for entry in results["entries"]:
        report = entry["report"]
        low, high = (f"{100 * report[f'raised_share_{end}']:.0f}" for end in ("low", "high"))
        rows.append(
            (
                network_title(entry),
                f"{report['negatives']['raised']} of {report['negatives']['recordings']}",
                f"{100 * report['raised_share']:.1f} % ({low} to {high} %)",
                f"{report['ambience_h'] * 60:.0f} min",
                f"{report['false_events_per_h']:.1f} (below {report['false_events_per_h_high']:.1f})",
                f"{without_babble(report['ambience']):.1f}",
            )
        )
    headings = ("network", "raise an event", "share (95 % confidence)", "ambience", "false events/h")
    return table((*headings, "without babble"), rows, f"{models(results['entries'])}. {machine_of(results)}")


def without_babble(parts: list[Results]) -> float:
    """False events an hour in the ambience but for babble."""
    quiet = [part for part in parts if part["kind"] != "babble"]
    events = sum(sum(part["events"].values()) for part in quiet)
    return float(events / sum(part["minutes"] for part in quiet) * 60)


def openset_kinds_table(results: Results) -> Table:
    """Return a row for each kind of recording that raised an event in some network."""
    reports = [entry["report"] for entry in results["entries"]]
    kinds = sorted({kind for report in reports for kind, counts in report["kinds"].items() if counts["raised"]})
    raised = {kind: [str(report["kinds"][kind]["raised"]) for report in reports] for kind in kinds}
    recordings = reports[0]["kinds"]
    return table(
        ("kind", "recordings", *map(network_title, results["entries"])),
        ((kind, str(recordings[kind]["recordings"]), *raised[kind]) for kind in kinds),
    )


def ambience_table(results: Results) -> Table:
    """Return a row for each part of the ambience: the events it raised in each network."""
    rows = []
    for parts in zip(*(entry["report"]["ambience"] for entry in results["entries"]), strict=True):
        level = "" if parts[0]["level_dbfs"] is None else f"{parts[0]['level_dbfs']:g} dBFS"
        events = [", ".join(f"{n} {label}" for label, n in part["events"].items()) or "none" for part in parts]
        rows.append((parts[0]["kind"], level, f"{parts[0]['minutes']:.0f} min", *events))
    return table(("kind", "level", "length", *map(network_title, results["entries"])), rows)


def verdict(change: float, error: float) -> str:
    """Describe whether a change costs at most two points, within its error."""
    if abs(change + 2) < error:
        return "too near to say"
    return "yes" if change > -2 else "**no**"


def robustness_table(results: Results) -> Table:
    """Return a row for each condition: the change in accuracy of each network, and of both together."""
    reports = [entry["report"] for entry in results["entries"]]
    clips = sum(report["clips"] for report in reports)
    rows = []
    for changes in zip(*(report["changes"] for report in reports), strict=True):
        lost, gained = (sum(change[key] for change in changes) for key in ("lost", "gained"))
        both, error = 100 * (gained - lost) / clips, 100 * (gained + lost) ** 0.5 / clips
        limit = verdict(both, error) if changes[0]["limited"] else ""
        shown = (f"{change['change_points']:+.1f}" for change in changes)
        rows.append((changes[0]["name"], changes[0]["group"], *shown, f"{both:+.1f} ± {error:.1f}", limit))
    names = [f"fold {', '.join(map(str, report['folds']))} ({share(report['accuracy'])} clean)" for report in reports]
    headings = ("condition", "kind", *names, f"all {clips} clips, points", "within 2 points")
    return table(headings, rows, f"{models(results['entries'])}. {machine_of(results)}")


TABLES: Final = {
    "openset": {
        "openset": openset_table,
        "openset-kinds": openset_kinds_table,
        "ambience": ambience_table,
    },
    "robustness": {
        "robustness": robustness_table,
    },
}
