"""The task of a worker: score the windows of one chunk of a recording.

Conventions: scores (N, K + G) float32 of classes and tags, and levels (N) float64, are bytes, since they go to disk and
over the network; the level of digital silence is NaN. Windows are numbered from the recording's start, one every hop;
recordings have no losses.
Does not: run detection (`scan/emit.py`), or raise for a bad recording: the result has the failure as text.
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
from soundwatch.daemon.capture.recordings.findings import FindingKind
from soundwatch.daemon.config.config import ModelConfig
from soundwatch.daemon.core.errors import ModelError, SourceError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.window import FeatureWindow
from soundwatch.daemon.frontend.resample import ResampleState, resample
from soundwatch.daemon.frontend.window import WindowState
from soundwatch.daemon.inference.classifier import LoadedModel, classify_windows, unused_provider_reasons
from soundwatch.daemon.inference.loading import load_local_classifier
from soundwatch.daemon.pipeline.pipeline import OFFLINE_BATCH_WINDOWS, FrontEndState, extract_features
from soundwatch.daemon.scan.chunks import Chunk, lead_in_windows


@dataclass(frozen=True, slots=True)
class ScoringTask:
    """Parameters shared by all chunks of a scan.

    Attributes:
        model: The model; every worker needs its file.
        content_sha256: Hash of the tensors and the graph that the file must have.
    """

    model: ModelConfig
    content_sha256: str


class ChunkScores(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of one chunk.

    Attributes:
        provider: Execution provider of the model.
        rate_hz: Sample rate of the recording; 0 if it cannot be opened.
        channels: Number of channels of the recording.
        has_sound: True if at least one block was read.
        scores: (N, K + G) float32.
        levels: (N) float64 dBFS, NaN for digital silence.
        end_sample: Length of the recording at the model's rate, if the chunk reached its end or failed; else None.
        failure: Reason why the chunk was not read to its end; None if it was.
        head: Digest of the sound that the first window shares with the previous window.
        tail: Digest of the sound that the last window shares with the next window.
        unused_providers: Reason against each accelerator that does not run the model on the worker.
        findings: What was found about the recording; of one in several chunks, about its header only.
    """

    provider: str
    rate_hz: int = 0
    channels: int = 0
    has_sound: bool = msgspec.field(default=False, name="heard_any")  # the name in files of unfinished scans
    scores: bytes = b""
    levels: bytes = b""
    end_sample: int | None = None
    failure: str | None = None
    head: bytes = b""
    tail: bytes = b""
    unused_providers: dict[str, str] = {}
    findings: dict[FindingKind, str] = {}


def score_chunk(task: ScoringTask, chunk: Chunk) -> ChunkScores:
    """Score the windows of a chunk.

    Raises:
        ModelError: The model's tensors or graph differ from the task's, or the model failed.
        ProviderError: The provider cannot run the model.
    """
    classifier = _load(task.model)
    if classifier.content_sha256 != task.content_sha256:
        raise ModelError(
            f"A worker's {task.model.file} has the content {classifier.content_sha256}; {task.content_sha256} "
            "was expected. Install one version of soundwatch and one model file on every machine."
        )
    try:
        recording = Recording(chunk.path.stem, chunk.path, "fast", 0, chunk.start_sample, measure=chunk.whole)
    except SourceError as error:
        return ChunkScores(provider=classifier.provider, end_sample=0, failure=str(error))
    return _ChunkScorer(classifier, chunk, recording).scores()


@lru_cache(maxsize=1)
def _load(model: ModelConfig) -> LoadedModel:
    return load_local_classifier(model)


class _ChunkScorer:
    """State of one chunk between samples and scores."""

    def __init__(self, classifier: Classifier, chunk: Chunk, recording: Recording) -> None:
        spec = classifier.contract.features
        self._classifier, self._chunk, self._recording, self._spec = classifier, chunk, recording, spec
        hop_samples, shared_samples = spec.window_hop_samples, spec.window_samples - spec.window_hop_samples
        lead_in_sample = max(0, chunk.first_window - lead_in_windows(spec)) * hop_samples
        self._front_end_state = FrontEndState(
            resampling=ResampleState(end_sample=lead_in_sample),
            windowing=WindowState(first_sample=lead_in_sample, end_sample=lead_in_sample),
        )
        self._end_sample = math.inf if chunk.end_window is None else chunk.end_window * hop_samples
        self._first_sample = chunk.first_window * hop_samples
        self._head = _Digest(self._first_sample, shared_samples)
        self._tail = _Digest(self._end_sample, shared_samples)
        self._has_sound = False
        self._failure: str | None = None

    def scores(self) -> ChunkScores:
        """Score all windows of the chunk."""
        values, levels = list[bytes](), list[float]()
        for batch in self._batches():
            results = classify_windows(self._classifier, [window.features for window in batch])
            values += [result.values.tobytes() + result.tag_values.tobytes() for result in results]
            levels += [math.nan if window.level_dbfs is None else window.level_dbfs for window in batch]
        ended = self._chunk.end_window is None or self._failure is not None
        info = self._recording.info
        return ChunkScores(
            provider=self._classifier.provider,
            rate_hz=info.rate_hz,
            channels=info.channels,
            has_sound=self._has_sound,
            scores=b"".join(values),
            levels=np.array(levels, np.float64).tobytes(),
            end_sample=self._front_end_state.windowing.end_sample if ended else None,
            failure=self._failure,
            unused_providers=unused_provider_reasons(self._classifier),
            head=self._head.digest(),
            tail=self._tail.digest(),
            findings=self._recording.findings() if ended else {},
        )

    def _batches(self) -> Iterator[list[FeatureWindow]]:
        """Yield the chunk's windows in the batches of `replay`."""
        pending: list[FeatureWindow] = []
        for block in self._blocks_from_lead_in():
            self._front_end_state, items = extract_features(self._front_end_state, block, self._spec)
            pending += [item for item in items if isinstance(item, FeatureWindow) and self._contains(item)]
            while len(pending) >= OFFLINE_BATCH_WINDOWS:
                yield pending[:OFFLINE_BATCH_WINDOWS]
                del pending[:OFFLINE_BATCH_WINDOWS]
            if self._front_end_state.windowing.first_sample >= self._end_sample:
                break
        yield pending

    def _contains(self, window: FeatureWindow) -> bool:
        return self._first_sample <= window.features.first_sample < self._end_sample

    def _blocks_from_lead_in(self) -> Iterator[Block | None]:
        """Yield blocks at the model's rate from the first sample of the lead-in on, and None at the end."""
        first_sample = self._front_end_state.windowing.first_sample
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
        """Yield all blocks at the model's rate; a read error ends them and is stored."""
        rate_hz = self._recording.info.rate_hz
        state = ResampleState(end_sample=self._chunk.start_sample * self._spec.rate_hz // rate_hz)
        try:
            for block in self._recording.blocks():
                self._has_sound = True
                state, blocks = resample(state, block, self._spec)
                yield from blocks
        except SourceError as error:
            self._failure = str(error)
            return
        yield from resample(state, None, self._spec)[1]


class _Digest:
    """Digest of a range of samples; the digest of an empty range if there is no neighbor."""

    def __init__(self, first_sample: float, samples: int) -> None:
        self._first_sample, self._end_sample = first_sample, first_sample + samples
        self._hash = hashlib.sha256()

    def add(self, block: Block) -> None:
        """Add a block's samples within the range."""
        first, end = (
            int(min(max(0, sample - block.first_sample), block.samples.shape[1]))
            for sample in (self._first_sample, self._end_sample)
        )
        if first < end:  # (S, C), so that the division into blocks has no effect
            self._hash.update(np.ascontiguousarray(block.samples[:, first:end].T).tobytes())

    def digest(self) -> bytes:
        """Return the digest of all samples added."""
        return self._hash.digest()
