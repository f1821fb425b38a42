"""Write `sed_eval.json`: the counts of sed_eval on random scenes, for the test of `detection/event_matching.py`.

Usage, in an environment of its own: pip install sed_eval==0.2.1; python tests/golden/write_sed_eval.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import sed_eval

LABELS = ["dog_bark", "siren", "gun_shot"]


def main() -> None:
    rng = random.Random(1)  # noqa: S311  # scenes, not secrets
    scenes = [scene(rng) for _ in range(40)]
    text = json.dumps(scenes, indent=None, separators=(",", ":")).replace('{"collar_s"', '\n{"collar_s"')
    Path(__file__).with_name("sed_eval.json").write_text(text + "\n")


def scene(rng: random.Random) -> dict[str, Any]:
    """Random sounds and events, crowded enough that the choice of pairs matters."""
    there, told = ([mark(rng) for _ in range(rng.randint(1, 12))] for _ in range(2))
    collar_s = rng.choice([0.2, 1.0, 4.998])
    metrics = sed_eval.sound_event.EventBasedMetrics(
        event_label_list=LABELS, evaluate_onset=True, evaluate_offset=False, t_collar=collar_s
    )
    metrics.evaluate(*([as_event(*item) for item in marks] for marks in (there, told)))
    counts = {label: figures(metrics.class_wise[label]) for label in LABELS}
    f1 = metrics.results_overall_metrics()["f_measure"]["f_measure"]
    return {
        "collar_s": collar_s,
        "there": there,
        "told": told,
        "all": figures(metrics.overall),
        "f1": None if f1 != f1 else round(float(f1), 4),
        "classes": counts,
    }


def mark(rng: random.Random) -> tuple[str, float]:
    """A class and an onset."""
    return rng.choice(LABELS), round(rng.uniform(0, 30), 2)


def as_event(label: str, onset_s: float) -> dict[str, Any]:
    """A mark as sed_eval wants it; its end counts for nothing."""
    return {"event_label": label, "onset": onset_s, "offset": onset_s + 1, "file": "scene"}


def figures(counts: dict[str, float]) -> list[int]:
    """Nref, Nsys, Ntp."""
    return [int(counts[key]) for key in ("Nref", "Nsys", "Ntp")]


if __name__ == "__main__":
    main()
