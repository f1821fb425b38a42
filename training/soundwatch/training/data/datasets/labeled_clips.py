"""Labeled test clips, of UrbanSound8K or of class folders.

Conventions: a clip's `class_id` is an index into the labels. Every clip here has one.
Does not: select the held-out clips (`data/datasets/urbansound8k.py`, `data/datasets/class_folders.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from soundwatch.daemon.core.errors import ContractError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.training.data.datasets.urbansound8k import Clip, Split


@dataclass(frozen=True, slots=True)
class LabeledClips:
    """Test clips and their labels.

    Attributes:
        clips: Test clips.
        labels: Names of the classes, in the order of `class_id`.
        folds: UrbanSound8K folds of the clips; empty for other data.
        folder: Name of the data set; None for UrbanSound8K.
    """

    clips: tuple[Clip, ...]
    labels: tuple[str, ...]
    folds: tuple[int, ...]
    folder: str | None

    def label_of(self, clip: Clip) -> str:
        """Return the class of a clip."""
        assert clip.class_id is not None, f"{clip.path} has no class"
        return self.labels[clip.class_id]

    def learned_folds(self, contract: ModelContract) -> tuple[int, ...]:
        """Return the folds that a model was trained on: their figures measure memory."""
        return tuple(sorted({*self.folds} & {*contract.provenance.folds}))

    @property
    def name(self) -> str:
        """Description of the data set."""
        return name_data(self.folds, self.folder)


def labeled_clips(split: Split) -> LabeledClips:
    """Return the test side of a split of class folders, or all clips of the given UrbanSound8K folds."""
    return LabeledClips(split.test if split.folder else split.train, split.labels, split.train_folds, split.folder)


def name_data(folds: tuple[int, ...], folder: str | None) -> str:
    """Describe the data set."""
    if folder:
        return folder
    return f"UrbanSound8K fold{'s' if len(folds) > 1 else ''} {', '.join(str(fold) for fold in folds)}"


def check_labels(contract: ModelContract, data: LabeledClips) -> None:
    """Refuse a model without the classes of the data.

    Raises:
        ContractError: The model lacks one of the classes.
    """
    if not set(data.labels) <= set(contract.labels):
        raise ContractError(
            f"Model {contract.identity} has the labels {', '.join(contract.labels)}; to be scored on "
            f"{data.folder or 'UrbanSound8K'} it must have {', '.join(data.labels)}."
        )
