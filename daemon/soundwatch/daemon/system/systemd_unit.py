"""soundwatch as a service of systemd: this installation's unit, and the steps that put it in place or take it away.

Conventions: what is to be done is a list of steps, made before the first of them is taken, so that it can be shown
instead. A step that fails undoes those before it: a service is installed or it is not. A configuration that is there
already is never written over, and is taken away only if it is as it was written.
Source: the units lie in `daemon/systemd/` of the project, and inside the package where it is installed.
Does not: start the program itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.atomic_file import replace_file
from soundwatch.daemon.core.errors import ServiceError

UNIT: Final = "soundwatch.service"
AS_SHIPPED: Final = "/opt/soundwatch/bin/soundwatch"
FIRST_CONFIG: Final = """\
# What soundwatch listens to as a service. `soundwatch check-config PATH` shows every key and what is in force.
sources:
  mic0: {device: default}
"""
Run = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]


@dataclass(frozen=True, slots=True)
class ServicePaths:
    """Where a service of the system, or of one user, has its files.

    Attributes:
        user: Whether it is one user's.
        unit: Its unit file.
        config: Its configuration.
    """

    user: bool
    unit: Path
    config: Path

    @property
    def network(self) -> Path:
        """The drop-in that allows the configuration's addresses."""
        return self.unit.with_name(f"{UNIT}.d") / "10-network.conf"

    @property
    def systemctl(self) -> tuple[str, ...]:
        """The command that asks its manager."""
        return ("systemctl", "--user") if self.user else ("systemctl",)


def service_paths(user: bool) -> ServicePaths:
    """Where this system, or this user, keeps services."""
    if not user:
        return ServicePaths(False, Path("/etc/systemd/system") / UNIT, Path("/etc/soundwatch/config.yaml"))
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return ServicePaths(True, home / "systemd/user" / UNIT, home / "soundwatch/config.yaml")


def render_unit(program: Path, user: bool) -> str:
    """The text of the unit that starts `program`.

    Raises:
        ServiceError: There is no such program, or the service's own user could not read it.
    """
    if not os.access(program, os.X_OK):
        raise ServiceError(
            f"There is no program {program} to start. Install soundwatch into a virtual environment, and call the "
            "`soundwatch` in it."
        )
    text = _shipped_unit("soundwatch-user.service" if user else UNIT).replace(AS_SHIPPED, _quoted(str(program)))
    if not user:
        needed = (program, Path(sys.prefix), Path(sys.base_prefix), Path(__file__))
        _check_readable(needed)
        if any(_is_in_a_home(path) for path in needed):
            text = text.replace("ProtectHome=yes", "ProtectHome=read-only")
    return text


def installed_program() -> Path:
    """The `soundwatch` of this installation."""
    return Path(sys.executable).with_name("soundwatch")


def _shipped_unit(name: str) -> str:
    inside = resources.files("soundwatch.daemon") / "systemd"  # where the wheel puts them
    folder = inside if inside.is_dir() else Path(__file__).parents[3] / "systemd"  # where a clone has them
    return (folder / name).read_text(encoding="utf-8")


def _quoted(program: str) -> str:
    """A path as ExecStart= wants it."""
    escaped = program.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return escaped if escaped == program and " " not in program else f'"{escaped}"'


def _is_in_a_home(path: Path) -> bool:
    return path.resolve().is_relative_to("/home") or path.resolve().is_relative_to("/root")


def _check_readable(paths: Sequence[Path]) -> None:
    """Refuse what a user without rights could not read."""
    for path in paths:
        for each in (path.resolve(), *path.resolve().parents):
            if not each.stat().st_mode & (0o001 if each.is_dir() else 0o004):
                raise ServiceError(
                    f"The service runs as a user of its own, who may not read {each}. Install soundwatch where "
                    "everybody may read it: `sudo python3 -m venv /opt/soundwatch`, then `sudo /opt/soundwatch/bin/pip "
                    "install soundwatch`, then `sudo /opt/soundwatch/bin/soundwatch service install`; or install it "
                    "for this user alone, with --user."
                )


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        said: It, for people.
        do: Does it, or raises `OSError` or `ServiceError`.
        undo: Brings back what was before, or raises `OSError`.
    """

    said: str
    do: Callable[[], object]
    undo: Callable[[], object] = lambda: None


def install_steps(place: ServicePaths, unit: str, run: Run, network: str = "") -> list[Step]:
    """The steps that put a service in place, or its present unit in place of an older one.

    `network` is the text of the drop-in for the IP filter; empty for none.
    """
    reload = (*place.systemctl, "daemon-reload")
    start = (*place.systemctl, "restart", UNIT)
    enable = (*place.systemctl, "enable", UNIT)
    steps = [] if place.config.exists() else [_write(place.config, FIRST_CONFIG)]
    first = not place.unit.exists()

    def reloaded() -> None:
        run(reload)
        if not first:
            run(start)

    def disabled() -> None:
        if first:
            run((*place.systemctl, "disable", "--now", UNIT))

    return [
        Step("", lambda: None, reloaded),  # undone last, once the old unit is back
        *steps,
        _write(place.unit, unit),
        *([_write(place.network, network)] if network else _removal(place.network)),
        Step(" ".join(reload), lambda: _asked(run, reload)),
        Step(" ".join(enable), lambda: _asked(run, enable), disabled),
        Step(" ".join(start) + ", and wait until it is ready", lambda: _asked(run, start), disabled),
    ]


def uninstall_steps(place: ServicePaths, run: Run) -> list[Step]:
    """The steps that take a service away; events and a configuration that was changed stay.

    Raises:
        ServiceError: There is none.
    """
    if not place.unit.exists():
        raise ServiceError(f"There is no {place.unit}, so there is no such service to remove.")
    stop = (*place.systemctl, "disable", "--now", UNIT)
    reload = (*place.systemctl, "daemon-reload")
    start = (*place.systemctl, "enable", "--now", UNIT)
    steps = [
        Step(" ".join(stop), lambda: _asked(run, stop), lambda: run(start)),
        *_removal(place.network),
        _remove(place.unit),
        Step(" ".join(reload), lambda: _asked(run, reload), lambda: run(reload)),
    ]
    if place.config.exists() and place.config.read_text(encoding="utf-8") == FIRST_CONFIG:
        steps.append(_remove(place.config))
    return steps


def run_steps(steps: Sequence[Step], say: Callable[[str], object]) -> None:
    """Take the steps, and tell of each; if one fails, undo those that were taken.

    Raises:
        ServiceError: One failed; all is as it was before.
    """
    taken: list[Step] = []
    for step in steps:
        if step.said:
            say(step.said)
        taken.append(step)
        try:
            step.do()
        except (OSError, ServiceError) as error:
            left = _undone(taken)
            reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            after = f"This could not be undone: {', '.join(left)}." if left else "All is as it was before."
            raise ServiceError(f"{step.said} failed: {reason}. {after}") from error


def _undone(taken: Sequence[Step]) -> list[str]:
    """Undo steps, and name those that cannot be."""
    left = []
    for step in reversed(taken):
        try:
            step.undo()
        except OSError:
            left.append(step.said)
    return left


def systemd_available(place: ServicePaths, run: Run) -> bool:
    """Whether there is a systemd here to ask."""
    return run((*place.systemctl, "show", "--property=Version")).returncode == 0


def service_state(place: ServicePaths, run: Run) -> dict[str, str]:
    """What the manager knows of the service."""
    names = ("ActiveState", "SubState", "StatusText", "MainPID", "NRestarts", "MemoryCurrent", "Result")
    said = run((*place.systemctl, "show", UNIT, *(f"--property={name}" for name in names))).stdout
    return dict(_pairs(said))


def run_quietly(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; one that is not there is one that failed."""
    found = shutil.which(command[0])
    if found is None:
        return subprocess.CompletedProcess(command, 127, "", f"there is no {command[0]}")
    return subprocess.run([found, *command[1:]], capture_output=True, text=True, check=False)  # noqa: S603 -- ours


def _pairs(said: str) -> Iterator[tuple[str, str]]:
    for line in said.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            yield name, value


def _asked(run: Run, command: Sequence[str]) -> None:
    done = run(command)
    if done.returncode:
        raise ServiceError(" ".join(done.stderr.split()) or f"exit code {done.returncode}")


def _write(path: Path, text: str) -> Step:
    """Write a file that everybody may read, and make its folder."""
    before = path.read_bytes() if path.exists() else None
    made = [folder for folder in path.parents if not folder.exists()]

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)

        def write_part(part: Path) -> None:
            part.write_text(text, encoding="utf-8")
            part.chmod(0o644)

        replace_file(path, write_part)

    def back() -> None:
        if not path.parent.is_dir():
            return
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)
        for folder in made:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()

    return Step(f"write {path}", write, back)


def _removal(path: Path) -> list[Step]:
    return [_remove(path)] if path.exists() else []


def _remove(path: Path) -> Step:
    """Remove a file, and its folder if that holds nothing but drop-ins and is empty then."""
    before = path.read_bytes()

    def remove() -> None:
        path.unlink()
        if path.parent.suffix == ".d" and not any(path.parent.iterdir()):
            path.parent.rmdir()

    def back() -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(before)

    return Step(f"remove {path}", remove, back)
