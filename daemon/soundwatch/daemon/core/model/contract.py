"""Model contract: the record inside each model file that training, export and daemon share.

A model file carries its `ModelContract` as JSON (ONNX `metadata_props`, TorchScript `_extra_files`,
key `CONTRACT_KEY`). Every number of the front end is in its `FeatureSpec`, so the daemon cannot
compute other features than the network was trained on, and no configuration can contradict it.

Conventions: units are in the names. Shape alphabet: K classes, G tags.
Does not: read model files (`inference/classifier.py`).
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from soundwatch.daemon.core.errors import ContractError
from soundwatch.daemon.core.model.contract_text import check_contract_json, check_contract_text, listed
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.model.operation import Count, Operation, Share, TagScore
from soundwatch.daemon.core.text.foreign_json import JSON_ERRORS

CONTRACT_KEY: Final = "soundwatch.contract"
WAVEFORM_KEY: Final = "soundwatch.waveform"  # of files for other programs, which take samples
CONTRACT_SCHEMA: Final = "soundwatch.model/1"
INT8_SUFFIX: Final = "-int8"  # of the name of a quantized model

Activation = Literal["softmax", "sigmoid"]


class EvaluationScore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Result of a recipe on held-out recordings.

    Attributes:
        trained_on: Training data of the scored network, e.g. "UrbanSound8K folds 2, 3".
        tested_on: Test data; never a part of `trained_on`.
        clips: Number of clips scored.
        accuracy: Share of clips whose highest class is theirs, 0 to 1.
        macro_f1: Mean over classes of the harmonic mean of precision and recall.
        recall: Per class, the share of its clips found; null for a class without clips.
    """

    trained_on: str
    tested_on: str
    clips: Count
    accuracy: Share
    macro_f1: Share
    recall: dict[str, Share | None]


class Provenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Origin of a network's weights.

    Attributes:
        recipe: Name of the training recipe.
        recipe_sha256: Hash of all values of the recipe, so that an edited recipe is noticed.
        data: Description of the training recordings.
        folds: UrbanSound8K folds trained on; empty for other data.
        leaky_split: True if clips of one recording were on both sides of the split; the scores are then not valid.
        clips: Number of training clips.
        epochs: Number of passes over the clips.
        seed: Seed of all random draws.
        parameters: Number of trained parameters.
        soundwatch: Version of soundwatch.
        torch: Version of torch.
        licence: License terms of the data that apply to the weights.
        sources: Everyday sounds trained on: where each is from, its license and the number of clips.
    """

    recipe: str
    recipe_sha256: str
    data: str
    folds: tuple[int, ...]
    leaky_split: bool
    clips: Count
    epochs: Count
    seed: int
    parameters: Count
    soundwatch: str
    torch: str
    licence: str
    sources: tuple[str, ...] = ()


class ModelContract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Front end, labels, thresholds and origin of one model.

    Attributes:
        schema: Version of this record.
        name: Short name, first part of an event's `model`.
        features: The front end.
        labels: The K classes in the order of the network's outputs.
        activation: Function that maps the network's K logits to scores in [0, 1].
        thresholds: Per class, the lowest score that counts as evidence.
        provenance: Origin of the weights.
        scores: Results of the recipe on held-out recordings.
        weights_sha256: Hash of the weights, equal for all export formats.
        operation: Operating points of the thresholds; null if they were not chosen on street sound.
        tags: G further sounds that the network scores, in the order of its second output `tag_scores`. Tags describe
            a sound to people. They have no thresholds and give no events, unless a configuration asks for some.
        tag_scores: Per tag, precision and recall on recordings that no training used; empty if they were not measured.

    Raises:
        ContractError: Labels or tags repeat, or thresholds do not fit the labels.
    """

    schema: Literal["soundwatch.model/1"] = CONTRACT_SCHEMA
    name: str
    features: FeatureSpec
    labels: tuple[str, ...]
    activation: Activation
    thresholds: dict[str, float]
    provenance: Provenance
    scores: tuple[EvaluationScore, ...]
    weights_sha256: str
    operation: Operation | None = None
    tags: tuple[str, ...] = ()
    tag_scores: dict[str, TagScore] = {}

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ContractError(f"labels are {listed(self.labels)}; at least one is needed, and no two may be equal.")
        if len(set(self.tags)) != len(self.tags):
            raise ContractError(f"tags are {listed(self.tags)}; no two may be equal.")
        if set(self.tag_scores) not in (set(), set(self.tags)):
            found, wanted = listed(sorted(self.tag_scores)), listed(sorted(self.tags))
            raise ContractError(f"tag_scores name {found}; they must name each tag once: {wanted}.")
        if set(self.thresholds) != set(self.labels):
            found, wanted = listed(sorted(self.thresholds)), listed(sorted(self.labels))
            raise ContractError(f"thresholds name {found}; they must name each label once: {wanted}.")
        for label, threshold in self.thresholds.items():
            if not 0 < threshold <= 1:
                raise ContractError(f"threshold of {label} is {threshold}; it must lie in (0, 1].")

    @property
    def identity(self) -> str:
        """Name and hash, as in events: `urban@sha256:0123456789ab`."""
        return f"{self.name}@sha256:{self.weights_sha256[:12]}"

    @property
    def trained_labels(self) -> tuple[str, ...]:
        """Labels without the tags that `core/model/tags.py` made classes; all labels of a model file."""
        return tuple(label for label in self.labels if label not in self.tags)


def encode_contract(contract: ModelContract) -> str:
    """Encode a contract as one line of JSON, keys in the order of the types."""
    return msgspec.json.encode(contract).decode()


def decode_contract(text: str | bytes, where: str) -> ModelContract:
    """Read a contract that `encode_contract` wrote.

    Args:
        text: The JSON.
        where: Name of the file, for the message.

    Raises:
        ContractError: The text is no contract, or its numbers contradict each other, or its names cannot be used.
    """
    try:
        check_contract_json(text)
        contract = msgspec.json.decode(text, type=ModelContract)
        check_contract_text(contract)
    except JSON_ERRORS as error:
        raise ContractError(
            f"The contract in {where} does not read: {error}. A contract of schema {CONTRACT_SCHEMA} was expected; "
            "export the model again with this version of `soundwatch export`."
        ) from error
    except ContractError as error:
        raise ContractError(f"The contract in {where} is inconsistent: {error}") from error
    return contract
