"""soundwatch as a systemd service: the unit of this installation, and the steps that install and uninstall it.

Conventions: all steps are listed before the first one runs, so that a dry run can show them. A step that fails undoes
the steps before it, so a service is installed completely or not at all. An existing configuration is never
overwritten, and is removed only if it is unchanged since it was written.
Source: the unit files are in the project's `daemon/systemd/`, or in the package if it is installed.
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

from soundwatch.daemon.core.errors import ServiceError
from soundwatch.daemon.system.service_steps import Step, remove_existing_steps, remove_step, write_step

UNIT: Final = "soundwatch.service"
AS_SHIPPED: Final = "/opt/soundwatch/bin/soundwatch"
FIRST_CONFIG: Final = """\
# The sources of the soundwatch service. `soundwatch check-config PATH` shows every key and its value.
sources:
  mic0: {device: default}
"""
Run = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]


@dataclass(frozen=True, slots=True)
class ServicePaths:
    """Paths of a service of the system or of one user.

    Attributes:
        user: True for a service of one user.
        unit: The unit file.
        config: The configuration file.
    """

    user: bool
    unit: Path
    config: Path

    @property
    def network(self) -> Path:
        """Path of the drop-in that allows the configuration's addresses."""
        return self.unit.with_name(f"{UNIT}.d") / "10-network.conf"

    @property
    def systemctl(self) -> tuple[str, ...]:
        """The command that controls the service manager."""
        return ("systemctl", "--user") if self.user else ("systemctl",)


def service_paths(*, user: bool) -> ServicePaths:
    """Return the paths of a service of this system or of this user."""
    if not user:
        return ServicePaths(False, Path("/etc/systemd/system") / UNIT, Path("/etc/soundwatch/config.yaml"))
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return ServicePaths(True, home / "systemd/user" / UNIT, home / "soundwatch/config.yaml")


def render_unit(program: Path, *, user: bool) -> str:
    """Return the text of the unit that starts `program`.

    Raises:
        ServiceError: There is no such program, or the service's user cannot read it.
    """
    if not os.access(program, os.X_OK):
        raise ServiceError(
            f"There is no program {program} to start. Install soundwatch into a virtual environment, and run the "
            "`soundwatch` of that environment."
        )
    text = _shipped_unit("soundwatch-user.service" if user else UNIT).replace(AS_SHIPPED, _quoted(str(program)))
    if not user:
        required = (program, Path(sys.prefix), Path(sys.base_prefix), Path(__file__))
        _check_readable(required)
        if any(_is_in_home_folder(path) for path in required):
            text = text.replace("ProtectHome=yes", "ProtectHome=read-only")
    return text


def installed_program() -> Path:
    """Return the path of this installation's `soundwatch`."""
    return Path(sys.executable).with_name("soundwatch")


def _shipped_unit(name: str) -> str:
    packaged = resources.files("soundwatch.daemon") / "systemd"  # in a wheel
    folder = packaged if packaged.is_dir() else Path(__file__).parents[3] / "systemd"  # in a clone
    return (folder / name).read_text(encoding="utf-8")


def _quoted(program: str) -> str:
    """Quote a path for ExecStart=."""
    escaped = program.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return escaped if escaped == program and " " not in program else f'"{escaped}"'


def _is_in_home_folder(path: Path) -> bool:
    return path.resolve().is_relative_to("/home") or path.resolve().is_relative_to("/root")


def _check_readable(paths: Sequence[Path]) -> None:
    """Refuse paths that an unprivileged user cannot read."""
    for path in paths:
        for part in (path.resolve(), *path.resolve().parents):
            if not part.stat().st_mode & (0o001 if part.is_dir() else 0o004):
                raise ServiceError(
                    f"The service runs as its own user, which may not read {part}. Install soundwatch in a folder that "
                    "every user may read: `sudo python3 -m venv /opt/soundwatch`, then in a clone of soundwatch "
                    "`sudo /opt/soundwatch/bin/pip install .`, then `sudo /opt/soundwatch/bin/soundwatch service "
                    "install`; or install the service for this user only, with --user."
                )


def install_steps(paths: ServicePaths, unit: str, run: Run, network: str = "") -> list[Step]:
    """Return the steps that install a service, or replace its unit by a newer one.

    `network` is the text of the drop-in for the IP filter; empty for none.
    """
    reload = (*paths.systemctl, "daemon-reload")
    start = (*paths.systemctl, "restart", UNIT)
    enable = (*paths.systemctl, "enable", UNIT)
    steps = [] if paths.config.exists() else [write_step(paths.config, FIRST_CONFIG)]
    new = not paths.unit.exists()

    def undo_reload() -> None:
        run(reload)
        if not new:
            run(start)

    def undo_start() -> None:
        if new:
            run((*paths.systemctl, "disable", "--now", UNIT))

    return [
        Step("", lambda: None, undo_reload),  # undone last, after the old unit is restored
        *steps,
        write_step(paths.unit, unit),
        *([write_step(paths.network, network)] if network else remove_existing_steps(paths.network)),
        Step(" ".join(reload), lambda: _run_checked(run, reload)),
        Step(" ".join(enable), lambda: _run_checked(run, enable), undo_start),
        Step(" ".join(start) + ", and wait until it is ready", lambda: _run_checked(run, start), undo_start),
    ]


def uninstall_steps(paths: ServicePaths, run: Run) -> list[Step]:
    """Return the steps that uninstall a service; events and a changed configuration stay.

    Raises:
        ServiceError: The service is not installed.
    """
    if not paths.unit.exists():
        raise ServiceError(f"There is no {paths.unit}, so there is no such service to remove.")
    stop = (*paths.systemctl, "disable", "--now", UNIT)
    reload = (*paths.systemctl, "daemon-reload")
    start = (*paths.systemctl, "enable", "--now", UNIT)
    steps = [
        Step(" ".join(stop), lambda: _run_checked(run, stop), lambda: run(start)),
        *remove_existing_steps(paths.network),
        remove_step(paths.unit),
        Step(" ".join(reload), lambda: _run_checked(run, reload), lambda: run(reload)),
    ]
    if paths.config.exists() and paths.config.read_text(encoding="utf-8") == FIRST_CONFIG:
        steps.append(remove_step(paths.config))
    return steps


def systemd_available(paths: ServicePaths, run: Run) -> bool:
    """Return True if the service manager responds."""
    return run((*paths.systemctl, "show", "--property=Version")).returncode == 0


def service_state(paths: ServicePaths, run: Run) -> dict[str, str]:
    """Return properties of the service from its manager."""
    names = ("ActiveState", "SubState", "StatusText", "MainPID", "NRestarts", "MemoryCurrent", "Result")
    output = run((*paths.systemctl, "show", UNIT, *(f"--property={name}" for name in names))).stdout
    return dict(_parse_properties(output))


def run_quietly(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command and capture its output; a missing program gives exit code 127."""
    found = shutil.which(command[0])
    if found is None:
        return subprocess.CompletedProcess(command, 127, "", f"there is no {command[0]}")
    return subprocess.run([found, *command[1:]], capture_output=True, text=True, check=False)  # noqa: S603 -- ours


def _parse_properties(output: str) -> Iterator[tuple[str, str]]:
    for line in output.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            yield name, value


def _run_checked(run: Run, command: Sequence[str]) -> None:
    done = run(command)
    if done.returncode:
        raise ServiceError(" ".join(done.stderr.split()) or f"exit code {done.returncode}")
