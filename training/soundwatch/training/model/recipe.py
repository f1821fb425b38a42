"""What a training run does, as one typed record read from YAML.

Conventions: units are in the names; a share is 0 to 1 of what it is a share of. Every number that
changes the weights is here, so a recipe's hash names the experiment. 0 switches an augmentation off.
A recipe `like:` a shipped one says only what it does otherwise.
Source: the shipped recipes lie in `training/recipes/` of the project, and inside the package where it is installed;
`load_recipe` also takes a path.
Does not: name folders, folds or devices; those are the command line's.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from soundwatch.daemon.core.config import parse_yaml
from soundwatch.daemon.core.contract import Activation, FeatureSpec
from soundwatch.daemon.core.errors import ConfigError, ContractError
from soundwatch.training.model.street_recipe import StreetMixes
from soundwatch.training.model.yaml_keys import refuse_unknown_keys


class BlockCnn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="blocks"):
    """The tutorial's network: blocks of convolution, ReLU and batch norm, then a mean over bands and frames.

    Attributes:
        widths: Channels out of each block.
        kernels: Side of each block's square kernel, odd; padded to keep the size before its stride.
        stride: Of every block, over bands and frames alike.
        kaiming_slope: The `a` of Kaiming's initialisation.
    """

    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    stride: int
    kaiming_slope: float

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.kernels):
            raise ConfigError(f"widths {self.widths} and kernels {self.kernels} must be equally many, one a block.")


class PooledCnn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="pooled"):
    """3x3 convolutions with batch norm before ReLU, then mean and max over frames and bands, then one linear layer.

    Attributes:
        widths: Channels out of each convolution.
        strides: Of each convolution, over bands and frames alike.
        dropout_share: Of the pooled features, dropped while training.
    """

    widths: tuple[int, ...]
    strides: tuple[int, ...]
    dropout_share: float

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.strides):
            raise ConfigError(f"widths {self.widths} and strides {self.strides} must be equally many, one a layer.")


class SeparableCnn(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="separable"
):
    """A slope and offset a band, a 3x3 convolution, depthwise-separable layers, then pooled like `pooled`.

    Attributes:
        widths: Channels out of the convolution, then of each layer.
        strides: Of each, 1 or 2, over bands and frames alike.
        dropout_share: Of the pooled features, dropped while training.
    """

    widths: tuple[int, ...]
    strides: tuple[Literal[1, 2], ...]
    dropout_share: float

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.strides):
            raise ConfigError(f"widths {self.widths} and strides {self.strides} must be equally many, one a layer.")


class Augmentation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done to a clip before the network sees it in training, in this order.

    Attributes:
        speeds_percent: One is drawn for each clip and played back at, pitch and all; 100 is as recorded.
        time_shift_share: Longest circular shift, of the window.
        gain_db: Largest change of level, up or down.
        noise_probability: Of coloured noise under the whole window, so that padding is not always digital zero.
        noise_snr_db: Lowest and highest distance of that noise below the clip.
        band_jitter_db: Standard deviation of a smooth random equaliser.
        frequency_masks: Number of masked stretches of mel bands (SpecAugment), filled with the example's mean.
        frequency_mask_share: Widest of them, of all bands.
        time_masks: Number of masked stretches of frames.
        time_mask_share: Widest of them, of all frames.
        mixup_alpha: Of the Beta distribution that two examples are mixed by.
        synthetic_negative_share: Noise and silence that are none of the classes, added to each epoch's clips.
    """

    speeds_percent: tuple[int, ...] = (100,)
    time_shift_share: float = 0.0
    gain_db: float = 0.0
    noise_probability: float = 0.0
    noise_snr_db: tuple[float, float] = (10.0, 50.0)
    band_jitter_db: float = 0.0
    frequency_masks: int = 0
    frequency_mask_share: float = 0.0
    time_masks: int = 0
    time_mask_share: float = 0.0
    mixup_alpha: float = 0.0
    synthetic_negative_share: float = 0.0


class Optimisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the weights move: AdamW under a one-cycle schedule (with no decay AdamW is Adam).

    Attributes:
        max_learning_rate: The cycle's peak.
        anneal: Shape of its two flanks.
        warmup_share: Of all steps, spent rising.
        weight_decay: Decoupled, a step.
        label_smoothing_share: Of a target's mass, spread evenly over the classes.
        ema_decay: Of the running mean of the weights, which is then what counts; 0 keeps the weights themselves.
            After n steps it is (1 + n) / (10 + n) at most.
    """

    max_learning_rate: float
    anneal: Literal["linear", "cos"]
    warmup_share: float = 0.3
    weight_decay: float = 0.0
    label_smoothing_share: float = 0.0
    ema_decay: float = 0.0


class Distillation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is learned from a teacher: a large network's hearing of the very sounds that the small one is shown.

    Clips are then augmented as `distillation/augmented_views.py` says, with the masks of `Augmentation` on top and
    nothing else of it.

    Attributes:
        views: Augmented renderings of every clip, beside the clip as it is.
        views_seed: Of their draws: runs that differ only in the recipe's seed share them.
        mix_probability: Of a second clip in a view.
        heads: Classifiers trained on what the teacher hears, whose mean score is the soft target.
        soft_share: Of the target; the labels are the rest.
        feature_weight: Of the squared difference between the teacher's features and those told from the maps.
        bfloat16: True multiplies in it: on processors with matrix units that is twice as fast.
        start: "drawn" weights, or those of the teacher's own first layers, where the network is as wide.
        body_learning_rate_share: Of `max_learning_rate`, the peak for all layers but the head and the hint.
    """

    views: int
    views_seed: int
    mix_probability: float
    heads: int
    soft_share: float
    feature_weight: float
    bfloat16: bool
    start: Literal["drawn", "teacher"] = "drawn"
    body_learning_rate_share: float = 1.0


class FineTuning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a trained network learns new classes. Its batch norms keep their statistics: few clips cannot give better.

    Attributes:
        head_epochs: First ones, in which only the new head moves.
        body_learning_rate_share: Of `max_learning_rate`, the peak for all layers but the head.
    """

    head_epochs: int
    body_learning_rate_share: float


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One experiment, all but its data.

    Attributes:
        name: Of the recipe.
        features: The front end.
        network: Kind and sizes.
        activation: "softmax" scores compete and sum to one; "sigmoid" scores each class by itself.
        augmentation: What is done to clips in training.
        optimisation: How the weights move.
        batch_clips: Clips a step.
        epochs: Passes over the clips; the last one counts.
        seed: Of every random draw.
        finetune: How to start from a trained network; null starts from drawn weights.
        teaching: By a teacher; None learns from labels alone.
        street: Street mixes to learn from beside the views; None for none. It needs `teaching`.
        model: Name of the models it makes, where that is not its own.
        false_event_price: Share of the sounds found that one false event an hour is worth, where thresholds are chosen.
    """

    name: str
    features: FeatureSpec
    network: BlockCnn | PooledCnn | SeparableCnn
    activation: Activation
    augmentation: Augmentation
    optimisation: Optimisation
    batch_clips: int
    epochs: int
    seed: int
    finetune: FineTuning | None = None
    teaching: Distillation | None = None
    street: StreetMixes | None = None
    model: str = ""
    false_event_price: float = 0.01

    def __post_init__(self) -> None:
        for name in ("batch_clips", "epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
        if not 0 < self.false_event_price < 1:
            raise ConfigError(f"false_event_price is {self.false_event_price}; a share between 0 and 1 was wanted.")
        if self.finetune and self.teaching:
            raise ConfigError("A recipe has a finetune section or a teaching section, not both; leave one out.")
        if self.street and not self.teaching:
            raise ConfigError("A street section goes with a teaching section; add it, or leave street out.")
        if self.activation == "softmax" and self.augmentation.synthetic_negative_share:
            raise ConfigError(
                "activation is softmax, whose scores sum to one, and synthetic_negative_share asks for examples of "
                "none of the classes; set it to 0 or choose sigmoid."
            )

    @property
    def sha256(self) -> str:
        """Hash of every value above that changes the weights: of all but the price of a false event."""
        values = msgspec.to_builtins(self)
        values.pop("false_event_price", None)
        return hashlib.sha256(msgspec.json.encode(values)).hexdigest()


def encode_recipe(recipe: Recipe) -> str:
    """The recipe as one line of JSON."""
    return msgspec.json.encode(recipe).decode()


def decode_recipe(text: str) -> Recipe:
    """Read a recipe that `encode_recipe` wrote."""
    return msgspec.json.decode(text, type=Recipe)


def shipped_recipes() -> dict[str, str]:
    """Name and YAML of each recipe that comes with the package."""
    inside = resources.files("soundwatch.training") / "recipes"  # where the wheel puts them
    folder = inside if inside.is_dir() else Path(__file__).parents[3] / "recipes"  # where a clone has them
    files = [file for file in folder.iterdir() if file.name.endswith(".yaml")]
    return {file.name.removesuffix(".yaml"): file.read_text("utf-8") for file in files}


def load_recipe(name: str) -> Recipe:
    """The recipe of a shipped name, or of a YAML file's path.

    Raises:
        ConfigError: There is no such recipe, or it does not read.
    """
    shipped = shipped_recipes()
    if name in shipped:
        return parse_recipe(shipped[name], f"the shipped recipe {name}")
    try:
        return parse_recipe(Path(name).read_text("utf-8"), name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"No recipe {name}: {error}. Give one of {', '.join(sorted(shipped))}, or a YAML file like theirs."
        ) from error


def parse_recipe(text: str, where: str) -> Recipe:
    """Read a recipe's YAML.

    Args:
        text: The YAML.
        where: The file it came from, for messages.

    Raises:
        ConfigError: It is not YAML, has a key that means nothing, lacks one, or its numbers do not fit.
    """
    try:
        values: Any = _completed(parse_yaml(text.encode(), where))
        refuse_unknown_keys(values, Recipe)
        return msgspec.convert(values, Recipe)
    except (msgspec.ValidationError, ContractError, ConfigError, RecursionError) as error:
        raise ConfigError(f"Recipe {where} does not read: {error}") from error


def _completed(values: Any) -> Any:
    """A recipe's YAML with what it leaves to the shipped recipe that it is `like`."""
    if not isinstance(values, dict) or "like" not in values:
        return values
    like, shipped = values.pop("like"), shipped_recipes()
    if like not in shipped:
        raise ConfigError(f"like is {like!r}; a shipped recipe was wanted: {', '.join(sorted(shipped))}.")
    return _laid_over(_completed(yaml.safe_load(shipped[like])), values)


def _laid_over(below: Any, above: Any) -> Any:
    """Two mappings as one, key by key; of anything else, the one above."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: _laid_over(below.get(key), value) for key, value in above.items()}
