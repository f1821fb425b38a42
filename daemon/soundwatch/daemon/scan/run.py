"""Puts a scan together: for archives what `app/build.py` is for the rest.

Conventions: everything that can be refused is refused before the first recording is opened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, cast

from soundwatch.daemon.capture.source_names import name_recordings
from soundwatch.daemon.core.config import Config, node_name
from soundwatch.daemon.core.errors import ConfigError, SourceError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.core.tags import with_tag_classes
from soundwatch.daemon.detection.rules import resolve_rules, thresholds_in_force
from soundwatch.daemon.inference.classifier import Backend, load_classifier_file
from soundwatch.daemon.inference.triton_client import SCHEME
from soundwatch.daemon.scan.chunks import ChunkPolicy
from soundwatch.daemon.scan.discover import SearchResult, find_recordings
from soundwatch.daemon.scan.emit import DecisionContext
from soundwatch.daemon.scan.job import ScanJob, ScanResult, WorkerPool
from soundwatch.daemon.scan.process_pool import ProcessPool
from soundwatch.daemon.scan.progress import Progress
from soundwatch.daemon.scan.ray_pool import RayPool
from soundwatch.daemon.scan.score_cache import ScoreCache
from soundwatch.daemon.scan.worker import ScoringTask
from soundwatch.daemon.system.signals import stop_on_signals
from soundwatch.daemon.tables.writers import TableFormat

_USUAL: Final = ChunkPolicy()


def select_workers(engine: str, address: str | None, workers: int) -> Callable[[], AbstractContextManager[WorkerPool]]:
    """Who is to compute a scan's scores, once it begins.

    Args:
        engine: `local` or `ray`.
        address: Of a running Ray cluster; None for one of this machine alone.
        workers: Processes here.
    """
    if engine == "local":
        return lambda: contextlib.nullcontext(ProcessPool(workers))
    return lambda: contextlib.closing(RayPool(address, workers))


def run_scan(
    config: Config,
    paths: Sequence[Path],
    out: Path,
    format_: TableFormat,
    start_unix_ns: int,
    employed: Callable[[], AbstractContextManager[WorkerPool]],
    log: Logger,
    splitting: ChunkPolicy = _USUAL,
) -> None:
    """Write what `replay` would tell of every recording under some paths; go on where the same scan was stopped.

    Raises:
        SourceError: There is none, or not all could be heard to their end; what was heard is written.
        SoundwatchError: The model, the workers or the output cannot be used.
    """
    if config.model.backend.startswith(SCHEME):
        raise ConfigError(
            f"model.backend {config.model.backend} is for live sound: a scan goes to where the recordings are. Leave "
            "it out; --engine ray has a cluster's processors and cards compute."
        )
    backend = cast(Backend, config.model.backend)  # the configuration's pattern lets no other pass
    contract = load_classifier_file(config.model.file, "cpu", backend).contract
    contract = with_tag_classes(contract, config.detection.tags)
    rules = resolve_rules(config, contract)
    search = find_recordings(paths)
    if not search.recordings:
        raise SourceError(_nothing_found(paths, search))
    names = name_recordings([recording.path for recording in search.recordings])
    judging = DecisionContext(
        node_name(config), contract, rules, thresholds_in_force(rules, contract.labels), start_unix_ns, names
    )
    log.info("recordings found", recordings=len(search.recordings), other_files=search.other_files)
    kept = ScoreCache(out.with_name(f"{out.name}.scan"), contract.identity)
    halt = StopFlag()
    with (
        contextlib.closing(kept),
        stop_on_signals(halt.stop),
        employed() as workers,
        Progress(sum(found.size_bytes for found in search.recordings), log) as progress,
    ):
        task = ScoringTask(config.model, contract.weights_sha256)
        outcome = ScanJob(search, task, judging, workers, kept, progress, splitting, halt.asked).scan(out, format_)
    _report_scan(outcome, out, kept.path, log)


def _nothing_found(paths: Sequence[Path], search: SearchResult) -> str:
    seen = f"{search.other_files} files, none of which has a recording's name" if search.other_files else "no file"
    return " ".join(
        [
            f"There is {seen} under {', '.join(map(str, paths))}. Name recordings, or folders with "
            "WAV, FLAC, Ogg, MP3, M4A or other files.",
            *search.unread_folders,
        ]
    )


def _report_scan(outcome: ScanResult, out: Path, kept: Path, log: Logger) -> None:
    """Say at the end what a scan came to.

    Raises:
        SourceError: Not all could be heard to their end.
    """
    if outcome.stopped:
        log.warning("stopped; the same command goes on from here", scores=str(kept))
        return
    for failure in outcome.failures:
        log.error("not heard to its end", error=failure)
    if outcome.failures:
        raise SourceError(
            f"{len(outcome.failures)} of {outcome.recordings} recordings or folders were not heard to their end; each "
            f"is told of above. All that was heard is in {out}. Once they are mended, the same command tries again."
        )
    log.info("written", recordings=outcome.recordings, file=str(out))


class StopFlag:
    """The wish that a scan end soon."""

    def __init__(self) -> None:
        self._asked = False

    def stop(self) -> None:
        """Begin nothing new. Safe in a signal handler."""
        self._asked = True

    def asked(self) -> bool:
        """Whether it was asked to."""
        return self._asked
