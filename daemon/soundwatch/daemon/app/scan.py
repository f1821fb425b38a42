"""Scan of archives: builds its parts and runs them.

Conventions: every check is made before the first recording is opened.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, cast

from soundwatch.daemon.capture.recordings.findings import log_findings
from soundwatch.daemon.capture.source_names import name_recordings
from soundwatch.daemon.config.config import Config, node_name
from soundwatch.daemon.core.errors import ConfigError, SourceError
from soundwatch.daemon.core.files.paths import is_file
from soundwatch.daemon.core.model.tags import with_tag_classes
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.text.messages import counted
from soundwatch.daemon.core.text.printable import printable
from soundwatch.daemon.detection.rules import COMMON, SourceRules, resolve_sources
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
    """Return a function that starts the workers of a scan.

    Args:
        engine: `local` or `ray`.
        address: Address of a running Ray cluster; None for a cluster on this machine.
        workers: Number of processes on this machine.
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
    start_workers: Callable[[], AbstractContextManager[WorkerPool]],
    log: Logger,
    policy: ChunkPolicy = _USUAL,
) -> None:
    """Write the events of every recording under some paths; resume an unfinished scan with this output.

    Raises:
        SourceError: There is no recording, or some could not be read to their end; the other events are written.
        SoundwatchError: The model, the workers or the output cannot be used.
    """
    model = load_classifier_file(config.model.file, "cpu", _local_backend(config.model.backend))
    contract = with_tag_classes(model.contract, config.detection.tags)
    sources = resolve_sources(config, contract)
    search = find_recordings(paths)
    if not search.recordings:
        raise SourceError(_nothing_found(paths, search))
    _refuse_recording_as_output(out, search)
    names = name_recordings([recording.path for recording in search.recordings])
    _refuse_conditioning(sources, names.values())
    common = sources[COMMON]
    context = DecisionContext(
        node_name(config), contract, common.rules, common.thresholds, start_unix_ns, names, sources
    )
    log.info("recordings_found", recordings=len(search.recordings), other_files=search.other_files)
    cache = ScoreCache(cache_path(out), f"{contract.identity} {model.content_sha256}")
    stop = ScanStop(log, _end_at_once)
    with (
        contextlib.closing(cache),
        stop_on_signals(stop.stop),
        start_workers() as workers,
        Progress(sum(recording.size_bytes for recording in search.recordings), log) as progress,
    ):
        task = ScoringTask(config.model, model.content_sha256)
        job = ScanJob(search, task, context, workers, cache, progress, policy, stop.requested)
        result = job.scan(out, format_)
    _report_scan(result, out, cache.path, contract.features.channels, log)


def cache_path(out: Path) -> Path:
    """Return the path of the scores that the scan with this output stores until it is complete."""
    return out.with_name(f"{out.name}.scan")


def _local_backend(backend: str) -> Backend:
    """Return the backend of a scan, which runs the model where the recordings are."""
    if backend.startswith(SCHEME):
        raise ConfigError(
            f"model.backend {backend} is for live sources; a scan runs the model where the recordings are. Omit it; "
            "--engine ray uses the CPUs and GPUs of a cluster."
        )
    return cast(Backend, backend)  # the configuration accepts no other value


def _refuse_recording_as_output(out: Path, search: SearchResult) -> None:
    """Refuse an output that would replace a recording."""
    if is_file(out) and any(recording.size_bytes and out.samefile(recording.path) for recording in search.recordings):
        raise ConfigError(f"--out {out} is one of the recordings, which the output would replace. Name another file.")


def _refuse_conditioning(sources: Mapping[str, SourceRules], names: Iterable[str]) -> None:
    """Refuse recordings of a source with a gain or a high-pass, which a scan cannot apply to chunks of a recording."""
    for name in names:
        if name in sources and (sources[name].settings.gain_db.value or sources[name].settings.high_pass_hz.value):
            raise ConfigError(
                f"sources.{name} sets gain_db or high_pass_hz, which a scan does not apply, and a recording has this "
                "name. Use replay for the recording, or leave the two keys out of the configuration of the scan."
            )


def _nothing_found(paths: Sequence[Path], search: SearchResult) -> str:
    found = f"{counted(search.other_files, 'file')} without a recording's suffix" if search.other_files else "No file"
    return " ".join(
        [
            f"{found} under {', '.join(printable(str(path)) for path in paths)}. Name recordings, or folders with "
            "WAV, FLAC, Ogg, MP3, M4A or other files.",
            *search.left_out,
        ]
    )


def _report_scan(result: ScanResult, out: Path, cache: Path, model_channels: int, log: Logger) -> None:
    """Log the result of a scan.

    Raises:
        SourceError: Some recordings could not be read to their end.
    """
    if result.stopped:
        log.warning("scan_stopped", resumable_from=str(cache))
        return
    for path, findings in result.findings.items():
        log_findings(findings, path, model_channels, log)
    for failure in result.failures:
        log.error("recording_failed", error=failure)
    if result.failures:
        raise SourceError(
            f"{len(result.failures)} of {result.recordings} recordings or folders could not be read to their end; "
            f"the log above names them. All other events are in {out}. Repair them and run this command again; it "
            "scores only what is missing."
        )
    log.info("scan_written", recordings=result.recordings, file=str(out))


def _end_at_once() -> None:
    """End the worker processes, upon which the scan ends; without any, interrupt the scan.

    The process is not ended here: Python reports the semaphores of pools that did not start, or have ended, as leaked.
    """
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()
    if not workers:
        raise KeyboardInterrupt


class ScanStop:
    """Stop of a scan by signals: the first one finishes the chunks in progress, the second one ends them.

    Args:
        log: Log of the program.
        end: Ends the scan at once.
    """

    def __init__(self, log: Logger, end: Callable[[], object]) -> None:
        self._log = log
        self._end = end
        self._is_requested = self._is_reported = False

    def stop(self) -> None:
        """Request the stop, or end the scan at once if it was requested before. Safe in a signal handler."""
        if self._is_requested:
            self._end()
        self._is_requested = True

    def requested(self) -> bool:
        """Return True if the stop was requested; log this once."""
        if self._is_requested and not self._is_reported:
            self._is_reported = True
            self._log.warning(
                "scan_stopping",
                detail="The chunks in progress are finished first. A second signal ends the scan at once.",
            )
        return self._is_requested
