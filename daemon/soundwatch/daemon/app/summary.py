"""Summary of a run, for the log at its end: the events, where they are stored, how to read them, and the next step.

Does not: log or count (`status/snapshot.py`).
"""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import Literal

from soundwatch.daemon.app.reload import RunConfig
from soundwatch.daemon.capture import source_kind
from soundwatch.daemon.detection.calibration import calibrate_command
from soundwatch.daemon.journal.file.sqlite import MEMORY
from soundwatch.daemon.status.snapshot import StatusSnapshot


def run_summary(
    snapshot: StatusSnapshot, run_config: RunConfig, path: Path | Literal[":memory:"], *, failing: bool = False
) -> dict[str, str]:
    """Return the fields of the log event `finished`.

    Args:
        snapshot: State at the end of the run.
        run_config: Configuration and sources at the end of the run.
        path: Path of the journal in use, which is in memory where the configured one could not be opened.
        failing: The journal cannot be written.

    Returns:
        `events`: number of events by class; `journal`: path, and what is not stored; `read`: the command that prints
        the events; `calibrate`: the command that sets the thresholds of the first microphone that has no
        calibration.
    """
    counts = Counter[str]()
    for source in snapshot.sources.values():
        counts.update(source.events)
    events = ", ".join(f"{label} {count}" for label, count in counts.most_common()) or "none"
    journal = run_config.config.journal
    uncalibrated = uncalibrated_sources(snapshot, run_config)
    next_step = {"calibrate": next(iter(uncalibrated.values()))} if uncalibrated else {}
    if path == MEMORY:
        return {"events": events, "journal": "memory: not stored", **next_step}
    named = "" if journal.path is None else f" --journal {shlex.quote(str(path))}"
    starts = [source.hello.stream_start for source in snapshot.sources.values() if source.hello is not None]
    since = f" --since {min(starts)}" if starts else ""
    stored = f"{path}, without the last lines: it cannot be written" if failing else str(path)
    return {"events": events, "journal": stored, "read": f"soundwatch tail{named}{since}", **next_step}


def uncalibrated_sources(snapshot: StatusSnapshot, run_config: RunConfig) -> dict[str, str]:
    """Return the microphones that have delivered sound and have no calibration, with the command that makes one."""
    if run_config.config.detection.calibration is not None:
        return {}
    return {
        name: calibrate_command(name, source.device, run_config.path, configured=name in run_config.waiting)
        for name, source in run_config.sources.items()
        if source.detection.calibration is None
        and source_kind(source.device).name == "microphone"
        and name in snapshot.sources
        and snapshot.sources[name].hello is not None
    }
