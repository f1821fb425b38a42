"""The loop of a scan: divide recordings, score chunks, cache scores, run detection, write the output.

Conventions: a recording that cannot be read to its end is reported at the end and does not affect the others. The cache
of a scan that was stopped, killed, or had failures stays next to its output; the next run of the command scores only
missing and failed chunks. After a scan without failures the cache is removed.
Does not: load models (`scan/worker.py`, `app/scan.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from soundwatch.daemon.capture.recordings.findings import FindingKind
from soundwatch.daemon.core.errors import ProviderError
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.process.stop_request import StoppedError
from soundwatch.daemon.scan.chunks import Chunk, ChunkPolicy, plan_chunks
from soundwatch.daemon.scan.discover import RecordingFile, SearchResult
from soundwatch.daemon.scan.emit import DecisionContext, emit_lines
from soundwatch.daemon.scan.progress import Progress
from soundwatch.daemon.scan.score_cache import ScoreCache
from soundwatch.daemon.scan.worker import ChunkScores, ScoringTask
from soundwatch.daemon.tables.writers import TableFormat, write_table


class WorkerPool(Protocol):
    """Workers that compute scores."""

    def score_all(
        self, task: ScoringTask, chunks: Iterator[Chunk], stopping: Callable[[], bool]
    ) -> Iterator[tuple[Chunk, ChunkScores]]:
        """Yield chunks with their scores as they are computed; start no further chunk once `stopping` is true."""


@dataclass(slots=True)
class ScanResult:
    """Result of a scan.

    Attributes:
        recordings: Number of recordings.
        failures: A message for each recording that was not read to its end.
        findings: What was found about each recording.
        stopped: True if the scan was stopped early; it then wrote no output.
    """

    recordings: int
    failures: list[str] = field(default_factory=list)
    findings: dict[Path, dict[FindingKind, str]] = field(default_factory=dict)
    stopped: bool = False


@dataclass(slots=True)
class ScanJob:
    """Parts of a running scan.

    Attributes:
        search: The recordings.
        task: The task of the workers.
        decision_context: Dependencies of the detection.
        workers: The workers.
        cache: Computed scores.
        progress: Receives the progress.
        policy: Parameters of the division into chunks.
        stopping: Returns True if the scan is to end.
    """

    search: SearchResult
    task: ScoringTask
    decision_context: DecisionContext
    workers: WorkerPool
    cache: ScoreCache
    progress: Progress
    policy: ChunkPolicy
    stopping: Callable[[], bool]

    def scan(self, out: Path, format_: TableFormat) -> ScanResult:
        """Compute the missing scores, and write the output.

        Raises:
            SoundwatchError: The workers fail, or a file cannot be written.
        """
        result = ScanResult(len(self.search.recordings), list(self.search.left_out))
        try:
            split = self._score_all()
        except StoppedError:  # during the search of a file
            result.stopped = True
            return result
        mismatched = [recording for recording, chunks in split.items() if not self.cache.is_joined(recording, chunks)]
        if mismatched and not self.stopping():
            whole = iter([Chunk(recording.path) for recording in mismatched])
            self._score(whole, {recording.path: recording for recording in mismatched}, {})
        result.stopped = self.stopping()
        if not result.stopped:
            write_table(emit_lines(self._scored(result), self.decision_context), out, format_)
            if not result.failures:
                self.cache.remove()
        return result

    def _score_all(self) -> dict[RecordingFile, list[Chunk]]:
        """Score the missing chunks; return the chunks of each recording that has more than one."""
        split: dict[RecordingFile, list[Chunk]] = {}
        by_path: dict[Path, RecordingFile] = {}
        share: dict[Path, float] = {}
        self._score(self._missing(split, by_path, share), by_path, share)
        return split

    def _missing(
        self, split: dict[RecordingFile, list[Chunk]], by_path: dict[Path, RecordingFile], share: dict[Path, float]
    ) -> Iterator[Chunk]:
        spec = self.decision_context.contract.features
        for recording in self.search.recordings:
            chunks = list(plan_chunks(recording, spec, self.policy))
            missing = self.cache.missing(recording, chunks)
            by_path[recording.path], share[recording.path] = recording, recording.size_bytes / len(chunks)
            if len(chunks) > 1:
                split[recording] = chunks
            self.progress.skip((len(chunks) - len(missing)) * share[recording.path])
            yield from missing

    def _score(self, chunks: Iterator[Chunk], by_path: dict[Path, RecordingFile], share: dict[Path, float]) -> None:
        """Score chunks, and add the results to the cache."""
        spec = self.decision_context.contract.features
        for chunk, scores in self.workers.score_all(self.task, chunks, self.stopping):
            self._check_provider(scores)
            self.cache.add(by_path[chunk.path], chunk, scores)
            self.progress.add(share.get(chunk.path, 0.0), _duration_s(scores, spec))

    def _check_provider(self, scores: ChunkScores) -> None:
        """Refuse scores of a second provider, since providers round differently."""
        provider = self.cache.provider
        if scores.provider and provider and scores.provider != provider:
            raise ProviderError(
                f"{scores.provider} runs the model on one worker and {provider} on another, and their roundings "
                "differ. Use --provider cpu, or --provider cuda if every worker has an NVIDIA card."
            )

    def _scored(self, result: ScanResult) -> Iterator[tuple[Path, Sequence[ChunkScores]]]:
        """Yield the scores of the recordings in order; add failures and findings to the result."""
        for recording in self.search.recordings:
            chunks = self.cache.of(recording)
            if chunks[-1].failure is not None:
                result.failures.append(chunks[-1].failure)
            if chunks[-1].findings:
                result.findings[recording.path] = chunks[-1].findings
            yield recording.path, chunks


def _duration_s(scores: ChunkScores, spec: FeatureSpec) -> float:
    """Return the approximate duration of a chunk's sound, without overlaps."""
    return len(scores.levels) // 8 * spec.window_hop_samples / spec.rate_hz
