"""Long batches in two threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.records.window import Features
from soundwatch.daemon.engine.threads import InferenceThread
from soundwatch.daemon.inference.providers import CPU, CUDA
from support.fakes import SMALL_CONTRACT


@dataclass(frozen=True, slots=True)
class Numbered:
    """Scores a window with its first decibel, and refuses a negative one."""

    provider: str
    contract: ModelContract = SMALL_CONTRACT
    threads: list[int] = field(default_factory=list)

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        self.threads.extend([threading.get_ident()] * len(mel_db))
        if mel_db.min() < 0:
            raise ModelError("a negative number")
        return np.repeat(mel_db[:, 0, 0, :1], 2, axis=1)


def windows(*numbers: int) -> list[Features]:
    return [Features(np.full((1, 1, 1), number, np.float32), number, number + 1, True) for number in numbers]


@pytest.mark.parametrize(("provider", "count", "threads"), [(CPU, 9, 2), (CPU, 7, 1), (CUDA, 9, 1)])
def test_half_of_a_long_batch_on_the_processor_is_classified_in_a_second_thread(
    provider: str, count: int, threads: int
) -> None:
    inference, classifier = InferenceThread(lambda _: None), Numbered(provider)
    inference.start()
    scores = inference._classify(classifier, windows(*range(count)))
    inference.close(60)
    assert [window.values.tolist() for window in scores] == [[number, number] for number in range(count)]
    assert [window.first_sample for window in scores] == list(range(count))
    assert len(set(classifier.threads)) == threads


def test_an_error_in_either_thread_is_raised_and_the_next_batch_has_its_own_scores() -> None:
    inference, classifier = InferenceThread(lambda _: None), Numbered(CPU)
    inference.start()
    for failing in (windows(-1, *range(8)), windows(*range(8), -2), windows(-1, *range(8), -2)):
        with pytest.raises(ModelError, match="a negative number"):
            inference._classify(classifier, failing)
        assert [window.first_sample for window in inference._classify(classifier, windows(*range(8)))] == [*range(8)]
    inference.close(60)
