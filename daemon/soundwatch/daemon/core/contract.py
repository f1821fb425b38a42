"""Model contract: the record inside each model file that training, export and daemon share.

A model file carries its `ModelContract` as JSON (ONNX `metadata_props`, TorchScript `_extra_files`,
key `CONTRACT_KEY`). Every number of the front end is in its `FeatureSpec`, so the daemon cannot
compute other features than the network was trained on, and no configuration can contradict it.

Conventions: units are in the names; derived numbers are properties and exact. A derived number that should be
whole and is not is refused at construction, with both values.
Shape alphabet: C channels, S samples, M mels, T frames, K classes, G tags.
Does not: read model files (`inference/classifier.py`) or compute features (`frontend/mel.py`).
"""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec

from soundwatch.daemon.core.contract_text import check_contract_json, check_contract_text, listed
from soundwatch.daemon.core.errors import ContractError
from soundwatch.daemon.core.foreign_json import JSON_ERRORS
from soundwatch.daemon.core.operation import Operation, TagScore

CONTRACT_KEY: Final = "soundwatch.contract"
WAVEFORM_KEY: Final = "soundwatch.waveform"  # of files for other programs, which take samples
CONTRACT_SCHEMA: Final = "soundwatch.model/1"
INT8_SUFFIX: Final = "-int8"  # of the name of a quantized model

# Limits of a model file, which is untrusted: arrays of these sizes are allocated before its first run.
_MOST: Final = {"rate_hz": 384_000, "channels": 64, "window_ms": 600_000, "n_fft": 1 << 17, "n_mels": 4096}
_FLOAT32: Final = (1e-30, 1e6)  # positive numbers with which float32 neither overflows nor becomes zero
_MOST_NUMBERS: Final = 1 << 25  # in one window's samples, mel decibels or filters: 128 MB

Activation = Literal["softmax", "sigmoid"]


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Parameters of the front end, from a recording's samples to the network's input.

    Attributes:
        rate_hz: Sampling rate that the signal is resampled to.
        channels: C of the network's input. A signal of C channels stays as it is; any other is
            averaged to mono and repeated C times.
        window_ms: Length of one window.
        window_hop_frames: Distance of two windows' starts in STFT frames.
        n_fft: Length of the STFT and of its periodic Hann window.
        hop_samples: Distance of two STFT frames.
        n_mels: M, the number of triangular mel filters.
        mel_min_hz: Lower edge of the first filter.
        mel_max_hz: Upper edge of the last filter.
        mel_scale: Mel formula: 2595 log10(1 + f/700) ("htk"), or Slaney's Auditory Toolbox.
        mel_norm: "slaney" divides each filter by its width in Hz; "none" gives peaks of one.
        padding: Extension of the signal before the first and after the last sample.
        power_floor: Lower limit of mel power before the logarithm.
        top_db: Dynamic range below the peak that is kept; null keeps all.
        top_db_peak: Range of the peak: "example" is channels, mels and frames of one window.
        normalisation: Normalization inside the network's graph. "example" subtracts the window's mean and divides
            by its standard deviation; "peak" subtracts the window's largest value; "none" keeps decibels.
        normalisation_floor_db: Lower limit of the standard deviation, so that silence gives zeros.
        resampler: Filter that converts a recording's rate: libsoxr's, or torchaudio's default. Files written before
            this key existed have libsoxr's, and the key is written only for another.

    Raises:
        ContractError: A number is out of range, or two numbers contradict each other.
    """

    rate_hz: int
    channels: int
    window_ms: int
    window_hop_frames: int
    n_fft: int
    hop_samples: int
    n_mels: int
    mel_min_hz: float
    mel_max_hz: float
    mel_scale: Literal["htk", "slaney"]
    mel_norm: Literal["none", "slaney"]
    padding: Literal["reflect"]
    power_floor: float
    top_db: float | None
    top_db_peak: Literal["example"]
    normalisation: Literal["example", "peak", "none"]
    normalisation_floor_db: float
    resampler: Literal["libsoxr", "torchaudio"] = "libsoxr"

    def __post_init__(self) -> None:
        self._check_ranges()
        self._check_window()

    def _check_ranges(self) -> None:
        for name in ("rate_hz", "channels", "window_ms", "window_hop_frames", "n_fft", "hop_samples", "n_mels"):
            if getattr(self, name) < 1:
                raise ContractError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
        for name, most in _MOST.items():
            if getattr(self, name) > most:
                raise ContractError(f"{name} is {getattr(self, name)}; it must be {most} or less.")
        for name in ("power_floor", "normalisation_floor_db", "top_db"):
            number = getattr(self, name)
            if number is not None and not _FLOAT32[0] <= number <= _FLOAT32[1]:
                cut = ", or null for no cut" if name == "top_db" else ""
                raise ContractError(f"{name} is {number}; it must be greater than 0{cut}, and within {_FLOAT32}.")
        if not 0 <= self.mel_min_hz < self.mel_max_hz <= self.rate_hz / 2:
            raise ContractError(
                f"mel_min_hz {self.mel_min_hz} and mel_max_hz {self.mel_max_hz} must rise within "
                f"0 to {self.rate_hz / 2} Hz, half of rate_hz {self.rate_hz}."
            )

    def _check_window(self) -> None:
        if self.rate_hz * self.window_ms % 1000:
            raise ContractError(
                f"window_ms {self.window_ms} at rate_hz {self.rate_hz} is {self.rate_hz * self.window_ms / 1000} "
                "samples; choose a window that is a whole number of samples."
            )
        numbers = (
            self.channels * self.window_samples,
            math.prod(self.input_shape),
            self.n_mels * (self.n_fft // 2 + 1),
        )
        if max(numbers) > _MOST_NUMBERS:
            raise ContractError(
                f"A window has {numbers[0]} samples and {numbers[1]} mel decibels by filters of {numbers[2]} numbers; "
                f"each must be {_MOST_NUMBERS} or less."
            )
        if self.n_fft // 2 >= self.window_samples:
            raise ContractError(
                f"n_fft {self.n_fft} needs a window longer than {self.n_fft // 2} samples to reflect; "
                f"window_ms {self.window_ms} gives {self.window_samples}."
            )
        if self.window_hop_samples > self.window_samples:
            raise ContractError(
                f"window_hop_frames {self.window_hop_frames} is {self.window_hop_samples} samples, longer than the "
                f"window's {self.window_samples}: sound between two windows would never be classified."
            )

    @property
    def window_samples(self) -> int:
        """S of one window."""
        return self.rate_hz * self.window_ms // 1000

    @property
    def window_hop_samples(self) -> int:
        """Samples from one window's start to the next one's."""
        return self.window_hop_frames * self.hop_samples

    @property
    def n_frames(self) -> int:
        """T of one window: a frame is centered on every `hop_samples`-th sample, the first included."""
        return 1 + self.window_samples // self.hop_samples

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, M, T) of the network's input for one window."""
        return (self.channels, self.n_mels, self.n_frames)


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
    clips: int
    accuracy: float
    macro_f1: float
    recall: dict[str, float | None]


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
    clips: int
    epochs: int
    seed: int
    parameters: int
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
        """Labels without the tags that `core/tags.py` made classes; all labels of a model file."""
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
