"""Tables of benchmarks/false_events.py: found sounds, false events and prices."""

from __future__ import annotations

from typing import Final

from harness import Results, Table, machine_of, share, table


def entries_at(results: Results) -> list[Results]:
    """Select the entries at the shipped price, at one threshold for all classes, and of the shipped thresholds."""
    return [
        entry
        for entry in results["entries"]
        if entry.get("price", results["shipped_price"]) == results["shipped_price"]
    ]


def title(entry: Results, results: Results) -> str:
    """Describe a system and its thresholds."""
    names = {"cross-validated": "soundwatch, cross-validated", "shipped": f"`{results['shipped']}`"}
    name = names.get(entry["name"], entry["name"])
    if "threshold" in entry:
        return f"{name}, {entry['threshold']:g} for all classes"
    return f"{name}, by price" if "price" in entry else f"{name}, its own thresholds"


def interval(figures: Results, digits: int = 2) -> str:
    """Format a figure with its interval."""
    value, low, high = (f"{figures[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def percent(figures: Results) -> str:
    """Format a share in percent with its interval."""
    value, low, high = (f"{100 * figures[key]:.1f}" for key in ("value", "low", "high"))
    return f"{value} % ({low} to {high})"


def streets_table(results: Results) -> Table:
    """Return a row for each system and street: found, false events an hour, latency."""
    rows = []
    for entry in entries_at(results):
        for scenario in entry["scenarios"]:
            delay = scenario["delay_s"] or {"median": None, "p95": None}
            learned = entry["name"] == "shipped"
            rows.append(
                (
                    title(entry, results),
                    f"{scenario['snr_db']:g} dB, {scenario['negatives_per_h']:g}/h",
                    interval(scenario["found"]) + ("*" if learned else ""),
                    interval(scenario["false_per_h"], 1),
                    "" if delay["median"] is None else f"{delay['median']:.1f} s, {delay['p95']:.1f} s",
                )
            )
    first = results["entries"][0]["scenarios"][0]
    headings = ("system", "street", "found", "false events/h", "latency, median, 95 %")
    hours = f"Each network is heard for an hour of each street, on {first['backgrounds']} backgrounds."
    return table(headings, rows, f"{hours} {machine_of(results)}")


def raised_table(results: Results) -> Table:
    """Return a row for each system: the share of recordings of none of the classes that raise an event."""
    groups = list(results["entries"][0]["raised"])
    rows = [
        (title(entry, results), *(percent(entry["raised"][group]["share"]) for group in groups))
        for entry in entries_at(results)
    ]
    counts = results["entries"][-1]["raised"]
    names = {"test_recordings": "other recordings", "test_kinds": "held-out kinds"}
    headings = [
        f"{names.get(group, group)} ({counts[group]['recordings']} recordings, {counts[group]['kinds']} kinds)"
        for group in groups
    ]
    return table(("system", *headings), rows)


def classes_table(results: Results) -> Table:
    """Return a row for each class: found and false events an hour of the validated networks and of YAMNet, by price."""
    chosen = {entry["name"]: entry for entry in results["entries"] if entry.get("price") == results["shipped_price"]}
    first = next(iter(chosen.values()))
    headings = [f"{name}, {what}" for name in chosen for what in ("found at 10 dB", "false/h")]
    rows = []
    for label in first["scenarios"][0]["classes"]:
        cells = []
        for entry in chosen.values():
            counts = entry["scenarios"][0]["classes"][label]
            cells += [
                "" if counts["found"] is None else share(counts["found"]["value"]),
                f"{counts['false_per_h']['value']:.1f}",
            ]
        rows.append((label, *cells))
    return table(("class", *headings), rows)


def prices_table(results: Results) -> Table:
    """Return a row for each price: found and raised shares of the cross-validated networks."""
    rows = []
    for entry in results["entries"]:
        if entry["name"] != "cross-validated" or "price" not in entry:
            continue
        street, busy, loud = entry["scenarios"]
        rows.append(
            (
                f"{100 * entry['price']:g} %",
                *(
                    f"{interval(scenario['found'])}; {scenario['false_per_h']['value']:.1f}"
                    for scenario in (street, busy, loud)
                ),
                *(f"{100 * scenario['share']['value']:.1f} %" for scenario in entry["raised"].values()),
            )
        )
    if not rows:
        return table((), (), "Not measured yet.")
    names = [
        f"{scenario['snr_db']:g} dB, {scenario['negatives_per_h']:g}/h: found; false/h"
        for scenario in results["entries"][0]["scenarios"]
    ]
    return table(("price of a false event an hour", *names, *results["entries"][0]["raised"]), rows)


def summary_table(results: Results) -> Table:
    """Return a row for each street: figures of the cross-validated networks, then false events of the shipped model."""
    crossed = next(entry for entry in entries_at(results) if entry["name"] == "cross-validated")
    shipped = next(entry for entry in results["entries"] if entry["name"] == "shipped")
    rows = []
    for street, own in zip(crossed["scenarios"], shipped["scenarios"], strict=True):
        name = f"{street['snr_db']:g} dB, {street['negatives_per_h']:g} hard negatives an hour"
        delay = f"{street['delay_s']['median']:.1f} s, {street['delay_s']['p95']:.1f} s"
        false, own_false = (interval(scenario["false_per_h"], 1) for scenario in (street, own))
        rows.append((name, interval(street["found"]), false, delay, own_false))
    shares = [
        f"{words} {percent(crossed['raised'][group]['share'])} by the cross-validated networks, "
        f"{percent(shipped['raised'][group]['share'])} by the shipped model"
        for group, words in (("test_kinds", "held-out kinds"), ("test_recordings", "held-out ones of other kinds"))
    ]
    headings = ("street", "sounds found", "false events an hour", "onset to line, median, 95 %")
    note = f"Recordings of other sounds, played alone, that raise an event: {'; '.join(shares)}."
    return table((*headings, "false events an hour, shipped model"), rows, f"{note} {machine_of(results)}")


TABLES: Final = {
    "false-events": {
        "event-summary": summary_table,
        "event-streets": streets_table,
        "event-raised": raised_table,
        "event-classes": classes_table,
        "event-prices": prices_table,
    },
}
