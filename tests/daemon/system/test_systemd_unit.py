"""soundwatch as a service: the units, and the steps that install and uninstall them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from soundwatch.daemon.core.errors import ServiceError
from soundwatch.daemon.system import systemd_unit
from soundwatch.daemon.system.service_steps import run_steps
from soundwatch.daemon.system.systemd_unit import (
    FIRST_CONFIG,
    ServicePaths,
    install_steps,
    render_unit,
    uninstall_steps,
)
from support.cli_runner import SOUNDWATCH, soundwatch
from support.seccomp_runner import CANNOT

ROOT = Path(__file__).resolve().parents[3]
UNITS = {False: ROOT / "daemon/systemd/soundwatch.service", True: ROOT / "daemon/systemd/soundwatch-user.service"}
HIGHEST_EXPOSURE = 20  # tenths

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")


def analyze(tmp_path: Path, user: bool, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze on a unit as it would be installed."""
    unit = tmp_path / "soundwatch.service"
    text = UNITS[user].read_text(encoding="utf-8")
    unit.write_text(text.replace(systemd_unit.AS_SHIPPED, SOUNDWATCH), encoding="utf-8")
    return subprocess.run(
        ["systemd-analyze", *(["--user"] if user else []), *arguments, str(unit)],
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@needs_systemd
@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
def test_systemd_accepts_the_units(tmp_path: Path, user: bool) -> None:
    done = analyze(tmp_path, user, "verify", "--recursive-errors=yes")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_the_exposure_of_the_systems_unit_is_at_most_two_in_ten(tmp_path: Path) -> None:
    done = analyze(tmp_path, False, "security", "--offline=true", f"--threshold={HIGHEST_EXPOSURE}")
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level" in done.stdout


@pytest.mark.slow
@needs_systemd
@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
def test_the_daemon_runs_under_the_system_call_filter_of_its_unit(tmp_path: Path, user: bool) -> None:
    shutil.copy(ROOT / "daemon/systemd" / UNITS[user].name, tmp_path / "unit")
    filtered = [sys.executable, str(ROOT / "tests/support/seccomp_runner.py"), str(tmp_path / "unit"), SOUNDWATCH]
    with subprocess.Popen(
        [*filtered, "run", "--device", "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as daemon:
        assert daemon.stdout is not None
        line = daemon.stdout.readline()
        while line and b'"start"' not in line:
            line = daemon.stdout.readline()
        daemon.terminate()
        _, stderr = daemon.communicate(timeout=30)
    if daemon.returncode == CANNOT:
        pytest.skip(f"this kernel has no such filter: {stderr.decode()}")
    assert b'"start"' in line, stderr.decode()
    assert daemon.returncode == 0


def test_the_unit_starts_this_installation_at_any_path(tmp_path: Path) -> None:
    program = tmp_path / "a 100% odd path" / "soundwatch"
    program.parent.mkdir()
    program.symlink_to(SOUNDWATCH)
    quoted = str(program).replace("%", "%%")
    assert f'ExecStart="{quoted}" run --config %E/soundwatch/config.yaml' in render_unit(program, user=True)
    with pytest.raises(ServiceError, match="There is no program"):
        render_unit(tmp_path / "none", user=True)


def test_an_installation_in_a_home_is_made_readable_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd_unit, "_check_readable", lambda _: None)
    monkeypatch.setattr(sys, "prefix", "/home/ada/venv")
    assert "ProtectHome=read-only" in render_unit(Path(SOUNDWATCH), user=False)
    monkeypatch.undo()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "soundwatch"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.raises(ServiceError, match=r"may not read .*closed.*in a clone .*pip install \.`.*--user"):
        render_unit(program, user=False)


class Systemctl:
    """A fake systemctl: records commands, and refuses one of them."""

    def __init__(self, refuses: str = "") -> None:
        self.commands: list[str] = []
        self._refuses = refuses

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.commands.append(" ".join(command))
        refused = bool(self._refuses) and command[1] == self._refuses
        return subprocess.CompletedProcess(command, int(refused), "", "it will not start" if refused else "")


@pytest.fixture
def place(tmp_path: Path) -> ServicePaths:
    return ServicePaths(False, tmp_path / "systemd/system/soundwatch.service", tmp_path / "soundwatch/config.yaml")


def quiet(_: str) -> None:
    pass


def test_uninstalling_removes_every_installed_file(place: ServicePaths, tmp_path: Path) -> None:
    systemctl = Systemctl()
    run_steps(install_steps(place, "[Service]\n", systemctl), quiet)
    assert place.unit.read_text() == "[Service]\n"
    assert place.unit.stat().st_mode & 0o777 == 0o644
    assert place.config.read_text() == FIRST_CONFIG
    assert [command.split()[1] for command in systemctl.commands] == ["daemon-reload", "enable", "restart"]
    run_steps(uninstall_steps(place, systemctl), quiet)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    with pytest.raises(ServiceError, match="no such service to remove"):
        uninstall_steps(place, systemctl)


def test_a_service_that_cannot_be_removed_is_unchanged(place: ServicePaths) -> None:
    run_steps(install_steps(place, "[Service]\n", Systemctl()), quiet)
    refusing = Systemctl("daemon-reload")
    with pytest.raises(ServiceError, match=r"All steps were undone\."):
        run_steps(uninstall_steps(place, refusing), quiet)
    assert place.unit.read_text() == "[Service]\n"
    assert refusing.commands[-1] == "systemctl enable --now soundwatch.service"


@pytest.mark.parametrize("refuses", ["daemon-reload", "enable", "restart"])
def test_a_service_that_cannot_be_started_is_not_left_half_installed(
    place: ServicePaths, tmp_path: Path, refuses: str
) -> None:
    with pytest.raises(ServiceError, match=r"failed: it will not start\. All steps were undone\."):
        run_steps(install_steps(place, "[Service]\n", Systemctl(refuses)), quiet)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_reported_and_all_steps_are_undone(
    place: ServicePaths, tmp_path: Path
) -> None:
    (tmp_path / "systemd").write_text("a file")
    with pytest.raises(ServiceError, match=r"write .*soundwatch.service failed: "):
        run_steps(install_steps(place, "[Service]\n", Systemctl()), quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["systemd"]


def test_a_new_unit_that_does_not_start_is_replaced_by_the_old_one(place: ServicePaths) -> None:
    run_steps(install_steps(place, "old\n", Systemctl()), quiet)
    place.config.write_text("node: mine\n")
    refusing = Systemctl("restart")
    with pytest.raises(ServiceError):
        run_steps(install_steps(place, "new\n", refusing), quiet)
    assert place.unit.read_text() == "old\n"
    assert [command.split()[1] for command in refusing.commands][-2:] == ["daemon-reload", "restart"]
    run_steps(uninstall_steps(place, Systemctl()), quiet)
    assert place.config.read_text() == "node: mine\n", "a changed configuration stays"


@pytest.mark.slow
def test_without_systemd_nothing_is_changed_and_a_dry_run_shows_the_steps(tmp_path: Path) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": str(tmp_path)}
    refused = soundwatch("service", "install", "--user", env=env)
    assert refused.returncode == 11
    assert b"systemd does not respond" in refused.stderr
    shown = soundwatch("service", "install", "--user", "--dry-run", env=env)
    assert shown.returncode == 0
    assert f"ExecStart={SOUNDWATCH} run".encode() in shown.stdout
    assert f"would write {tmp_path}/config/systemd/user/soundwatch.service".encode() in shown.stdout
    assert not (tmp_path / "config").exists()


SYSTEMCTL = """#!/bin/sh
case "$*" in
*"show soundwatch"*)
    printf '%s\\n' ActiveState=active SubState=running MainPID=7 NRestarts=0 'StatusText=siren on mic0' ;;
esac
"""


@pytest.mark.slow
def test_a_user_installs_queries_and_removes_the_service(tmp_path: Path) -> None:
    (tmp_path / "systemctl").write_text(SYSTEMCTL)
    (tmp_path / "systemctl").chmod(0o755)
    env = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert soundwatch("service", "status", "--user", env=env).returncode == 11
    installed = soundwatch("service", "install", "--user", env=env)
    assert installed.returncode == 0, installed.stderr
    assert b"loginctl enable-linger" in installed.stdout
    status = soundwatch("service", "status", "--user", env=env)
    assert status.returncode == 0, status.stderr
    assert b"starts this installation" in status.stdout
    assert b"active (running), process 7, restarted 0 times\nsiren on mic0" in status.stdout
    assert soundwatch("service", "uninstall", "--user", env=env).returncode == 0
    assert not [path for path in (tmp_path / "config").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_a_wrong_configuration_is_refused_before_any_change(tmp_path: Path) -> None:
    (tmp_path / "soundwatch").mkdir()
    (tmp_path / "soundwatch/config.yaml").write_text("sourcs: {}\n")
    done = soundwatch("service", "install", "--user", "--dry-run", env={"XDG_CONFIG_HOME": str(tmp_path)})
    assert done.returncode == 2
    assert b"did you mean `sources`?" in done.stderr
