"""Recipe of a training run, as one typed record read from YAML.

Conventions: units are in the names; a share is a number from 0 to 1. Every number that
changes the weights is here, so the hash of a recipe identifies the experiment. 0 turns an augmentation off.
Does not: read files (`model/recipe_file.py`), or name folders, folds or devices; these are options of the command line.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract import Activation
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.training.model.hard_views_recipe import HardViews
from soundwatch.training.model.network_recipe import BlockCnn, PooledCnn, SeparableCnn
from soundwatch.training.model.ranges import (
    ABOVE_0,
    AT_LEAST_0,
    AT_LEAST_1,
    BELOW_1,
    COUNT,
    PRICE,
    RISING,
    SEED,
    SHARE,
    SPEED,
    check_file_name,
    refuse_outside,
)
from soundwatch.training.model.street_recipe import StreetMixes

Precision = Literal["auto", "float32", "bfloat16"]


class Augmentation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Augmentation of training clips, in this order.

    Attributes:
        speeds_percent: Playback speeds, one of which is drawn for each clip; the pitch changes too; 100 is unchanged.
        time_shift_share: Maximum circular shift, as a share of the window.
        gain_db: Maximum change of level, up or down.
        noise_probability: Probability of colored noise in the whole window, so padding is not always digital zero.
        noise_snr_db: Minimum and maximum distance of that noise below the clip.
        band_jitter_db: Standard deviation of a smooth random equalizer.
        frequency_masks: Number of masked ranges of mel bands (SpecAugment), filled with the example's mean.
        frequency_mask_share: Maximum width of a mask, as a share of all bands.
        time_masks: Number of masked ranges of frames.
        time_mask_share: Maximum width of a mask, as a share of all frames.
        mixup_alpha: Parameter of the Beta distribution of mixup.
        synthetic_negative_share: Synthetic noise and silence added to each epoch, as a share of its clips.
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

    def __post_init__(self) -> None:
        refuse_outside(self, "augmentation", speeds_percent=SPEED, time_shift_share=SHARE, noise_probability=SHARE)
        refuse_outside(self, "augmentation", gain_db=AT_LEAST_0, noise_snr_db=RISING, band_jitter_db=AT_LEAST_0)
        refuse_outside(self, "augmentation", frequency_masks=AT_LEAST_0, frequency_mask_share=SHARE)
        refuse_outside(self, "augmentation", time_masks=AT_LEAST_0, time_mask_share=SHARE)
        refuse_outside(self, "augmentation", mixup_alpha=AT_LEAST_0, synthetic_negative_share=AT_LEAST_0)


class Optimisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Optimizer settings: AdamW with a one-cycle schedule (without decay AdamW is Adam).

    Attributes:
        max_learning_rate: Peak of the cycle.
        anneal: Shape of the schedule before and after the peak.
        warmup_share: Share of all steps before the peak.
        weight_decay: Decoupled weight decay per step.
        label_smoothing_share: Share of a target that is spread evenly over the classes.
        ema_decay: Decay of the running mean of the weights, which becomes the result; 0 keeps the weights themselves.
            After n steps the decay is at most (1 + n) / (10 + n).
    """

    max_learning_rate: float
    anneal: Literal["linear", "cos"]
    warmup_share: float = 0.3
    weight_decay: float = 0.0
    label_smoothing_share: float = 0.0
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        refuse_outside(self, "optimisation", max_learning_rate=ABOVE_0, warmup_share=SHARE, weight_decay=AT_LEAST_0)
        refuse_outside(self, "optimisation", label_smoothing_share=SHARE, ema_decay=BELOW_1)


class Distillation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Knowledge distillation: a large teacher network provides targets for the student's training examples.

    Clips are then augmented by `distillation/augmented_views.py`. Of `Augmentation` only the masks apply.

    Attributes:
        views: Number of augmented renderings of every clip, besides the clip itself.
        views_seed: Random seed of the views; runs that differ only in the recipe's seed share the views.
        mix_probability: Probability of a second clip in a view.
        heads: Number of classifiers on the teacher's features, whose mean score is the soft label.
        soft_share: Share of the soft label in the target; the hard labels are the rest.
        feature_weight: Weight of the squared error between the teacher's features and their prediction.
        bfloat16: True trains in bfloat16, which is twice as fast on processors with matrix units.
        start: "drawn" for random weights, "teacher" for the teacher's first layers, which need equal widths.
        body_learning_rate_share: Peak learning rate of all layers but head and hint, as a share of `max_learning_rate`.
        head: "drawn" for random initial weights of the head, "zero" for zeros.
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
    head: Literal["drawn", "zero"] = "drawn"

    def __post_init__(self) -> None:
        refuse_outside(self, "teaching", views=AT_LEAST_0, views_seed=SEED, mix_probability=SHARE, heads=AT_LEAST_1)
        refuse_outside(self, "teaching", soft_share=SHARE, feature_weight=AT_LEAST_0)
        refuse_outside(self, "teaching", body_learning_rate_share=AT_LEAST_0)


class FineTuning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Fine-tuning of a pretrained network. Batch norms keep their statistics: a few clips cannot give better ones.

    Attributes:
        head_epochs: Number of first epochs that train only the new head.
        body_learning_rate_share: Peak learning rate of all layers but the head, as a share of `max_learning_rate`.
        head: "trained" by steps, then with all layers; "fitted" solves the head alone, on a frozen network.
    """

    head_epochs: int
    body_learning_rate_share: float
    head: Literal["trained", "fitted"] = "trained"

    def __post_init__(self) -> None:
        refuse_outside(self, "finetune", head_epochs=AT_LEAST_0, body_learning_rate_share=AT_LEAST_0)


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """All settings of an experiment but its data.

    Attributes:
        name: Name of the recipe.
        features: Front end.
        network: Kind and sizes of the network.
        activation: "softmax" scores sum to one; "sigmoid" scores are independent.
        augmentation: Augmentation of training clips.
        optimisation: Optimizer settings.
        batch_clips: Clips per step.
        epochs: Number of epochs; the last one gives the result.
        seed: Random seed of the run.
        finetune: Fine-tuning settings; None trains from random weights.
        teaching: Distillation settings; None trains on labels alone.
        street: Street mixes to train on besides the views; None for none. It needs `teaching`.
        hard_views: Weights of views by the errors of an earlier network; None draws all alike. It needs `teaching`.
        model: Name of the trained models, if it is not the recipe's name (`fit/runs/run_record.py` has the exceptions).
        false_event_price: Share of the sounds found that one false event per hour is worth in threshold selection.
        balance: True draws as many windows of each class in an epoch; other sounds keep their number.
        precision: Numbers of the network in training: "auto" is bfloat16 on CUDA and where `teaching` has it.
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
    hard_views: HardViews | None = None
    model: str = ""
    false_event_price: float = 0.01
    balance: bool = False
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        check_file_name(self.name, "name")
        check_file_name(self.model or self.name, "model")
        refuse_outside(self, "", batch_clips=COUNT, epochs=COUNT, seed=SEED, false_event_price=PRICE)
        if self.finetune and self.teaching:
            raise ConfigError("A recipe has a finetune section or a teaching section, not both; leave one out.")
        if self.balance and self.teaching:
            raise ConfigError(
                "balance draws labeled clips, and a recipe with a teaching section draws views; leave one of them out."
            )
        if self.hard_views and not self.teaching:
            raise ConfigError("A hard_views section goes with a teaching section; add it, or leave hard_views out.")
        if self.street and not self.teaching:
            raise ConfigError("A street section goes with a teaching section; add it, or leave street out.")
        if self.activation == "softmax" and self.augmentation.synthetic_negative_share:
            raise ConfigError(
                "activation is softmax, whose scores sum to one, and synthetic_negative_share asks for examples of "
                "none of the classes; set it to 0 or choose sigmoid."
            )

    def trains_in_bfloat16(self, device_type: str) -> bool:
        """Return True if the network computes in bfloat16 on a kind of device."""
        if self.precision == "auto":
            return device_type == "cuda" or (self.teaching is not None and self.teaching.bfloat16)
        return self.precision == "bfloat16"

    @property
    def sha256(self) -> str:
        """Hash of all values that change the weights: all but the price of a false event."""
        values = msgspec.to_builtins(self)
        values.pop("false_event_price", None)
        return hashlib.sha256(msgspec.json.encode(values)).hexdigest()


def encode_recipe(recipe: Recipe) -> str:
    """Encode the recipe as one line of JSON."""
    return msgspec.json.encode(recipe).decode()


def decode_recipe(text: str) -> Recipe:
    """Read a recipe that `encode_recipe` wrote."""
    return msgspec.json.decode(text, type=Recipe)
