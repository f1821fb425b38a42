"""Tags of a model: further sounds that its network scores, and the tags that a configuration makes classes.

Conventions: shapes as in `core/records/`. A network gives K classes and G tags. With P tags as classes, labels and
scores have K + P entries: the model's classes first, then these tags in the order of the configuration.
Does not: run networks (`inference/classifier.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.text.messages import did_you_mean

TAG_THRESHOLD: Final = 0.5  # of a tag that is a class, where the configuration gives none
HIGHEST_TAGS: Final = 3


def with_tag_classes(contract: ModelContract, tags: Sequence[str]) -> ModelContract:
    """Return the contract with some tags as further classes, which can give events.

    Args:
        contract: Contract of a model file.
        tags: Names of tags; `detection.tags`.

    Raises:
        ConfigError: The model has no such tag, or a name repeats.
    """
    for tag in tags:
        if tag not in contract.tags:
            raise ConfigError(f"detection.tags: {tag}: {_refusal(tag, contract)}")
    if len(set(tags)) != len(tags):
        raise ConfigError(f"detection.tags is {', '.join(tags)}; name each tag once.")
    thresholds = contract.thresholds | dict.fromkeys(tags, TAG_THRESHOLD)
    return msgspec.structs.replace(contract, labels=(*contract.labels, *tags), thresholds=thresholds)


def _refusal(name: str, contract: ModelContract) -> str:
    """Return the reason against a name that is not a tag."""
    if name in contract.labels:
        return f"{name} is a class of {contract.identity} already. Remove the name here."
    if not contract.tags:
        return f"the model {contract.identity} has no tags. Remove the key, or use a model with tags."
    hint = did_you_mean(name, contract.tags)
    return f"the model {contract.identity} has no such tag; {hint}its tags are {', '.join(contract.tags)}."


def split_outputs(
    contract: ModelContract, outputs: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Split a network's outputs (N, K + G) into scores (N, K + P) of the labels and scores (N, G) of the tags."""
    classes = outputs.shape[1] - len(contract.tags)
    tag_values = outputs[:, classes:]
    columns = [contract.tags.index(label) for label in contract.labels[classes:]]
    values = outputs[:, :classes]
    return (np.concatenate((values, tag_values[:, columns]), axis=1) if columns else values), tag_values


def highest_tags(tags: Sequence[str], values: Sequence[float], except_for: str = "") -> tuple[tuple[str, float], ...]:
    """Return the highest tags with their scores, highest first, without one that is given."""
    ranked = sorted(zip(tags, values, strict=True), key=lambda pair: -pair[1])
    return tuple(pair for pair in ranked if pair[0] != except_for)[:HIGHEST_TAGS]
