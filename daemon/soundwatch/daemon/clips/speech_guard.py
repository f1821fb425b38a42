"""Refuse clips that are likely to contain speech.

Conventions: every window of the clip is scored, at the hop of the model. A clip is refused if the score of one speech
label reaches its threshold in one window, whatever the other scores are.
Source: the model `speech` ships with the package; `docs/clips.md` gives its recall and its false refusals.
Does not: recognize speakers or words, or cut speech out of a clip.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from soundwatch.daemon.clips.ring_buffer import FULL_SCALE, Frames
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.records.block import Block, read_only
from soundwatch.daemon.inference.classifier import classify_windows, model_path
from soundwatch.daemon.pipeline.pipeline import OFFLINE_BATCH_WINDOWS, batched_features, features_only

GUARD_MODEL: Final = model_path("speech")
_SPEECH: Final = re.compile(r"\b(speech|speaking|talk(ing)?|conversation|narration|whisper(ing)?|chatter|babbling)\b")


@dataclass(frozen=True, slots=True)
class SpeechGuard:
    """A model with labels for speech.

    Attributes:
        classifier: The model.
        speech_ids: Indices of its labels for speech.
    """

    classifier: Classifier
    speech_ids: tuple[int, ...]

    def detects_speech(self, frames: Frames, rate_hz: int) -> bool:
        """Return True if a sound (S, C) is likely to contain speech.

        Raises:
            ModelError: The network failed.
        """
        contract = self.classifier.contract
        samples = read_only(np.ascontiguousarray(frames.T, np.float32) / np.float32(FULL_SCALE))
        thresholds = np.array([contract.thresholds[contract.labels[index]] for index in self.speech_ids], np.float32)
        for _, features in batched_features(
            [Block(samples, rate_hz, 0), None], contract.features, OFFLINE_BATCH_WINDOWS
        ):
            for scores in classify_windows(self.classifier, features_only(features)):
                if (scores.values[list(self.speech_ids)] >= thresholds).any():
                    return True
        return False


def build_guard(classifier: Classifier) -> SpeechGuard | None:
    """Build a guard; None if the model has no label for speech."""
    speech_ids = speech_label_ids(classifier.contract.labels)
    return SpeechGuard(classifier, speech_ids) if speech_ids else None


def speech_label_ids(labels: Sequence[str]) -> tuple[int, ...]:
    """Return the indices of the labels for speech."""
    words = [re.sub(r"[\W_]+", " ", label.lower()) for label in labels]
    return tuple(index for index, text in enumerate(words) if _SPEECH.search(text))
