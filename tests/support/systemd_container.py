"""A Debian with systemd as process 1, booted in a container, for tests of the service.

Conventions: debootstrap makes the root once, in the user's cache folder; each container has an overlay in memory above
it, so that a test leaves nothing. It has loopback and no other network. Commands run as root in its namespaces.
Does not: have the package procps, a sound card, or a network to install from.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy
import platformdirs

RELEASE: Final = "bookworm"
MIRROR: Final = "http://deb.debian.org/debian"
PACKAGES: Final = "systemd,systemd-sysv,dbus,python3,python3-venv,libportaudio2,libasound2-plugins,iproute2"
PATIENCE_S: Final = 120.0
SHOWN_CHARACTERS: Final = 2000
PYTHON_FOLDER: Final = "python3.11"  # of the release
DEPENDENCIES: Final = "/opt/dependencies"
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}


def container_obstacle() -> str:
    """Return the reason why no container can be booted here; empty where one can."""
    if os.environ.get("SOUNDWATCH_SYSTEMD") != "1":
        return "it takes minutes and 400 MB of cache; `make test-systemd` runs it (SOUNDWATCH_SYSTEMD=1)"
    if sys.platform != "linux" or os.geteuid():
        return "root is needed to boot a container"
    missing = [name for name in ("debootstrap", "systemd-nspawn", "nsenter") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: debootstrap systemd-container)"
    if sys.version_info[:2] != (3, 11):
        return f"{RELEASE} has Python 3.11 and takes the packages of these tests, which run {platform.python_version()}"
    return ""


def cached_root() -> Path:
    """Return the release's root, made at the first call.

    Raises:
        OSError: debootstrap failed; its output is in the message.
    """
    root = platformdirs.user_cache_path("soundwatch-tests", appauthor=False) / f"{RELEASE}.root"
    if root.is_dir():
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    making = root.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(making), MIRROR]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"debootstrap failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    making.rename(root)
    return root


class SystemdContainer:
    """A booted container.

    Args:
        root: Its root, which is not written to.
        shared: Folder of the host that is at /shared in it, read-only.
    """

    def __init__(self, root: Path, shared: Path) -> None:
        dependencies = Path(numpy.__file__).parents[1]
        self._nspawn = subprocess.Popen(
            [
                *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network"),
                *("--machine=soundwatch-test", f"--directory={root}", "--volatile=overlay", "--console=pipe"),
                # The unit's IP filter is a BPF program of its control group.
                *("--system-call-filter=bpf", "--capability=CAP_BPF,CAP_NET_ADMIN,CAP_SYS_ADMIN"),
                *(f"--bind-ro={dependencies}:{DEPENDENCIES}", f"--bind-ro={shared}:/shared"),
            ],
            env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._leader = 0
        self._shows = True
        self.wait_for(self._has_booted, "the container to boot")

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in the container and return its output."""
        done = self.try_running(*command)
        if check:
            assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def try_running(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, and write it and its output to this test's output."""
        variables = [f"{name}={value}" for name, value in _ENVIRONMENT.items()]
        words = ["nsenter", "--all", "--target", str(self._leader), "env", "--ignore-environment", *variables, *command]
        done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
        if self._shows:
            ended = f"exit code {done.returncode}\n" if done.returncode else ""
            sys.stdout.write(f"# {' '.join(command)}\n{(done.stdout + done.stderr)[-SHOWN_CHARACTERS:]}{ended}")
        return done

    def write(self, path: str, text: str) -> None:
        """Write a file in the container, and its folder."""
        self.run("mkdir", "--parents", str(Path(path).parent))
        done = self.try_running("tee", path, input=text)
        assert done.returncode == 0, done.stderr

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value")

    def wait_for(self, done: Callable[[], Any], what: str) -> None:
        """Wait until something is true; commands that ask for it are not written to the output."""
        until_s = time.monotonic() + PATIENCE_S
        self._shows = False
        while not done():
            assert self._nspawn.poll() is None, f"the container ended: {self._output()}"
            assert time.monotonic() < until_s, f"timed out waiting for {what}"
            time.sleep(0.25)
        self._shows = True
        sys.stdout.write(f"# came: {what}\n")

    def close(self) -> None:
        """Shut the container down."""
        self._nspawn.terminate()
        try:
            self._nspawn.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.communicate()

    def _has_booted(self) -> bool:
        if not self._leader:
            children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
            self._leader = int(children[0]) if children else 0
            return False
        state = self.try_running("systemctl", "is-system-running").stdout.strip()
        return state in ("running", "degraded")

    def _output(self) -> str:
        return self._nspawn.communicate()[1].decode(errors="replace")


def install_wheel(container: SystemdContainer, wheel: str) -> None:
    """Install a wheel of /shared as docs/systemd.md says, with these tests' packages as its dependencies."""
    container.run("python3", "-m", "venv", "/opt/soundwatch")
    container.run("/opt/soundwatch/bin/pip", "install", "--quiet", "--no-index", "--no-deps", f"/shared/{wheel}")
    packages = f"/opt/soundwatch/lib/{PYTHON_FOLDER}/site-packages"
    container.write(f"{packages}/dependencies.pth", f"{DEPENDENCIES}\n")
