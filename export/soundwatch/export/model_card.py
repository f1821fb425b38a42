"""Model card: classes, accuracy, data sources, license and limits.

Conventions: Markdown, generated from the contract alone, so that the card and the model agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from soundwatch.daemon.core.model.contract import EvaluationScore, ModelContract
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.model.operation import Operation
from soundwatch.daemon.core.model.tags import TAG_THRESHOLD


def model_card(contract: ModelContract) -> str:
    """Return the card of a model with this contract, as Markdown."""
    sections = [
        f"# {contract.name}",
        f"`{contract.identity}`. Written by `soundwatch export` from the contract inside the model file.",
        "## Classes",
        _classes_text(contract),
        "## Accuracy",
        *(
            [_scores(contract)]
            if contract.scores
            else ["The model was not tested on recordings outside its training data."]
        ),
        *(["## Choice of thresholds", _operation(contract, contract.operation)] if contract.operation else []),
        *(["## Tags", _tags(contract)] if contract.tags else []),
        "## Training data",
        _training(contract),
        "## License",
        _licence(contract.provenance.licence),
        *([_sources(contract.provenance.sources)] if contract.provenance.sources else []),
        "## Front end",
        _front_end(contract.features),
        "## Limits",
        _limits(contract),
    ]
    return "\n\n".join(sections) + "\n"


def card_name(contract: ModelContract) -> str:
    """Return the name of a model's card."""
    return f"{contract.name}.md"


def write_card(folder: Path, contract: ModelContract) -> Path:
    """Write the card `NAME.md` of a model into a folder, and return its path."""
    card = folder / card_name(contract)
    card.write_text(model_card(contract), encoding="utf-8")
    return card


def _classes_text(contract: ModelContract) -> str:
    spec = contract.features
    nature = {
        "softmax": "The scores of one window sum to 1, so one of the classes always has a high score.",
        "sigmoid": "Each class has an independent score from 0 to 1: several classes or none may be active.",
    }[contract.activation]
    thresholds = _table(
        ("class", "threshold"), ((label, f"{contract.thresholds[label]:.2f}") for label in contract.labels)
    )
    return (
        f"{len(contract.labels)} classes in windows of {_number(spec.window_ms / 1000)} s, one every "
        f"{spec.window_hop_samples / spec.rate_hz:.3g} s. {nature} A window is evidence of a class if "
        f"the score is at or above the threshold.\n\n{thresholds}"
    )


def _scores(contract: ModelContract) -> str:
    parts = []
    if contract.provenance.leaky_split:
        parts.append(
            "**Not valid:** clips of one recording are on both sides of the split, so the network was tested on "
            "its training data."
        )
    parts.append("Top-1 accuracy on whole clips, of networks of this recipe on recordings outside their training data.")
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
        f"The thresholds were chosen with the daemon's detection on {operation.hours:.3g} hours of streets with many "
        f"backgrounds and hard negatives, and on {operation.clips} recordings of other sounds: "
        f"{operation.measured_on}. One false event an hour counts as much as {100 * operation.price:g} % of the sounds "
        "found. The figures are of this data; results at a new place are lower.",
        f"There, {operation.found:.2f} of the sounds were found on average over the classes, with "
        f"{operation.false_per_h:.1f} false events an hour among hard negatives; "
        f"{100 * operation.raised_share:.1f} % of the recordings raised an event.",
        operation_table(contract, thresholds=False),
    ]
    if muted:
        parts.append(f"Disabled, since every threshold gives too many false events: {', '.join(muted)}.")
    return "\n\n".join(parts)


def _tags(contract: ModelContract) -> str:
    text = (
        f"Each window also has the scores of {len(contract.tags)} tags: further kinds of sound, which describe it to "
        "users. Tags raise no events unless `detection.tags` asks for them, which is experimental."
    )
    if not contract.tag_scores:
        return f"{text} Their precision was not measured: {', '.join(contract.tags)}."
    rows = [
        (tag, str(score.clips), str(score.recordings), _measured(score.recall), _measured(score.precision))
        for tag, score in contract.tag_scores.items()
    ]
    table = _table(("tag", "clips", "recordings", "recall", "precision"), rows)
    return (
        f"{text} Measured at a score of {TAG_THRESHOLD:g} in one window, on everyday sounds outside the training data. "
        "Recall is the share of the tag's clips that have the tag. Precision is the share of all clips with the tag "
        f"that are labeled so; other clips may hold the sound, too. A dash stands where no clip had the tag.\n\n{table}"
    )


def operation_table(contract: ModelContract, *, thresholds: bool = True) -> str:
    """Return the table of thresholds and of the share found at rates of false events; "" without figures.

    Args:
        contract: The contract.
        thresholds: Include the thresholds, not their 90 % intervals alone.
    """
    if contract.operation is None:
        return ""
    classes = contract.operation.classes
    rates = [f"found at {point.false_per_h:g}/h" for point in classes[contract.labels[0]].curve]
    rows = []
    for label in contract.labels:
        result = classes[label]
        curve = [f"{point.found:.2f} ({point.threshold:.2f})" for point in result.curve]
        interval = f"{result.low:.2f} to {result.high:.2f}"
        threshold = f"{contract.thresholds[label]:.2f} ({interval})" if thresholds else interval
        rows.append((label, threshold, f"{result.found:.2f}", f"{result.false_per_h:.2f}", *curve))
    heading = "threshold (90 %)" if thresholds else "90 % of thresholds"
    return _table(("class", heading, "found", "false events/h", *rates), rows)


def _training(contract: ModelContract) -> str:
    origin = contract.provenance
    folds = f"folds {', '.join(map(str, origin.folds))}" if origin.folds else ""
    data = origin.data if folds in origin.data else f"{origin.data}, {folds}"
    return (
        f"{data}: {origin.clips} clips, {origin.epochs} epochs, by recipe `{origin.recipe}` "
        f"(`{origin.recipe_sha256[:12]}`), seed {origin.seed}, with soundwatch {origin.soundwatch} and torch "
        f"{origin.torch}. {origin.parameters:,} parameters."
    )


def _licence(licence: str) -> str:
    terms = f"{licence.replace('licence', 'license')}."  # contracts of earlier models have the British word
    if "NC" in licence.upper().replace("-", " ").split():
        terms += (
            " The recordings may not be used for commercial purposes and must be credited. The weights trained on them "
            "have these terms, too: use them for research, teaching and private purposes, and name the data set. For "
            "commercial use, train on recordings whose license allows it. soundwatch's code is Apache-2.0."
        )
    return terms


def _sources(sources: Sequence[str]) -> str:
    listed = "\n".join(f"- {source}" for source in sources)
    return f"Everyday sounds in the training data, with their licenses:\n\n{listed}"


def _front_end(spec: FeatureSpec) -> str:
    top_db = "none" if spec.top_db is None else f"{_number(spec.top_db)} dB below the {spec.top_db_peak}'s peak"
    normalisation = {
        "none": "none: decibels",
        "peak": "decibels minus their maximum",
        "example": f"minus the mean, divided by the deviation of at least {_number(spec.normalisation_floor_db)} dB",
    }[spec.normalisation]
    rows = (
        (
            "rate",
            f"{spec.rate_hz} Hz" + ("" if spec.resampler == "libsoxr" else f", resampled by {spec.resampler}'s filter"),
        ),
        ("channels", f"{spec.channels}"),
        ("window", f"{spec.window_samples} samples, {spec.n_frames} frames"),
        ("STFT", f"{spec.n_fft} samples, Hann, every {spec.hop_samples}, centered, {spec.padding} padding"),
        ("mel bands", f"{spec.n_mels}, {_number(spec.mel_min_hz)} to {_number(spec.mel_max_hz)} Hz, {spec.mel_scale}"),
        ("band norm", spec.mel_norm),
        ("power floor", f"{spec.power_floor:g}"),
        ("minimum", top_db),
        ("normalization", normalisation),
    )
    return _table(("parameter", "value"), rows)


def _limits(contract: ModelContract) -> str:
    limits = [
        "It detects its classes only; a similar sound may be detected as one of them.",
        f"It uses no frequency above {_number(contract.features.mel_max_hz)} Hz.",
        "It does not give the direction, number or origin of sounds.",
        "It is no alarm system: do not let safety depend on it.",
    ]
    if contract.activation == "softmax":
        limits.insert(0, "It has no class for other sounds: silence and unknown sounds also get a class.")
    return "\n".join(f"- {limit}" for limit in limits)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _measured(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "no clips" if value is None else f"{value:.2f}"


def _number(value: float) -> str:
    return f"{value:g}"
