"""What the doctor looks at, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from soundwatch.daemon.core.config import Config
from soundwatch.daemon.core.errors import SoundwatchError

State = Literal["ok", "note", "warning", "fault"]
MARKS: Final[dict[State, str]] = {"ok": "  ok ", "note": "  -  ", "warning": "  !  ", "fault": "FAULT"}


@dataclass(frozen=True, slots=True)
class CheckInput:
    """What is to be looked at.

    Attributes:
        config: The configuration in force; None where it cannot be read.
        error: Why it cannot.
        path: Its file; None where there is none.
        listens: Whether the microphone may be listened to for some seconds.
    """

    config: Config | None
    error: SoundwatchError | None
    path: Path | None
    listens: bool


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        part: Of which part of the program it is.
        state: How it is.
        seen: What was seen.
        todo: What to do about it; empty where nothing has to be done.
    """

    part: str
    state: State
    seen: str
    todo: str = ""


def findings_text(findings: Sequence[Finding]) -> str:
    """Findings for people, by part."""
    lines: list[str] = []
    for number, finding in enumerate(findings):
        part = finding.part if not number or findings[number - 1].part != finding.part else ""
        first, *more = finding.seen.splitlines() or [""]
        lines.append(f"{part:<14}{MARKS[finding.state]}  {first}".rstrip())
        lines += [f"{'':<21}{line}".rstrip() for line in more]
        if finding.todo:
            lines.append(f"{'':<21}-> {finding.todo}")
    faults, warnings = (sum(finding.state == state for finding in findings) for state in ("fault", "warning"))
    verdict = f"Faults: {faults}. Warnings: {warnings}." if faults or warnings else "All is well."
    return "\n".join([*lines, "", verdict])
