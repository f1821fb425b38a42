"""The tables of found and false events an hour, for `figures.py`.

Conventions: as there. Each function takes what `benchmarks/false_events.py` wrote. Brackets hold 95 %.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tables import share, table
from trial_figures import ran

Results = dict[str, Any]


def entries_at(results: Results) -> list[Results]:
    """The entries at the shipped price, at one threshold for all classes, and of what ships."""
    return [
        entry
        for entry in results["entries"]
        if entry.get("price", results["shipped_price"]) == results["shipped_price"]
    ]


def title(entry: Results, results: Results) -> str:
    """A system and what its thresholds are."""
    names = {"cross-validated": "soundwatch, cross-validated", "shipped": f"`{results['shipped']}`"}
    name = names.get(entry["name"], entry["name"])
    if "threshold" in entry:
        return f"{name}, {entry['threshold']:g} for all classes"
    return f"{name}, by price" if "price" in entry else f"{name}, its own thresholds"


def interval(figures: Results, digits: int = 2) -> str:
    """A figure with its interval."""
    value, low, high = (f"{figures[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def percent(figures: Results) -> str:
    """A share in percent with its interval."""
    value, low, high = (f"{100 * figures[key]:.1f}" for key in ("value", "low", "high"))
    return f"{value} % ({low} to {high})"


def streets(results: Results) -> str:
    """A row a system and street: found, false events an hour, latency."""
    rows = []
    for entry in entries_at(results):
        for each in entry["scenarios"]:
            delay = each["delay_s"] or {"median": None, "p95": None}
            learned = entry["name"] == "shipped"
            rows.append(
                (
                    title(entry, results),
                    f"{each['snr_db']:g} dB, {each['negatives_per_h']:g}/h",
                    interval(each["found"]) + ("*" if learned else ""),
                    interval(each["false_per_h"], 1),
                    "" if delay["median"] is None else f"{delay['median']:.1f} s, {delay['p95']:.1f} s",
                )
            )
    first = results["entries"][0]["scenarios"][0]
    text = table(("system", "street", "found", "false events/h", "latency, median, 95 %"), rows)
    hours = f"Each network is heard for an hour of each street, on {first['backgrounds']} backgrounds."
    return f"{text}\n\n{hours} {ran(results)}"


def raised(results: Results) -> str:
    """A row a system: the share of recordings of none of the classes that raise an event."""
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


def classes(results: Results) -> str:
    """A row a class: found and false events an hour of the cross-validated networks and of YAMNet, by price."""
    chosen = {entry["name"]: entry for entry in results["entries"] if entry.get("price") == results["shipped_price"]}
    first = next(iter(chosen.values()))
    headings = [f"{name}, {what}" for name in chosen for what in ("found at 10 dB", "false/h")]
    rows = []
    for label in first["scenarios"][0]["classes"]:
        cells = []
        for entry in chosen.values():
            each = entry["scenarios"][0]["classes"][label]
            cells += [
                "" if each["found"] is None else share(each["found"]["value"]),
                f"{each['false_per_h']['value']:.1f}",
            ]
        rows.append((label, *cells))
    return table(("class", *headings), rows)


def prices(results: Results) -> str:
    """A row a price: what the cross-validated networks find and raise at it."""
    rows = []
    for entry in results["entries"]:
        if entry["name"] != "cross-validated" or "price" not in entry:
            continue
        street, busy, loud = entry["scenarios"]
        rows.append(
            (
                f"{100 * entry['price']:g} %",
                *(f"{interval(each['found'])}; {each['false_per_h']['value']:.1f}" for each in (street, busy, loud)),
                *(f"{100 * each['share']['value']:.1f} %" for each in entry["raised"].values()),
            )
        )
    if not rows:
        return "Not measured yet."
    names = [
        f"{each['snr_db']:g} dB, {each['negatives_per_h']:g}/h: found; false/h"
        for each in results["entries"][0]["scenarios"]
    ]
    return table(("price of a false event an hour", *names, *results["entries"][0]["raised"]), rows)


def summary(results: Results) -> str:
    """What a listener gets: found by the cross-validated networks, false events of what ships."""
    crossed = [entry for entry in entries_at(results) if entry["name"] == "cross-validated"]
    shipped = next(entry for entry in results["entries"] if entry["name"] == "shipped")
    rows = []
    for place, street in enumerate(shipped["scenarios"]):
        name = f"street at {street['snr_db']:g} dB, {street['negatives_per_h']:g} hard negatives an hour"
        found = interval(crossed[0]["scenarios"][place]["found"]) if crossed else "not measured yet"
        delay = street["delay_s"]
        rows.append((name, found, interval(street["false_per_h"], 1), f"{delay['median']:.1f} s, {delay['p95']:.1f} s"))
    shares = [
        f"{percent(shipped['raised'][group]['share'])} of recordings of {words}"
        for group, words in (("test_kinds", "held-out kinds"), ("test_recordings", "other kinds"))
    ]
    text = table(("place", "sounds found", "false events an hour", "onset to line, median, 95 %"), rows)
    return f"{text}\n\nOther sounds by themselves raise an event in {' and in '.join(shares)}. {ran(results)}"


EVENT_FIGURES: Final[dict[str, tuple[str, Callable[[Results], str]]]] = {
    "event-summary": ("false-events.json", summary),
    "event-streets": ("false-events.json", streets),
    "event-raised": ("false-events.json", raised),
    "event-classes": ("false-events.json", classes),
    "event-prices": ("false-events.json", prices),
}
