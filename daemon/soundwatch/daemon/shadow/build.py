"""Opens the second model, and refuses one that cannot hear what the first one hears.

Conventions: everything that can be refused is refused here, before the first sound is heard.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from soundwatch.daemon.core.config import Config
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.core.types import Classifier
from soundwatch.daemon.detection.calibration import load_calibration
from soundwatch.daemon.detection.rules import build_rules, thresholds_in_force
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.shadow.compare import ModelPair
from soundwatch.daemon.shadow.runner import ShadowRunner


def load_shadow(config: Config, first: ModelContract) -> Classifier:
    """The second model, on the processor.

    Args:
        config: Which one.
        first: Of the model that decides.

    Raises:
        ModelError: The file cannot be used.
        ConfigError: It has another front end or other classes than the first one, whose features it is to read.
    """
    assert config.shadow.file is not None
    opened = load_classifier_file(config.shadow.file, "cpu")
    other = contract_differences(first, opened.contract)
    if other:
        raise ConfigError(
            f"shadow.file: {opened.contract.identity} cannot run beside {first.identity}, since it reads what that one "
            f"reads: {'; '.join(other)}. Name a model of the same front end and classes."
        )
    return opened


def contract_differences(first: ModelContract, second: ModelContract) -> list[str]:
    """What is other of the front ends and the classes of two models, as phrases."""
    ours, theirs = msgspec.structs.asdict(first.features), msgspec.structs.asdict(second.features)
    other = [f"{key} is {theirs[key]} and not {value}" for key, value in ours.items() if theirs[key] != value]
    if first.labels != second.labels:
        other.append(f"its classes are {', '.join(second.labels)} and not {', '.join(first.labels)}")
    return other


def open_shadow(config: Config, context: EngineContext, log: Logger) -> ShadowRunner:
    """The second model beside the one that listens; it does not begin yet.

    Raises:
        ModelError: The file cannot be used.
        ConfigError: It cannot run beside the one that listens.
    """
    first, spec = context.classifier.contract, context.classifier.contract.features
    classifier = load_shadow(config, first)
    pair = ModelPair(
        model=first.identity,
        shadow=classifier.contract.identity,
        labels=first.labels,
        thresholds=tuple(context.thresholds.get(label) for label in first.labels),
        shadow_thresholds=_thresholds_beside(config, first, classifier.contract),
        spec=spec,
        every=round(1 / config.shadow.share),
        interval_samples=None if config.stats_s is None else round(config.stats_s * spec.rate_hz),
    )
    return ShadowRunner(classifier, pair, context.journal, log)


def _thresholds_beside(config: Config, first: ModelContract, second: ModelContract) -> tuple[float | None, ...]:
    """Those of the second model by the same configuration; a calibration only where it was made with these weights."""
    path = config.detection.calibration
    calibration = load_calibration(Path(path), second) if path and second.identity == first.identity else None
    in_force = thresholds_in_force(build_rules(config.detection, second, calibration), second.labels)
    return tuple(in_force.get(label) for label in second.labels)
