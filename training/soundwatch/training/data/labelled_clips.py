"""Labelled clips that a model is judged on, of UrbanSound8K or of a folder a class.

Conventions: a clip's `class_id` counts through the labels. Every clip here has one.
Does not: choose which clips are held out (`data/urbansound8k.py`, `data/class_folders.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.core.errors import ContractError
from soundwatch.training.data.urbansound8k import Clip, Split


@dataclass(frozen=True, slots=True)
class LabelledClips:
    """What is heard.

    Attributes:
        clips: To judge on.
        labels: That their classes count through.
        folds: Of UrbanSound8K that they are of; empty for other data.
        folder: The data's name; None for UrbanSound8K.
    """

    clips: tuple[Clip, ...]
    labels: tuple[str, ...]
    folds: tuple[int, ...]
    folder: str | None

    def label_of(self, clip: Clip) -> str:
        """The clip's class."""
        assert clip.class_id is not None, f"{clip.path} has no class"
        return self.labels[clip.class_id]


def labelled_clips(split: Split) -> LabelledClips:
    """The side of a split that is judged on: the test side of a folder a class, else all of the folds read."""
    return LabelledClips(split.test if split.folder else split.train, split.labels, split.train_folds, split.folder)


def name_data(folds: tuple[int, ...], folder: str | None) -> str:
    """The data in words."""
    if folder:
        return folder
    return f"UrbanSound8K fold{'s' if len(folds) > 1 else ''} {', '.join(str(fold) for fold in folds)}"


def check_labels(contract: ModelContract, labels: tuple[str, ...], folder: str | None) -> None:
    """Refuse a model that does not know the classes.

    Raises:
        ContractError: It lacks one of them.
    """
    if not set(labels) <= set(contract.labels):
        raise ContractError(
            f"Model {contract.identity} has the labels {', '.join(contract.labels)}; to be scored on "
            f"{folder or 'UrbanSound8K'} it must have {', '.join(labels)}."
        )
