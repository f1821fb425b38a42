"""What a worker does: a piece of a recording to the scores of its windows.

Conventions: scores (N, K + G) float32 of classes and tags, and levels (N) float64, as bytes, since they go to disk and
over the network; a level
that is not there is NaN. Windows are counted from the recording's start, one every hop; recordings have no losses.
Does not: decide (`scan/emit.py`), or raise what is wrong with a recording: that is a part of the answer.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec
import numpy as np

from soundwatch.daemon.capture import Recording
from soundwatch.daemon.core.config import ModelConfig
from soundwatch.daemon.core.errors import ModelError, SourceError
from soundwatch.daemon.core.types import Block, Classifier, FeatureWindow
from soundwatch.daemon.frontend.resample import ResampleState, resample
from soundwatch.daemon.frontend.window import WindowState
from soundwatch.daemon.inference.classifier import classify_windows
from soundwatch.daemon.inference.loading import load_local_classifier
from soundwatch.daemon.pipeline.pipeline import OFFLINE_BATCH_WINDOWS, FrontEndState, extract_features
from soundwatch.daemon.scan.chunks import Chunk, lead_in_windows


@dataclass(frozen=True, slots=True)
class ScoringTask:
    """What all pieces of a scan have in common.

    Attributes:
        model: What a worker opens; the file must be there for it.
        weights_sha256: What it has to hold.
    """

    model: ModelConfig
    weights_sha256: str


class ChunkScores(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of a piece.

    Attributes:
        provider: What ran the network.
        rate_hz: The source's; 0 where it could not be opened.
        channels: The source's.
        heard_any: Whether there was any sound before it ended or broke off.
        scores: (N, K + G) float32.
        levels: (N) float64 dBFS, NaN for digital silence.
        end_sample: Length of the sound at the model's rate where its end was reached or it broke off, else None.
        failure: Why not all was heard.
        head: Digest of the sound that the first window shares with the window before.
        tail: Digest of the sound that the last window shares with the window after.
    """

    provider: str
    rate_hz: int = 0
    channels: int = 0
    heard_any: bool = False
    scores: bytes = b""
    levels: bytes = b""
    end_sample: int | None = None
    failure: str | None = None
    head: bytes = b""
    tail: bytes = b""


def score_chunk(task: ScoringTask, piece: Chunk) -> ChunkScores:
    """Hear a piece.

    Raises:
        ModelError: The model is not the one that is wanted, or failed.
        ProviderError: It cannot be run as asked.
    """
    classifier = _opened(task.model)
    if classifier.contract.weights_sha256 != task.weights_sha256:
        raise ModelError(
            f"A worker's {task.model.file} holds {classifier.contract.weights_sha256}, and {task.weights_sha256} was "
            "wanted. Install the same soundwatch, and put the same model file, on every machine."
        )
    try:
        recording = Recording(piece.path.stem, piece.path, "fast", 0, piece.start_sample)
    except SourceError as error:
        return ChunkScores(provider=classifier.provider, end_sample=0, failure=str(error))
    return _Hearing(classifier, piece, recording).scores()


@lru_cache(maxsize=1)
def _opened(model: ModelConfig) -> Classifier:
    return load_local_classifier(model)


class _Hearing:
    """One piece on its way from samples to scores."""

    def __init__(self, classifier: Classifier, piece: Chunk, recording: Recording) -> None:
        spec = classifier.contract.features
        self._classifier, self._piece, self._recording, self._spec = classifier, piece, recording, spec
        hop_samples, shared_samples = spec.window_hop_samples, spec.window_samples - spec.window_hop_samples
        lead_in_sample = max(0, piece.first_window - lead_in_windows(spec)) * hop_samples
        self._inbound = FrontEndState(
            ResampleState(end_sample=lead_in_sample),
            WindowState(first_sample=lead_in_sample, end_sample=lead_in_sample),
        )
        self._end_sample = math.inf if piece.end_window is None else piece.end_window * hop_samples
        self._first_sample = piece.first_window * hop_samples
        self._head = _Digest(self._first_sample, shared_samples)
        self._tail = _Digest(self._end_sample, shared_samples)
        self._heard_any = False
        self._failure: str | None = None

    def scores(self) -> ChunkScores:
        """Hear it to its end."""
        values, levels = list[bytes](), list[float]()
        for batch in self._batches():
            scored = classify_windows(self._classifier, [heard.features for heard in batch])
            values += [each.values.tobytes() + each.tag_values.tobytes() for each in scored]
            levels += [math.nan if heard.level_dbfs is None else heard.level_dbfs for heard in batch]
        ended = self._piece.end_window is None or self._failure is not None
        info = self._recording.info
        return ChunkScores(
            provider=self._classifier.provider,
            rate_hz=info.rate_hz,
            channels=info.channels,
            heard_any=self._heard_any,
            scores=b"".join(values),
            levels=np.array(levels, np.float64).tobytes(),
            end_sample=self._inbound.windowing.end_sample if ended else None,
            failure=self._failure,
            head=self._head.digest(),
            tail=self._tail.digest(),
        )

    def _batches(self) -> Iterator[list[FeatureWindow]]:
        """The piece's windows, together as `replay` classifies them."""
        waiting: list[FeatureWindow] = []
        for block in self._lead_in_on():
            self._inbound, heard = extract_features(self._inbound, block, self._spec)
            waiting += [each for each in heard if isinstance(each, FeatureWindow) and self._is_ours(each)]
            while len(waiting) >= OFFLINE_BATCH_WINDOWS:
                yield waiting[:OFFLINE_BATCH_WINDOWS]
                del waiting[:OFFLINE_BATCH_WINDOWS]
            if self._inbound.windowing.first_sample >= self._end_sample:
                break
        yield waiting

    def _is_ours(self, heard: FeatureWindow) -> bool:
        return self._first_sample <= heard.features.first_sample < self._end_sample

    def _lead_in_on(self) -> Iterator[Block | None]:
        """Sound at the model's rate from the lead-in's first sample on, and None at the recording's end."""
        first_sample = self._inbound.windowing.first_sample
        for block in self._resampled():
            if block is not None:
                if block.first_sample < first_sample:
                    block = replace(
                        block,
                        samples=block.samples[:, first_sample - block.first_sample :],
                        first_sample=min(first_sample, block.first_sample + block.samples.shape[1]),
                    )
                self._head.add(block)
                self._tail.add(block)
            yield block

    def _resampled(self) -> Iterator[Block | None]:
        """All that is read at the model's rate; what is wrong with the recording is noted, and ends it."""
        rate_hz = self._recording.info.rate_hz
        state = ResampleState(end_sample=self._piece.start_sample * self._spec.rate_hz // rate_hz)
        try:
            for block in self._recording.blocks():
                self._heard_any = True
                state, blocks = resample(state, block, self._spec)
                yield from blocks
        except SourceError as error:
            self._failure = str(error)
            return
        yield from resample(state, None, self._spec)[1]


class _Digest:
    """Of so many samples from a first one on; empty where there is no neighbour to share them with."""

    def __init__(self, first_sample: float, samples: int) -> None:
        self._first_sample, self._end_sample = first_sample, first_sample + samples
        self._hash = hashlib.sha256()

    def add(self, block: Block) -> None:
        """Take in what is shared of a block."""
        first, end = (
            int(min(max(0, sample - block.first_sample), block.samples.shape[1]))
            for sample in (self._first_sample, self._end_sample)
        )
        if first < end:  # (S, C), so that it does not matter how the sound is cut into blocks
            self._hash.update(np.ascontiguousarray(block.samples[:, first:end].T).tobytes())

    def digest(self) -> bytes:
        """What has been taken in."""
        return self._hash.digest()
