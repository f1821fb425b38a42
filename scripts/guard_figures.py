"""The tables of what the speech guard hears and what it refuses."""

from __future__ import annotations

from typing import Any

from tables import table

Results = dict[str, Any]


def guard_speech(results: Results) -> str:
    """A row a kind of talk: how much of it is refused, alone and over clips."""
    kinds = dict.fromkeys(row["what"] for row in results["speech"])
    levels = dict.fromkeys(row["level"] for row in results["speech"])
    found = {(row["what"], row["level"]): row for row in results["speech"]}
    rows = [(kind, *(_refused(found.get((kind, level))) for level in levels)) for kind in kinds]
    note = (
        f"Clips refused, of how many. `{results['model']}`, {results['bytes'] / 1000:.0f} KB, threshold "
        f"{results['thresholds']['speech']:.2f}. `{results['command']}`."
    )
    return f"{table(('somebody talks', *levels), rows)}\n\n{note}"


def guard_others(results: Results) -> str:
    """A row a kind of sound without talk: how much of it is refused all the same."""
    rows = [(f"{row['what']}", _refused(row)) for row in results["others"]]
    note = "Clips of UrbanSound8K's fold 1 in which YAMNet hears no talk (below 0.1 in all windows), by class."
    return f"{table(('nobody talks', 'refused'), rows)}\n\n{note}"


def _refused(row: Results | None) -> str:
    return "" if row is None else f"{row['refused'] / max(1, row['clips']):.2f} of {row['clips']}"


GUARD_FIGURES = {"guard-speech": ("speech_guard.json", guard_speech), "guard-others": ("guard.json", guard_others)}
