"""Checks of the machine: installed packages, clock, service."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from soundwatch.daemon import __version__
from soundwatch.daemon.core.time.clock import format_datetime, is_clock_set
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput, Finding

PACKAGES: Final = ("numpy", "onnxruntime-gpu", "onnxruntime", "sounddevice", "soxr", "soundfile", "msgspec")
ANSWER_S: Final = 5.0


def check_versions(case: CheckInput) -> Iterator[Finding]:
    """List the installed packages, and check that they are compatible."""
    del case
    versions = {name: _version(name) for name in PACKAGES}
    packages = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    python = f"Python {platform.python_version()} at {sys.executable}"
    yield Finding(
        "versions", "ok", f"soundwatch {__version__}, {python}\n{platform.platform()}, {os.cpu_count()} cores"
    )
    yield Finding("versions", "ok", f"{packages}, SQLite {sqlite3.sqlite_version}")
    if versions["onnxruntime"] and versions["onnxruntime-gpu"]:
        yield Finding(
            "versions",
            "fault",
            "onnxruntime and onnxruntime-gpu are both installed; they hold the same files and break each other.",
            "Remove .venv and run `make run`; or `pip uninstall onnxruntime onnxruntime-gpu`, then `pip install .`.",
        )


def check_clock(case: CheckInput) -> Iterator[Finding]:
    """Check that the clock is set and synchronized, and name the time zone of quiet hours, schedules and days."""
    now_s = time.time()
    shown = format_datetime(datetime.fromtimestamp(now_s, UTC), "seconds")
    if not is_clock_set(round(now_s * 1e9)):
        yield Finding("clock", "fault", f"The clock shows {shown}.", "Set it, or wait for the network to do so.")
        return
    synchronised = _output_of("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if synchronised == "no":
        todo = "`timedatectl set-ntp true`, or another time service: event times are as wrong as this clock."
        yield Finding("clock", "warning", f"{shown}, not synchronized over the network.", todo)
    else:
        kept = "synchronized over the network" if synchronised == "yes" else "synchronization unknown"
        yield Finding("clock", "ok", f"{shown}, {kept}.")
    if case.config is not None:
        place = case.config.place
        local = datetime.fromtimestamp(now_s, place.zone)
        origin = "of the system; place.time_zone sets another" if place.time_zone is None else place.time_zone
        yield Finding("clock", "ok", f"Times of day: {local:%H:%M %Z} now ({origin}).")


def check_service(case: CheckInput) -> Iterator[Finding]:
    """Check the state of the service."""
    del case
    for scope in ("--system", "--user"):
        state = _output_of("systemctl", scope, "is-active", "soundwatch")
        if state in ("active", "reloading"):
            yield Finding("service", "ok", f"systemd runs soundwatch ({scope[2:]}).")
        elif state == "failed":
            log = f"journalctl {'--user ' if scope == '--user' else ''}-u soundwatch -e"
            yield Finding(
                "service", "fault", f"systemd's soundwatch ({scope[2:]}) has failed.", f"`{log}` shows the reason."
            )
        elif state == "activating":
            yield Finding(
                "service", "note", f"systemd is starting soundwatch ({scope[2:]}): it waits for the first sound."
            )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _output_of(*command: str) -> str:
    """Return the output of a program; empty if it is missing or does not answer."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 -- fixed words
            command, capture_output=True, text=True, timeout=ANSWER_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
