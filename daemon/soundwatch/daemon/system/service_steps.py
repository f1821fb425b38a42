"""Steps that change a service, each of which can be undone.

Conventions: all steps are listed before the first one runs, so that a dry run can show them. A step that fails undoes
the steps before it.
Does not: know services (`system/systemd_unit.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundwatch.daemon.core.errors import ServiceError
from soundwatch.daemon.core.files.atomic_file import replace_file


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an installation.

    Attributes:
        description: The step, as text.
        do: Runs the step, or raises `OSError` or `ServiceError`.
        undo: Reverses the step, or raises `OSError`.
    """

    description: str
    do: Callable[[], object]
    undo: Callable[[], object] = lambda: None


def run_steps(steps: Sequence[Step], show: Callable[[str], object]) -> None:
    """Run the steps in order; if one fails, undo it and the steps before it.

    Args:
        steps: The steps.
        show: Receives the description of each step before it runs.

    Raises:
        ServiceError: A step failed; the message names the steps that could not be undone.
    """
    begun: list[Step] = []
    for step in steps:
        if step.description:
            show(step.description)
        begun.append(step)
        try:
            step.do()
        except (OSError, ServiceError) as error:
            remaining = _undo(begun)
            reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            after = (
                f"These steps could not be undone: {', '.join(remaining)}." if remaining else "All steps were undone."
            )
            raise ServiceError(f"{step.description} failed: {reason}. {after}") from error


def _undo(steps: Sequence[Step]) -> list[str]:
    """Undo steps in reverse order, and return the descriptions of those that cannot be undone."""
    remaining = []
    for step in reversed(steps):
        try:
            step.undo()
        except OSError:
            remaining.append(step.description)
    return remaining


def write_step(path: Path, text: str) -> Step:
    """Return a step that writes a world-readable file and creates its folder."""
    before = path.read_bytes() if path.exists() else None
    created = [folder for folder in path.parents if not folder.exists()]

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)

        def write_part(part: Path) -> None:
            part.write_text(text, encoding="utf-8")
            part.chmod(0o644)

        replace_file(path, write_part)

    def restore() -> None:
        if not path.parent.is_dir():
            return
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)
        for folder in created:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()

    return Step(f"write {path}", write, restore)


def remove_existing_steps(path: Path) -> list[Step]:
    """Return the step that removes a file; none if there is no such file."""
    return [remove_step(path)] if path.exists() else []


def remove_step(path: Path) -> Step:
    """Return a step that removes a file, and its folder if that is an empty folder of drop-ins."""
    before = path.read_bytes()

    def remove() -> None:
        path.unlink()
        if path.parent.suffix == ".d" and not any(path.parent.iterdir()):
            path.parent.rmdir()

    def restore() -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(before)

    return Step(f"remove {path}", remove, restore)
