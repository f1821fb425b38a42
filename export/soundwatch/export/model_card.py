"""Model card: classes, accuracy, data sources, licence and limits.

Conventions: Markdown, generated from the contract alone, so that it cannot say what the model does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from soundwatch.daemon.core.contract import EvaluationScore, FeatureSpec, ModelContract
from soundwatch.daemon.core.operation import Operation


def model_card(contract: ModelContract) -> str:
    """Return the card of a model with this contract, as Markdown."""
    sections = [
        f"# {contract.name}",
        f"`{contract.identity}`. Written by `soundwatch export` from the contract inside the model file.",
        "## What it hears",
        _classes_text(contract),
        "## How well",
        *(
            [_scores(contract)]
            if contract.scores
            else ["It was not scored on recordings that it had not learned from."]
        ),
        *(
            ["## How its thresholds were chosen", _operation(contract, contract.operation)]
            if contract.operation
            else []
        ),
        "## What it was trained on",
        _training(contract),
        "## Licence",
        _licence(contract.provenance.licence),
        *([_sources(contract.provenance.sources)] if contract.provenance.sources else []),
        "## The front end",
        _front_end(contract.features),
        "## What it does not do",
        _limits(contract),
    ]
    return "\n\n".join(sections) + "\n"


def _classes_text(contract: ModelContract) -> str:
    spec = contract.features
    nature = {
        "softmax": "Scores compete: those of one window sum to 1, so one of the classes is always the likeliest.",
        "sigmoid": "Each class is scored by itself from 0 to 1: several may be heard at once, or none.",
    }[contract.activation]
    thresholds = _table(
        ("class", "threshold"), ((label, f"{contract.thresholds[label]:.2f}") for label in contract.labels)
    )
    return (
        f"{len(contract.labels)} classes in windows of {_number(spec.window_ms / 1000)} s, one every "
        f"{spec.window_hop_samples / spec.rate_hz:.3g} s. {nature} A window counts as evidence of a class "
        f"from its threshold on.\n\n{thresholds}"
    )


def _scores(contract: ModelContract) -> str:
    parts = []
    if contract.provenance.leaky_split:
        parts.append(
            "**Not a measure of anything:** clips of one recording stood on both sides of the split, so the "
            "network was tested on what it had learned by heart."
        )
    parts.append("Top-1 of whole clips, by networks of the same recipe on recordings that they had not learned from.")
    parts.append(
        _table(
            ("trained on", "tested on", "clips", "accuracy", "macro F1"),
            (
                (score.trained_on, score.tested_on, str(score.clips), f"{score.accuracy:.3f}", f"{score.macro_f1:.3f}")
                for score in contract.scores
            ),
        )
    )
    parts.append("Recall of each class, the share of its clips found:")
    parts.append(_recall(contract.labels, contract.scores))
    return "\n\n".join(parts)


def _recall(labels: Sequence[str], scores: Sequence[EvaluationScore]) -> str:
    headings = ("class", *(score.tested_on for score in scores))
    return _table(headings, ((label, *(_share(score.recall.get(label)) for score in scores)) for label in labels))


def _operation(contract: ModelContract, operation: Operation) -> str:
    muted = [label for label in contract.labels if contract.thresholds[label] >= 1]
    parts = [
        f"By the daemon's own decision in {operation.hours:.3g} hours of streets with many backgrounds and hard "
        f"negatives, and on {operation.clips} recordings of other sounds: {operation.measured_on}. One false event an "
        f"hour is worth {100 * operation.price:g} % of the sounds found. The figures are of this evidence; a new place "
        "gives less.",
        f"There the classes were found to {operation.found:.2f} on average, with {operation.false_per_h:.1f} false "
        f"events an hour among hard negatives; {100 * operation.raised_share:.1f} % of the recordings raised an event.",
        operation_table(contract),
    ]
    if muted:
        parts.append(f"Muted, since at no threshold it is worth its false events: {', '.join(muted)}.")
    return "\n\n".join(parts)


def operation_table(contract: ModelContract) -> str:
    """Each class's threshold, what it gave, and the share found at other rates of false events; "" without figures."""
    if contract.operation is None:
        return ""
    classes = contract.operation.classes
    rates = [f"found at {point.false_per_h:g}/h" for point in classes[contract.labels[0]].curve]
    rows = []
    for label in contract.labels:
        each = classes[label]
        curve = [f"{point.found:.2f} ({point.threshold:.2f})" for point in each.curve]
        threshold = f"{contract.thresholds[label]:.2f} ({each.low:.2f} to {each.high:.2f})"
        rows.append((label, threshold, f"{each.found:.2f}", f"{each.false_per_h:.2f}", *curve))
    return _table(("class", "threshold (90 %)", "found", "false events/h", *rates), rows)


def _training(contract: ModelContract) -> str:
    origin = contract.provenance
    folds = f", folds {', '.join(map(str, origin.folds))}" if origin.folds else ""
    return (
        f"{origin.data}{folds}: {origin.clips} clips, {origin.epochs} epochs, by recipe `{origin.recipe}` "
        f"(`{origin.recipe_sha256[:12]}`), seed {origin.seed}, with soundwatch {origin.soundwatch} and torch "
        f"{origin.torch}. {origin.parameters:,} parameters."
    )


def _licence(licence: str) -> str:
    terms = f"{licence}."
    if "NC" in licence.upper().replace("-", " ").split():
        terms += (
            " The recordings may not be used for commercial purposes and must be credited. Weights learned from them "
            "are offered under the same terms: use them for research, teaching and your own home, name the data "
            "set, and for commercial use train on recordings that allow it. soundwatch's code is Apache-2.0."
        )
    return terms


def _sources(sources: Sequence[str]) -> str:
    listed = "\n".join(f"- {source}" for source in sources)
    return f"Everyday sounds that it was also trained on, with their licences:\n\n{listed}"


def _front_end(spec: FeatureSpec) -> str:
    top_db = "none" if spec.top_db is None else f"{_number(spec.top_db)} dB below the {spec.top_db_peak}'s peak"
    normalisation = {
        "none": "none: decibels",
        "peak": "less its largest decibel",
        "example": f"less its mean, over its deviation, at least {_number(spec.normalisation_floor_db)} dB",
    }[spec.normalisation]
    rows = (
        ("rate", f"{spec.rate_hz} Hz"),
        ("channels", f"{spec.channels}"),
        ("window", f"{spec.window_samples} samples, {spec.n_frames} frames"),
        ("STFT", f"{spec.n_fft} samples, Hann, every {spec.hop_samples}, centred, {spec.padding} padding"),
        ("mel bands", f"{spec.n_mels}, {_number(spec.mel_min_hz)} to {_number(spec.mel_max_hz)} Hz, {spec.mel_scale}"),
        ("band norm", spec.mel_norm),
        ("power floor", f"{spec.power_floor:g}"),
        ("cut off", top_db),
        ("normalisation", normalisation),
    )
    return _table(("number", "value"), rows)


def _limits(contract: ModelContract) -> str:
    listed = ", ".join(contract.labels)
    limits = [
        f"It knows {listed} and nothing else; what resembles one of them may be taken for it.",
        f"It hears nothing above {_number(contract.features.mel_max_hz)} Hz.",
        "It does not say where a sound comes from, how many there are, or who makes it.",
        "It is no alarm: do not let safety depend on it.",
    ]
    if contract.activation == "softmax":
        limits.insert(0, "It has no answer for none of them: silence and strange sounds get a class too.")
    return "\n".join(f"- {limit}" for limit in limits)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _share(value: float | None) -> str:
    return "no clips" if value is None else f"{value:.2f}"


def _number(value: float) -> str:
    return f"{value:g}"
