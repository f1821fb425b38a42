"""The round of a scan: find, split, hand out, keep, join, judge, write.

Conventions: a recording that cannot be heard to its end is told of at the end and costs the others nothing. The scores
of a scan that was stopped or killed stay beside its output, and so do those of one in which something failed: the
same command again scores only what is missing or has failed. Where all went well they are removed.
Does not: open models (`scan/worker.py`, `app/build.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.errors import ProviderError
from soundwatch.daemon.scan.chunks import Chunk, ChunkPolicy, plan_chunks
from soundwatch.daemon.scan.discover import RecordingFile, SearchResult
from soundwatch.daemon.scan.emit import DecisionContext, emit_lines
from soundwatch.daemon.scan.progress import Progress
from soundwatch.daemon.scan.score_cache import ScoreCache
from soundwatch.daemon.scan.worker import ChunkScores, ScoringTask
from soundwatch.daemon.tables.writers import TableFormat, write_table


class WorkerPool(Protocol):
    """Who computes scores."""

    def score_all(
        self, task: ScoringTask, pieces: Iterator[Chunk], stopping: Callable[[], bool]
    ) -> Iterator[tuple[Chunk, ChunkScores]]:
        """Each piece with its scores, as they are done; no new one is begun once it is `stopping`."""


@dataclass(slots=True)
class ScanResult:
    """What a scan came to.

    Attributes:
        recordings: How many there were.
        failures: What was wrong with each that was not heard to its end.
        stopped: Whether it was asked to end before all was heard; nothing was written then.
    """

    recordings: int
    failures: list[str] = field(default_factory=list)
    stopped: bool = False


@dataclass(slots=True)
class ScanJob:
    """A scan on its way.

    Attributes:
        search: What there is to hear.
        task: What workers do.
        judging: How scores become lines.
        workers: Who computes them.
        kept: All scores so far.
        progress: Who is told.
        splitting: From which size on a recording is split.
        stopping: Whether to end soon.
    """

    search: SearchResult
    task: ScoringTask
    judging: DecisionContext
    workers: WorkerPool
    kept: ScoreCache
    progress: Progress
    splitting: ChunkPolicy
    stopping: Callable[[], bool]

    def scan(self, out: Path, format_: TableFormat) -> ScanResult:
        """Score what is missing, and write the output.

        Raises:
            SoundwatchError: Workers cannot work, or something cannot be written.
        """
        outcome = ScanResult(len(self.search.recordings), list(self.search.unread_folders))
        split = self._score_all()
        torn = [found for found, pieces in split.items() if not self.kept.is_joined(found, pieces)]
        if torn and not self.stopping():
            self._score(iter([Chunk(found.path) for found in torn]), {found.path: found for found in torn}, {})
        outcome.stopped = self.stopping()
        if not outcome.stopped:
            write_table(emit_lines(self._scored(outcome), self.judging), out, format_)
            if not outcome.failures:
                self.kept.remove()
        return outcome

    def _score_all(self) -> dict[RecordingFile, list[Chunk]]:
        """Hand out all pieces that are missing; the pieces of the recordings that are split."""
        split: dict[RecordingFile, list[Chunk]] = {}
        by_path: dict[Path, RecordingFile] = {}
        share: dict[Path, float] = {}
        self._score(self._missing(split, by_path, share), by_path, share)
        return split

    def _missing(
        self, split: dict[RecordingFile, list[Chunk]], by_path: dict[Path, RecordingFile], share: dict[Path, float]
    ) -> Iterator[Chunk]:
        spec = self.judging.contract.features
        for found in self.search.recordings:
            pieces = list(plan_chunks(found, spec, self.splitting))
            missing = self.kept.missing(found, pieces)
            by_path[found.path], share[found.path] = found, found.size_bytes / len(pieces)
            if len(pieces) > 1:
                split[found] = pieces
            self.progress.skip((len(pieces) - len(missing)) * share[found.path])
            yield from missing

    def _score(self, pieces: Iterator[Chunk], by_path: dict[Path, RecordingFile], share: dict[Path, float]) -> None:
        """Have pieces scored, and keep what comes."""
        spec = self.judging.contract.features
        for piece, scores in self.workers.score_all(self.task, pieces, self.stopping):
            self._check_provider(scores)
            self.kept.add(by_path[piece.path], piece, scores)
            self.progress.add(share.get(piece.path, 0.0), _heard_s(scores, spec))

    def _check_provider(self, scores: ChunkScores) -> None:
        """Scores of one scan are comparable: one kind of machine computes all."""
        seen = self.kept.provider
        if scores.provider and seen and scores.provider != seen:
            raise ProviderError(
                f"{scores.provider} runs the model on one worker and {seen} on another, and their roundings differ. "
                "Give --provider cpu, or --provider cuda with workers that all have a card."
            )

    def _scored(self, outcome: ScanResult) -> Iterator[tuple[Path, Sequence[ChunkScores]]]:
        """Each recording's scores, in order; notes what failed."""
        for found in self.search.recordings:
            pieces = self.kept.of(found)
            if pieces[-1].failure is not None:
                outcome.failures.append(pieces[-1].failure)
            yield found.path, pieces


def _heard_s(scores: ChunkScores, spec: FeatureSpec) -> float:
    """How much new sound a piece's windows hold, near enough for a rate."""
    return len(scores.levels) // 8 * spec.window_hop_samples / spec.rate_hz
