"""The tables of the street, the open set and the robustness trial, for `figures.py`.

Conventions: as there. Each function takes what `benchmarks/trials.py` wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tables import share, table

Results = dict[str, Any]


def points(share: float) -> str:
    """A share as percent."""
    return f"{100 * share:.0f} %"


def network_of(entry: Results) -> str:
    """A network on trial, by what it has not heard."""
    folds = entry["report"].get("folds", ())
    heard = f"fold {', '.join(map(str, folds))}" if folds else entry["trained_on"].replace("UrbanSound8K ", "")
    return f"`{entry['report']['model']}`, {'heard on ' if folds else 'trained on '}{heard}"


def ran(results: Results) -> str:
    """The command that made the results, and where, in a sentence."""
    machine = results["machine"]
    return (
        f"`{results['command']}`, {results['date']}: soundwatch {results['version']}, {machine['processor']}, "
        f"{machine['cores']} cores, {machine['system']}, Python {machine['python']}."
    )


def street(results: Results) -> str:
    """A row a network and ratio: what was found, what was right, and how late."""
    rows = []
    for entry in results["entries"]:
        for level in entry["report"]["levels"]:
            latency = level["latency_s"]
            rows.append(
                (
                    network_of(entry),
                    f"{level['snr_db']:g} dB",
                    *(share(level["found"][key]) for key in ("recall", "precision", "f1")),
                    share(level["macro_f1"]),
                    share(level["found_tight"]["recall"]),
                    f"{level['false_events_per_h']:.1f}",
                    f"{level['false_events_alone_per_h']:.1f}",
                    f"{latency['median']:.1f} s, {latency['p95']:.1f} s" if latency else "",
                )
            )
    headings = ("network", "SNR", "found", "right", "F1", "macro F1", "found, tight collar", "false events/h")
    return f"{table((*headings, 'of them far from any clip', 'latency: median, 95 %'), rows)}\n\n{ran(results)}"


def street_classes(results: Results) -> str:
    """A row a class: the share found at each ratio, in every network's scene."""
    levels = [(entry, level) for entry in results["entries"] for level in entry["report"]["levels"]]
    headings = [
        f"fold {', '.join(map(str, entry['report']['folds']))}, {level['snr_db']:g} dB" for entry, level in levels
    ]
    labels = list(levels[0][1]["classes"])
    return table(
        ("class", *headings),
        ((label, *(share(level["classes"][label]["recall"]) for _, level in levels)) for label in labels),
    )


def openset(results: Results) -> str:
    """A row a network: other sounds that raise an event, and false events an hour of ambience."""
    rows = []
    for entry in results["entries"]:
        report = entry["report"]
        low, high = points(report["raised_share_low"]), points(report["raised_share_high"])
        rows.append(
            (
                network_of(entry),
                entry["thresholds_from"],
                f"{report['negatives']['raised']} of {report['negatives']['recordings']}",
                f"{100 * report['raised_share']:.1f} % ({low} to {high})",
                f"{report['ambience_h'] * 60:.0f} min",
                f"{report['false_events_per_h']:.1f} (below {report['false_events_per_h_high']:.1f})",
            )
        )
    headings = ("network", "thresholds from", "raise an event", "share (95 % confidence)", "ambience", "false events/h")
    return f"{table(headings, rows)}\n\n{ran(results)}"


def openset_kinds(results: Results) -> str:
    """A row a kind of recording that raised an event in some network."""
    reports = [entry["report"] for entry in results["entries"]]
    kinds = sorted({kind for report in reports for kind, each in report["kinds"].items() if each["raised"]})
    rows = [
        (
            kind,
            str(reports[0]["kinds"][kind]["recordings"]),
            *(str(report["kinds"][kind]["raised"]) for report in reports),
        )
        for kind in kinds
    ]
    return table(("kind", "recordings", *map(network_of, results["entries"])), rows)


def ambience(results: Results) -> str:
    """A row a part of the ambience: the events it raised in each network."""
    reports = [entry["report"] for entry in results["entries"]]
    rows = []
    for parts in zip(*(report["ambience"] for report in reports), strict=True):
        level = "" if parts[0]["level_dbfs"] is None else f"{parts[0]['level_dbfs']:g} dBFS"
        told = [", ".join(f"{n} {label}" for label, n in part["events"].items()) or "none" for part in parts]
        rows.append((parts[0]["kind"], level, f"{parts[0]['minutes']:.0f} min", *told))
    return table(("kind", "level", "length", *map(network_of, results["entries"])), rows)


def robustness(results: Results) -> str:
    """A row a condition: the change in accuracy of each network, and of both together."""
    reports = [entry["report"] for entry in results["entries"]]
    clips = sum(report["clips"] for report in reports)
    rows = []
    for changes in zip(*(report["changes"] for report in reports), strict=True):
        lost, gained = (sum(change[key] for change in changes) for key in ("lost", "gained"))
        both, error = 100 * (gained - lost) / clips, 100 * (gained + lost) ** 0.5 / clips
        limit = "" if not changes[0]["limited"] else "yes" if both >= -2 else "**no**"
        each = (f"{change['change_points']:+.1f}" for change in changes)
        rows.append((changes[0]["name"], changes[0]["group"], *each, f"{both:+.1f} ± {error:.1f}", limit))
    names = [f"fold {', '.join(map(str, report['folds']))} ({share(report['accuracy'])} clean)" for report in reports]
    headings = ("condition", "kind", *names, f"all {clips} clips, points", "within 2 points")
    return f"{table(headings, rows)}\n\n{ran(results)}"


TRIAL_FIGURES: Final[dict[str, tuple[str, Callable[[Results], str]]]] = {
    "street": ("street.json", street),
    "street-classes": ("street.json", street_classes),
    "openset": ("openset.json", openset),
    "openset-kinds": ("openset.json", openset_kinds),
    "ambience": ("openset.json", ambience),
    "robustness": ("robustness.json", robustness),
}
