"""Puts a scan together: for archives what `app.py` is for the rest.

Conventions: everything that can be refused is refused before the first recording is opened.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, cast

from soundwatch.daemon.app import rules_in_force
from soundwatch.daemon.classify import Backend, open_classifier
from soundwatch.daemon.config import Config
from soundwatch.daemon.errors import ConfigError, SourceError
from soundwatch.daemon.program import signals_to
from soundwatch.daemon.rules import thresholds
from soundwatch.daemon.scan.archive import Archive, Outcome, Workers
from soundwatch.daemon.scan.find import SUFFIXES, Search, find
from soundwatch.daemon.scan.hear import Task
from soundwatch.daemon.scan.judge import Judging
from soundwatch.daemon.scan.local import LocalWorkers
from soundwatch.daemon.scan.on_ray import RayWorkers
from soundwatch.daemon.scan.progress import Progress
from soundwatch.daemon.scan.scores import ScoreFile
from soundwatch.daemon.scan.split import Splitting
from soundwatch.daemon.tables import TableFormat
from soundwatch.daemon.triton import SCHEME

_USUAL: Final = Splitting()


def employ(engine: str, address: str | None, workers: int) -> Callable[[], AbstractContextManager[Workers]]:
    """Who is to compute a scan's scores, once it begins.

    Args:
        engine: `local` or `ray`.
        address: Of a running Ray cluster; None for one of this machine alone.
        workers: Processes here.
    """
    if engine == "local":
        return lambda: contextlib.nullcontext(LocalWorkers(workers))
    return lambda: contextlib.closing(RayWorkers(address, workers))


def scan(
    config: Config,
    paths: Sequence[Path],
    out: Path,
    format_: TableFormat,
    start_unix_ns: int,
    employed: Callable[[], AbstractContextManager[Workers]],
    log: Any,
    splitting: Splitting = _USUAL,
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
    contract = open_classifier(config.model.file, "cpu", backend).contract
    rules = rules_in_force(config, contract)
    node = config.node or socket.gethostname()
    judging = Judging(node, contract, rules, thresholds(rules, contract.labels), start_unix_ns)
    search = find(paths)
    if not search.recordings:
        raise SourceError(_nothing_found(paths, search))
    log.info("recordings found", recordings=len(search.recordings), other_files=search.other_files)
    kept = ScoreFile(out.with_name(f"{out.name}.scan"), contract.identity)
    halt = Halt()
    with (
        contextlib.closing(kept),
        signals_to(halt.stop),
        employed() as workers,
        Progress(sum(found.size_bytes for found in search.recordings), log) as progress,
    ):
        task = Task(config.model, contract.weights_sha256)
        outcome = Archive(search, task, judging, workers, kept, progress, splitting, halt.asked).scan(out, format_)
    _report_scan(outcome, out, kept.path, log)


def _nothing_found(paths: Sequence[Path], search: Search) -> str:
    seen = f"{search.other_files} files, none of which has a recording's name" if search.other_files else "no file"
    return " ".join(
        [
            f"There is {seen} under {', '.join(map(str, paths))}. Name recordings, or folders with "
            f"{', '.join(sorted(SUFFIXES))} files.",
            *search.unread_folders,
        ]
    )


def _report_scan(outcome: Outcome, out: Path, kept: Path, log: Any) -> None:
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


class Halt:
    """The wish that a scan end soon."""

    def __init__(self) -> None:
        self._asked = False

    def stop(self) -> None:
        """Begin nothing new. Safe in a signal handler."""
        self._asked = True

    def asked(self) -> bool:
        """Whether it was asked to."""
        return self._asked
