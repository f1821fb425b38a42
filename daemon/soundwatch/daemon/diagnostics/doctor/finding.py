"""Input and findings of the checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.sinks.daemon_view import DaemonView

State = Literal["ok", "note", "warning", "fault"]
MARKS: Final[dict[State, str]] = {"ok": "  ok ", "note": "  -  ", "warning": "  !  ", "fault": "FAULT"}


@dataclass(frozen=True, slots=True)
class CheckInput:
    """Input of the checks.

    Attributes:
        config: Configuration in force; None if it is invalid.
        error: Reason if it is invalid.
        path: File of the configuration; None if there is none.
        listens: Record a few seconds of each microphone.
        view: Provides the view of a daemon that does not run, to prepare outputs.
    """

    config: Config | None
    error: SoundwatchError | None
    path: Path | None
    listens: bool
    view: Callable[[Config, ModelContract], AbstractContextManager[DaemonView]]


class Finding(msgspec.Struct, frozen=True):
    """Result of one check.

    Attributes:
        part: Checked part of the program.
        state: Severity.
        seen: Observation.
        todo: Advice; empty if there is nothing to do.
    """

    part: str
    state: State
    seen: str
    todo: str = ""


def findings_text(findings: Sequence[Finding]) -> str:
    """Format findings as text, by part."""
    lines: list[str] = []
    for number, finding in enumerate(findings):
        part = finding.part if not number or findings[number - 1].part != finding.part else ""
        first, *more = finding.seen.splitlines() or [""]
        lines.append(f"{part:<14}{MARKS[finding.state]}  {first}".rstrip())
        lines += [f"{'':<21}{line}".rstrip() for line in more]
        if finding.todo:
            lines.append(f"{'':<21}-> {finding.todo}")
    faults, warnings = (sum(finding.state == state for finding in findings) for state in ("fault", "warning"))
    verdict = f"Faults: {faults}. Warnings: {warnings}." if faults or warnings else "No faults, no warnings."
    return "\n".join([*lines, "", verdict])
