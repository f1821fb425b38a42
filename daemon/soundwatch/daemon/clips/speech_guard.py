"""Keeps sound in which somebody is likely to talk from being written.

Conventions: every window of the clip is scored, at the model's own hop, and every label that means speech counts in
each of them, however high others are. A clip is refused if one such score reaches its threshold.
Source: the model `speech` ships with the package; `docs/clips.md` says how well it hears talk and what it misses.
Does not: know who talks or what is said, or cut talk out of a clip.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from soundwatch.daemon.clips.ring_buffer import FULL_SCALE, Frames
from soundwatch.daemon.core.types import Block, Classifier, read_only
from soundwatch.daemon.inference.classifier import classify_windows
from soundwatch.daemon.pipeline.pipeline import batched_features, features_only

GUARD_MODEL: Final = Path(__file__).parents[1] / "models" / "speech.onnx"
BATCH_WINDOWS: Final = 16
_SPEECH: Final = re.compile(r"\b(speech|speaking|talk(ing)?|conversation|narration|whisper(ing)?|chatter|babbling)\b")


@dataclass(frozen=True, slots=True)
class SpeechGuard:
    """A model that can tell speech.

    Attributes:
        classifier: It.
        speech_ids: Places of its labels that mean speech.
    """

    classifier: Classifier
    speech_ids: tuple[int, ...]

    def hears_speech(self, frames: Frames, rate_hz: int) -> bool:
        """Whether somebody is likely to talk in this sound (S, C).

        Raises:
            ModelError: The network failed.
        """
        contract = self.classifier.contract
        samples = read_only(np.ascontiguousarray(frames.T, np.float32) / np.float32(FULL_SCALE))
        least = np.array([contract.thresholds[contract.labels[place]] for place in self.speech_ids], np.float32)
        for _, heard in batched_features([Block(samples, rate_hz, 0), None], contract.features, BATCH_WINDOWS):
            for scores in classify_windows(self.classifier, features_only(heard)):
                if (scores.values[list(self.speech_ids)] >= least).any():
                    return True
        return False


def build_guard(classifier: Classifier) -> SpeechGuard | None:
    """A guard, if the model has a label that means speech."""
    places = speech_label_ids(classifier.contract.labels)
    return SpeechGuard(classifier, places) if places else None


def speech_label_ids(labels: Sequence[str]) -> tuple[int, ...]:
    """Places of the labels that mean that somebody speaks."""
    words = [re.sub(r"[\W_]+", " ", label.lower()) for label in labels]
    return tuple(place for place, text in enumerate(words) if _SPEECH.search(text))
