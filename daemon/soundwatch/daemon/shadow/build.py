"""Loads the shadow model and checks that it matches the active one.

Conventions: every check is made here, before the first block is captured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.model.tags import with_tag_classes
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.detection.rules import COMMON, SourceRules, resolve_sources
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.shadow.compare import ModelPair
from soundwatch.daemon.shadow.runner import ShadowRunner


def load_shadow(config: Config, active: ModelContract) -> Classifier:
    """Load the shadow model for the CPU.

    Args:
        config: Configuration with `shadow.file`.
        active: Contract of the active model.

    Raises:
        ModelError: The file cannot be used.
        ConfigError: The shadow model has another front end or other classes than the active model.
    """
    assert config.shadow.file is not None
    classifier = load_classifier_file(config.shadow.file, "cpu")
    classifier = classifier.with_contract(with_tag_classes(classifier.contract, config.detection.tags))
    differences = contract_differences(active, classifier.contract)
    if differences:
        raise ConfigError(
            f"shadow.file: {classifier.contract.identity} cannot be the shadow of {active.identity}, because both "
            f"models read one set of features: {'; '.join(differences)}. Name a model with the front end and the "
            "classes of the active model."
        )
    return classifier


def contract_differences(active: ModelContract, shadow: ModelContract) -> list[str]:
    """Return the differences between two models' front ends and classes, as phrases."""
    expected, found = msgspec.structs.asdict(active.features), msgspec.structs.asdict(shadow.features)
    differences = [f"{key} is {found[key]} and not {value}" for key, value in expected.items() if found[key] != value]
    if active.labels != shadow.labels:
        differences.append(f"its classes are {', '.join(shadow.labels)} and not {', '.join(active.labels)}")
    return differences


def open_shadow(config: Config, context: EngineContext, log: Logger) -> ShadowRunner:
    """Build the runner of the shadow model, without starting it.

    Raises:
        ModelError: The file cannot be used.
        ConfigError: The shadow model has another front end or other classes than the active model.
    """
    active, spec = context.classifier.contract, context.classifier.contract.features
    classifier = load_shadow(config, active)
    shadow_sources = _shadow_sources(config, active, classifier.contract)
    pair = ModelPair(
        model=active.identity,
        shadow=classifier.contract.identity,
        labels=active.labels,
        thresholds=_in_force(context.thresholds, active.labels),
        shadow_thresholds=_in_force(shadow_sources[COMMON].thresholds, active.labels),
        spec=spec,
        stride_windows=round(1 / config.shadow.share),
        interval_samples=None if config.stats_s is None else round(config.stats_s * spec.rate_hz),
        sources=tuple(
            (
                name,
                _in_force(context.thresholds_for(name), active.labels),
                _in_force(shadow_sources[name].thresholds, active.labels),
            )
            for name in config.sources
        ),
    )
    return ShadowRunner(classifier, pair, context.journal, log)


def _in_force(thresholds: Mapping[str, float], labels: Sequence[str]) -> tuple[float | None, ...]:
    """Return the threshold of each label; None for a class that is not detected."""
    return tuple(thresholds.get(label) for label in labels)


def _shadow_sources(config: Config, active: ModelContract, shadow: ModelContract) -> dict[str, SourceRules]:
    """Return the shadow model's rules by source; a calibration applies only to the weights it was made with."""
    if shadow.identity == active.identity:
        return resolve_sources(config, shadow)
    with_keys = msgspec.structs.replace
    own = {
        name: with_keys(source, detection=with_keys(source.detection, calibration=None))
        for name, source in config.sources.items()
    }
    return resolve_sources(
        with_keys(config, detection=with_keys(config.detection, calibration=None), sources=own), shadow
    )
